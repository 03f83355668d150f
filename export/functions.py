"""Operators of the exported graphs that are functions of others, which ONNX Runtime puts in place.

The server has kernels of its own for most of them (`inference_server/native`). Where it has loaded them,
ONNX Runtime runs those instead: a bundle runs with them and without.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

import onnx
from onnx import FunctionProto, ModelProto, helper

from export.attention_bodies import (
    Sizes,
    dependency_attention,
    history_attention,
    prefix_attention,
    step_attention,
)
from export.function_bodies import (
    add_and_norm,
    biased_product,
    gated_unit,
    int8_product,
    product,
    round_rows,
    sample,
)

DOMAIN = "kronos"
Opsets = Sequence[onnx.OperatorSetIdProto]


@dataclass(frozen=True)
class Operator:
    """A function: its name, what it takes and gives, and the operators that it calls.

    Attributes
    ----------
    inputs, outputs, attributes
        Their names; every input is given.
    body
        Makes the nodes.
    calls
        Operators that the body names.
    """

    name: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    body: Callable[[Sizes], list[onnx.NodeProto]]
    attributes: tuple[str, ...] = ()
    calls: tuple["Operator", ...] = ()

    @property
    def qualified(self) -> str:
        """The name with its domain, as torch writes it."""
        return f"{DOMAIN}::{self.name}"

    def function(self, opsets: Opsets, sizes: Sizes) -> FunctionProto:
        """Return the function with its body."""
        nodes = self.body(sizes)
        return helper.make_function(
            DOMAIN, self.name, self.inputs, self.outputs, nodes, opsets, attributes=self.attributes
        )


_OF_HEADS = ("heads", "scale")
_HISTORY = ("packed", "cos", "sin", "mask")
_CACHES = ("past_key", "past_value", "seqlens_k", "total")
_STEP = ("packed", *_CACHES, "cos", "sin")
_PREFIX = (*_STEP, "prefix_key", "prefix_value", "position", "mask")
_ATTENDED = ("out", "present_key", "present_value")
_SCALES = ("key_scale", "value_scale")

HISTORY_ATTENTION = Operator(
    "HistoryAttention", _HISTORY, _ATTENDED, partial(history_attention, eight_bits=False), _OF_HEADS
)
HISTORY_ATTENTION_8 = Operator(
    "HistoryAttention8",
    (*_HISTORY, *_SCALES),
    _ATTENDED,
    partial(history_attention, eight_bits=True),
    _OF_HEADS,
)
STEP_ATTENTION = Operator(
    "StepAttention", _STEP, _ATTENDED, partial(step_attention, eight_bits=False), _OF_HEADS
)
STEP_ATTENTION_8 = Operator(
    "StepAttention8", (*_STEP, *_SCALES), _ATTENDED, partial(step_attention, eight_bits=True), _OF_HEADS
)
PREFIX_ATTENTION = Operator(
    "PrefixAttention", _PREFIX, _ATTENDED, partial(prefix_attention, eight_bits=False), _OF_HEADS
)
PREFIX_ATTENTION_8 = Operator(
    "PrefixAttention8",
    (*_PREFIX, *_SCALES),
    _ATTENDED,
    partial(prefix_attention, eight_bits=True),
    _OF_HEADS,
)
DEPENDENCY_ATTENTION = Operator(
    "DependencyAttention",
    ("packed", *_CACHES, "prefix_key", "prefix_value", "mask"),
    _ATTENDED,
    lambda _: dependency_attention(),
    _OF_HEADS,
)
PRODUCT = Operator("Product", ("x", "weight"), ("out",), lambda _: product(), ("whole_steps",))
BIASED_PRODUCT = Operator(
    "BiasedProduct", ("x", "weight", "bias"), ("out",), lambda _: biased_product(), ("whole_steps",)
)
ROUND_ROWS = Operator("RoundRows", ("x",), ("rounded", "scale"), lambda _: round_rows())
INT8_PRODUCT = Operator(
    "Int8Product",
    ("x", "weight", "weight_scale"),
    ("out",),
    lambda _: int8_product(DOMAIN, ROUND_ROWS.name, biased=False),
    calls=(ROUND_ROWS,),
)
BIASED_INT8_PRODUCT = Operator(
    "BiasedInt8Product",
    ("x", "weight", "weight_scale", "bias"),
    ("out",),
    lambda _: int8_product(DOMAIN, ROUND_ROWS.name, biased=True),
    calls=(ROUND_ROWS,),
)
ADD_AND_NORM = Operator(
    "AddAndNorm",
    ("x", "skip", "weight", "bias"),
    ("normed", "total"),
    lambda _: add_and_norm(),
    ("epsilon",),
)
GATED_UNIT = Operator("GatedUnit", ("x",), ("out",), lambda _: gated_unit())
SAMPLE = Operator(
    "Sample", ("logits", "temperature", "top_k", "top_p", "uniform"), ("token",), lambda _: sample()
)
OPERATORS = {
    operator.name: operator
    for operator in (
        HISTORY_ATTENTION,
        HISTORY_ATTENTION_8,
        STEP_ATTENTION,
        STEP_ATTENTION_8,
        PREFIX_ATTENTION,
        PREFIX_ATTENTION_8,
        DEPENDENCY_ATTENTION,
        PRODUCT,
        BIASED_PRODUCT,
        ROUND_ROWS,
        INT8_PRODUCT,
        BIASED_INT8_PRODUCT,
        ADD_AND_NORM,
        GATED_UNIT,
        SAMPLE,
    )
}


def add_functions(model: ModelProto, sizes: Sizes) -> None:
    """Add to a model the functions that its nodes name."""
    named = {node.op_type for node in model.graph.node if node.domain == DOMAIN}
    used = named | {called.name for name in named for called in OPERATORS[name].calls}
    opsets = [opset for opset in model.opset_import if opset.domain != DOMAIN]
    if not any(opset.domain == "com.microsoft" for opset in opsets):
        opsets.append(helper.make_opsetid("com.microsoft", 1))
    opsets.append(helper.make_opsetid(DOMAIN, 1))
    model.functions.extend(OPERATORS[name].function(opsets, sizes) for name in sorted(used))
    del model.opset_import[:]
    model.opset_import.extend(opsets)
