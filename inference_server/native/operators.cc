// Operators of the exported graphs as kernels of ONNX Runtime, in the domain "kronos".
//
// A bundle has the body of each operator as a function of ONNX's own operators. ONNX Runtime takes a registered
// operator in its place, so a bundle runs with this library and without it.
#include "attention_operators.h"
#include "product_operators.h"
#include "row_operators.h"
#include "vector_products.h"

namespace {

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
    described<HistoryAttention<float>>(), described<HistoryAttention<int8_t>>(),
    described<RoundRows>(), described<GatedUnit>(), described<Sample>(), described<AddAndNorm>(),
    described<StepAttention<float>>(),   described<StepAttention<int8_t>>(),
    described<PrefixAttention<float>>(), described<PrefixAttention<int8_t>>(),
    described<DependencyAttention>(),
};

// Elsewhere ONNX Runtime's own products are faster than ours would be.
const CustomOp PRODUCTS[] = {described<Product<false>>(), described<Product<true>>(), described<Int8Product<false>>(),
                             described<Int8Product<true>>()};

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
      if (weight_products() != nullptr)
        for (const CustomOp& op : PRODUCTS) add(op);
      return made;
    }();
    check(call<Status*(SessionOptions*, Domain*)>(ADD_DOMAIN, options, domain));
  });
}

// What the kernels use of this processor: "amx", "avx512_vnni", "avx512", "avx2" or "portable".
extern "C" __attribute__((visibility("default"))) const char* kronos_instruction_set() {
  if (matrix_unit() != nullptr) return "amx";
  return vector_products() != nullptr ? "avx512_vnni" : kernels().instruction_set;
}
