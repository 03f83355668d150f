// The kernels of one instruction set. No include guard: see vectors.h.
constexpr Kernels table{INSTRUCTION_SET, attend, append_any, causal, own, behind_prefix, round_rows, add_and_norm, gated_unit, draw};
