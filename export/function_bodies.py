"""The bodies of the operators in `export.functions`, as nodes of ONNX's and ONNX Runtime's own operators."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from onnx import AttributeProto, NodeProto, TensorProto, helper, numpy_helper

# Queries whose attention is computed at once: of 64, 128 and 256 this was the fastest at 392 and 512 tokens.
BLOCK = 128


@dataclass(frozen=True)
class Sizes:
    """Sizes of the decoder that bodies depend on.

    Attributes
    ----------
    max_context
        Tokens of the longest history.
    head_dim, head_padding
        Columns of a head, and those behind each of its halves that only caches have.
    """

    max_context: int
    head_dim: int
    head_padding: int = 0


QK_BEFORE_SOFTMAX = 1  # GroupQueryAttention's fourth output: the scaled scores


def history_attention(sizes: Sizes, *, eight_bits: bool) -> list[NodeProto]:
    """Return causal attention of a history over itself, and its keys and values as caches.

    A block of queries gets the keys up to its own last one, which is faster than GroupQueryAttention: that
    one computes every score and hides half of them. Blocks beyond S have no rows. The products are those of
    unpadded heads and exact numbers; the caches have the padding, and 8-bit ones are rounded.
    """
    nodes = [
        *(_constant(name, values) for name, values in (("zero", [0]), ("by_token", [2]), ("both", [0, 1]))),
        *_head_count(),
        _constant("copied", [0, 0]),
        _constant("rest", [-1]),
        _constant("half", [sizes.head_dim // 2]),
        _constant("by_angle", [1]),
        _node("Concat", ["copied", "head_count", "rest"], "by_head_shape", axis=0),
        _constant("flat_shape", [0, 0, -1]),
        _node("Split", ["packed"], ["query_0", "key_0", "value"], axis=-1, num_outputs=3),
        *(_node("Slice", [name, "zero", "half", "by_angle"], f"{name}_unpadded") for name in ("cos", "sin")),
        *(
            _rotated(f"{name}_0", name, position="zero", tables=("cos_unpadded", "sin_unpadded"))
            for name in ("query", "key")
        ),
    ]
    for name, given in (("q", "query"), ("k", "key"), ("v", "value")):
        nodes += [
            _node("Reshape", [given, "by_head_shape"], f"{name}_split"),
            _node("Transpose", [f"{name}_split"], name, perm=[0, 2, 1, 3]),
        ]
    blocks = range(-(-sizes.max_context // BLOCK))
    for block in blocks:
        first, last = block * BLOCK, (block + 1) * BLOCK
        nodes += [
            _constant(f"first_{block}", [first]),
            _constant(f"last_{block}", [last]),
            _constant(f"corner_{block}", [first, 0]),
            _constant(f"end_{block}", [last, last]),
            _node("Slice", ["q", f"first_{block}", f"last_{block}", "by_token"], f"q_{block}"),
            _node("Slice", ["mask", f"corner_{block}", f"end_{block}", "both"], f"mask_{block}"),
            _node("Slice", ["k", "zero", f"last_{block}", "by_token"], f"k_{block}"),
            _node("Slice", ["v", "zero", f"last_{block}", "by_token"], f"v_{block}"),
            _scores(f"q_{block}", f"k_{block}", f"scores_{block}"),
            _node("Add", [f"scores_{block}", f"mask_{block}"], f"masked_{block}"),
            _node("Softmax", [f"masked_{block}"], f"weights_{block}", axis=-1),
            _node("MatMul", [f"weights_{block}", f"v_{block}"], f"out_{block}"),
        ]
    return [
        *nodes,
        _node("Concat", [f"out_{block}" for block in blocks], "out_by_head", axis=2),
        _node("Transpose", ["out_by_head"], "out_split", perm=[0, 2, 1, 3]),
        _node("Reshape", ["out_split", "flat_shape"], "out"),
        *_history_cache("k", "key", sizes, eight_bits=eight_bits),
        *_history_cache("v", "value", sizes, eight_bits=eight_bits),
    ]


def _history_cache(given: str, name: str, sizes: Sizes, *, eight_bits: bool) -> list[NodeProto]:
    """Make keys or values (1, heads, S, head_dim) a cache: padded, and rounded where it is 8-bit."""
    half, padding = sizes.head_dim // 2, sizes.head_padding
    exact = f"{name}_filled" if eight_bits else f"present_{name}"
    if padding:
        nodes = [
            _constant(f"{name}_halves_shape", [0, 0, 0, 2, half]),
            _constant(f"{name}_joined_shape", [0, 0, 0, -1]),
            _constant(f"{name}_pads", [0] * 9 + [padding]),
            _node("Reshape", [given, f"{name}_halves_shape"], f"{name}_halves"),
            _node("Pad", [f"{name}_halves", f"{name}_pads"], f"{name}_padded_halves"),
            _node("Reshape", [f"{name}_padded_halves", f"{name}_joined_shape"], exact),
        ]
    else:
        nodes = [_node("Identity", [given], exact)]
    if not eight_bits:
        return nodes
    return [
        *nodes,
        _constant(f"{name}_head_dim", [2 * (half + padding)]),
        _node("Concat", ["head_count", "one_number", f"{name}_head_dim"], f"{name}_scale_shape", axis=0),
        _node("Reshape", [f"{name}_scale", f"{name}_scale_shape"], f"{name}_steps"),
        _node("Div", [exact, f"{name}_steps"], f"{name}_numbers"),
        _number(f"{name}_one", 1.0),
        _signed_byte(f"{name}_middle", 0),
        _node("QuantizeLinear", [f"{name}_numbers", f"{name}_one", f"{name}_middle"], f"present_{name}"),
    ]


def step_attention(sizes: Sizes, *, eight_bits: bool) -> list[NodeProto]:
    """Return attention of new tokens over a cache of each row, to which they are appended."""
    inputs = ["padded", "", "", "past_key", "past_value", "seqlens_k", "total", "cos", "sin"]
    outputs = ["out_padded", *_ATTENDED[1:]]
    attention = _group_query_attention(inputs, outputs, eight_bits=eight_bits, rotates=True)
    return [*_pad_heads("packed", "padded", sizes), attention, *_unpad_heads("out_padded", "out", sizes)]


def prefix_attention(sizes: Sizes, *, eight_bits: bool) -> list[NodeProto]:
    """Return attention of new tokens behind prefixes (J, heads, P, head_dim) that rows share.

    The queries of a history's rows meet its keys in one product, which reads the prefix once instead of once
    per row; each row's own tokens go through GroupQueryAttention. Two softmaxes over disjoint keys are one
    softmax if each is weighed by its exponentiated log-sum (Dao et al. 2022).

    The scales of 8-bit prefixes are multiplied with the queries and with the sums of values.
    """
    own_inputs = ["q", "k", "v", "past_key", "past_value", "seqlens_k", "total"]
    own_outputs = ["own", "present_key", "present_value", "own_scores"]
    return [
        *_pad_heads("packed", "padded", sizes),
        _node("Split", ["padded"], ["q_0", "k_0", "v"], axis=-1, num_outputs=3),
        *(_rotated(f"{name}_0", name) for name in ("q", "k")),
        _group_query_attention(own_inputs, own_outputs, eight_bits=eight_bits, rotates=False),
        _node("Shape", ["prefix_key"], "histories", start=0, end=1),
        _node("Shape", ["prefix_key"], "head_count", start=1, end=2),
        _node("Shape", ["prefix_key"], "head_dim", start=3, end=4),
        _constant("rest", [-1]),
        _constant("copied", [0, 0]),
        _constant("last_axis", [-1]),
        _constant("flat_shape", [0, 0, -1]),
        _node("Concat", ["histories", "rest", "head_count", "head_dim"], "by_history", axis=0),
        _node("Concat", ["copied", "head_count", "head_dim"], "by_head", axis=0),
        _node("Reshape", ["q", "by_history"], "q_split"),
        _node("Transpose", ["q_split"], "q_by_head", perm=[0, 2, 1, 3]),
        *_prefix_products(eight_bits=eight_bits),
        _node("Transpose", ["shared_by_head"], "shared_split", perm=[0, 2, 1, 3]),
        # The largest weight is exp(largest score - log-sum) and at least 1/P: no underflow.
        _node("ReduceMax", ["scores", "last_axis"], "largest_score", keepdims=0),
        _node("ReduceMax", ["weights", "last_axis"], "largest_weight", keepdims=0),
        _node("Log", ["largest_weight"], "largest_log"),
        _node("Sub", ["largest_score", "largest_log"], "log_sum_by_head"),
        _node("Transpose", ["log_sum_by_head"], "log_sum_split", perm=[0, 2, 1]),
        _node("Add", ["own_scores", "mask"], "own_masked"),
        _node("ReduceLogSumExp", ["own_masked", "last_axis"], "own_log_sum_by_head", keepdims=0),
        _node("Transpose", ["own_log_sum_by_head"], "own_log_sum", perm=[0, 2, 1]),
        _node("Shape", ["own_log_sum"], "sums_shape"),
        _node("Reshape", ["log_sum_split", "sums_shape"], "log_sum"),
        _node("Sub", ["own_log_sum", "log_sum"], "difference"),
        _node("Sigmoid", ["difference"], "share_flat"),
        _node("Unsqueeze", ["share_flat", "last_axis"], "share"),
        _node("Reshape", ["own", "by_head"], "own_split"),
        _node("Shape", ["own_split"], "rows_shape"),
        _node("Reshape", ["shared_split", "rows_shape"], "shared"),
        _node("Sub", ["own_split", "shared"], "apart"),
        _node("Mul", ["share", "apart"], "own_part"),
        _node("Add", ["shared", "own_part"], "out_split"),
        _node("Reshape", ["out_split", "flat_shape"], "out_padded"),
        *_unpad_heads("out_padded", "out", sizes),
    ]


def _pad_heads(given: str, output: str, sizes: Sizes) -> list[NodeProto]:
    """Put zeros behind each half of every head in the last axis."""
    if not sizes.head_padding:
        return [_node("Identity", [given], output)]
    return [
        _constant("halves_shape", [0, 0, -1, sizes.head_dim // 2]),
        _constant("joined_shape", [0, 0, -1]),
        _constant("pads", [0, 0, 0, 0, 0, 0, 0, sizes.head_padding]),
        _node("Reshape", [given, "halves_shape"], f"{given}_halves"),
        _node("Pad", [f"{given}_halves", "pads"], f"{given}_filled"),
        _node("Reshape", [f"{given}_filled", "joined_shape"], output),
    ]


def _unpad_heads(given: str, output: str, sizes: Sizes) -> list[NodeProto]:
    """Take out of the last axis what `_pad_heads` put into it."""
    if not sizes.head_padding:
        return [_node("Identity", [given], output)]
    half = sizes.head_dim // 2
    return [
        _constant("padded_shape", [0, 0, -1, half + sizes.head_padding]),
        _constant("unpadded_shape", [0, 0, -1]),
        *(_constant(name, [value]) for name, value in (("begin", 0), ("end", half), ("halves_axis", 3))),
        _node("Reshape", [given, "padded_shape"], f"{given}_halves"),
        _node("Slice", [f"{given}_halves", "begin", "end", "halves_axis"], f"{given}_cut"),
        _node("Reshape", [f"{given}_cut", "unpadded_shape"], output),
    ]


def _prefix_products(*, eight_bits: bool) -> list[NodeProto]:
    if not eight_bits:
        return [
            _scores("q_by_head", "prefix_key", "scores"),
            _node("Softmax", ["scores"], "weights", axis=-1),
            _node("MatMul", ["weights", "prefix_value"], "shared_by_head"),
        ]
    by_head = _node("Concat", ["head_count", "one_number", "head_dim"], "scales_by_head", axis=0)
    scales = [
        _node("Reshape", [f"{name}_scale", "scales_by_head"], f"{name}_steps") for name in ("key", "value")
    ]
    return [
        _constant("one_number", [1]),
        by_head,
        *scales,
        _node("Mul", ["q_by_head", "key_steps"], "q_scaled"),
        _node("Cast", ["prefix_key"], "prefix_key_numbers", to=TensorProto.FLOAT),
        _node("Cast", ["prefix_value"], "prefix_value_numbers", to=TensorProto.FLOAT),
        _scores("q_scaled", "prefix_key_numbers", "scores"),
        _node("Softmax", ["scores"], "weights", axis=-1),
        _node("MatMul", ["weights", "prefix_value_numbers"], "shared_steps"),
        _node("Mul", ["shared_steps", "value_steps"], "shared_by_head"),
    ]


def product() -> list[NodeProto]:
    """Return x W for x (…, K) and W (K, N), float32.

    ONNX Runtime's own product, where the server has no kernel that is faster on its processor. The attribute
    `whole_steps` chooses between two such kernels and changes nothing here.
    """
    return [_node("MatMul", ["x", "weight"], "out")]


def biased_product() -> list[NodeProto]:
    """Return x W + bias for x (…, K), W (K, N) and a bias (N,), float32."""
    return [_node("MatMul", ["x", "weight"], "product"), _node("Add", ["product", "bias"], "out")]


def round_rows() -> list[NodeProto]:
    """Return rows of x (…, K) rounded to 8 bits around 128, and the scale of each, (…, 1).

    The 8 bits are unsigned, since unsigned times signed is what the processors have instructions for. A row
    of zeros gives 128.
    """
    return [
        _constant("last_axis", [-1]),
        _number("step", 1 / 127),
        _number("least", 1e-30),
        _number("one", 1.0),
        _byte("middle", 128),
        _node("Abs", ["x"], "magnitude"),
        _node("ReduceMax", ["magnitude", "last_axis"], "largest", keepdims=1),
        _node("Mul", ["largest", "step"], "unbounded"),
        _node("Max", ["unbounded", "least"], "scale"),
        _node("Div", ["x", "scale"], "divided"),
        _node("QuantizeLinear", ["divided", "one", "middle"], "rounded"),
    ]


def int8_product(domain: str, round_operator: str, *, biased: bool) -> list[NodeProto]:
    """Return x W for x (…, K) float32 and W (K, N) int8 with a scale of each column (N,): (…, N) float32.

    Every row of x is rounded to 8 bits with a scale of its own, so that it doesn't depend on other rows. A
    row of zeros gives zeros. A bias (N,) may be added.
    """
    unbiased = "scaled" if biased else "out"
    return [
        _number("one", 1.0),
        _byte("middle", 128),
        _node(round_operator, ["x"], ["rounded", "scale"], domain),
        _node(
            "MatMulIntegerToFloat",
            ["rounded", "weight", "one", "weight_scale", "middle"],
            "product",
            "com.microsoft",
        ),
        _node("Mul", ["product", "scale"], unbiased),
        *([_node("Add", [unbiased, "bias"], "out")] if biased else []),
    ]


def gated_unit() -> list[NodeProto]:
    """Return SwiGLU: of x (…, 2 F) the silu of its first half times its second half, (…, F)."""
    return [
        _node("Split", ["x"], ["gate", "up"], axis=-1, num_outputs=2),
        _node("QuickGelu", ["gate"], "activated", "com.microsoft", alpha=1.0),
        _node("Mul", ["activated", "up"], "out"),
    ]


def add_and_norm() -> list[NodeProto]:
    """Return x + skip + bias, normalised by its root mean square and times a weight, and the sum itself."""
    inputs, outputs = ["x", "skip", "weight", "bias"], ["normed", "", "", "total"]
    node = _node("SkipSimplifiedLayerNormalization", inputs, outputs, "com.microsoft")
    return [_with(node, epsilon="epsilon")]


def sample() -> list[NodeProto]:
    """Return a token drawn of each row of logits, as `export.sampling.sample` describes it."""
    return [
        *(_constant(name, [value]) for name, value in (("zero", 0), ("one", 1), ("last_axis", -1))),
        _node("Constant", [], "by_token", value=numpy_helper.from_array(np.array(1, np.int64))),
        *(
            _number(name, value)
            for name, value in (("zero_mass", 0.0), ("all_mass", 1.0), ("endless", np.inf))
        ),
        _node("Shape", ["logits"], "size", start=1, end=2),
        _node("Sub", ["size", "one"], "end"),
        _node("Div", ["logits", "temperature"], "divided"),
        # The lower index wins ties.
        _node("TopK", ["divided", "size"], ["values", "order"], axis=-1, largest=1, sorted=1),
        _node("Softmax", ["values"], "probabilities", axis=-1),
        _node("CumSum", ["probabilities", "by_token"], "cumulated"),
        # What is kept is always the first tokens in this order, so the last one's place says which.
        _node("Max", ["top_k", "one"], "at_least_one"),
        _node("Min", ["at_least_one", "size"], "k"),
        _node("Sub", ["k", "one"], "k_place"),
        _node("GatherElements", ["values", "k_place"], "kth", axis=1),
        _node("GreaterOrEqual", ["values", "kth"], "by_rank_kept"),
        *_count("by_rank_kept", "by_rank_count"),
        _node("Sub", ["by_rank_count", "one"], "by_rank"),
        # cumulated is the probability before the next token. A sum may round to a little above 1.
        _node("GreaterOrEqual", ["top_p", "all_mass"], "all"),
        _node("Where", ["all", "endless", "top_p"], "limit"),
        _node("LessOrEqual", ["cumulated", "limit"], "by_mass_kept"),
        *_count("by_mass_kept", "by_mass_count"),
        _node("Min", ["by_mass_count", "end"], "by_mass"),
        _node("Greater", ["top_k", "zero"], "ranks"),
        _node("Where", ["ranks", "by_rank", "by_mass"], "last"),
        _node("GatherElements", ["cumulated", "last"], "mass", axis=1),
        _node("Mul", ["uniform", "mass"], "wanted"),
        _node("LessOrEqual", ["cumulated", "wanted"], "passed"),
        *_count("passed", "rank"),
        # Rounding may leave the mass that is wanted at the very end: stay within the tokens kept.
        _node("Min", ["rank", "last"], "place"),
        _node("GatherElements", ["order", "place"], "drawn", axis=1),
        _node("GreaterOrEqual", ["mass", "zero_mass"], "is_number"),
        _node("Where", ["is_number", "drawn", "last_axis"], "token"),
    ]


def _count(given: str, output: str) -> list[NodeProto]:
    """Count what is true in each row, (B, 1)."""
    return [
        _node("Cast", [given], f"{given}_numbers", to=TensorProto.INT64),
        _node("ReduceSum", [f"{given}_numbers", "last_axis"], output, keepdims=1),
    ]


_ATTENDED = ["out", "present_key", "present_value"]


def _group_query_attention(
    inputs: list[str], outputs: list[str], *, eight_bits: bool, rotates: bool
) -> NodeProto:
    attributes: dict[str, Any] = {"do_rotary": int(rotates)}
    if len(outputs) > len(_ATTENDED):
        attributes["qk_output"] = QK_BEFORE_SOFTMAX
    if eight_bits:
        inputs = [*inputs, *[""] * (12 - len(inputs)), "key_scale", "value_scale"]
        attributes |= {
            "kv_cache_bit_width": 8,
            "k_quant_type": "PER_CHANNEL",
            "v_quant_type": "PER_CHANNEL",
        }
    node = _node("GroupQueryAttention", inputs, outputs, "com.microsoft", **attributes)
    return _with(node, num_heads="heads", kv_num_heads="heads", scale="scale")


def _rotated(
    given: str, output: str, position: str = "position", tables: tuple[str, str] = ("cos", "sin")
) -> NodeProto:
    inputs = [given, position, *tables]
    return _with(_node("RotaryEmbedding", inputs, output, "com.microsoft", interleaved=0), num_heads="heads")


def _scores(query: str, key: str, output: str) -> NodeProto:
    return _with(_node("FusedMatMul", [query, key], output, "com.microsoft", transB=1), alpha="scale")


def _head_count() -> list[NodeProto]:
    return [
        _with(_node("Constant", [], "heads_scalar"), value_int="heads"),
        _constant("one_number", [1]),
        _node("Reshape", ["heads_scalar", "one_number"], "head_count"),
    ]


_INTEGERS = ("num_heads", "kv_num_heads", "value_int")


def _with(node: NodeProto, **attributes: str) -> NodeProto:
    """Let attributes of a node be attributes of the function."""
    for name, of_function in attributes.items():
        attribute = node.attribute.add()
        attribute.name, attribute.ref_attr_name = name, of_function
        attribute.type = AttributeProto.INT if name in _INTEGERS else AttributeProto.FLOAT
    return node


def _node(
    kind: str, inputs: list[str], outputs: str | list[str], domain: str = "", **attributes: Any
) -> NodeProto:
    outputs = [outputs] if isinstance(outputs, str) else outputs
    return helper.make_node(kind, inputs, outputs, domain=domain, **attributes)


def _constant(name: str, values: list[int]) -> NodeProto:
    return _node("Constant", [], name, value=numpy_helper.from_array(np.array(values, np.int64)))


def _number(name: str, value: float) -> NodeProto:
    return _node("Constant", [], name, value=numpy_helper.from_array(np.array(value, np.float32)))


def _signed_byte(name: str, value: int) -> NodeProto:
    return _node("Constant", [], name, value=numpy_helper.from_array(np.array(value, np.int8)))


def _byte(name: str, value: int) -> NodeProto:
    return _node("Constant", [], name, value=numpy_helper.from_array(np.array(value, np.uint8)))
