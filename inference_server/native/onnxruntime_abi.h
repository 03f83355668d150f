// The part of ONNX Runtime's C interface that the operators use. It is versioned: functions keep their place in
// the table, and new ones are added behind the others. Its headers are not part of the Python package.
#pragma once

#include <cstddef>
#include <cstdint>

namespace onnxruntime_abi {

// The version in which the last of these functions was added (ONNX Runtime 1.17).
constexpr uint32_t VERSION = 17;

struct Status;
struct KernelInfo;
struct KernelContext;
struct Value;
struct ShapeInfo;
struct SessionOptions;
struct Domain;

// ONNX's numbers of the element types.
enum ElementType { FLOAT = 1, UINT8 = 2, INT8 = 3, INT32 = 6, INT64 = 7 };

// OrtApi: a table of functions, of which `call` takes one by its place.
struct Api {
  void* functions[275];
};

enum Place {
  CREATE_STATUS = 0,
  CREATE_DOMAIN = 26,
  DOMAIN_ADD = 27,
  ADD_DOMAIN = 28,
  MUTABLE_DATA = 51,
  DIMENSIONS_COUNT = 61,
  DIMENSIONS = 62,
  SHAPE_INFO = 65,
  ATTRIBUTE_FLOAT = 85,
  ATTRIBUTE_INT = 86,
  INPUT = 90,
  OUTPUT = 91,
  RELEASE_SHAPE_INFO = 99,
  CONSTANT_INPUT = 249,
  PARALLEL_FOR = 274,
};

struct ApiBase {
  const Api* (*get_api)(uint32_t version);
  const char* (*get_version)();
};

// OrtCustomOp: an operator as functions that ONNX Runtime calls.
struct CustomOp {
  uint32_t version;
  void* (*create)(const CustomOp*, const Api*, const KernelInfo*);
  const char* (*name)(const CustomOp*);
  const char* (*provider)(const CustomOp*);
  ElementType (*input_type)(const CustomOp*, size_t);
  size_t (*input_count)(const CustomOp*);
  ElementType (*output_type)(const CustomOp*, size_t);
  size_t (*output_count)(const CustomOp*);
  void (*compute)(void*, KernelContext*);
  void (*destroy)(void*);
  int (*input_characteristic)(const CustomOp*, size_t);   // 0: required
  int (*output_characteristic)(const CustomOp*, size_t);  // 0: required
  int (*input_memory)(const CustomOp*, size_t);           // 0: the provider's own
  int (*variadic_input_min)(const CustomOp*);
  int (*variadic_input_homogeneous)(const CustomOp*);
  int (*variadic_output_min)(const CustomOp*);
  int (*variadic_output_homogeneous)(const CustomOp*);
  Status* (*create_with_status)(const CustomOp*, const Api*, const KernelInfo*, void**);
  Status* (*compute_with_status)(void*, KernelContext*);
  Status* (*infer_shapes)(const CustomOp*, void*);
  int (*start_version)(const CustomOp*);
  int (*end_version)(const CustomOp*);
  size_t (*may_inplace)(int**, int**);
  void (*release_may_inplace)(int*, int*);
  size_t (*alias_map)(int**, int**);
  void (*release_alias_map)(int*, int*);
};

}  // namespace onnxruntime_abi
