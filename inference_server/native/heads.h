// What one task of an operator computes: a head of some tokens. No include guard: see vectors.h.

// A head of a query or a key, rotated and padded as in the caches.
INLINE void take_head(const AttentionShape& shape, const float* from, int position, float* to) {
  if (shape.cos == nullptr) return spread(from, shape.token_dim, shape.head_dim, to);
  const size_t angle = static_cast<size_t>(position) * (shape.head_dim / 2);
  rotate(from, shape.cos + angle, shape.sin + angle, shape.token_dim, shape.head_dim, to);
}

template <typename Number>
inline void append_token(const AttentionShape& shape, const float* packed, int head, int position, void* key,
                         void* value) {
  const int width = shape.heads * shape.token_dim, offset = head * shape.token_dim;
  const size_t scales = head * shape.head_dim;
  float numbers[MAX_HEAD_DIM];
  take_head(shape, packed + width + offset, position, numbers);
  const float* none = nullptr;
  append(numbers, shape.key_scale ? shape.key_scale + scales : none, shape.head_dim, static_cast<Number*>(key));
  spread(packed + 2 * width + offset, shape.token_dim, shape.head_dim, numbers);
  append(numbers, shape.value_scale ? shape.value_scale + scales : none, shape.head_dim, static_cast<Number*>(value));
}

inline void append_any(const AttentionShape& shape, const float* packed, int head, int position, void* key,
                       void* value) {
  if (shape.key_scale)
    append_token<int8_t>(shape, packed, head, position, key, value);
  else
    append_token<float>(shape, packed, head, position, key, value);
}

// The rotated query of a head, scaled, also by the steps of 8-bit keys.
INLINE void query_of(const AttentionShape& shape, const float* packed, int head, int position, float* to) {
  take_head(shape, packed + head * shape.token_dim, position, to);
  const float* steps = shape.key_scale ? shape.key_scale + head * shape.head_dim : nullptr;
  for (int d = 0; d < shape.head_dim; d++) to[d] *= steps ? shape.scale * steps[d] : shape.scale;
}

// Attention of a query over a cache.
INLINE Weighed over_cache(const AttentionShape& shape, const float* query, const void* keys, const void* values,
                          int count, float* weights, float* out) {
  if (!shape.key_scale)
    return attend_row(shape.head_dim, query, static_cast<const float*>(keys), static_cast<const float*>(values), count,
                      weights, out);
  return attend_row(shape.head_dim, query, static_cast<const int8_t*>(keys), static_cast<const int8_t*>(values), count,
                    weights, out);
}

// Write a sum of values (head_dim,), divided by that of its weights, to a head of a token's output.
INLINE void finish(const AttentionShape& shape, int head, const float* sum, float total, float* out) {
  const int half = shape.token_dim / 2, padded = shape.head_dim / 2;
  const float* scale = shape.value_scale ? shape.value_scale + head * shape.head_dim : nullptr;
  out += head * shape.token_dim;
  for (int first = 0; first < 2; first++)
    for (int i = 0; i < half; i++) {
      const int d = first * padded + i;
      out[first * half + i] = scale ? sum[d] * scale[d] / total : sum[d] / total;
    }
}

inline void causal(Attend attend, const AttentionShape& shape, const float* packed, int count, int head, int position,
                   const void* keys, const void* values, float* out) {
  const int head_dim = shape.head_dim;
  const size_t stride = static_cast<size_t>(shape.heads) * shape.token_dim;
  float* queries = scratch.of<float>(2 * static_cast<size_t>(count) * head_dim);
  float* result = queries + static_cast<size_t>(count) * head_dim;
  for (int r = 0; r < count; r++)
    query_of(shape, packed + r * 3 * stride, head, position + r, queries + r * head_dim);
  Weighed sums[QUERIES];
  Ahead nothing(nullptr, nullptr, 0);
  const SharedKeys shared{keys, values, static_cast<size_t>(head_dim), position + count, head_dim, false};
  attend(queries, count, shared, position + 1, nothing, result, sums);
  for (int r = 0; r < count; r++) finish(shape, head, result + r * head_dim, sums[r].total, out + r * stride);
}

inline void own(Attend attend, const AttentionShape& shape, const float* packed, int tokens, int head, int past,
                const void* keys, const void* values, float* out) {
  const size_t stride = static_cast<size_t>(shape.heads) * shape.token_dim;
  if (tokens >= LANES && !shape.key_scale) {
    for (int first = 0; first < tokens; first += QUERIES)
      causal(attend, shape, packed + first * 3 * stride, tokens - first < QUERIES ? tokens - first : QUERIES, head,
             past + first, keys, values, out + first * stride);
    return;
  }
  float* weights = scratch.of<float>(static_cast<size_t>(rounded_up(past + tokens, LANES)));
  float query[MAX_HEAD_DIM], result[MAX_HEAD_DIM];
  for (int s = 0; s < tokens; s++) {
    query_of(shape, packed + s * 3 * stride, head, past + s, query);
    const Weighed sums = over_cache(shape, query, keys, values, past + s + 1, weights, result);
    finish(shape, head, result, sums.total, out + s * stride);
  }
}

inline void behind_prefix(Attend attend, const AttentionShape& shape, const SharedKeys& prefix,
                          const RowsOfAHead& rows, int head) {
  const int head_dim = shape.head_dim, count = rows.count;
  int most = 0;
  for (int r = 0; r < count; r++) most = rows.lengths[r] > most ? rows.lengths[r] : most;
  float* weights =
      scratch.of<float>(static_cast<size_t>(rounded_up(most, LANES)) + 2 * static_cast<size_t>(count) * head_dim);
  float* queries = weights + rounded_up(most, LANES);
  float* result = queries + static_cast<size_t>(count) * head_dim;
  const void* blocks[2 * QUERIES];
  size_t bytes[2 * QUERIES];
  int own_caches = 0;
  for (int r = 0; r < count; r++) {
    query_of(shape, rows.packed[r], head, prefix.count + rows.lengths[r] - 1, queries + r * head_dim);
    // Of several tokens of a row the last one reads most of its cache.
    if (r + 1 < count && rows.keys[r + 1] == rows.keys[r]) continue;
    blocks[2 * own_caches] = rows.keys[r];
    blocks[2 * own_caches + 1] = rows.values[r];
    bytes[2 * own_caches] = bytes[2 * own_caches + 1] =
        static_cast<size_t>(rows.lengths[r]) * head_dim * (shape.key_scale ? 1 : sizeof(float));
    own_caches++;
  }
  Ahead ahead(blocks, bytes, 2 * own_caches);
  Weighed sums[QUERIES];
  attend(queries, count, prefix, prefix.count, ahead, result, sums);
  float of_own[MAX_HEAD_DIM];
  for (int r = 0; r < count; r++) {
    const Weighed own =
        over_cache(shape, queries + r * head_dim, rows.keys[r], rows.values[r], rows.lengths[r], weights, of_own);
    const float largest = own.largest > sums[r].largest ? own.largest : sums[r].largest;
    const float a = std::exp(sums[r].largest - largest), b = std::exp(own.largest - largest);
    for (int d = 0; d < head_dim; d++) of_own[d] = a * result[r * head_dim + d] + b * of_own[d];
    finish(shape, head, of_own, a * sums[r].total + b * own.total, rows.out[r]);
  }
}

inline void round_rows(const float* from, int count, int width, uint8_t* to, float* scales) {
  for (int row = 0; row < count; row++) {
    const float* x = from + static_cast<size_t>(row) * width;
    uint8_t* numbers = to + static_cast<size_t>(row) * width;
    Vector largest{}, nothing{};
    int i = 0;
    for (; i + LANES <= width; i += LANES) {
      Vector value = load(x + i);
      largest = larger(value < Vector{} ? -value : value, largest);
      nothing += value * 0.0f;
    }
    float most = 0.0f, none = sum_of(nothing);
    for (int lane = 0; lane < LANES; lane++) most = largest[lane] > most ? largest[lane] : most;
    for (; i < width; i++) {
      float size = std::fabs(x[i]);
      most = size > most ? size : most;
      none += x[i] * 0.0f;
    }
    float scale = most * (1.0f / 127.0f);
    scale = scale > 1e-30f ? scale : 1e-30f;
    // `none` is a NaN where any number is one or is infinite: the whole row is a NaN then, and no such value is lost.
    scales[row] = scale + none;
    // Of a NaN there is no whole number: it becomes 0, as it fails every comparison.
    for (i = 0; i < width; i++) {
      float number = std::nearbyint(x[i] / scale) + 128.0f;
      numbers[i] = static_cast<uint8_t>(number > 0.0f ? number < 255.0f ? number : 255.0f : 0.0f);
    }
  }
}
