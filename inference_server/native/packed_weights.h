// Weights in the order in which the kernels read them, once for all sessions of the process.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <mutex>
#include <new>
#include <utility>
#include <vector>

#if defined(__linux__)
#include <sys/mman.h>
#endif

namespace {

// A block of memory in large pages, where the system has them: reading weights is limited by memory.
class Block {
 public:
  explicit Block(size_t bytes) : bytes_(std::max(bytes, USUAL)) {
    if (posix_memalign(&memory_, LARGE_PAGE, bytes_) != 0) throw std::bad_alloc();
#if defined(__linux__)
    madvise(memory_, bytes_, MADV_HUGEPAGE);
#endif
  }
  ~Block() { std::free(memory_); }
  Block(const Block&) = delete;
  Block& operator=(const Block&) = delete;

  bool has_room(size_t bytes) const { return used_ + bytes <= bytes_; }
  void* take(size_t bytes) {
    void* place = static_cast<char*>(memory_) + used_;
    used_ += (bytes + ALIGNMENT - 1) / ALIGNMENT * ALIGNMENT;
    return place;
  }

 private:
  static constexpr size_t LARGE_PAGE = size_t{2} << 20, USUAL = size_t{32} << 20, ALIGNMENT = 4096;
  void* memory_ = nullptr;
  size_t bytes_, used_ = 0;
};

// Weights in a block, which is freed with the last of them.
struct PackedWeights {
  std::shared_ptr<Block> block;
  const void* memory;
  size_t bytes;

  template <typename Number>
  const Number* as() const {
    return static_cast<const Number*>(memory);
  }
};

// All packed weights of the process. Graphs that have a weight in common read the same memory.
class WeightStore {
 public:
  std::shared_ptr<const PackedWeights> stored(const void* packed, size_t bytes) {
    const std::lock_guard<std::mutex> lock(mutex_);
    std::vector<std::weak_ptr<const PackedWeights>> alive;
    std::shared_ptr<const PackedWeights> found;
    for (const auto& each : all_) {
      const auto other = each.lock();
      if (other == nullptr) continue;
      alive.push_back(each);
      // Those of two layers differ within their first bytes.
      if (found == nullptr && other->bytes == bytes && std::memcmp(other->memory, packed, bytes) == 0) found = other;
    }
    if (found == nullptr) {
      auto block = latest_.lock();
      if (block == nullptr || !block->has_room(bytes)) latest_ = block = std::make_shared<Block>(bytes);
      void* memory = block->take(bytes);
      std::memcpy(memory, packed, bytes);
      found = std::make_shared<PackedWeights>(PackedWeights{std::move(block), memory, bytes});
      alive.push_back(found);
    }
    all_.swap(alive);
    return found;
  }

 private:
  std::mutex mutex_;
  std::vector<std::weak_ptr<const PackedWeights>> all_;
  std::weak_ptr<Block> latest_;
};

WeightStore weight_store;

}  // namespace
