// The addition and the norm between two layers. No include guard: see vectors.h.

// x + skip + bias, and that times a weight and divided by its root mean square (Zhang and Sennrich 2019).
inline void add_and_norm(const float* x, const float* skip, const float* weight, const float* bias, int width,
                         float epsilon, float* normed, float* total) {
  Vector squares{};
  int i = 0;
  for (; i + LANES <= width; i += LANES) {
    const Vector sum = load(x + i) + load(skip + i) + load(bias + i);
    store(total + i, sum);
    squares += sum * sum;
  }
  float square = sum_of(squares);
  for (; i < width; i++) {
    total[i] = x[i] + skip[i] + bias[i];
    square += total[i] * total[i];
  }
  const float factor = 1.0f / std::sqrt(square / static_cast<float>(width) + epsilon);
  for (i = 0; i < width; i++) normed[i] = total[i] * factor * weight[i];
}
