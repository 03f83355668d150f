"""Operators of the exported graphs that are functions of others; ONNX Runtime puts their bodies in place."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx
from onnx import FunctionProto, ModelProto, NodeProto, helper, numpy_helper


@dataclass(frozen=True)
class Operator:
    """The name of a function, and its domain."""

    domain: str
    name: str


DOMAIN = "kronos"
CAUSAL_ATTENTION = Operator(DOMAIN, "CausalAttention")
INT8_PRODUCT = Operator(DOMAIN, "Int8Product")

# Queries whose attention is computed at once: of 64, 128 and 256 this was the fastest at 392 and 512 tokens.
BLOCK = 128


def add_functions(model: ModelProto, max_context: int) -> None:
    """Add to a model the bodies of the operators that its nodes name."""
    used = {node.op_type for node in model.graph.node if node.domain == DOMAIN}
    bodies = {
        CAUSAL_ATTENTION.name: lambda opsets: _causal_attention(max_context, opsets),
        INT8_PRODUCT.name: _int8_product,
    }
    opsets = [opset for opset in model.opset_import if opset.domain != DOMAIN]
    if not any(opset.domain == "com.microsoft" for opset in opsets):
        opsets.append(helper.make_opsetid("com.microsoft", 1))
    model.functions.extend(bodies[name](opsets) for name in sorted(used))
    del model.opset_import[:]
    model.opset_import.extend([*opsets, helper.make_opsetid(DOMAIN, 1)])


def _causal_attention(max_context: int, opsets: list[onnx.OperatorSetIdProto]) -> FunctionProto:
    """softmax(scale · q kᵀ + mask) v, all (1, heads, S, head_dim), mask (S, S); a block of queries at a time.

    A block gets the keys up to its own last one. Blocks beyond S have no rows.
    """
    nodes = [_constant("zero", [0]), _constant("by_token", [2]), _constant("both", [0, 1])]
    blocks = range(-(-max_context // BLOCK))
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
            _scores(block),
            _node("Add", [f"scores_{block}", f"mask_{block}"], f"masked_{block}"),
            _node("Softmax", [f"masked_{block}"], f"weights_{block}", axis=-1),
            _node("MatMul", [f"weights_{block}", f"v_{block}"], f"out_{block}"),
        ]
    nodes.append(_node("Concat", [f"out_{block}" for block in blocks], "out", axis=2))
    operator = CAUSAL_ATTENTION
    return helper.make_function(
        operator.domain, operator.name, ["q", "k", "v", "mask"], ["out"], nodes, opsets, attributes=["scale"]
    )


def _scores(block: int) -> NodeProto:
    node = _node("FusedMatMul", [f"q_{block}", f"k_{block}"], f"scores_{block}", "com.microsoft", transB=1)
    scale = node.attribute.add()
    scale.name, scale.ref_attr_name, scale.type = "alpha", "scale", onnx.AttributeProto.FLOAT
    return node


def _int8_product(opsets: list[onnx.OperatorSetIdProto]) -> FunctionProto:
    """x W for x (…, K) float32 and W (K, N) int8 with a scale of each column (N,): (…, N) float32.

    Every row of x is rounded to 8 bits with a scale of its own, so that it doesn't depend on other rows. The
    8 bits are unsigned around 128, since unsigned times signed is what the processors have instructions for.
    A row of zeros gives zeros.
    """
    nodes = [
        _constant("last_axis", [-1]),
        _number("step", 1 / 127),
        _number("least", 1e-30),
        _number("one", 1.0),
        _node("Constant", [], "middle", value=numpy_helper.from_array(np.array(128, np.uint8))),
        _node("Abs", ["x"], "magnitude"),
        _node("ReduceMax", ["magnitude", "last_axis"], "largest", keepdims=1),
        _node("Mul", ["largest", "step"], "unbounded"),
        _node("Max", ["unbounded", "least"], "scale"),
        _node("Div", ["x", "scale"], "divided"),
        _node("QuantizeLinear", ["divided", "one", "middle"], "rounded"),
        _node(
            "MatMulIntegerToFloat",
            ["rounded", "weight", "one", "weight_scale", "middle"],
            "product",
            "com.microsoft",
        ),
        _node("Mul", ["product", "scale"], "out"),
    ]
    operator = INT8_PRODUCT
    return helper.make_function(
        operator.domain, operator.name, ["x", "weight", "weight_scale"], ["out"], nodes, opsets
    )


def _node(kind: str, inputs: list[str], output: str, domain: str = "", **attributes: Any) -> NodeProto:
    return helper.make_node(kind, inputs, [output], domain=domain, **attributes)


def _constant(name: str, values: list[int]) -> NodeProto:
    return _node("Constant", [], name, value=numpy_helper.from_array(np.array(values, np.int64)))


def _number(name: str, value: float) -> NodeProto:
    return _node("Constant", [], name, value=numpy_helper.from_array(np.array(value, np.float32)))
