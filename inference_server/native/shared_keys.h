// Attention of queries over keys and values that all of them share.
#pragma once

#include <cstddef>

// Rows of head_dim numbers, `stride` apart: float32, or 8-bit ones whose scales are in the queries and are multiplied
// with the sums of values afterwards.
struct SharedKeys {
  const void* keys;
  const void* values;
  size_t stride;
  int count, head_dim;
  bool eight_bits;
};

// Unnormalised attention over some keys: the sum of values weighed by e^(score - largest), and of the weights.
// Those of disjoint keys add up to attention over all of them (Dao et al. 2022).
struct Weighed {
  float largest;
  float total;
};

// Asks for memory that is needed next, some cache lines at a time, while something else is computed: the caches of many
// rows are read once a step, from memory. Nothing is asked for before `spread` was called.
class Ahead {
 public:
  Ahead(const void* const* blocks, const size_t* bytes, int count) : blocks_(blocks), bytes_(bytes), left_(count) {
    for (int i = 0; i < count; i++) lines_ += (bytes[i] + LINE - 1) / LINE;
    begin();
  }

  // From now on each call of `next` asks for a part of the lines: all of them after `calls` calls.
  void spread(int calls) { together_ = calls > 0 ? (lines_ + calls - 1) / calls : 0; }

  void next() {
    for (size_t i = 0; i < together_ && left_ > 0; i++) {
      __builtin_prefetch(at_, 0, 2);
      at_ += LINE;
      if (at_ < end_) continue;
      blocks_++, bytes_++, left_--;
      begin();
    }
  }

 private:
  static constexpr size_t LINE = 64;

  void begin() {
    if (left_ == 0) return;
    at_ = static_cast<const char*>(*blocks_);
    end_ = at_ + *bytes_;
  }

  const void* const* blocks_;
  const size_t* bytes_;
  int left_;
  size_t lines_ = 0, together_ = 0;
  const char *at_ = nullptr, *end_ = nullptr;
};

// queries     (count, head_dim), scaled
// limit       how many of the keys the first query may attend to, at least 1; each query after it attends to one more,
//             up to all keys
// ahead       asks for memory that is needed afterwards
// out         (count, head_dim); sums (count,)
//
// A query's numbers do not depend on the others, nor on keys that it may not attend to unless these are no numbers.
using Attend = void (*)(const float* queries, int count, const SharedKeys& shared, int limit, Ahead& ahead, float* out,
                        Weighed* sums);
