// The activation between two products. No include guard: see vectors.h.

// x / (1 + e^-x).
INLINE Vector silu(Vector x) {
  const Vector power = exponential(x < Vector{} ? x : -x);  // of -|x|, and a NaN of one
  const Vector one = broadcast(1.0f);
  return x * (x < Vector{} ? power : one) / (one + power);
}

// silu of the first half of a row (2 * width) times its second half.
inline void gated_unit(const float* row, int width, float* out) {
  int i = 0;
  for (; i + LANES <= width; i += LANES) store(out + i, silu(load(row + i)) * load(row + width + i));
  if (i == width) return;
  Vector gate{}, up{};
  for (int lane = 0; i + lane < width; lane++) {
    gate[lane] = row[i + lane];
    up[lane] = row[width + i + lane];
  }
  const Vector result = silu(gate) * up;
  for (int lane = 0; i + lane < width; lane++) out[i + lane] = result[lane];
}
