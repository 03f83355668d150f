// Attention over shared keys, in float32. No include guard: see tiles.h.
//
// Scores are keys x queries^T, so that neither is transposed: an instruction multiplies a line of a tile of keys with a
// line of a tile of queries, and both may have their numbers in any order that is the same for both.

namespace attention {

constexpr int KEYS = 32, DIMS = 32, TOGETHER = 32;  // keys, numbers of a head and queries of two tiles
constexpr int DEPTH = 32;                           // numbers of a line

// Parts of 8 bits that a number has.
template <typename Number>
constexpr int PARTS = sizeof(Number) == 1 ? 1 : 3;
constexpr int MOST_PARTS = PARTS<float>;

// Add products of two tiles of rows and two of columns, each cut into parts: those that are not below the rounding of
// a float32. A part of rows or columns is two tiles. In this order one of the two is in the tiles already.
template <int row_parts, int column_parts, bool two_columns>
INLINE void add_products(const uint16_t* rows, const uint16_t* columns, Ahead& ahead) {
  // GCC does not know that loading a tile reads memory: what was stored must be there.
  asm volatile("" ::: "memory");
  int loaded = -1;
#pragma GCC unroll 3
  for (int row = 0; row < row_parts; row++) {
    const int last = std::min(MOST_PARTS - row, column_parts) - 1;
    _tile_loadd(4, rows + row * 2 * TILE, LINE_BYTES);
    _tile_loadd(5, rows + row * 2 * TILE + TILE, LINE_BYTES);
#pragma GCC unroll 3
    for (int i = 0; i <= last; i++) {
      const int column = row & 1 ? i : last - i;
      if (column != loaded) {
        _tile_loadd(6, columns + column * 2 * TILE, LINE_BYTES);
        if (two_columns) _tile_loadd(7, columns + column * 2 * TILE + TILE, LINE_BYTES);
        loaded = column;
      }
      _tile_dpbf16ps(0, 4, 6);
      _tile_dpbf16ps(2, 5, 6);
      if (two_columns) {
        _tile_dpbf16ps(1, 4, 7);
        _tile_dpbf16ps(3, 5, 7);
      }
      ahead.next();
    }
  }
}

INLINE __m512 load_first(const float* from, int count) { return _mm512_maskz_loadu_ps(first_lanes(count), from); }

// 8-bit heads have a multiple of 32 numbers.
INLINE __m512 load_first(const int8_t* from, int count) { return count > 0 ? load(from) : _mm512_setzero_ps(); }

// A block of keys to tiles of 16 keys: (blocks of numbers, parts, 2, TILE). What is behind key `count` is zero.
template <typename Number>
INLINE void split_keys(const SharedKeys& shared, int first, int count, uint16_t* to) {
  constexpr int parts = PARTS<Number>;
  for (int t = 0; t < KEYS; t++)
    for (int begin = 0; begin < shared.head_dim; begin += DIMS) {
      const int left = first + t < count ? shared.head_dim - begin : 0;
      const Number* from = static_cast<const Number*>(shared.keys) + (first + t) * shared.stride + begin;
      split_pair<parts>(load_first(from, left), load_first(from + LANES, left - LANES),
                        to + begin / DIMS * parts * 2 * TILE + t / TILE_ROWS * TILE + t % TILE_ROWS * DEPTH, 2 * TILE);
    }
}

// Values of a block of keys in 32 columns to tiles of 16 columns: (parts, 2, TILE).
template <typename Number>
INLINE void split_values(const SharedKeys& shared, int first, int count, int column, uint16_t* to) {
  for (int pair = 0; pair < KEYS / 2; pair++)
    for (int half = 0; half < 2; half++) {
      const int key = first + pair, left = shared.head_dim - column - half * LANES;
      const Number* from = static_cast<const Number*>(shared.values) + key * shared.stride + column + half * LANES;
      split_pair<PARTS<Number>>(load_first(from, key < count ? left : 0),
                                load_first(from + KEYS / 2 * shared.stride, key + KEYS / 2 < count ? left : 0),
                                to + half * TILE + pair * DEPTH, 2 * TILE);
    }
}

// Four columns of 16 rows, `stride` apart, as rows.
INLINE void transpose(const float* from, size_t stride, __m512* to) {
  __m512 row[4];
  for (int i = 0; i < 4; i++) {
    const float* place = from + i * stride;
    __m512 rows = _mm512_castps128_ps512(_mm_loadu_ps(place));
    rows = _mm512_insertf32x4(rows, _mm_loadu_ps(place + 4 * stride), 1);
    rows = _mm512_insertf32x4(rows, _mm_loadu_ps(place + 8 * stride), 2);
    row[i] = _mm512_insertf32x4(rows, _mm_loadu_ps(place + 12 * stride), 3);
  }
  const __m512 a = _mm512_unpacklo_ps(row[0], row[1]), b = _mm512_unpacklo_ps(row[2], row[3]);
  const __m512 c = _mm512_unpackhi_ps(row[0], row[1]), d = _mm512_unpackhi_ps(row[2], row[3]);
  to[0] = _mm512_shuffle_ps(a, b, 0x44);
  to[1] = _mm512_shuffle_ps(a, b, 0xee);
  to[2] = _mm512_shuffle_ps(c, d, 0x44);
  to[3] = _mm512_shuffle_ps(c, d, 0xee);
}

// Up to 32 queries to tiles of 16 of them: (blocks of numbers, MOST_PARTS, 2, TILE).
void split_queries(const float* queries, int count, int head_dim, uint16_t* to) {
  const int filled = blocks_of(head_dim, DIMS) * DIMS;
  alignas(LINE_BYTES) float rows[TILE_ROWS * MAX_HEAD_DIM];
  for (int half = 0; half < 2 && half * TILE_ROWS < count; half++) {
    for (int r = 0; r < TILE_ROWS; r++)
      for (int d = 0; d < filled; d += LANES) {
        const int query = half * TILE_ROWS + r;
        const float* from = queries + static_cast<size_t>(query) * head_dim + d;
        _mm512_store_ps(rows + r * filled + d, load_first(from, query < count ? head_dim - d : 0));
      }
    for (int d = 0; d < filled; d += 4) {
      if (d % DIMS >= LANES) continue;
      __m512 even[4], odd[4];
      transpose(rows + d, filled, even);
      transpose(rows + d + LANES, filled, odd);
      for (int i = 0; i < 4; i++)
        split_pair<MOST_PARTS>(even[i], odd[i],
                               to + d / DIMS * MOST_PARTS * 2 * TILE + half * TILE + (d % DIMS + i) * DEPTH, 2 * TILE);
    }
  }
}

// Up to 32 queries, as tiles, their scores (TOGETHER, stride) and their weights as tiles (key blocks, MOST_PARTS, 2, TILE).
struct Queries {
  int count;
  const uint16_t* tiles;
  float* scores;
  int stride;
  uint16_t* weights;
};

// Write sums of a block of keys, (2, 2, TILE_ROWS, LANES), to the scores of each query.
INLINE void write_scores(const float* sums, const Queries& queries, int block) {
  for (int half = 0; half < 2; half++)
    for (int query = 0; query < queries.count; query += 4) {
      __m512 of_query[4];
      transpose(sums + (half * 2 + query / TILE_ROWS) * TILE_ROWS * LANES + query % TILE_ROWS, LANES, of_query);
      float* to = queries.scores + static_cast<size_t>(query) * queries.stride + block * KEYS + half * LANES;
      for (int i = 0; i < 4; i++) _mm512_store_ps(to + static_cast<size_t>(i) * queries.stride, of_query[i]);
    }
}

// Scores of queries with some blocks of keys. `keys_of` returns the tiles of a block.
template <typename Number, bool two, typename KeysOf>
INLINE void score(const Queries& queries, int key_blocks, int head_dim, Ahead& ahead, const KeysOf& keys_of) {
  constexpr int SUMS = 4 * TILE_BYTES / sizeof(float);
  alignas(LINE_BYTES) float sums[2][SUMS];
  shape_tiles(TOGETHER);
  for (int block = 0; block < key_blocks; block++) {
    const uint16_t *keys = keys_of(block), *tiles = queries.tiles;
    clear_sums<true>();
    for (int d = 0; d < head_dim; d += DIMS, keys += PARTS<Number> * 2 * TILE, tiles += MOST_PARTS * 2 * TILE)
      add_products<PARTS<Number>, MOST_PARTS, two>(keys, tiles, ahead);
    store_sums<true>(sums[block & 1]);
    asm volatile("" ::: "memory");
    // The block before, whose sums are there already.
    if (block > 0) write_scores(sums[~block & 1], queries, block - 1);
  }
  if (key_blocks > 0) write_scores(sums[~key_blocks & 1], queries, key_blocks - 1);
}

// The weights of the first `count` scores, less the largest. One of less than e^-60 counts as zero: its parts would be
// numbers so small that the processor takes many times as long.
INLINE Vector weight_of(Vector difference, int count) {
  const __mmask16 least = _mm512_cmp_ps_mask(difference, broadcast(-60.0f), _CMP_NLT_UQ);
  return _mm512_maskz_mov_ps(first_lanes(count) & least, exponential(difference));
}

// Weights of a query, a line of tiles (key blocks, MOST_PARTS, 2, TILE), from its scores of the first `limit` keys.
Weighed weigh(const float* scores, int limit, int key_blocks, uint16_t* to) {
  Vector most = broadcast(-3.0e38f);
  int t = 0;
  for (; t + LANES <= limit; t += LANES) most = larger(load(scores + t), most);
  most = _mm512_mask_blend_ps(first_lanes(limit - t), most, larger(load_first(scores + t, limit - t), most));
  float largest = most[0];
  for (int lane = 1; lane < LANES; lane++) largest = most[lane] > largest ? most[lane] : largest;
  Vector total{};
  for (int block = 0; block < key_blocks; block++, scores += KEYS, to += MOST_PARTS * 2 * TILE) {
    const int left = limit - block * KEYS;
    Vector even{}, odd{};
    if (left > 0) even = weight_of(load(scores) - largest, left);
    if (left > LANES) odd = weight_of(load(scores + LANES) - largest, left - LANES);
    total += even + odd;
    split_pair<MOST_PARTS>(even, odd, to, 2 * TILE);
  }
  return {largest, sum_of(total)};
}

// Sums of values (count, head_dim) with the weights of queries. `values_of` returns the tiles of a block of keys in 32
// columns.
template <typename Number, typename ValuesOf>
INLINE void sum_values(const Queries& queries, int key_blocks, int head_dim, float* out, Ahead& ahead,
                       const ValuesOf& values_of) {
  alignas(LINE_BYTES) float sums[4 * TILE_BYTES / sizeof(float)];
  shape_tiles(queries.count);
  for (int column = 0; column < head_dim; column += DIMS) {
    clear_sums<true>();
    for (int block = 0; block < key_blocks; block++)
      add_products<MOST_PARTS, PARTS<Number>, true>(queries.weights + static_cast<size_t>(block) * MOST_PARTS * 2 * TILE,
                                                    values_of(block, column), ahead);
    store_sums<true>(sums);
    each_row(sums, queries.count, head_dim - column, [&](int row, int half, __mmask16 there, const float* from) {
      _mm512_mask_storeu_ps(out + static_cast<size_t>(row) * head_dim + column + half, there, _mm512_load_ps(from));
    });
  }
}

// Keys and values are cut into parts where they are needed, or once if there are more queries than go together.
template <typename Number>
void attend_numbers(const float* queries, int count, const SharedKeys& shared, int limit, Ahead& ahead, float* out,
                    Weighed* sums) {
  const int head_dim = shared.head_dim, dim_blocks = blocks_of(head_dim, DIMS);
  const int used_keys = std::min(limit + count - 1, shared.count), all_blocks = blocks_of(used_keys, KEYS);
  const bool once = count > TOGETHER;
  constexpr size_t PAIR = 2 * TILE, CUT = PARTS<Number> * PAIR;
  const size_t cut_size = (once ? all_blocks : 1) * dim_blocks * CUT, weights_size = all_blocks * MOST_PARTS * PAIR;
  const size_t queries_size = dim_blocks * MOST_PARTS * PAIR;
  const int stride = all_blocks * KEYS;
  auto* keys = scratch.of<uint16_t>(2 * cut_size + weights_size + queries_size +
                                    2 * static_cast<size_t>(TOGETHER) * stride);
  uint16_t *values = keys + cut_size, *weights = values + cut_size, *tiles = weights + weights_size;
  auto* scores = reinterpret_cast<float*>(tiles + queries_size);
  const auto place = [&](int block) { return once ? block * dim_blocks * CUT : 0; };
  const auto cut_keys = [&](int block) { split_keys<Number>(shared, block * KEYS, used_keys, keys + place(block)); };
  const auto cut_values = [&](int block, int column) {
    split_values<Number>(shared, block * KEYS, used_keys, column, values + place(block) + column / DIMS * CUT);
  };
  for (int block = 0; once && block < all_blocks; block++) {
    cut_keys(block);
    for (int column = 0; column < head_dim; column += DIMS) cut_values(block, column);
  }
  const auto keys_of = [&](int block) {
    if (!once) cut_keys(block);
    return keys + place(block);
  };
  const auto values_of = [&](int block, int column) {
    if (!once) cut_values(block, column);
    return values + place(block) + column / DIMS * CUT;
  };
  constexpr int PRODUCTS = PARTS<Number> == 1 ? MOST_PARTS : MOST_PARTS * (MOST_PARTS + 1) / 2;
  ahead.spread(2 * all_blocks * dim_blocks * PRODUCTS * blocks_of(count, TOGETHER));
  const TilesInUse tiles_in_use;
  for (int begin = 0; begin < count; begin += TOGETHER) {
    const Queries these{std::min(TOGETHER, count - begin), tiles, scores, stride, weights};
    const int blocks = blocks_of(std::min(limit + begin + these.count - 1, shared.count), KEYS);
    split_queries(queries + static_cast<size_t>(begin) * head_dim, these.count, head_dim, tiles);
    if (these.count > TILE_ROWS)
      score<Number, true>(these, blocks, head_dim, ahead, keys_of);
    else
      score<Number, false>(these, blocks, head_dim, ahead, keys_of);
    for (int r = 0; r < these.count; r++)
      sums[begin + r] = weigh(scores + static_cast<size_t>(r) * stride, std::min(limit + begin + r, shared.count), blocks,
                              weights + r / TILE_ROWS * TILE + r % TILE_ROWS * DEPTH);
    sum_values<Number>(these, blocks, head_dim, out + static_cast<size_t>(begin) * head_dim, ahead, values_of);
  }
}

void attend(const float* queries, int count, const SharedKeys& shared, int limit, Ahead& ahead, float* out,
            Weighed* sums) {
  const auto form = shared.eight_bits ? attend_numbers<int8_t> : attend_numbers<float>;
  form(queries, count, shared, limit, ahead, out, sums);
}

}  // namespace attention
