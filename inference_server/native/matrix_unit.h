// Products and attention by a processor's matrix unit (Intel AMX).
#pragma once

#include "shared_keys.h"
#include "weight_products.h"

struct MatrixUnit {
  // Their `tiles` are float32 numbers as three bfloat16 numbers each, of which the six largest products are summed in
  // float32.
  WeightProducts products;
  Attend attend;
};

// The kernels, or null where the processor, the system or the compiler has no matrix unit.
const MatrixUnit* matrix_unit();
