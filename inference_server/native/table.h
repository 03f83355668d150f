// The kernels of one instruction set. No include guard: see vectors.h.
constexpr Kernels table{INSTRUCTION_SET, attend, causal, append_any, own, behind_prefix, round_rows, gated_unit, draw};
