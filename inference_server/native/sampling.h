// Drawing a token. No include guard: see vectors.h.

// Numbers of the same order as x, larger ones first; both zeros are equal.
INLINE uint32_t descending(float x) {
  x += 0.0f;
  uint32_t bits;
  __builtin_memcpy(&bits, &x, sizeof(bits));
  return bits & 0x80000000u ? bits : ~bits & 0x7fffffffu;
}

// Sort indices by falling x; equal ones stay in their order. A radix sort of three digits.
inline void sort_descending(const float* x, int count, uint32_t* keys, uint32_t* order, uint32_t* spare) {
  constexpr int BITS = 11, DIGITS = 1 << BITS;
  uint32_t places[3][DIGITS] = {};
  for (int i = 0; i < count; i++) {
    keys[i] = descending(x[i]);
    for (int pass = 0; pass < 3; pass++) places[pass][keys[i] >> pass * BITS & (DIGITS - 1)]++;
  }
  for (int pass = 0; pass < 3; pass++) {
    uint32_t sum = 0;
    for (int digit = 0; digit < DIGITS; digit++) {
      uint32_t here = places[pass][digit];
      places[pass][digit] = sum;
      sum += here;
    }
  }
  for (int i = 0; i < count; i++) spare[places[0][keys[i] & (DIGITS - 1)]++] = i;
  for (int i = 0; i < count; i++) order[places[1][keys[spare[i]] >> BITS & (DIGITS - 1)]++] = spare[i];
  for (int i = 0; i < count; i++) spare[places[2][keys[order[i]] >> 2 * BITS]++] = order[i];
  for (int i = 0; i < count; i++) order[i] = spare[i];
}

// Draw a token of `count` logits as export.sampling.sample describes it; -1 where a logit is no number.
inline int64_t draw(const float* logits, int count, float temperature, int64_t top_k, float top_p, float uniform) {
  const int room = rounded_up(count, LANES);
  float* cumulated = scratch.of<float>(static_cast<size_t>(room) * 5);
  float* divided = cumulated + room;
  auto* keys = reinterpret_cast<uint32_t*>(divided + room);
  uint32_t *order = keys + room, *spare = order + room;
  for (int i = 0; i < count; i++) divided[i] = logits[i] / temperature;
  sort_descending(divided, count, keys, order, spare);
  const float most = divided[order[0]];
  for (int i = 0; i < count; i++) cumulated[i] = divided[order[i]] - most;
  for (int i = count; i < room; i++) cumulated[i] = LOWEST;
  Vector totals{};
  for (int i = 0; i < room; i += LANES) {
    Vector weight = exponential(load(cumulated + i));
    totals += weight;
    store(cumulated + i, weight);
  }
  const float total = sum_of(totals);
  float sum = 0.0f;
  for (int i = 0; i < count; i++) {
    sum += cumulated[i] / total;
    cumulated[i] = sum;
  }
  int last = 0;
  if (top_k > 0) {
    const float kth = divided[order[(top_k < count ? top_k : count) - 1]];
    while (last + 1 < count && divided[order[last + 1]] >= kth) last++;
  } else {
    const float limit = top_p >= 1.0f ? __builtin_inff() : top_p;
    while (last + 1 < count && cumulated[last] <= limit) last++;
  }
  const float mass = cumulated[last];
  if (!(sum >= 0.0f)) return -1;
  int rank = 0;
  while (rank < last && cumulated[rank] <= uniform * mass) rank++;
  return order[rank];
}
