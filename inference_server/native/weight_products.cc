#include "weight_products.h"

#include "matrix_unit.h"
#include "vector_products.h"

const WeightProducts* weight_products() {
  static const WeightProducts* const chosen = matrix_unit() != nullptr ? &matrix_unit()->products : vector_products();
  return chosen;
}
