// Operators of the exported graphs as kernels of ONNX Runtime, in the domain "kronos".
//
// A bundle has the body of each operator as a function of ONNX's own operators. ONNX Runtime takes a registered
// operator in its place, so a bundle runs with this library and without it.
#include "attention_operators.h"
#include "product_operators.h"

namespace {

// Rows rounded to 8 bits around 128, (…, K) and the scale of each row (…, 1).
struct RoundRows {
  static constexpr const char* NAME = "RoundRows";
  static constexpr ElementType INPUTS[] = {FLOAT};
  static constexpr ElementType OUTPUTS[] = {UINT8, FLOAT};
  static constexpr size_t ROWS = 16;  // of a task

  explicit RoundRows(const KernelInfo*) {}

  void compute(const Context& context) const {
    Tensor x = context.input(0);
    const int width = static_cast<int>(x.shape.back());
    size_t rows = 1;
    for (size_t i = 0; i + 1 < x.shape.size(); i++) rows *= static_cast<size_t>(x.shape[i]);
    auto* numbers = static_cast<uint8_t*>(context.output(0, x.shape));
    std::vector<int64_t> shape = x.shape;
    shape.back() = 1;
    auto* scales = static_cast<float*>(context.output(1, shape));
    context.parallel((rows + ROWS - 1) / ROWS, [&](size_t task) {
      const size_t first = task * ROWS, count = rows - first < ROWS ? rows - first : ROWS;
      kernels().round_rows(floats(x) + first * width, static_cast<int>(count), width, numbers + first * width,
                           scales + first);
    });
  }
};

// SwiGLU: of x (…, 2 F) the silu of its first half times its second half, (…, F).
struct GatedUnit {
  static constexpr const char* NAME = "GatedUnit";
  static constexpr ElementType INPUTS[] = {FLOAT};
  static constexpr ElementType OUTPUTS[] = {FLOAT};
  static constexpr size_t NUMBERS = 8192;  // of a task

  explicit GatedUnit(const KernelInfo*) {}

  void compute(const Context& context) const {
    Tensor x = context.input(0);
    std::vector<int64_t> shape = x.shape;
    require(!shape.empty() && shape.back() % 2 == 0, "a gated unit must be given two halves");
    shape.back() /= 2;
    auto* out = static_cast<float*>(context.output(0, shape));
    const size_t width = static_cast<size_t>(shape.back()), together = NUMBERS / (width + 1) + 1;
    size_t rows = 1;
    for (size_t i = 0; i + 1 < shape.size(); i++) rows *= static_cast<size_t>(shape[i]);
    context.parallel((rows + together - 1) / together, [&](size_t task) {
      for (size_t row = task * together; row < rows && row < (task + 1) * together; row++)
        kernels().gated_unit(floats(x) + row * 2 * width, static_cast<int>(width), out + row * width);
    });
  }
};

// A token drawn of each row of logits (B, V): temperature (B, 1), top_k, top_p, and a number in [0, 1) that decides.
struct Sample {
  static constexpr const char* NAME = "Sample";
  static constexpr ElementType INPUTS[] = {FLOAT, FLOAT, INT64, FLOAT, FLOAT};
  static constexpr ElementType OUTPUTS[] = {INT64};

  explicit Sample(const KernelInfo*) {}

  void compute(const Context& context) const {
    Tensor logits = context.input(0), temperature = context.input(1), top_k = context.input(2);
    Tensor top_p = context.input(3), uniform = context.input(4);
    const size_t rows = static_cast<size_t>(logits.shape[0]);
    const int count = static_cast<int>(logits.shape[1]);
    require(count > 0, "there must be at least one logit in a row");
    auto* token = static_cast<int64_t*>(context.output(0, {logits.shape[0], 1}));
    context.parallel(rows, [&](size_t row) {
      token[row] = kernels().draw(floats(logits) + row * count, count, floats(temperature)[row],
                                  static_cast<const int64_t*>(top_k.data)[row], floats(top_p)[row],
                                  floats(uniform)[row]);
    });
  }
};

template <typename Operator, typename = void>
struct InputCount {
  static constexpr size_t value = sizeof(Operator::INPUTS) / sizeof(ElementType);
};

template <typename Operator>
struct InputCount<Operator, std::void_t<decltype(Operator::INPUT_COUNT)>> {
  static constexpr size_t value = Operator::INPUT_COUNT;
};

template <typename Task>
Status* guarded(const Task& task) noexcept {
  try {
    task();
    return nullptr;
  } catch (const Failed& failed) {
    return failed.status;
  } catch (const std::exception& error) {
    return failure(error.what());
  }
}

template <typename Operator>
CustomOp described() {
  CustomOp op{};
  op.version = VERSION;
  op.name = [](const CustomOp*) { return Operator::NAME; };
  op.provider = [](const CustomOp*) -> const char* { return nullptr; };
  op.input_count = [](const CustomOp*) { return InputCount<Operator>::value; };
  op.input_type = [](const CustomOp*, size_t index) { return Operator::INPUTS[index]; };
  op.output_count = [](const CustomOp*) { return sizeof(Operator::OUTPUTS) / sizeof(ElementType); };
  op.output_type = [](const CustomOp*, size_t index) { return Operator::OUTPUTS[index]; };
  op.input_characteristic = [](const CustomOp*, size_t) { return 0; };
  op.output_characteristic = [](const CustomOp*, size_t) { return 0; };
  op.input_memory = [](const CustomOp*, size_t) { return 0; };
  op.variadic_input_min = op.variadic_output_min = [](const CustomOp*) { return 0; };
  op.variadic_input_homogeneous = op.variadic_output_homogeneous = [](const CustomOp*) { return 0; };
  op.start_version = [](const CustomOp*) { return 1; };
  op.end_version = [](const CustomOp*) { return 1; };
  op.create_with_status = [](const CustomOp*, const Api*, const KernelInfo* info, void** kernel) {
    return guarded([&] { *kernel = new Operator(info); });
  };
  op.compute_with_status = [](void* kernel, KernelContext* context) {
    return guarded([&] { static_cast<const Operator*>(kernel)->compute(Context{context}); });
  };
  op.destroy = [](void* kernel) { delete static_cast<Operator*>(kernel); };
  return op;
}

const CustomOp OPERATORS[] = {
    described<HistoryAttention>(),       described<RoundRows>(),
    described<GatedUnit>(),              described<Sample>(),
    described<StepAttention<float>>(),   described<StepAttention<int8_t>>(),
    described<PrefixAttention<float>>(), described<PrefixAttention<int8_t>>(),
};

// Those that need a matrix unit. Without one ONNX Runtime's own products are faster than ours would be.
const CustomOp PRODUCTS[] = {described<Product>(), described<Int8Product>()};

}  // namespace

// The function that ONNX Runtime looks for in a library of operators.
extern "C" __attribute__((visibility("default"))) Status* RegisterCustomOps(SessionOptions* options,
                                                                            const ApiBase* base) {
  api = base->get_api(VERSION);
  if (api == nullptr) return nullptr;  // older than VERSION: it runs the bundle's functions
  return guarded([&] {
    // One domain for all sessions: ONNX Runtime needs it as long as any of them lives.
    static Domain* domain = [] {
      Domain* made;
      check(call<Status*(const char*, Domain**)>(CREATE_DOMAIN, static_cast<const char*>("kronos"), &made));
      auto add = [&](const CustomOp& op) { check(call<Status*(Domain*, const CustomOp*)>(DOMAIN_ADD, made, &op)); };
      for (const CustomOp& op : OPERATORS) add(op);
      if (matrix_unit() != nullptr)
        for (const CustomOp& op : PRODUCTS) add(op);
      return made;
    }();
    check(call<Status*(SessionOptions*, Domain*)>(ADD_DOMAIN, options, domain));
  });
}

// The instruction set of the kernels that this processor runs: "amx", "avx512", "avx2" or "portable".
extern "C" __attribute__((visibility("default"))) const char* kronos_instruction_set() {
  return matrix_unit() != nullptr ? "amx" : kernels().instruction_set;
}
