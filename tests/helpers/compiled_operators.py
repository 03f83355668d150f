"""Runs one operator of the exported graphs by the compiled library, or by its function."""

import functools
from collections.abc import Mapping
from typing import Any

import numpy as np
import onnxruntime as ort
import pytest
from numpy.typing import NDArray
from onnx import helper

from export.attention_bodies import Sizes
from export.functions import DOMAIN, Operator, add_functions
from inference_server.engine import native_operators

Arrays = Mapping[str, NDArray[Any]]
UNPADDED = Sizes(max_context=512, head_dim=64)
NEEDS_LIBRARY = pytest.mark.skipif(native_operators.library() is None, reason="there is no compiled library")


@functools.cache
def _model(
    operator: Operator, inputs: tuple[tuple[str, int, int], ...], attributes: tuple[Any, ...], sizes: Sizes
) -> bytes:
    """A model of one node; inputs as name, element type and rank."""
    node = helper.make_node(
        operator.name, operator.inputs, operator.outputs, domain=DOMAIN, **dict(attributes)
    )
    values = [
        helper.make_tensor_value_info(name, kind, [f"{name}_{axis}" for axis in range(rank)])
        for name, kind, rank in inputs
    ]
    outputs = [helper.make_empty_tensor_value_info(name) for name in operator.outputs]
    opsets = [helper.make_opsetid("", 20), helper.make_opsetid(DOMAIN, 1)]
    model = helper.make_model(
        helper.make_graph([node], "one", values, outputs), opset_imports=opsets, ir_version=10
    )
    add_functions(model, sizes)
    serialised: bytes = model.SerializeToString()
    return serialised


@functools.cache
def _session(
    operator: Operator,
    inputs: tuple[tuple[str, int, int], ...],
    attributes: tuple[Any, ...],
    sizes: Sizes,
    *,
    native: bool,
    threads: int,
) -> ort.InferenceSession:
    options = ort.SessionOptions()
    options.intra_op_num_threads = threads
    if native:
        native_operators.register(options)
    return ort.InferenceSession(_model(operator, inputs, attributes, sizes), options)


def run(
    operator: Operator,
    arrays: Arrays,
    *,
    native: bool,
    threads: int = 2,
    sizes: Sizes = UNPADDED,
    **attributes: Any,
) -> list[NDArray[Any]]:
    described = tuple(
        (name, helper.np_dtype_to_tensor_dtype(array.dtype), array.ndim) for name, array in arrays.items()
    )
    session = _session(operator, described, tuple(attributes.items()), sizes, native=native, threads=threads)
    results: list[NDArray[Any]] = session.run(None, dict(arrays))
    return results


def both(operator: Operator, arrays: Arrays, **attributes: Any) -> tuple[list[NDArray[Any]], ...]:
    """The results of the compiled operator, and of its function."""
    return tuple(run(operator, arrays, native=native, **attributes) for native in (True, False))


def normal(seed: int, *shape: int) -> NDArray[np.float32]:
    return np.random.default_rng(seed).normal(size=shape).astype(np.float32)
