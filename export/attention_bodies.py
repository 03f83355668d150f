"""The bodies of the attention operators in `export.functions`, as nodes of ONNX Runtime's own operators."""

from dataclasses import dataclass
from typing import Any

from onnx import NodeProto, TensorProto

from export.nodes import constant, node, number, signed_byte, with_attributes

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
        *(constant(name, values) for name, values in (("zero", [0]), ("by_token", [2]), ("both", [0, 1]))),
        *_head_count(),
        constant("copied", [0, 0]),
        constant("rest", [-1]),
        constant("half", [sizes.head_dim // 2]),
        constant("by_angle", [1]),
        node("Concat", ["copied", "head_count", "rest"], "by_head_shape", axis=0),
        constant("flat_shape", [0, 0, -1]),
        node("Split", ["packed"], ["query_0", "key_0", "value"], axis=-1, num_outputs=3),
        *(node("Slice", [name, "zero", "half", "by_angle"], f"{name}_unpadded") for name in ("cos", "sin")),
        *(
            _rotated(f"{name}_0", name, position="zero", tables=("cos_unpadded", "sin_unpadded"))
            for name in ("query", "key")
        ),
    ]
    for name, given in (("q", "query"), ("k", "key"), ("v", "value")):
        nodes += [
            node("Reshape", [given, "by_head_shape"], f"{name}_split"),
            node("Transpose", [f"{name}_split"], name, perm=[0, 2, 1, 3]),
        ]
    blocks = range(-(-sizes.max_context // BLOCK))
    for block in blocks:
        first, last = block * BLOCK, (block + 1) * BLOCK
        nodes += [
            constant(f"first_{block}", [first]),
            constant(f"last_{block}", [last]),
            constant(f"corner_{block}", [first, 0]),
            constant(f"end_{block}", [last, last]),
            node("Slice", ["q", f"first_{block}", f"last_{block}", "by_token"], f"q_{block}"),
            node("Slice", ["mask", f"corner_{block}", f"end_{block}", "both"], f"mask_{block}"),
            node("Slice", ["k", "zero", f"last_{block}", "by_token"], f"k_{block}"),
            node("Slice", ["v", "zero", f"last_{block}", "by_token"], f"v_{block}"),
            _scores(f"q_{block}", f"k_{block}", f"scores_{block}"),
            node("Add", [f"scores_{block}", f"mask_{block}"], f"masked_{block}"),
            node("Softmax", [f"masked_{block}"], f"weights_{block}", axis=-1),
            node("MatMul", [f"weights_{block}", f"v_{block}"], f"out_{block}"),
        ]
    return [
        *nodes,
        node("Concat", [f"out_{block}" for block in blocks], "out_by_head", axis=2),
        node("Transpose", ["out_by_head"], "out_split", perm=[0, 2, 1, 3]),
        node("Reshape", ["out_split", "flat_shape"], "out"),
        *_history_cache("k", "key", sizes, eight_bits=eight_bits),
        *_history_cache("v", "value", sizes, eight_bits=eight_bits),
    ]


def _history_cache(given: str, name: str, sizes: Sizes, *, eight_bits: bool) -> list[NodeProto]:
    """Make keys or values (1, heads, S, head_dim) a cache: padded, and rounded where it is 8-bit."""
    half, padding = sizes.head_dim // 2, sizes.head_padding
    exact = f"{name}_filled" if eight_bits else f"present_{name}"
    if padding:
        nodes = [
            constant(f"{name}_halves_shape", [0, 0, 0, 2, half]),
            constant(f"{name}_joined_shape", [0, 0, 0, -1]),
            constant(f"{name}_pads", [0] * 9 + [padding]),
            node("Reshape", [given, f"{name}_halves_shape"], f"{name}_halves"),
            node("Pad", [f"{name}_halves", f"{name}_pads"], f"{name}_padded_halves"),
            node("Reshape", [f"{name}_padded_halves", f"{name}_joined_shape"], exact),
        ]
    else:
        nodes = [node("Identity", [given], exact)]
    if not eight_bits:
        return nodes
    return [
        *nodes,
        constant(f"{name}_head_dim", [2 * (half + padding)]),
        node("Concat", ["head_count", "one_number", f"{name}_head_dim"], f"{name}_scale_shape", axis=0),
        node("Reshape", [f"{name}_scale", f"{name}_scale_shape"], f"{name}_steps"),
        node("Div", [exact, f"{name}_steps"], f"{name}_numbers"),
        number(f"{name}_one", 1.0),
        signed_byte(f"{name}_middle", 0),
        node("QuantizeLinear", [f"{name}_numbers", f"{name}_one", f"{name}_middle"], f"present_{name}"),
    ]


def step_attention(sizes: Sizes, *, eight_bits: bool) -> list[NodeProto]:
    """Return attention of new tokens over a cache of each row, to which they are appended."""
    inputs = ["padded", "", "", "past_key", "past_value", "seqlens_k", "total", "cos", "sin"]
    outputs = ["out_padded", *_ATTENDED[1:]]
    attention = _group_query_attention(inputs, outputs, eight_bits=eight_bits, rotates=True)
    return [*_pad_heads("packed", "padded", sizes), attention, *_unpad_heads("out_padded", "out", sizes)]


def prefix_attention(sizes: Sizes, *, eight_bits: bool) -> list[NodeProto]:
    """Return attention of new tokens behind prefixes (J, heads, P, head_dim) that rows share.

    The scales of 8-bit prefixes are multiplied with the queries and with the sums of values.
    """
    return [
        *_pad_heads("packed", "padded", sizes),
        node("Split", ["padded"], ["q_0", "k_0", "v"], axis=-1, num_outputs=3),
        *(_rotated(f"{name}_0", name) for name in ("q", "k")),
        *_behind_prefix("out_padded", eight_bits=eight_bits),
        *_unpad_heads("out_padded", "out", sizes),
    ]


def dependency_attention() -> list[NodeProto]:
    """Return attention behind shared prefixes as `prefix_attention` does, without rotation or padding."""
    return [
        node("Split", ["packed"], ["q", "k", "v"], axis=-1, num_outputs=3),
        *_behind_prefix("out", eight_bits=False),
    ]


def _behind_prefix(output: str, *, eight_bits: bool) -> list[NodeProto]:
    """Return attention of q (B, S, heads * head_dim) over prefixes and over each row's own tokens.

    The queries of a history's rows meet its keys in one product, which reads the prefix once instead of once
    per row; each row's own tokens go through GroupQueryAttention. Two softmaxes over disjoint keys are one
    softmax if each is weighed by its exponentiated log-sum (Dao et al. 2022).
    """
    own_inputs = ["q", "k", "v", "past_key", "past_value", "seqlens_k", "total"]
    own_outputs = ["own", "present_key", "present_value", "own_scores"]
    return [
        _group_query_attention(own_inputs, own_outputs, eight_bits=eight_bits, rotates=False),
        node("Shape", ["prefix_key"], "histories", start=0, end=1),
        node("Shape", ["prefix_key"], "head_count", start=1, end=2),
        node("Shape", ["prefix_key"], "head_dim", start=3, end=4),
        constant("rest", [-1]),
        constant("copied", [0, 0]),
        constant("last_axis", [-1]),
        constant("flat_shape", [0, 0, -1]),
        node("Concat", ["histories", "rest", "head_count", "head_dim"], "by_history", axis=0),
        node("Concat", ["copied", "head_count", "head_dim"], "by_head", axis=0),
        node("Reshape", ["q", "by_history"], "q_split"),
        node("Transpose", ["q_split"], "q_by_head", perm=[0, 2, 1, 3]),
        *_prefix_products(eight_bits=eight_bits),
        node("Transpose", ["shared_by_head"], "shared_split", perm=[0, 2, 1, 3]),
        # The largest weight is exp(largest score - log-sum) and at least 1/P: no underflow.
        node("ReduceMax", ["scores", "last_axis"], "largest_score", keepdims=0),
        node("ReduceMax", ["weights", "last_axis"], "largest_weight", keepdims=0),
        node("Log", ["largest_weight"], "largest_log"),
        node("Sub", ["largest_score", "largest_log"], "log_sum_by_head"),
        node("Transpose", ["log_sum_by_head"], "log_sum_split", perm=[0, 2, 1]),
        node("Add", ["own_scores", "mask"], "own_masked"),
        node("ReduceLogSumExp", ["own_masked", "last_axis"], "own_log_sum_by_head", keepdims=0),
        node("Transpose", ["own_log_sum_by_head"], "own_log_sum", perm=[0, 2, 1]),
        node("Shape", ["own_log_sum"], "sums_shape"),
        node("Reshape", ["log_sum_split", "sums_shape"], "log_sum"),
        node("Sub", ["own_log_sum", "log_sum"], "difference"),
        node("Sigmoid", ["difference"], "share_flat"),
        node("Unsqueeze", ["share_flat", "last_axis"], "share"),
        node("Reshape", ["own", "by_head"], "own_split"),
        node("Shape", ["own_split"], "rows_shape"),
        node("Reshape", ["shared_split", "rows_shape"], "shared"),
        node("Sub", ["own_split", "shared"], "apart"),
        node("Mul", ["share", "apart"], "own_part"),
        node("Add", ["shared", "own_part"], "out_split"),
        node("Reshape", ["out_split", "flat_shape"], output),
    ]


def _pad_heads(given: str, output: str, sizes: Sizes) -> list[NodeProto]:
    """Put zeros behind each half of every head in the last axis."""
    if not sizes.head_padding:
        return [node("Identity", [given], output)]
    return [
        constant("halves_shape", [0, 0, -1, sizes.head_dim // 2]),
        constant("joined_shape", [0, 0, -1]),
        constant("pads", [0, 0, 0, 0, 0, 0, 0, sizes.head_padding]),
        node("Reshape", [given, "halves_shape"], f"{given}_halves"),
        node("Pad", [f"{given}_halves", "pads"], f"{given}_filled"),
        node("Reshape", [f"{given}_filled", "joined_shape"], output),
    ]


def _unpad_heads(given: str, output: str, sizes: Sizes) -> list[NodeProto]:
    """Take out of the last axis what `_pad_heads` put into it."""
    if not sizes.head_padding:
        return [node("Identity", [given], output)]
    half = sizes.head_dim // 2
    return [
        constant("padded_shape", [0, 0, -1, half + sizes.head_padding]),
        constant("unpadded_shape", [0, 0, -1]),
        *(constant(name, [value]) for name, value in (("begin", 0), ("end", half), ("halves_axis", 3))),
        node("Reshape", [given, "padded_shape"], f"{given}_halves"),
        node("Slice", [f"{given}_halves", "begin", "end", "halves_axis"], f"{given}_cut"),
        node("Reshape", [f"{given}_cut", "unpadded_shape"], output),
    ]


def _prefix_products(*, eight_bits: bool) -> list[NodeProto]:
    if not eight_bits:
        return [
            _scores("q_by_head", "prefix_key", "scores"),
            node("Softmax", ["scores"], "weights", axis=-1),
            node("MatMul", ["weights", "prefix_value"], "shared_by_head"),
        ]
    by_head = node("Concat", ["head_count", "one_number", "head_dim"], "scales_by_head", axis=0)
    scales = [
        node("Reshape", [f"{name}_scale", "scales_by_head"], f"{name}_steps") for name in ("key", "value")
    ]
    return [
        constant("one_number", [1]),
        by_head,
        *scales,
        node("Mul", ["q_by_head", "key_steps"], "q_scaled"),
        node("Cast", ["prefix_key"], "prefix_key_numbers", to=TensorProto.FLOAT),
        node("Cast", ["prefix_value"], "prefix_value_numbers", to=TensorProto.FLOAT),
        _scores("q_scaled", "prefix_key_numbers", "scores"),
        node("Softmax", ["scores"], "weights", axis=-1),
        node("MatMul", ["weights", "prefix_value_numbers"], "shared_steps"),
        node("Mul", ["shared_steps", "value_steps"], "shared_by_head"),
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
    attention = node("GroupQueryAttention", inputs, outputs, "com.microsoft", **attributes)
    return with_attributes(attention, num_heads="heads", kv_num_heads="heads", scale="scale")


def _rotated(
    given: str, output: str, position: str = "position", tables: tuple[str, str] = ("cos", "sin")
) -> NodeProto:
    inputs = [given, position, *tables]
    rotation = node("RotaryEmbedding", inputs, output, "com.microsoft", interleaved=0)
    return with_attributes(rotation, num_heads="heads")


def _scores(query: str, key: str, output: str) -> NodeProto:
    product = node("FusedMatMul", [query, key], output, "com.microsoft", transB=1)
    return with_attributes(product, alpha="scale")


def _head_count() -> list[NodeProto]:
    return [
        with_attributes(node("Constant", [], "heads_scalar"), value_int="heads"),
        constant("one_number", [1]),
        node("Reshape", ["heads_scalar", "one_number"], "head_count"),
    ]
