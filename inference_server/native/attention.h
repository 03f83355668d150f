// Attention of one head. No include guard: see vectors.h.

constexpr float LOWEST = -3.0e38f;

// acc (ROWS, 16 * COLUMNS) += weights (T, LANES), of ROWS lanes, times values (T, 16 * COLUMNS).
template <int ROWS, int COLUMNS>
INLINE void weigh(const float* weights, const float* values, size_t stride, int count, float* out, int width) {
  Vector acc[ROWS][COLUMNS] = {};
  for (int t = 0; t < count; t++) {
    Vector value[COLUMNS];
    for (int c = 0; c < COLUMNS; c++) value[c] = load(values + t * stride + c * LANES);
    for (int r = 0; r < ROWS; r++) {
      Vector weight = broadcast(weights[t * LANES + r]);
      for (int c = 0; c < COLUMNS; c++) acc[r][c] += weight * value[c];
    }
  }
  for (int r = 0; r < ROWS; r++)
    for (int c = 0; c < COLUMNS; c++) store(out + r * width + c * LANES, acc[r][c]);
}

// Attention of 16 queries, a lane each, over keys that they share.
//
// queries     (head_dim, LANES), scaled
// values      rows of a multiple of 16 columns, `value_stride` apart
// limits      how many of the keys each lane may attend to, from the first on; at least 1
// weights     scratch, (count rounded up to 8, LANES)
// out         (LANES, width), width a multiple of 16
// used        lanes in use; the rows of `out` behind them have no meaning
inline void attend_lanes(const float* queries, const float* keys, size_t key_stride, const float* values,
                         size_t value_stride, int count, const int32_t* limits, int head_dim, int width, int used,
                         float* weights, float* out, Weighed* sums, Ahead& ahead) {
  IntVector limit;
  __builtin_memcpy(&limit, limits, sizeof(limit));
  int least = count;
  for (int i = 0; i < LANES; i++) least = limits[i] < least ? limits[i] : least;
  constexpr int KEYS = 8;
  Vector largest = broadcast(LOWEST);
  for (int t = 0; t < count; t += KEYS) {
    const float* key[KEYS];
    for (int i = 0; i < KEYS; i++) key[i] = keys + (t + i < count ? t + i : count - 1) * key_stride;
    Vector score[KEYS] = {};
    for (int d = 0; d < head_dim; d++) {
      if (d % 8 == 0) ahead.next();
      Vector query = load(queries + d * LANES);
      for (int i = 0; i < KEYS; i++) score[i] += query * key[i][d];
    }
    for (int i = 0; i < KEYS; i++) {
      if (t + i >= least) score[i] = limit > t + i ? score[i] : broadcast(LOWEST);
      largest = larger(score[i], largest);
      store(weights + (t + i) * LANES, score[i]);
    }
  }
  Vector total{};
  for (int t = 0; t < count; t++) {
    Vector weight = exponential(load(weights + t * LANES) - largest);
    if (t >= least) weight = limit > t ? weight : Vector{};
    total += weight;
    store(weights + t * LANES, weight);
  }
  for (int r = 0; r < used; r++) sums[r] = {largest[r], total[r]};
  constexpr int ROWS = 4;
  for (int r = 0; r < used; r += ROWS) {
    // Lanes that are not in use, up to the next multiple of ROWS, are computed too.
    int c = 0;
    for (; c + 4 * LANES <= width; c += 4 * LANES)
      weigh<ROWS, 4>(weights + r, values + c, value_stride, count, out + r * width + c, width);
    for (; c < width; c += LANES)
      weigh<ROWS, 1>(weights + r, values + c, value_stride, count, out + r * width + c, width);
  }
}

// 8-bit numbers (count, width) as float32, width a multiple of 16.
inline void widen(const int8_t* from, size_t stride, int count, int width, float* to) {
  for (int t = 0; t < count; t++)
    for (int d = 0; d < width; d += LANES) store(to + t * width + d, load(from + t * stride + d));
}

// Rows of float32 (count, head_dim) with zeros behind each, (count, width).
inline void pad(const float* from, size_t stride, int count, int head_dim, int width, float* to) {
  for (int t = 0; t < count; t++)
    for (int d = 0; d < width; d++) to[t * width + d] = d < head_dim ? from[t * stride + d] : 0.0f;
}

// The `Attend` of processors without a matrix unit. 8-bit heads have a multiple of 16 numbers.
inline void attend(const float* queries, int count, const SharedKeys& shared, int limit, Ahead& ahead, float* out,
                   Weighed* sums) {
  const int head_dim = shared.head_dim, width = rounded_up(head_dim, LANES);
  const int most = limit + count - 1 < shared.count ? limit + count - 1 : shared.count;
  const size_t rows = static_cast<size_t>(most) * width;
  float* lanes = lanes_scratch.of<float>(static_cast<size_t>(head_dim + width) * LANES +
                                         static_cast<size_t>(rounded_up(most, 8)) * LANES + 2 * rows);
  float* result = lanes + head_dim * LANES;
  float* weights = result + width * LANES;
  float* copied = weights + static_cast<size_t>(rounded_up(most, 8)) * LANES;
  const float *keys = static_cast<const float*>(shared.keys), *values = static_cast<const float*>(shared.values);
  size_t key_stride = shared.stride, value_stride = shared.stride;
  if (shared.eight_bits) {
    widen(static_cast<const int8_t*>(shared.keys), shared.stride, most, width, copied);
    widen(static_cast<const int8_t*>(shared.values), shared.stride, most, width, copied + rows);
    keys = copied;
    values = copied + rows;
    key_stride = value_stride = width;
  } else if (width != head_dim) {
    pad(values, shared.stride, most, head_dim, width, copied);
    values = copied;
    value_stride = width;
  }
  ahead.spread((most + 7) / 8 * ((head_dim + 7) / 8) * ((count + LANES - 1) / LANES));
  for (int begin = 0; begin < count; begin += LANES) {
    const int used = count - begin < LANES ? count - begin : LANES;
    int32_t limits[LANES];
    for (int r = 0; r < LANES; r++) {
      const int query = begin + (r < used ? r : used - 1);
      for (int d = 0; d < head_dim; d++) lanes[d * LANES + r] = queries[query * head_dim + d];
      limits[r] = limit + query < shared.count ? limit + query : shared.count;
    }
    attend_lanes(lanes, keys, key_stride, values, value_stride, limits[LANES - 1], limits, head_dim, width, used,
                 weights, result, sums + begin, ahead);
    for (int r = 0; r < used; r++)
      for (int d = 0; d < head_dim; d++) out[(begin + r) * head_dim + d] = result[r * width + d];
  }
}

// Attention of one query over the keys of one cache, float32 or 8-bit.
//
// query       (16 * COLUMNS,), scaled, also by the scales of 8-bit keys
// keys        (count, 16 * COLUMNS); values likewise, which the caller scales afterwards
// weights     scratch, count rounded up to 16
template <int COLUMNS, typename Number>
INLINE Weighed attend_row(const float* query, const Number* keys, const Number* values, int count,
                          float* weights, float* out) {
  constexpr int width = COLUMNS * LANES;
  Vector q[COLUMNS];
  for (int c = 0; c < COLUMNS; c++) q[c] = load(query + c * LANES);
  constexpr IntVector lane{0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15};
  Vector largest = broadcast(LOWEST);
  for (int t = 0; t < count; t += LANES) {
    Vector product[LANES];
    for (int i = 0; i < LANES; i++) {
      const Number* key = keys + static_cast<size_t>(t + i < count ? t + i : count - 1) * width;
      product[i] = q[0] * load(key);
      for (int c = 1; c < COLUMNS; c++) product[i] += q[c] * load(key + c * LANES);
    }
    Vector score = sums_of(product);
    score = lane < count - t ? score : broadcast(LOWEST);
    largest = larger(score, largest);
    store(weights + t, score);
  }
  float most = largest[0];
  for (int i = 1; i < LANES; i++) most = largest[i] > most ? largest[i] : most;
  Vector totals{};
  for (int t = 0; t < count; t += LANES) {
    Vector weight = exponential(load(weights + t) - most);
    weight = lane < count - t ? weight : Vector{};
    totals += weight;
    store(weights + t, weight);
  }
  Vector even[COLUMNS] = {}, odd[COLUMNS] = {};
  int t = 0;
  for (; t + 1 < count; t += 2) {
    const Number* value = values + static_cast<size_t>(t) * width;
    for (int c = 0; c < COLUMNS; c++) {
      even[c] += weights[t] * load(value + c * LANES);
      odd[c] += weights[t + 1] * load(value + width + c * LANES);
    }
  }
  if (t < count)
    for (int c = 0; c < COLUMNS; c++)
      even[c] += weights[t] * load(values + static_cast<size_t>(t) * width + c * LANES);
  for (int c = 0; c < COLUMNS; c++) store(out + c * LANES, even[c] + odd[c]);
  return {most, sum_of(totals)};
}

// The same for heads of any size, slower: a key is not read in one go with 15 others.
template <typename Number>
inline Weighed attend_wide_row(int width, const float* query, const Number* keys, const Number* values, int count,
                               float* weights, float* out) {
  const int whole = width / LANES * LANES;
  float most = LOWEST;
  for (int t = 0; t < count; t++) {
    const Number* key = keys + static_cast<size_t>(t) * width;
    Vector product{};
    for (int c = 0; c < whole; c += LANES) product += load(query + c) * load(key + c);
    weights[t] = sum_of(product);
    for (int c = whole; c < width; c++) weights[t] += query[c] * key[c];
    most = weights[t] > most ? weights[t] : most;
  }
  for (int t = count; t < rounded_up(count, LANES); t++) weights[t] = LOWEST;
  Vector totals{};
  for (int t = 0; t < count; t += LANES) {
    Vector weight = exponential(load(weights + t) - most);
    store(weights + t, weight);
    totals += weight;
  }
  for (int c = 0; c < whole; c += LANES) {
    Vector sum{};
    for (int t = 0; t < count; t++) sum += weights[t] * load(values + static_cast<size_t>(t) * width + c);
    store(out + c, sum);
  }
  for (int c = whole; c < width; c++) {
    out[c] = 0.0f;
    for (int t = 0; t < count; t++) out[c] += weights[t] * values[static_cast<size_t>(t) * width + c];
  }
  return {most, sum_of(totals)};
}

template <typename Number>
inline Weighed attend_row(int head_dim, const float* query, const Number* keys, const Number* values,
                          int count, float* weights, float* out) {
  if (head_dim == 64) return attend_row<4>(query, keys, values, count, weights, out);
  if (head_dim == 32) return attend_row<2>(query, keys, values, count, weights, out);
  if (head_dim == 96) return attend_row<6>(query, keys, values, count, weights, out);
  if (head_dim == 128) return attend_row<8>(query, keys, values, count, weights, out);
  if (head_dim == 208) return attend_row<13>(query, keys, values, count, weights, out);
  return attend_wide_row(head_dim, query, keys, values, count, weights, out);
}

// A head with zeros behind each of its halves.
inline void spread(const float* from, int head_dim, int padded_dim, float* to) {
  const int half = head_dim / 2, padded = padded_dim / 2;
  for (int i = 0; i < padded; i++) {
    to[i] = i < half ? from[i] : 0.0f;
    to[padded + i] = i < half ? from[half + i] : 0.0f;
  }
}

// Rotate both halves of a head by the angles of its position (Su et al. 2021), with zeros behind each.
inline void rotate(const float* from, const float* cos, const float* sin, int head_dim, int padded_dim, float* to) {
  const int half = head_dim / 2, padded = padded_dim / 2;
  for (int i = 0; i < half; i++) {
    float a = from[i], b = from[half + i];
    to[i] = a * cos[i] - b * sin[i];
    to[padded + i] = b * cos[i] + a * sin[i];
  }
  for (int i = half; i < padded; i++) to[i] = to[padded + i] = 0.0f;
}

// Append a head's numbers to a cache.
inline void append(const float* from, const float*, int head_dim, float* to) {
  for (int i = 0; i < head_dim; i++) to[i] = from[i];
}

// A NaN becomes -128, as it fails every comparison.
inline void append(const float* from, const float* scale, int head_dim, int8_t* to) {
  for (int i = 0; i < head_dim; i++) {
    float number = std::nearbyint(from[i] / scale[i]);
    to[i] = static_cast<int8_t>(number > -128.0f ? number < 127.0f ? number : 127.0f : -128.0f);
  }
}
