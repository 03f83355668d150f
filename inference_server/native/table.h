// The kernels of one instruction set. No include guard: see vectors.h.
constexpr Kernels table{INSTRUCTION_SET, causal, append_any, own, shared, round_rows, gated_unit, draw};
