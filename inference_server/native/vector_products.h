// Products by AVX-512 and its instructions for 8-bit numbers (VNNI).
#pragma once

#include "weight_products.h"

// The kernels, or null where the processor or the compiler does not have these instructions.
const WeightProducts* vector_products();
