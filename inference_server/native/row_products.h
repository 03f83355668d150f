// Sums of products of a few rows with 32 columns. No include guard: see vectors.h.

// Rows whose sums have a register each.
constexpr int MOST_ROWS = 12;

// sums (ROWS, 2) += x (ROWS, inner) times weights (inner, 32). A line of weights is `step` numbers behind the one before;
// its right half is `half` numbers behind the left one.
template <int ROWS>
INLINE void add_rows(const float* x, size_t stride, int inner, const float* weights, size_t step, size_t half,
                     Vector (&sums)[ROWS][2]) {
  for (int i = 0; i < inner; i++, weights += step) {
    const Vector left = load(weights), right = load(weights + half);
#pragma GCC unroll 12
    for (int row = 0; row < ROWS; row++) {
      const Vector number = broadcast(x[row * stride + i]);
      sums[row][0] += number * left;
      sums[row][1] += number * right;
    }
  }
}

// Call `task` with each of `count` rows' groups of up to MOST_ROWS, which are about as large as each other.
template <typename Task>
INLINE void each_group_of_rows(int count, const Task& task) {
  const int groups = (count + MOST_ROWS - 1) / MOST_ROWS;
  for (int group = 0, row = 0; group < groups; group++) {
    const int rows = (count - row) / (groups - group);
    task(row, rows);
    row += rows;
  }
}

// Call `task` with a number of rows that is known when it is compiled.
template <int ROWS = MOST_ROWS, typename Task>
INLINE void with_rows(int count, const Task& task) {
  if (count == ROWS) return task(std::integral_constant<int, ROWS>{});
  if constexpr (ROWS > 1) with_rows<ROWS - 1>(count, task);
}
