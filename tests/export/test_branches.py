"""Graphs joined as branches: shared weights are stored once, and each branch gives what it gave alone."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import GraphProto, ModelProto, TensorProto, helper, numpy_helper

from export.branches import PRODUCTS, SHARED_BYTES, join_branches
from inference_server.engine.bundle import BRANCHES_DATA_FILE, BRANCHES_FILE
from inference_server.engine.device import CpuDevice

WIDTH = 80  # of a weight of 25 kB
WEIGHT = np.random.default_rng(0).normal(size=(WIDTH, WIDTH)).astype(np.float32)


def graphs_of(graph: GraphProto) -> Iterator[GraphProto]:
    """A graph and every branch in it."""
    yield graph
    for node in graph.node:
        for attribute in node.attribute:
            if attribute.type == onnx.AttributeProto.GRAPH:
                yield from graphs_of(attribute.g)


def product(offset: float, *, prefix: bool, weight_name: str) -> ModelProto:
    """`next_s1` = s1 · weight + gate · offset + the prefix, if it has one."""
    small = numpy_helper.from_array(np.array([offset], np.float32), "offset")
    nodes = [
        helper.make_node("MatMul", ["s1", weight_name], ["product"], "product"),
        helper.make_node("Mul", ["adapter_gate", "offset"], ["gated"], "gated"),
        helper.make_node("Add", ["product", "gated"], ["sum" if prefix else "next_s1"], "sum"),
    ]
    inputs = [
        helper.make_tensor_value_info("s1", TensorProto.FLOAT, ["rows", 1 if prefix else "length", WIDTH]),
        helper.make_tensor_value_info("adapter_gate", TensorProto.FLOAT, ["rows", 1, 1]),
    ]
    if prefix:
        nodes.append(helper.make_node("Add", ["sum", "prefix"], ["next_s1"], "end"))
        inputs.append(helper.make_tensor_value_info("prefix", TensorProto.FLOAT, [1]))
    shape = ["rows", 1 if prefix else "length", WIDTH]
    out = helper.make_tensor_value_info("next_s1", TensorProto.FLOAT, shape)
    weights = [numpy_helper.from_array(WEIGHT, weight_name), small]
    graph = helper.make_graph(nodes, "product", inputs, [out], weights)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10)


@pytest.mark.parametrize(
    ("shared_prefix", "gates", "offset", "prefix"),
    [
        (True, [0, 0], 0, 9),  # many paths without events
        (True, [1, 1], 2, 9),
        (False, [0, 1], 3, 0),  # a row of each kind, and the prefix is not read
        (False, [1, 1], 3, 0),
        (False, [0, 0], 3, 0),  # without a prefix never the graph that reads one
    ],
)
def test_the_inputs_choose_the_branch(
    shared_prefix: bool, gates: list[int], offset: float, prefix: float, tmp_path: Path
) -> None:
    file = tmp_path / "branches.onnx"
    join_branches(
        product(1, prefix=True, weight_name="w"),
        product(2, prefix=True, weight_name="v"),
        product(3, prefix=False, weight_name="w"),
        file,
    )
    s1 = np.random.default_rng(1).normal(size=(2, 1, WIDTH)).astype(np.float32)
    gate = np.array(gates, np.float32)[:, None, None]
    feeds = {"s1": s1, "adapter_gate": gate, "prefix": np.array([9], np.float32)}
    (out,) = CpuDevice(1).session(file).run(None, feeds | {"shared_prefix": np.array(shared_prefix)})
    np.testing.assert_allclose(out, s1 @ WEIGHT + gate * offset + prefix, atol=1e-4)


def test_each_large_weight_is_stored_once(adapter_bundles: Path) -> None:
    folder = adapter_bundles / "branches"
    model = onnx.load(folder / BRANCHES_FILE, load_external_data=False)
    inline, places = [], set()
    for graph in graphs_of(model.graph):
        for tensor in graph.initializer:
            if tensor.data_location == TensorProto.EXTERNAL:
                place = {entry.key: entry.value for entry in tensor.external_data}
                assert place["location"] == BRANCHES_DATA_FILE
                places.add((int(place["offset"]), int(place["length"])))
            elif len(tensor.raw_data) >= SHARED_BYTES:
                inline.append((tuple(tensor.dims), tensor.raw_data))
    assert len(places) > 10
    assert sum(length for _, length in places) > 0.8 * (folder / BRANCHES_DATA_FILE).stat().st_size
    assert len(set(inline)) == len(inline)
    # A product finds its weights in its own branch or not at all packed (ONNX Runtime looks one level up).
    for graph in graphs_of(model.graph):
        own = {tensor.name for tensor in graph.initializer}
        made = {name for node in graph.node for name in node.output}
        for node in graph.node:
            if node.op_type in PRODUCTS:
                assert node.input[1] in own | made
