// What one task of an operator computes: a head of some tokens. No include guard: see vectors.h.

inline void causal(const float* q, const float* k, const float* v, float* out, int tokens, int heads,
                   int head_dim, float scale, int head, int first) {
  const size_t stride = static_cast<size_t>(heads) * head_dim;
  const int last = first + QUERIES < tokens ? first + QUERIES : tokens;
  const int width = rounded_up(head_dim, LANES);
  const size_t column = static_cast<size_t>(head) * head_dim;
  float* queries = scratch.of<float>(static_cast<size_t>(head_dim + width) * LANES +
                                  static_cast<size_t>(rounded_up(last, 8)) * LANES +
                                  static_cast<size_t>(last) * width);
  float* result = queries + head_dim * LANES;
  float* weights = result + width * LANES;
  const float* values = v + column;
  size_t value_stride = stride;
  if (width != head_dim) {
    float* padded = weights + rounded_up(last, 8) * LANES;
    for (int t = 0; t < last; t++) {
      for (int d = 0; d < head_dim; d++) padded[t * width + d] = v[t * stride + column + d];
      for (int d = head_dim; d < width; d++) padded[t * width + d] = 0.0f;
    }
    values = padded;
    value_stride = width;
  }
  for (int begin = first; begin < last; begin += LANES) {
    int used = last - begin < LANES ? last - begin : LANES;
    int32_t limits[LANES];
    for (int r = 0; r < LANES; r++) {
      const float* query = q + (begin + (r < used ? r : used - 1)) * stride + column;
      for (int d = 0; d < head_dim; d++) queries[d * LANES + r] = query[d] * scale;
      limits[r] = begin + (r < used ? r : used - 1) + 1;
    }
    Weighed sums[LANES];
    attend_lanes(queries, k + column, stride, values, value_stride, begin + used, limits, head_dim, width,
                 used, weights, result, sums, Nothing{});
    for (int r = 0; r < used; r++)
      for (int d = 0; d < head_dim; d++)
        out[(begin + r) * stride + column + d] = result[r * width + d] / sums[r].total;
  }
}

template <typename Number>
inline void append_token(const AttentionShape& shape, const float* packed, int head, int position, void* key,
                         void* value) {
  const int width = shape.heads * shape.head_dim, offset = head * shape.head_dim;
  float rotated[MAX_HEAD_DIM];
  rotate(packed + width + offset, shape.cos + static_cast<size_t>(position) * (shape.head_dim / 2),
         shape.sin + static_cast<size_t>(position) * (shape.head_dim / 2), shape.head_dim, rotated);
  const float* none = nullptr;
  append(rotated, shape.key_scale ? shape.key_scale + offset : none, shape.head_dim, static_cast<Number*>(key));
  append(packed + 2 * width + offset, shape.value_scale ? shape.value_scale + offset : none, shape.head_dim,
         static_cast<Number*>(value));
}

inline void append_any(const AttentionShape& shape, const float* packed, int head, int position, void* key,
                       void* value) {
  if (shape.key_scale)
    append_token<int8_t>(shape, packed, head, position, key, value);
  else
    append_token<float>(shape, packed, head, position, key, value);
}

// The rotated query of a head, scaled.
INLINE void query_of(const AttentionShape& shape, const float* packed, int head, int position, float* to) {
  const size_t angle = static_cast<size_t>(position) * (shape.head_dim / 2);
  rotate(packed + head * shape.head_dim, shape.cos + angle, shape.sin + angle, shape.head_dim, to);
  for (int d = 0; d < shape.head_dim; d++) to[d] *= shape.scale;
}

// Attention of a query over a cache; `out` holds the weighed sum in the values' own units.
INLINE Weighed over_cache(const AttentionShape& shape, const float* query, int head, const void* keys,
                          const void* values, int count, float* weights, float* out) {
  const int head_dim = shape.head_dim, offset = head * head_dim;
  if (!shape.key_scale)
    return attend_row(head_dim, query, static_cast<const float*>(keys), static_cast<const float*>(values),
                      count, weights, out);
  float scaled[MAX_HEAD_DIM];
  for (int d = 0; d < head_dim; d++) scaled[d] = query[d] * shape.key_scale[offset + d];
  Weighed sums = attend_row(head_dim, scaled, static_cast<const int8_t*>(keys),
                            static_cast<const int8_t*>(values), count, weights, out);
  for (int d = 0; d < head_dim; d++) out[d] *= shape.value_scale[offset + d];
  return sums;
}

inline void own(const AttentionShape& shape, const float* packed, int tokens, int head, int position,
                const void* keys, const void* values, int past, float* out) {
  const int head_dim = shape.head_dim;
  const size_t stride = static_cast<size_t>(shape.heads) * head_dim;
  const int count = past + tokens;
  float* weights = scratch.of<float>(static_cast<size_t>(rounded_up(count, LANES) + 2 * head_dim) * LANES);
  if (tokens < LANES || shape.key_scale) {
    float query[MAX_HEAD_DIM], result[MAX_HEAD_DIM];
    for (int s = 0; s < tokens; s++) {
      query_of(shape, packed + s * 3 * stride, head, position + s, query);
      Weighed sums = over_cache(shape, query, head, keys, values, past + s + 1, weights, result);
      for (int d = 0; d < head_dim; d++) out[s * stride + head * head_dim + d] = result[d] / sums.total;
    }
    return;
  }
  float* queries = weights + static_cast<size_t>(rounded_up(count, LANES)) * LANES;
  float* result = queries + head_dim * LANES;
  for (int begin = 0; begin < tokens; begin += LANES) {
    int used = tokens - begin < LANES ? tokens - begin : LANES;
    int32_t limits[LANES];
    float query[MAX_HEAD_DIM];
    for (int r = 0; r < LANES; r++) {
      int s = begin + (r < used ? r : used - 1);
      query_of(shape, packed + s * 3 * stride, head, position + s, query);
      for (int d = 0; d < head_dim; d++) queries[d * LANES + r] = query[d];
      limits[r] = past + s + 1;
    }
    Weighed sums[LANES];
    attend_lanes(queries, static_cast<const float*>(keys), head_dim, static_cast<const float*>(values), head_dim,
                 past + begin + used, limits, head_dim, head_dim, used, weights, result, sums, Nothing{});
    for (int r = 0; r < used; r++)
      for (int d = 0; d < head_dim; d++)
        out[(begin + r) * stride + head * head_dim + d] = result[r * head_dim + d] / sums[r].total;
  }
}

inline void shared(const AttentionShape& shape, const float* const* packed, const int* positions,
                   const void* const* keys, const void* const* values, const int* counts, int used, int head,
                   const float* prefix_keys, const float* prefix_values, int prefix, float* const* out) {
  const int head_dim = shape.head_dim;
  int most = prefix * LANES;
  for (int r = 0; r < used; r++) most = counts[r] > most ? counts[r] : most;
  float* weights = scratch.of<float>(static_cast<size_t>(rounded_up(most, 8 * LANES)) + 3 * head_dim * LANES);
  float* lanes = weights + rounded_up(most, 8 * LANES);
  float* rows = lanes + head_dim * LANES;
  float* result = rows + head_dim * LANES;
  int32_t limits[LANES];
  for (int r = 0; r < LANES; r++) {
    limits[r] = prefix;
    if (r < used) query_of(shape, packed[r], head, positions[r], rows + r * head_dim);
    for (int d = 0; d < head_dim; d++) lanes[d * LANES + r] = r < used ? rows[r * head_dim + d] : 0.0f;
  }
  const void* blocks[2 * LANES];
  size_t sizes[2 * LANES];
  for (int r = 0; r < used; r++) {
    blocks[2 * r] = keys[r];
    blocks[2 * r + 1] = values[r];
    sizes[2 * r] = sizes[2 * r + 1] = static_cast<size_t>(counts[r]) * head_dim * (shape.key_scale ? 1 : sizeof(float));
  }
  Weighed sums[LANES];
  attend_lanes(lanes, prefix_keys, head_dim, prefix_values, head_dim, prefix, limits, head_dim, head_dim, used,
               weights, result, sums, Ahead(blocks, sizes, 2 * used));
  float of_own[MAX_HEAD_DIM];
  for (int r = 0; r < used; r++) {
    Weighed own = over_cache(shape, rows + r * head_dim, head, keys[r], values[r], counts[r], weights, of_own);
    const float* of_prefix = result + r * head_dim;
    float most = own.largest > sums[r].largest ? own.largest : sums[r].largest;
    float a = std::exp(sums[r].largest - most), b = std::exp(own.largest - most);
    float total = a * sums[r].total + b * own.total;
    float* to = out[r] + head * head_dim;
    for (int d = 0; d < head_dim; d++) to[d] = (a * of_prefix[d] + b * of_own[d]) / total;
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
