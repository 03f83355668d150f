"""The bodies of the operators in `export.functions` other than attention, as nodes of ONNX Runtime's own."""

import numpy as np
from onnx import NodeProto, TensorProto, numpy_helper

from export.nodes import byte, constant, node, number, with_attributes


def product() -> list[NodeProto]:
    """Return x W for x (…, K) and W (K, N), float32.

    ONNX Runtime's own product, where the server has no kernel that is faster on its processor. The attribute
    `whole_steps` chooses between two such kernels and changes nothing here.
    """
    return [node("MatMul", ["x", "weight"], "out")]


def biased_product() -> list[NodeProto]:
    """Return x W + bias for x (…, K), W (K, N) and a bias (N,), float32."""
    return [node("MatMul", ["x", "weight"], "product"), node("Add", ["product", "bias"], "out")]


def round_rows() -> list[NodeProto]:
    """Return rows of x (…, K) rounded to 8 bits around 128, and the scale of each, (…, 1).

    The 8 bits are unsigned, since unsigned times signed is what the processors have instructions for. A row
    of zeros gives 128.
    """
    return [
        constant("last_axis", [-1]),
        number("step", 1 / 127),
        number("least", 1e-30),
        number("one", 1.0),
        byte("middle", 128),
        node("Abs", ["x"], "magnitude"),
        node("ReduceMax", ["magnitude", "last_axis"], "largest", keepdims=1),
        node("Mul", ["largest", "step"], "unbounded"),
        node("Max", ["unbounded", "least"], "scale"),
        node("Div", ["x", "scale"], "divided"),
        node("QuantizeLinear", ["divided", "one", "middle"], "rounded"),
    ]


def int8_product(domain: str, round_operator: str, *, biased: bool) -> list[NodeProto]:
    """Return x W for x (…, K) float32 and W (K, N) int8 with a scale of each column (N,): (…, N) float32.

    Every row of x is rounded to 8 bits with a scale of its own, so that it doesn't depend on other rows. A
    row of zeros gives zeros. A bias (N,) may be added.
    """
    unbiased = "scaled" if biased else "out"
    return [
        number("one", 1.0),
        byte("middle", 128),
        node(round_operator, ["x"], ["rounded", "scale"], domain),
        node(
            "MatMulIntegerToFloat",
            ["rounded", "weight", "one", "weight_scale", "middle"],
            "product",
            "com.microsoft",
        ),
        node("Mul", ["product", "scale"], unbiased),
        *([node("Add", [unbiased, "bias"], "out")] if biased else []),
    ]


def gated_unit() -> list[NodeProto]:
    """Return SwiGLU: of x (…, 2 F) the silu of its first half times its second half, (…, F)."""
    return [
        node("Split", ["x"], ["gate", "up"], axis=-1, num_outputs=2),
        node("QuickGelu", ["gate"], "activated", "com.microsoft", alpha=1.0),
        node("Mul", ["activated", "up"], "out"),
    ]


def add_and_norm() -> list[NodeProto]:
    """Return x + skip + bias, normalised by its root mean square and times a weight, and the sum itself."""
    inputs, outputs = ["x", "skip", "weight", "bias"], ["normed", "", "", "total"]
    norm = node("SkipSimplifiedLayerNormalization", inputs, outputs, "com.microsoft")
    return [with_attributes(norm, epsilon="epsilon")]


def sample() -> list[NodeProto]:
    """Return a token drawn of each row of logits, as `export.sampling.sample` describes it."""
    return [
        *(constant(name, [value]) for name, value in (("zero", 0), ("one", 1), ("last_axis", -1))),
        node("Constant", [], "by_token", value=numpy_helper.from_array(np.array(1, np.int64))),
        *(
            number(name, value)
            for name, value in (("zero_mass", 0.0), ("all_mass", 1.0), ("endless", np.inf))
        ),
        node("Shape", ["logits"], "size", start=1, end=2),
        node("Sub", ["size", "one"], "end"),
        node("Div", ["logits", "temperature"], "divided"),
        # The lower index wins ties.
        node("TopK", ["divided", "size"], ["values", "order"], axis=-1, largest=1, sorted=1),
        node("Softmax", ["values"], "probabilities", axis=-1),
        node("CumSum", ["probabilities", "by_token"], "cumulated"),
        # What is kept is always the first tokens in this order, so the last one's place says which.
        node("Max", ["top_k", "one"], "at_least_one"),
        node("Min", ["at_least_one", "size"], "k"),
        node("Sub", ["k", "one"], "k_place"),
        node("GatherElements", ["values", "k_place"], "kth", axis=1),
        node("GreaterOrEqual", ["values", "kth"], "by_rank_kept"),
        *_count("by_rank_kept", "by_rank_count"),
        node("Sub", ["by_rank_count", "one"], "by_rank"),
        # cumulated is the probability before the next token. A sum may round to a little above 1.
        node("GreaterOrEqual", ["top_p", "all_mass"], "all"),
        node("Where", ["all", "endless", "top_p"], "limit"),
        node("LessOrEqual", ["cumulated", "limit"], "by_mass_kept"),
        *_count("by_mass_kept", "by_mass_count"),
        node("Min", ["by_mass_count", "end"], "by_mass"),
        node("Greater", ["top_k", "zero"], "ranks"),
        node("Where", ["ranks", "by_rank", "by_mass"], "last"),
        node("GatherElements", ["cumulated", "last"], "mass", axis=1),
        node("Mul", ["uniform", "mass"], "wanted"),
        node("LessOrEqual", ["cumulated", "wanted"], "passed"),
        *_count("passed", "rank"),
        # Rounding may leave the mass that is wanted at the very end: stay within the tokens kept.
        node("Min", ["rank", "last"], "place"),
        node("GatherElements", ["order", "place"], "drawn", axis=1),
        node("GreaterOrEqual", ["mass", "zero_mass"], "is_number"),
        node("Where", ["is_number", "drawn", "last_axis"], "token"),
    ]


def _count(given: str, output: str) -> list[NodeProto]:
    """Count what is true in each row, (B, 1)."""
    return [
        node("Cast", [given], f"{given}_numbers", to=TensorProto.INT64),
        node("ReduceSum", [f"{given}_numbers", "last_axis"], output, keepdims=1),
    ]
