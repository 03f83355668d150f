"""Rounds the weights of a graph's products to 8 bits."""

from collections.abc import Collection
from pathlib import Path

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import ModelProto, NodeProto, TensorProto, helper, numpy_helper

from export.functions import DOMAIN, INT8_PRODUCT
from export.onnx_export import OPSET
from export.products import NARROWEST

LARGEST_INT8 = 127
PROBE_SHAPE = (64, 32)


def rounded(weight: NDArray[np.float32]) -> tuple[NDArray[np.int8], NDArray[np.float32]]:
    """Return int8 numbers (K, N) and the scale (N,) of each column, whose product is nearest to a weight."""
    scale = np.maximum(np.abs(weight).max(axis=0) / LARGEST_INT8, np.finfo(np.float32).tiny)
    return np.rint(weight / scale).astype(np.int8), scale.astype(np.float32)


def write_probe(file: Path) -> None:
    """`int8_probe.onnx`: a product of large 8-bit numbers (`inference_server.engine.int8_products`)."""
    weight = numpy_helper.from_array(np.full(PROBE_SHAPE, LARGEST_INT8, np.int8), "weight")
    node = helper.make_node("MatMulInteger", ["numbers", "weight", "middle"], ["product"], "product")
    middle = numpy_helper.from_array(np.array(128, np.uint8), "middle")
    graph = helper.make_graph(
        [node],
        "int8_probe",
        [helper.make_tensor_value_info("numbers", TensorProto.UINT8, ["rows", PROBE_SHAPE[0]])],
        [
            helper.make_tensor_value_info("product", TensorProto.INT32, ["rows", PROBE_SHAPE[1]]),
            helper.make_tensor_value_info("weight", TensorProto.INT8, PROBE_SHAPE),
        ],
        [weight, middle],
    )
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=10), file)


def to_int8(model: ModelProto, exact: Collection[NDArray[np.float32]] = ()) -> None:
    """Replace the products of activations and a constant weight by products of 8-bit integers.

    Parameters
    ----------
    model
        Changed in place.
    exact
        Weights (K, N) whose products stay as they are.
    """
    graph = model.graph
    left = {weight.tobytes() for weight in exact}
    weights = {
        tensor.name: tensor
        for tensor in graph.initializer
        if len(tensor.dims) == 2 and min(tensor.dims) >= NARROWEST and tensor.raw_data not in left
    }
    replaced: dict[str, list[str]] = {}
    nodes: list[NodeProto] = []
    for node in graph.node:
        name = node.input[1] if node.op_type == "MatMul" else ""
        if name not in weights:
            nodes.append(node)
            continue
        if name not in replaced:
            numbers, scale = rounded(numpy_helper.to_array(weights[name]))
            replaced[name] = [f"{name}.int8", f"{name}.scale"]
            graph.initializer.append(numpy_helper.from_array(numbers, replaced[name][0]))
            graph.initializer.append(numpy_helper.from_array(scale, replaced[name][1]))
        operator = INT8_PRODUCT
        product = helper.make_node(
            operator.name,
            [node.input[0], *replaced[name]],
            list(node.output),
            node.name,
            domain=DOMAIN,
        )
        nodes.append(product)
    del graph.node[:]
    graph.node.extend(nodes)
    used = {name for node in nodes for name in node.input}
    kept = [tensor for tensor in graph.initializer if tensor.name in used]
    del graph.initializer[:]
    graph.initializer.extend(kept)
