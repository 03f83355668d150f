// The kernels of one instruction set. No include guard: see vectors.h.
constexpr Kernels table{causal, append_any, own, shared, round_rows, draw};
