// Products of rows with constant weights.
#pragma once

#include <cstddef>
#include <cstdint>

// Columns of a panel, as which weights are stored and multiplied.
constexpr int PANEL = 32;
// Rows of a tile.
constexpr int TILE_ROWS = 16;
// Up to so many rows the time of a product is that of reading its weights, and more are calculated otherwise.
constexpr int FEW_ROWS = 128;

constexpr int panels_of(int columns) { return (columns + PANEL - 1) / PANEL; }
constexpr int tiles_of(int rows) { return (rows + TILE_ROWS - 1) / TILE_ROWS; }

// Products are x W of rows x (count, inner) with a weight W (inner, columns), and a bias (columns,) or null:
// out (count, columns).
//
// The order of sums does not depend on the count of rows: each has the same bits alone and in any company, of the same
// function.
struct WeightProducts {
  struct Floats {
    // Numbers of a panel.
    size_t (*panel_size)(int inner);
    // weight (inner, columns) to panels
    void (*pack)(const float* weight, int inner, int columns, float* to);
    // All rows with some of the panels, in float32.
    void (*multiply)(const float* rows, int count, int inner, const float* packed, const float* bias, int first_panel,
                     int panels, int columns, float* out);
  } floats;
  // The same products with rows as tiles of 16-bit numbers, or null. A tile has up to 16 rows.
  struct Tiles {
    size_t (*tile_size)(int inner);
    void (*take_tile)(const float* rows, int count, int inner, uint16_t* to);
    void (*multiply)(const uint16_t* tiles, int count, int inner, const float* packed, const float* bias,
                     int first_panel, int panels, int columns, float* out);
  } tiles;
  // Rows rounded to 8 bits with a scale of each, and weights of 8 bits with a scale of each column.
  struct Bytes {
    size_t (*panel_size)(int inner);
    void (*pack)(const int8_t* weight, int inner, int columns, int8_t* to);
    size_t (*tile_size)(int inner);
    void (*take_tile)(const float* rows, int count, int inner, int8_t* to, float* scales);
    void (*multiply)(const int8_t* tiles, const float* scales, int count, int inner, const int8_t* packed,
                     const float* weight_scales, const float* bias, int first_panel, int panels, int columns,
                     float* out);
  } bytes;
};

// The fastest on this processor, or null where those of ONNX Runtime are.
const WeightProducts* weight_products();
