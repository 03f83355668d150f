"""Nodes of function bodies."""

from typing import Any

import numpy as np
from onnx import AttributeProto, NodeProto, helper, numpy_helper

_INTEGERS = ("num_heads", "kv_num_heads", "value_int")


def with_attributes(changed: NodeProto, **attributes: str) -> NodeProto:
    """Let attributes of a node be attributes of the function."""
    for name, of_function in attributes.items():
        attribute = changed.attribute.add()
        attribute.name, attribute.ref_attr_name = name, of_function
        attribute.type = AttributeProto.INT if name in _INTEGERS else AttributeProto.FLOAT
    return changed


def node(
    kind: str, inputs: list[str], outputs: str | list[str], domain: str = "", **attributes: Any
) -> NodeProto:
    """Return a node; an empty name stands for an input or output that is left out."""
    outputs = [outputs] if isinstance(outputs, str) else outputs
    return helper.make_node(kind, inputs, outputs, domain=domain, **attributes)


def constant(name: str, values: list[int]) -> NodeProto:
    """Return a constant of whole numbers, (len(values),)."""
    return node("Constant", [], name, value=numpy_helper.from_array(np.array(values, np.int64)))


def number(name: str, value: float) -> NodeProto:
    """Return a float32 constant without axes."""
    return node("Constant", [], name, value=numpy_helper.from_array(np.array(value, np.float32)))


def signed_byte(name: str, value: int) -> NodeProto:
    """Return an int8 constant without axes."""
    return node("Constant", [], name, value=numpy_helper.from_array(np.array(value, np.int8)))


def byte(name: str, value: int) -> NodeProto:
    """Return a uint8 constant without axes."""
    return node("Constant", [], name, value=numpy_helper.from_array(np.array(value, np.uint8)))
