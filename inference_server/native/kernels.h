// The kernels that the operators call, for the instruction set of this processor.
#pragma once

#include <cstddef>
#include <cstdint>

// The largest head that the kernels have room for.
constexpr int MAX_HEAD_DIM = 512;

// Shapes and tables that the heads of one call share.
struct AttentionShape {
  int heads, head_dim;
  float scale;
  const float* cos;  // (positions, head_dim / 2); sin likewise
  const float* sin;
  const float* key_scale;  // (heads, head_dim) of 8-bit caches, else null; value_scale likewise
  const float* value_scale;
};

struct Kernels {
  const char* instruction_set;  // "avx512", "avx2" or "portable"
  // One head and 32 queries from `first` on of causal attention within S tokens (S, heads * head_dim).
  void (*causal)(const float* q, const float* k, const float* v, float* out, int tokens, int heads, int head_dim,
                 float scale, int head, int first);
  // Rotate and append the key of a new token, append its value: packed (3, heads * head_dim) of that token.
  void (*append)(const AttentionShape&, const float* packed, int head, int position, void* key, void* value);
  // One head of new tokens of one row over its own cache, `past` tokens before the first of them.
  void (*own)(const AttentionShape&, const float* packed, int tokens, int head, int position, const void* keys,
              const void* values, int past, float* out);
  // One head of up to 16 new tokens of any rows over a prefix that they share and each row's own cache.
  void (*shared)(const AttentionShape&, const float* const* packed, const int* positions,
                 const void* const* keys, const void* const* values, const int* counts, int used, int head,
                 const float* prefix_keys, const float* prefix_values, int prefix, float* const* out);
  // Round rows (count, width) to 8 bits around 128, each with a scale of its own.
  void (*round_rows)(const float* from, int count, int width, uint8_t* to, float* scales);
  // The silu of the first half of a row (2 * width), times its second half: (width,).
  void (*gated_unit)(const float* row, int width, float* out);
  // Draw a token of `count` logits.
  int64_t (*draw)(const float* logits, int count, float temperature, int64_t top_k, float top_p, float uniform);
};

const Kernels& kernels();
constexpr int QUERIES = 32;  // of one call of `causal`
