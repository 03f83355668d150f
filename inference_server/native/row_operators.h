// Operators that take each row by itself.
#pragma once

#include <vector>

#include "context.h"
#include "kernels.h"

namespace {

size_t rows_of(const Tensor& x) {
  size_t rows = 1;
  for (size_t i = 0; i + 1 < x.shape.size(); i++) rows *= static_cast<size_t>(x.shape[i]);
  return rows;
}

// Call `of` with each row, of `width` numbers, some rows to a task.
template <typename Row>
void each_part(const Context& context, size_t rows, int width, const Row& of) {
  constexpr size_t NUMBERS = 8192;  // of a task
  const size_t together = NUMBERS / (static_cast<size_t>(width) + 1) + 1;
  context.parallel((rows + together - 1) / together, [&](size_t task) {
    for (size_t row = task * together; row < rows && row < (task + 1) * together; row++) of(row);
  });
}

// Rows rounded to 8 bits around 128, (…, K) and the scale of each row (…, 1).
struct RoundRows {
  static constexpr const char* NAME = "RoundRows";
  static constexpr ElementType INPUTS[] = {FLOAT};
  static constexpr ElementType OUTPUTS[] = {UINT8, FLOAT};
  static constexpr size_t ROWS = 16;  // of a task

  explicit RoundRows(const KernelInfo*) {}

  void compute(const Context& context) const {
    Tensor x = context.input(0);
    const int width = static_cast<int>(x.shape.back());
    const size_t rows = rows_of(x);
    auto* numbers = static_cast<uint8_t*>(context.output(0, x.shape));
    std::vector<int64_t> shape = x.shape;
    shape.back() = 1;
    auto* scales = static_cast<float*>(context.output(1, shape));
    context.parallel((rows + ROWS - 1) / ROWS, [&](size_t task) {
      const size_t first = task * ROWS, count = rows - first < ROWS ? rows - first : ROWS;
      kernels().round_rows(floats(x) + first * width, static_cast<int>(count), width, numbers + first * width,
                           scales + first);
    });
  }
};

// SwiGLU: of x (…, 2 F) the silu of its first half times its second half, (…, F).
struct GatedUnit {
  static constexpr const char* NAME = "GatedUnit";
  static constexpr ElementType INPUTS[] = {FLOAT};
  static constexpr ElementType OUTPUTS[] = {FLOAT};

  explicit GatedUnit(const KernelInfo*) {}

  void compute(const Context& context) const {
    Tensor x = context.input(0);
    std::vector<int64_t> shape = x.shape;
    require(!shape.empty() && shape.back() % 2 == 0, "a gated unit must be given two halves");
    shape.back() /= 2;
    auto* out = static_cast<float*>(context.output(0, shape));
    const int width = static_cast<int>(shape.back());
    each_part(context, rows_of(x), width, [&](size_t row) {
      kernels().gated_unit(floats(x) + row * 2 * width, width, out + row * width);
    });
  }
};

// Of x + skip + bias (…, N): that sum normalised by its root mean square and times a weight (N,), and the sum itself.
struct AddAndNorm {
  static constexpr const char* NAME = "AddAndNorm";
  static constexpr ElementType INPUTS[] = {FLOAT, FLOAT, FLOAT, FLOAT};
  static constexpr ElementType OUTPUTS[] = {FLOAT, FLOAT};
  float epsilon;

  explicit AddAndNorm(const KernelInfo* info) : epsilon(attribute_float(info, "epsilon")) {}

  void compute(const Context& context) const {
    const Tensor x = context.input(0), skip = context.input(1), weight = context.input(2), bias = context.input(3);
    require(!x.shape.empty() && skip.shape == x.shape, "what is added must have the shape of what it is added to");
    const std::vector<int64_t> vector{x.shape.back()};
    require(weight.shape == vector && bias.shape == vector, "the weight and the bias of a norm of (…, N) must be (N,)");
    auto* normed = static_cast<float*>(context.output(0, x.shape));
    auto* total = static_cast<float*>(context.output(1, x.shape));
    const int width = static_cast<int>(x.shape.back());
    each_part(context, rows_of(x), width, [&](size_t row) {
      const size_t place = row * width;
      kernels().add_and_norm(floats(x) + place, floats(skip) + place, floats(weight), floats(bias), width, epsilon,
                             normed + place, total + place);
    });
  }
};

// A token drawn of each row of logits (B, V): temperature (B, 1), top_k, top_p, and a number in [0, 1) that decides.
struct Sample {
  static constexpr const char* NAME = "Sample";
  static constexpr ElementType INPUTS[] = {FLOAT, FLOAT, INT64, FLOAT, FLOAT};
  static constexpr ElementType OUTPUTS[] = {INT64};

  explicit Sample(const KernelInfo*) {}

  void compute(const Context& context) const {
    Tensor logits = context.input(0), temperature = context.input(1), top_k = context.input(2);
    Tensor top_p = context.input(3), uniform = context.input(4);
    const size_t rows = static_cast<size_t>(logits.shape[0]);
    const int count = static_cast<int>(logits.shape[1]);
    require(count > 0, "there must be at least one logit in a row");
    auto* token = static_cast<int64_t*>(context.output(0, {logits.shape[0], 1}));
    context.parallel(rows, [&](size_t row) {
      token[row] = kernels().draw(floats(logits) + row * count, count, floats(temperature)[row],
                                  static_cast<const int64_t*>(top_k.data)[row], floats(top_p)[row],
                                  floats(uniform)[row]);
    });
  }
};

}  // namespace
