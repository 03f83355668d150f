// Operators of products of activations with constant weights.
#pragma once

#include <algorithm>
#include <memory>
#include <vector>

#include "context.h"
#include "packed_weights.h"
#include "scratch.h"
#include "weight_products.h"

namespace {

// What a product works on: rows x (…, inner) and out (…, columns).
struct Rows {
  int count, inner;
  std::vector<int64_t> out_shape;

  Rows(const Tensor& x, int inner, int columns) : inner(inner), out_shape(x.shape) {
    require(!x.shape.empty() && x.shape.back() == inner, "the rows of a product must be as long as its weight has rows");
    out_shape.back() = columns;
    int64_t rows = 1;
    for (size_t i = 0; i + 1 < x.shape.size(); i++) rows *= x.shape[i];
    require(rows <= INT32_MAX, "a product has too many rows");
    count = static_cast<int>(rows);
  }
};

// The rows of a product as tiles, in memory of the thread that runs the session.
struct TileMemory {
  Scratch numbers, scales;
};
thread_local TileMemory tile_memory;

template <typename Task>
void each_tile(const Context& context, int count, const Task& task) {
  context.parallel(tiles_of(count), task);
}

// Call `task` with the first panel and the number of panels of each part of a weight, `together` panels each.
template <typename Task>
void each_group(const Context& context, int panels, int together, const Task& task) {
  const int groups = (panels + together - 1) / together;
  context.parallel(groups, [&](size_t group) {
    const int first = static_cast<int>(group) * together;
    task(first, std::min(together, panels - first));
  });
}

// Panels of a task where rows are many.
constexpr int TOGETHER = 4;
// Weights of a task where rows are few, in bytes: tasks are small, so that all threads end at the same time.
constexpr int OF_A_TASK = 100 << 10;
int panels_of_few_rows(int bytes_of_panel) { return std::max(1, OF_A_TASK / bytes_of_panel); }

// A constant weight (inner, columns), packed.
struct Weight {
  int inner, columns;
  std::shared_ptr<const PackedWeights> packed;

  template <typename Number, typename Pack>
  static Weight of(const KernelInfo* info, size_t index, size_t (*panel_size)(int), const Pack& pack) {
    int constant = 0;
    const Value* value = nullptr;
    check(call<Status*(const KernelInfo*, size_t, int*, const Value**)>(CONSTANT_INPUT, info, index, &constant, &value));
    require(constant != 0 && value != nullptr, "the weight of a product must be a constant");
    const Tensor weight = tensor_of(const_cast<Value*>(value));
    require(weight.shape.size() == 2 && weight.shape[0] > 0 && weight.shape[0] <= INT32_MAX / 2 &&
                weight.shape[1] > 0 && weight.shape[1] <= INT32_MAX / 2,
            "the weight of a product must be (K, N)");
    const int inner = static_cast<int>(weight.shape[0]), columns = static_cast<int>(weight.shape[1]);
    std::vector<Number> packed(panels_of(columns) * panel_size(inner));
    pack(static_cast<const Number*>(weight.data), inner, columns, packed.data());
    return {inner, columns, weight_store.stored(packed.data(), packed.size() * sizeof(Number))};
  }
};

// The bias of a product (N,), or null.
template <bool biased>
const float* bias_of(const Context& context, size_t input, int columns) {
  if (!biased) return nullptr;
  const Tensor bias = context.input(input);
  require(bias.shape.size() == 1 && bias.shape[0] == columns, "the bias of a product (…, N) must be (N,)");
  return floats(bias);
}

// x W in float32, and a bias if it has one. Where rows can be multiplied as tiles too, `whole_steps` says that those of a
// step, (B, 1, K), are not: which is the fastest of a single row.
template <bool biased>
struct Product {
  static constexpr const char* NAME = biased ? "BiasedProduct" : "Product";
  static constexpr ElementType INPUTS[] = {FLOAT, FLOAT, FLOAT};
  static constexpr ElementType OUTPUTS[] = {FLOAT};
  static constexpr size_t INPUT_COUNT = biased ? 3 : 2;
  Weight weight;
  bool whole_steps;

  explicit Product(const KernelInfo* info)
      : weight(Weight::of<float>(info, 1, weight_products()->floats.panel_size, weight_products()->floats.pack)),
        whole_steps(attribute_int(info, "whole_steps") != 0) {}

  void compute(const Context& context) const {
    const Tensor x = context.input(0);
    const Rows rows(x, weight.inner, weight.columns);
    const float* bias = bias_of<biased>(context, 2, weight.columns);
    auto* out = static_cast<float*>(context.output(0, rows.out_shape));
    const int panels = panels_of(weight.columns);
    const int few = panels_of_few_rows(rows.inner * PANEL * static_cast<int>(sizeof(float)));
    const float* packed = weight.packed->as<float>();
    const WeightProducts::Tiles& as_tiles = weight_products()->tiles;
    if (as_tiles.multiply == nullptr || (whole_steps && x.shape.size() == 3 && x.shape[1] == 1)) {
      each_group(context, panels, few, [&](int first, int count) {
        weight_products()->floats.multiply(floats(x), rows.count, rows.inner, packed, bias, first, count, weight.columns, out);
      });
      return;
    }
    const size_t tile_size = as_tiles.tile_size(rows.inner);
    auto* tiles = tile_memory.numbers.of<uint16_t>(tiles_of(rows.count) * tile_size);
    each_tile(context, rows.count, [&](size_t tile) {
      const int first = static_cast<int>(tile) * TILE_ROWS;
      as_tiles.take_tile(floats(x) + static_cast<size_t>(first) * rows.inner, std::min(TILE_ROWS, rows.count - first),
                         rows.inner, tiles + tile * tile_size);
    });
    each_group(context, panels, rows.count <= FEW_ROWS ? few : TOGETHER, [&](int first, int count) {
      as_tiles.multiply(tiles, rows.count, rows.inner, packed, bias, first, count, weight.columns, out);
    });
  }
};

// x W of rows that are rounded to 8 bits and a weight of 8 bits, and a bias if it has one: the numbers of the operator's
// function.
template <bool biased>
struct Int8Product {
  static constexpr const char* NAME = biased ? "BiasedInt8Product" : "Int8Product";
  static constexpr ElementType INPUTS[] = {FLOAT, INT8, FLOAT, FLOAT};
  static constexpr ElementType OUTPUTS[] = {FLOAT};
  static constexpr size_t INPUT_COUNT = biased ? 4 : 3;
  Weight weight;

  explicit Int8Product(const KernelInfo* info)
      : weight(Weight::of<int8_t>(info, 1, unit().panel_size, unit().pack)) {}

  static const WeightProducts::Bytes& unit() { return weight_products()->bytes; }

  void compute(const Context& context) const {
    const Tensor x = context.input(0), weight_scales = context.input(2);
    const Rows rows(x, weight.inner, weight.columns);
    require(weight_scales.shape.size() == 1 && weight_scales.shape[0] == weight.columns,
            "the scales of a weight (K, N) must be (N,)");
    const float* bias = bias_of<biased>(context, 3, weight.columns);
    auto* out = static_cast<float*>(context.output(0, rows.out_shape));
    const size_t tile_size = unit().tile_size(rows.inner);
    auto* tiles = tile_memory.numbers.of<int8_t>(tiles_of(rows.count) * tile_size);
    auto* scales = tile_memory.scales.of<float>(tiles_of(rows.count) * TILE_ROWS);
    each_tile(context, rows.count, [&](size_t tile) {
      const int first = static_cast<int>(tile) * TILE_ROWS;
      unit().take_tile(floats(x) + static_cast<size_t>(first) * rows.inner, std::min(TILE_ROWS, rows.count - first),
                       rows.inner, tiles + tile * tile_size, scales + first);
    });
    const int panels = panels_of(weight.columns);
    const int together = rows.count <= FEW_ROWS ? panels_of_few_rows(rows.inner * PANEL) : TOGETHER;
    each_group(context, panels, together, [&](int first, int count) {
      unit().multiply(tiles, scales, rows.count, rows.inner, weight.packed->as<int8_t>(), floats(weight_scales), bias,
                      first, count, weight.columns, out);
    });
  }
};

}  // namespace
