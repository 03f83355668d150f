// Products of rows with weights, and attention, by a processor's matrix unit (Intel AMX).
#pragma once

#include <cstddef>
#include <cstdint>

#include "shared_keys.h"

// Columns of a panel, as which weights are stored and multiplied.
constexpr int PANEL = 32;
// Rows of a tile.
constexpr int TILE_ROWS = 16;
// Up to so many rows the time of a product is that of reading its weights, and more are calculated otherwise.
constexpr int FEW_ROWS = 128;

constexpr int panels_of(int columns) { return (columns + PANEL - 1) / PANEL; }
constexpr int tiles_of(int rows) { return (rows + TILE_ROWS - 1) / TILE_ROWS; }

// Products are x W of rows x (count, inner) with a weight W (inner, columns).
//
// The order of sums does not depend on the count of rows: each has the same bits alone and in any company, of the same
// function.
struct MatrixUnit {
  // float32 as three bfloat16 numbers each, of which the six largest products are summed in float32.
  struct Floats {
    int inner_multiple;  // to which `inner` is filled up with zeros
    int parts;           // 16-bit numbers of a float
    // weight (inner, columns) to panels (panels, inner filled up, PANEL)
    void (*pack)(const float* weight, int inner, int columns, float* to);
    // Up to 16 rows (count, inner) to a tile (inner filled up, parts, TILE_ROWS).
    void (*take_tile)(const float* rows, int count, int inner, uint16_t* to);
    // All rows, as tiles, with some of the panels, and a bias (columns,) or null: out (count, columns).
    void (*multiply)(const uint16_t* tiles, int count, int inner, const float* packed, const float* bias,
                     int first_panel, int panels, int columns, float* out);
    // The same of rows (count, inner) as they are, in float32 and without the matrix unit: the fastest of a single row.
    void (*multiply_whole)(const float* rows, int count, int inner, const float* packed, const float* bias,
                           int first_panel, int panels, int columns, float* out);
  } floats;
  // Rows rounded to 8 bits with a scale of each, and weights of 8 bits with a scale of each column.
  struct Bytes {
    int inner_multiple;
    void (*pack)(const int8_t* weight, int inner, int columns, int8_t* to);
    void (*take_tile)(const float* rows, int count, int inner, int8_t* to, float* scales);
    void (*multiply)(const int8_t* tiles, const float* scales, int count, int inner, const int8_t* packed,
                     const float* weight_scales, const float* bias, int first_panel, int panels, int columns,
                     float* out);
  } bytes;
  Attend attend;
};

// The kernels, or null where the processor, the system or the compiler has no matrix unit.
const MatrixUnit* matrix_unit();
