// Memory of one thread, as much as its largest task needed.
#pragma once

#include <cstddef>
#include <cstdlib>
#include <new>

class Scratch {
 public:
  template <typename Number>
  Number* of(size_t count) {
    const size_t bytes = count * sizeof(Number);
    if (bytes > size_) {
      std::free(memory_);
      size_ = 0;  // what is too large is asked for again by the next call
      const size_t size = (bytes + PAGE - 1) / PAGE * PAGE;
      memory_ = std::aligned_alloc(PAGE, size);
      if (memory_ == nullptr) throw std::bad_alloc();
      size_ = size;
    }
    return static_cast<Number*>(memory_);
  }
  ~Scratch() { std::free(memory_); }

 private:
  static constexpr size_t PAGE = 4096;
  void* memory_ = nullptr;
  size_t size_ = 0;
};
