"""Graphs joined as branches: shared weights are stored once, and each branch gives what it gave alone."""

from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import ModelProto, TensorProto, helper, numpy_helper

from export.branches import PRODUCTS, SHARED_BYTES, Branches, join_branches
from inference_server.engine.bundle import BRANCHES_DATA_FILE, BRANCHES_FILE
from inference_server.engine.device import CpuDevice
from tests.helpers.onnx_graphs import graphs_of

WIDTH = 80  # of a weight of 25 kB
WEIGHT = np.random.default_rng(0).normal(size=(WIDTH, WIDTH)).astype(np.float32)


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


HISTORY, PATHS, DECODER = (True, False), (False, True), (False, False)  # history, shared_prefix


@pytest.mark.parametrize(
    ("chosen", "gates", "offset", "prefix"),
    [
        (HISTORY, [0, 0], 0, 0),
        (HISTORY, [1, 1], 5, 0),
        (PATHS, [0, 0], 0, 9),  # many paths without events
        (PATHS, [1, 1], 2, 9),
        (DECODER, [0, 1], 3, 0),  # a row of each kind, and the prefix is not read
        (DECODER, [1, 1], 3, 0),
        (DECODER, [0, 0], 3, 0),  # without a prefix never the graph that reads one
    ],
)
def test_the_inputs_choose_the_branch(
    chosen: tuple[bool, bool], gates: list[int], offset: float, prefix: float, tmp_path: Path
) -> None:
    file = tmp_path / "branches.onnx"
    join_branches(
        Branches(
            product(4, prefix=False, weight_name="w"),
            product(1, prefix=True, weight_name="w"),
            product(5, prefix=False, weight_name="v"),
            product(2, prefix=True, weight_name="v"),
            product(3, prefix=False, weight_name="w"),
        ),
        product(0, prefix=False, weight_name="w").graph,
        file,
    )
    s1 = np.random.default_rng(1).normal(size=(2, 1, WIDTH)).astype(np.float32)
    gate = np.array(gates, np.float32)[:, None, None]
    selectors = dict(zip(("history", "shared_prefix"), map(np.array, chosen), strict=True))
    feeds = {"s1": s1, "adapter_gate": gate, "prefix": np.array([9], np.float32)} | selectors
    (out,) = CpuDevice(1).session(file).run(None, feeds)
    np.testing.assert_allclose(out, s1 @ WEIGHT + gate * offset + prefix, atol=1e-4)


def test_without_an_adapter_there_are_two_branches(tmp_path: Path) -> None:
    file = tmp_path / "branches.onnx"
    history, paths = (product(n, prefix=n == 1, weight_name="w") for n in (0, 1))
    join_branches(Branches(history, paths), history.graph, file)
    session = CpuDevice(1).session(file)
    s1, gate = np.ones((1, 1, WIDTH), np.float32), np.ones((1, 1, 1), np.float32)
    feeds = {"s1": s1, "adapter_gate": gate, "prefix": np.array([9], np.float32)}
    (taken_in,), (drawn,) = (session.run(None, feeds | {"history": np.array(h)}) for h in (True, False))
    np.testing.assert_allclose(drawn, taken_in + 10, atol=1e-4)


def test_each_large_weight_is_stored_once(adapter_bundle: Path) -> None:
    folder = adapter_bundle
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
    assert len(places) > 5
    assert sum(length for _, length in places) > 0.8 * (folder / BRANCHES_DATA_FILE).stat().st_size
    assert len(set(inline)) == len(inline)
    # A product finds its weights in its own branch or not at all packed (ONNX Runtime looks one level up).
    inputs = {value.name for value in model.graph.input}
    for graph in graphs_of(model.graph):
        own = {tensor.name for tensor in graph.initializer}
        made = {name for node in graph.node for name in node.output}
        for node in graph.node:
            if node.op_type in PRODUCTS:
                assert node.input[1] in own | made | inputs
