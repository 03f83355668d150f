// The kernels that the operators call, for the instruction set of this processor.
#pragma once

#include <cstddef>
#include <cstdint>

#include "shared_keys.h"

// The largest head that the kernels have room for.
constexpr int MAX_HEAD_DIM = 512;

// Shapes and tables that the heads of one call share.
//
// Heads of a cache may have columns more than new tokens have, zeros behind each half.
struct AttentionShape {
  int heads, head_dim;
  int token_dim;  // of a head of new tokens and of the output
  float scale;
  const float* cos;  // (positions, head_dim / 2), or null where nothing is rotated; sin likewise
  const float* sin;
  const float* key_scale;  // (heads, head_dim) of 8-bit caches, else null; value_scale likewise
  const float* value_scale;
};

// New tokens of rows that continue the same prefix, up to QUERIES, for one head.
//
// packed      of each token, (3, heads * token_dim)
// keys        the cache of its row; values likewise
// lengths     how many tokens of that cache it may attend to, itself among them
// out         of each token, (heads * token_dim,)
struct RowsOfAHead {
  int count;
  const float* const* packed;
  const void* const* keys;
  const void* const* values;
  const int* lengths;
  float* const* out;
};

// Queries over shared keys that one call takes.
constexpr int QUERIES = 128;

struct Kernels {
  const char* instruction_set;  // "avx512", "avx2" or "portable"
  Attend attend;
  // Rotate and append the key of a new token, append its value: packed (3, heads * token_dim) of that token.
  void (*append)(const AttentionShape&, const float* packed, int head, int position, void* key, void* value);
  // One head of up to QUERIES tokens from `position` on over float32 keys from the first token of all on.
  void (*causal)(Attend, const AttentionShape&, const float* packed, int count, int head, int position, const void* keys,
                 const void* values, float* out);
  // One head of new tokens of one row over its own cache, `past` tokens before the first of them.
  void (*own)(Attend, const AttentionShape&, const float* packed, int tokens, int head, int past, const void* keys,
              const void* values, float* out);
  // New tokens over a prefix that they share and each row's own cache.
  void (*behind_prefix)(Attend, const AttentionShape&, const SharedKeys& prefix, const RowsOfAHead&, int head);
  // Round rows (count, width) to 8 bits around 128, each with a scale of its own.
  void (*round_rows)(const float* from, int count, int width, uint8_t* to, float* scales);
  // x + skip + bias (width,) to `total`; normalised by its root mean square and times a weight to `normed`.
  void (*add_and_norm)(const float* x, const float* skip, const float* weight, const float* bias, int width, float epsilon,
                       float* normed, float* total);
  // The silu of the first half of a row (2 * width), times its second half: (width,).
  void (*gated_unit)(const float* row, int width, float* out);
  // Draw a token of `count` logits.
  int64_t (*draw)(const float* logits, int count, float temperature, int64_t top_k, float top_p, float uniform);
};

const Kernels& kernels();
