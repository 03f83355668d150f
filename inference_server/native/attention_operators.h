// Operators of attention.
#pragma once

#include <type_traits>

#include "context.h"
#include "kernels.h"
#include "matrix_unit.h"
#include "scratch.h"

namespace {

struct Attributes {
  int heads = 0;
  float scale = 0.0f;
};

Attributes attributes_of(const KernelInfo* info) {
  const int64_t heads = attribute_int(info, "heads");
  require(heads > 0, "there must be at least one head");
  return {static_cast<int>(heads), attribute_float(info, "scale")};
}

// The fastest on this processor.
Attend attend() {
  static const Attend chosen = matrix_unit() != nullptr ? matrix_unit()->attend : kernels().attend;
  return chosen;
}

constexpr const char* HEAD_SIZES = "the size of a head must be a multiple of 32, or of 2 without rotation, and at most 512";

// The size of a head of new tokens (B, S, 3 * heads * token_dim).
int token_dim_of(const Tensor& packed, int heads, int head_dim) {
  require(packed.shape[2] % (int64_t{6} * heads) == 0 && packed.shape[2] <= int64_t{3} * heads * head_dim,
          "a head of new tokens must have an even size, and at most that of the caches");
  return static_cast<int>(packed.shape[2] / (3 * heads));
}

// The caches of a call, (B, heads, capacity, head_dim) each, past and present in the same memory if it is bound so.
template <typename Number>
struct Caches {
  Tensor past_key, past_value;
  Number *key, *value;
  int heads, head_dim, token_dim;
  size_t capacity;

  // packed (B, S, 3 * heads * token_dim) are the new tokens of the caches' rows. The size of a head must be a multiple of
  // `multiple`.
  Caches(const Context& context, size_t input, size_t output, const Tensor& packed, int of_operator, int multiple = 32)
      : past_key(context.input(input)), past_value(context.input(input + 1)) {
    require(past_key.shape.size() == 4, "caches must be (B, heads, capacity, head_dim)");
    heads = static_cast<int>(past_key.shape[1]);
    capacity = static_cast<size_t>(past_key.shape[2]);
    head_dim = static_cast<int>(past_key.shape[3]);
    // The export pads heads that are rotated to multiples of 32.
    require(head_dim > 0 && head_dim % multiple == 0 && head_dim <= MAX_HEAD_DIM, HEAD_SIZES);
    require(past_value.shape == past_key.shape && heads == of_operator, "caches must be (B, heads, capacity, head_dim)");
    require(packed.shape.size() == 3 && packed.shape[0] == past_key.shape[0],
            "packed must be (B, S, 3 * heads * token_dim)");
    token_dim = token_dim_of(packed, heads, head_dim);
    key = static_cast<Number*>(context.output(output, past_key.shape));
    value = static_cast<Number*>(context.output(output + 1, past_value.shape));
  }

  size_t place(size_t row, int head) const { return (row * heads + head) * capacity * head_dim; }

  // Take over what a head of a row holds, where the caches are not updated in place.
  void take_over(size_t row, int head, int past) const {
    copy(static_cast<const Number*>(past_key.data), key, row, head, past);
    copy(static_cast<const Number*>(past_value.data), value, row, head, past);
  }

 private:
  void copy(const Number* from, Number* to, size_t row, int head, int past) const {
    if (from == to) return;
    const size_t begin = place(row, head), count = static_cast<size_t>(past) * head_dim;
    for (size_t i = 0; i < count; i++) to[begin + i] = from[begin + i];
  }
};

template <typename Number>
AttentionShape shape_of(const Context& context, const Attributes& attributes, int head_dim, int token_dim, size_t cos,
                        size_t scales) {
  AttentionShape shape{attributes.heads,
                       head_dim,
                       token_dim,
                       attributes.scale,
                       floats(context.input(cos)),
                       floats(context.input(cos + 1)),
                       nullptr,
                       nullptr};
  if (std::is_same_v<Number, int8_t>) {
    shape.key_scale = floats(context.input(scales));
    shape.value_scale = floats(context.input(scales + 1));
  }
  return shape;
}

// Causal attention of a history over itself, (1, S, 3 * heads * token_dim), and its keys and values as caches
// (1, heads, S, head_dim): tables of the rotation (positions, head_dim / 2), a mask that only the function reads, and the
// scales of 8-bit caches. The tokens attend to each other with exact keys and values.
template <typename Number>
struct HistoryAttention {
  static constexpr bool ROUNDS = std::is_same_v<Number, int8_t>;
  static constexpr const char* NAME = ROUNDS ? "HistoryAttention8" : "HistoryAttention";
  static constexpr ElementType CACHE = ROUNDS ? INT8 : FLOAT;
  static constexpr ElementType INPUTS[] = {FLOAT, FLOAT, FLOAT, FLOAT, FLOAT, FLOAT};
  static constexpr ElementType OUTPUTS[] = {FLOAT, CACHE, CACHE};
  static constexpr size_t INPUT_COUNT = ROUNDS ? 6 : 4;
  static constexpr int TOGETHER = 64;  // tokens of a task that writes caches
  Attributes attributes;

  explicit HistoryAttention(const KernelInfo* info) : attributes(attributes_of(info)) {}

  void compute(const Context& context) const {
    const Tensor packed = context.input(0), cos = context.input(1);
    const int heads = attributes.heads;
    require(cos.shape.size() == 2, "the tables of the rotation must be (positions, head_dim / 2)");
    const int head_dim = 2 * static_cast<int>(cos.shape[1]);
    require(head_dim > 0 && head_dim <= MAX_HEAD_DIM && head_dim % 32 == 0, HEAD_SIZES);
    require(packed.shape.size() == 3 && packed.shape[0] == 1, "packed must be (1, S, 3 * heads * token_dim)");
    const int tokens = static_cast<int>(packed.shape[1]), token_dim = token_dim_of(packed, heads, head_dim);
    require(tokens <= cos.shape[0], "a history has more tokens than there are positions");
    const AttentionShape exact = shape_of<float>(context, attributes, head_dim, token_dim, 1, 0);
    const AttentionShape rounded = shape_of<Number>(context, attributes, head_dim, token_dim, 1, 4);
    const size_t width = static_cast<size_t>(heads) * token_dim, cache = static_cast<size_t>(tokens) * head_dim;
    auto* out = static_cast<float*>(context.output(0, {1, tokens, static_cast<int64_t>(width)}));
    const std::vector<int64_t> of_caches{1, heads, tokens, head_dim};
    auto* present_key = static_cast<Number*>(context.output(1, of_caches));
    auto* present_value = static_cast<Number*>(context.output(2, of_caches));
    float *keys = nullptr, *values = nullptr;
    if constexpr (ROUNDS) {
      static thread_local Scratch memory;
      keys = memory.of<float>(2 * heads * cache);
      values = keys + heads * cache;
    } else {
      keys = present_key;
      values = present_value;
    }
    const int parts = (tokens + TOGETHER - 1) / TOGETHER;
    context.parallel(static_cast<size_t>(heads) * parts, [&](size_t task) {
      const int head = static_cast<int>(task) / parts, first = static_cast<int>(task) % parts * TOGETHER;
      for (int token = first; token < first + TOGETHER && token < tokens; token++) {
        const float* from = floats(packed) + token * 3 * width;
        const size_t place = head * cache + static_cast<size_t>(token) * head_dim;
        kernels().append(exact, from, head, token, keys + place, values + place);
        if constexpr (ROUNDS)
          kernels().append(rounded, from, head, token, present_key + place, present_value + place);
      }
    });
    const int blocks = (tokens + QUERIES - 1) / QUERIES;
    context.parallel(static_cast<size_t>(blocks) * heads, [&](size_t task) {
      // The longest first, so that no thread waits for one of them at the end.
      const int first = (blocks - 1 - static_cast<int>(task) / heads) * QUERIES, head = static_cast<int>(task) % heads;
      const int count = tokens - first < QUERIES ? tokens - first : QUERIES;
      kernels().causal(attend(), exact, floats(packed) + first * 3 * width, count, head, first, keys + head * cache,
                       values + head * cache, out + first * width);
    });
  }
};

// How many tokens each row had in its cache before this call, which brings `tokens` more.
//
// lengths     (B,): the tokens after this call, less one
// positions   of the rotary tables, for the row's own tokens
struct Pasts {
  const int32_t* last;
  int tokens;

  Pasts(const Tensor& lengths, size_t rows, int tokens, size_t capacity, int64_t positions)
      : last(static_cast<const int32_t*>(lengths.data)), tokens(tokens) {
    require(lengths.shape.size() == 1 && lengths.shape[0] == static_cast<int64_t>(rows), "seqlens_k must be (B,)");
    for (size_t row = 0; row < rows; row++) {
      const int64_t end = static_cast<int64_t>((*this)(row)) + tokens;
      require(end <= static_cast<int64_t>(capacity), "a row has more tokens than its cache has room for");
      require(end <= positions, "a row has more tokens than there are positions");
    }
  }

  int operator()(size_t row) const { return last[row] >= tokens ? last[row] + 1 - tokens : 0; }
};

// Attention of S new tokens of each row over the row's own cache, to which they are appended.
//
// packed (B, S, 3 * heads * token_dim), past_key and past_value (B, heads, capacity, head_dim), seqlens_k (B,): tokens
// after this call less one, total, cos and sin (positions, head_dim / 2), and the scales of 8-bit caches.
template <typename Number>
struct StepAttention {
  static constexpr const char* NAME = std::is_same_v<Number, int8_t> ? "StepAttention8" : "StepAttention";
  static constexpr ElementType CACHE = std::is_same_v<Number, int8_t> ? INT8 : FLOAT;
  static constexpr ElementType INPUTS[] = {FLOAT, CACHE, CACHE, INT32, INT32, FLOAT, FLOAT, FLOAT, FLOAT};
  static constexpr ElementType OUTPUTS[] = {FLOAT, CACHE, CACHE};
  static constexpr size_t INPUT_COUNT = std::is_same_v<Number, int8_t> ? 9 : 7;
  Attributes attributes;

  explicit StepAttention(const KernelInfo* info) : attributes(attributes_of(info)) {}

  void compute(const Context& context) const {
    Tensor packed = context.input(0), lengths = context.input(3);
    Caches<Number> caches(context, 1, 1, packed, attributes.heads);
    const AttentionShape shape = shape_of<Number>(context, attributes, caches.head_dim, caches.token_dim, 5, 7);
    const int rows = static_cast<int>(packed.shape[0]), tokens = static_cast<int>(packed.shape[1]);
    const int heads = shape.heads, head_dim = shape.head_dim;
    const size_t width = static_cast<size_t>(heads) * shape.token_dim;
    float* out = static_cast<float*>(context.output(0, {rows, tokens, static_cast<int64_t>(width)}));
    const Pasts past_of(lengths, rows, tokens, caches.capacity, context.input(5).shape[0]);
    context.parallel(static_cast<size_t>(rows) * heads, [&](size_t task) {
      const size_t row = task / heads;
      const int head = static_cast<int>(task % heads), past = past_of(row);
      caches.take_over(row, head, past);
      Number *key = caches.key + caches.place(row, head), *value = caches.value + caches.place(row, head);
      const float* of_row = floats(packed) + row * tokens * 3 * width;
      for (int s = 0; s < tokens; s++)
        kernels().append(shape, of_row + s * 3 * width, head, past + s, key + static_cast<size_t>(past + s) * head_dim,
                         value + static_cast<size_t>(past + s) * head_dim);
      kernels().own(attend(), shape, of_row, tokens, head, past, key, value, out + row * tokens * width);
    });
  }
};

// Attention behind prefixes that rows share: of B rows the first B / J continue the first prefix, and so on.
template <typename Number>
struct BehindPrefixes {
  static constexpr bool ROUNDED = std::is_same_v<Number, int8_t>;
  static constexpr ElementType CACHE = ROUNDED ? INT8 : FLOAT;
  static constexpr ElementType OUTPUTS[] = {FLOAT, CACHE, CACHE};

  // The first inputs are those of StepAttention up to seqlens_k; prefix_key and prefix_value (J, heads, P, head_dim) are
  // `prefixes` and the one behind it. There are tables of the rotation for so many positions.
  static void compute(const Context& context, const Caches<Number>& caches, const AttentionShape& shape, size_t prefixes,
                      int64_t positions) {
    const Tensor packed = context.input(0), lengths = context.input(3);
    const Tensor prefix_key = context.input(prefixes), prefix_value = context.input(prefixes + 1);
    const int rows = static_cast<int>(packed.shape[0]), tokens = static_cast<int>(packed.shape[1]);
    const int heads = shape.heads, head_dim = shape.head_dim;
    require(prefix_key.shape.size() == 4 && prefix_key.shape[0] > 0 && prefix_key.shape[1] == heads &&
                prefix_key.shape[3] == head_dim && prefix_value.shape == prefix_key.shape,
            "prefixes must be (J, heads, P, head_dim)");
    const int histories = static_cast<int>(prefix_key.shape[0]), prefix = static_cast<int>(prefix_key.shape[2]);
    const size_t width = static_cast<size_t>(heads) * shape.token_dim;
    float* out = static_cast<float*>(context.output(0, {rows, tokens, static_cast<int64_t>(width)}));
    require(rows % histories == 0, "the rows must be divided evenly among the prefixes");
    const Pasts past_of(lengths, rows, tokens, caches.capacity, positions - prefix);
    auto take_in = [&](size_t row, int head) {
      const int past = past_of(row);
      caches.take_over(row, head, past);
      Number *key = caches.key + caches.place(row, head), *value = caches.value + caches.place(row, head);
      for (int s = 0; s < tokens; s++)
        kernels().append(shape, floats(packed) + (row * tokens + s) * 3 * width, head, prefix + past + s,
                         key + static_cast<size_t>(past + s) * head_dim,
                         value + static_cast<size_t>(past + s) * head_dim);
    };
    // Several tokens of a row may be in several tasks, and need all of its keys.
    if (tokens > 1)
      context.parallel(static_cast<size_t>(rows) * heads,
                       [&](size_t task) { take_in(task / heads, static_cast<int>(task % heads)); });
    // The caches of more rows would push each other out of the processor's second cache before they are read, and for
    // so few queries float32 keys are not worth cutting into parts: 60 rows took 68 ms instead of 77.
    constexpr int FEW = ROUNDED ? QUERIES / 4 : QUERIES / 8;
    const int together = tokens == 1 ? FEW : QUERIES;
    const Attend form = tokens == 1 && !ROUNDED ? kernels().attend : attend();
    const int queries = rows / histories * tokens, groups = (queries + together - 1) / together;
    context.parallel(static_cast<size_t>(histories) * heads * groups, [&](size_t task) {
      const size_t history = task / (static_cast<size_t>(heads) * groups);
      const int head = static_cast<int>(task / groups % heads), first = static_cast<int>(task % groups) * together;
      const int count = queries - first < together ? queries - first : together;
      const float* of_token[QUERIES];
      float* to[QUERIES];
      int lengths[QUERIES];
      const void *keys[QUERIES], *values[QUERIES];
      for (int r = 0; r < count; r++) {
        const size_t token = history * queries + first + r, row = token / tokens;
        if (tokens == 1) take_in(row, head);
        of_token[r] = floats(packed) + token * 3 * width;
        to[r] = out + token * width;
        lengths[r] = past_of(row) + static_cast<int>(token % tokens) + 1;
        keys[r] = caches.key + caches.place(row, head);
        values[r] = caches.value + caches.place(row, head);
      }
      const size_t place = (history * heads + head) * prefix * head_dim;
      const SharedKeys shared{static_cast<const Number*>(prefix_key.data) + place,
                              static_cast<const Number*>(prefix_value.data) + place,
                              static_cast<size_t>(head_dim),
                              prefix,
                              head_dim,
                              ROUNDED};
      kernels().behind_prefix(form, shape, shared, {count, of_token, keys, values, lengths, to}, head);
    });
  }
};

// As StepAttention, behind prefixes.
//
// Behind `sin` come prefix_key and prefix_value, and what only the function reads: the positions and the mask.
template <typename Number>
struct PrefixAttention : BehindPrefixes<Number> {
  using BehindPrefixes<Number>::CACHE, BehindPrefixes<Number>::ROUNDED;
  static constexpr const char* NAME = ROUNDED ? "PrefixAttention8" : "PrefixAttention";
  static constexpr ElementType INPUTS[] = {FLOAT, CACHE, CACHE, INT32, INT32, FLOAT, FLOAT,
                                           CACHE, CACHE, INT64, FLOAT, FLOAT, FLOAT};
  static constexpr size_t INPUT_COUNT = ROUNDED ? 13 : 11;
  Attributes attributes;

  explicit PrefixAttention(const KernelInfo* info) : attributes(attributes_of(info)) {}

  void compute(const Context& context) const {
    const Caches<Number> caches(context, 1, 1, context.input(0), attributes.heads);
    const AttentionShape shape = shape_of<Number>(context, attributes, caches.head_dim, caches.token_dim, 5, 11);
    BehindPrefixes<Number>::compute(context, caches, shape, 7, context.input(5).shape[0]);
  }
};

// The same of the dependency layer, without rotation: behind `total` come prefix_key and prefix_value, and a mask that only
// the function reads.
struct DependencyAttention : BehindPrefixes<float> {
  static constexpr const char* NAME = "DependencyAttention";
  static constexpr ElementType INPUTS[] = {FLOAT, FLOAT, FLOAT, INT32, INT32, FLOAT, FLOAT, FLOAT};
  Attributes attributes;

  explicit DependencyAttention(const KernelInfo* info) : attributes(attributes_of(info)) {}

  void compute(const Context& context) const {
    const Caches<float> caches(context, 1, 1, context.input(0), attributes.heads, 2);
    const AttentionShape shape{attributes.heads, caches.head_dim, caches.token_dim, attributes.scale,
                               nullptr,          nullptr,         nullptr,          nullptr};
    BehindPrefixes<float>::compute(context, caches, shape, 5, INT32_MAX);
  }
};

}  // namespace
