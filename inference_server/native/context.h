// ONNX Runtime's C interface as C++: errors, tensors, and what a kernel has in a call.
#pragma once

#include <atomic>
#include <exception>
#include <new>
#include <vector>

#include "onnxruntime_abi.h"

namespace {

using namespace onnxruntime_abi;

const Api* api = nullptr;

template <typename Function, typename... Arguments>
auto call(Place place, Arguments... arguments) {
  return reinterpret_cast<Function*>(api->functions[place])(arguments...);
}

Status* failure(const char* message) { return call<Status*(int, const char*)>(CREATE_STATUS, 1, message); }

struct Failed {
  Status* status;
};

void check(Status* status) {
  if (status != nullptr) throw Failed{status};
}

// What is computed otherwise would read or write beyond an array.
void require(bool condition, const char* message) {
  if (!condition) throw Failed{failure(message)};
}

struct Tensor {
  std::vector<int64_t> shape;
  void* data;
};

Tensor tensor_of(Value* value) {
  Tensor tensor{};
  if (value == nullptr) return tensor;
  ShapeInfo* info;
  check(call<Status*(const Value*, ShapeInfo**)>(SHAPE_INFO, static_cast<const Value*>(value), &info));
  size_t count;
  Status* status = call<Status*(const ShapeInfo*, size_t*)>(DIMENSIONS_COUNT, static_cast<const ShapeInfo*>(info), &count);
  if (status == nullptr) {
    tensor.shape.resize(count);
    status = call<Status*(const ShapeInfo*, int64_t*, size_t)>(DIMENSIONS, static_cast<const ShapeInfo*>(info),
                                                               tensor.shape.data(), count);
  }
  call<void(ShapeInfo*)>(RELEASE_SHAPE_INFO, info);
  check(status);
  check(call<Status*(Value*, void**)>(MUTABLE_DATA, value, &tensor.data));
  return tensor;
}

struct Context {
  KernelContext* context;

  Tensor input(size_t index) const {
    const Value* value;
    check(call<Status*(const KernelContext*, size_t, const Value**)>(
        INPUT, static_cast<const KernelContext*>(context), index, &value));
    return tensor_of(const_cast<Value*>(value));
  }

  void* output(size_t index, const std::vector<int64_t>& shape) const {
    Value* value;
    check(call<Status*(KernelContext*, size_t, const int64_t*, size_t, Value**)>(OUTPUT, context, index, shape.data(),
                                                                               shape.size(), &value));
    void* data;
    check(call<Status*(Value*, void**)>(MUTABLE_DATA, value, &data));
    return data;
  }

  template <typename Task>
  void parallel(size_t count, const Task& task) const {
    if (count == 0) return;
    struct Shared {
      const Task& task;
      std::atomic<bool> failed;
    } shared{task, {false}};
    auto run = [](void* data, size_t index) {
      auto* shared = static_cast<Shared*>(data);
      try {
        shared->task(index);
      } catch (...) {
        shared->failed = true;
      }
    };
    void (*function)(void*, size_t) = run;
    if (count == 1)
      function(&shared, 0);
    else
      check(call<Status*(const KernelContext*, void (*)(void*, size_t), size_t, size_t, void*)>(
          PARALLEL_FOR, static_cast<const KernelContext*>(context), function, count, size_t{0},
          static_cast<void*>(&shared)));
    if (shared.failed) throw std::bad_alloc();
  }
};

int64_t attribute_int(const KernelInfo* info, const char* name) {
  int64_t value;
  check(call<Status*(const KernelInfo*, const char*, int64_t*)>(ATTRIBUTE_INT, info, name, &value));
  return value;
}

float attribute_float(const KernelInfo* info, const char* name) {
  float value;
  check(call<Status*(const KernelInfo*, const char*, float*)>(ATTRIBUTE_FLOAT, info, name, &value));
  return value;
}

const float* floats(const Tensor& tensor) { return static_cast<const float*>(tensor.data); }

}  // namespace
