"""Products of 8-bit integers: near to the exact ones, row by row, and zero for zeros."""

import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from onnx import ModelProto, TensorProto, helper, numpy_helper

from export.attention_bodies import Sizes
from export.functions import DOMAIN, add_functions
from export.int8 import rounded, to_int8
from inference_server.engine.bundle import BRANCHES_DATA_FILE, BRANCHES_FILE, DECODER_FILE, load_manifest
from inference_server.engine.device import CpuDevice
from inference_server.engine.engine import Engine
from tests.helpers.jobs import hourly_job
from tests.helpers.onnx_graphs import graphs_of

INNER, COLUMNS = 320, 256
WEIGHT = np.random.default_rng(0).normal(size=(INNER, COLUMNS)).astype(np.float32)


def product(weight: NDArray[np.float32]) -> ModelProto:
    """A graph: x (rows, K) times a weight (K, N), twice, and once times a small one."""
    small = numpy_helper.from_array(np.eye(weight.shape[1], dtype=np.float32)[:, :2], "small")
    nodes = [
        helper.make_node("MatMul", ["x", "weight"], ["out"], "first"),
        helper.make_node("MatMul", ["x", "weight"], ["again"], "second"),
        helper.make_node("MatMul", ["out", "small"], ["few"], "third"),
    ]
    outputs = [
        helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name in ("out", "again", "few")
    ]
    x = helper.make_tensor_value_info("x", TensorProto.FLOAT, ["rows", weight.shape[0]])
    graph = helper.make_graph(nodes, "g", [x], outputs, [numpy_helper.from_array(weight, "weight"), small])
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10)


@pytest.fixture(scope="module")
def session(tmp_path_factory: pytest.TempPathFactory):  # type: ignore[no-untyped-def]
    model = product(WEIGHT)
    to_int8(model)
    assert [node.domain for node in model.graph.node] == [DOMAIN, DOMAIN, ""]
    assert {tensor.data_type for tensor in model.graph.initializer} == {TensorProto.INT8, TensorProto.FLOAT}
    assert len(model.graph.initializer) == 3  # a weight that two products share is stored once
    add_functions(model, Sizes(512, 64))
    file = tmp_path_factory.mktemp("int8") / "product.onnx"
    onnx.save(model, file)
    return CpuDevice(2).session(file)


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(1, 40), st.floats(-12, 12))
def test_a_product_is_near_and_each_row_its_own(session, seed: int, rows: int, exponent: float) -> None:  # type: ignore[no-untyped-def]
    random = np.random.default_rng(seed)
    x = (random.normal(size=(rows, INNER)) * 10**exponent).astype(np.float32)
    x[random.random(rows) < 0.2] = 0
    out, again, few = session.run(None, {"x": x})
    exact = x.astype(float) @ WEIGHT
    # Each factor is off by half a step at most, and the steps are 1/127 of the largest of its row or column.
    row, column = (np.abs(x).max(1, keepdims=True) / 254, np.abs(WEIGHT).max(0) / 254)
    bound = (np.abs(x) @ np.ones_like(WEIGHT)) * column + row * np.abs(WEIGHT).sum(0) + INNER * row * column
    assert (np.abs(out - exact) <= bound * 1.001).all()
    assert (out[~x.any(1)] == 0).all()
    np.testing.assert_array_equal(out, again)
    np.testing.assert_array_equal(few, out[:, :2])
    for i in range(rows):
        np.testing.assert_array_equal(session.run(["out"], {"x": x[i : i + 1]})[0], out[i : i + 1])


def test_a_column_of_zeros_stays_zero() -> None:
    weight = np.array([[1.0, 0.0], [-2.0, 0.0]], np.float32)
    numbers, scale = rounded(weight)
    np.testing.assert_array_equal(numbers * scale, [[numbers[0, 0] * scale[0], 0], [-2, 0]])


def test_weights_that_are_named_and_narrow_ones_stay_as_they_are() -> None:
    model = product(WEIGHT)
    to_int8(model, [WEIGHT])
    assert {node.op_type for node in model.graph.node} == {"MatMul"}


def test_what_is_no_number_reaches_the_logits_of_an_8_bit_bundle(
    tiny_int8_bundle: Path, tmp_path: Path
) -> None:
    """A product of integers would hide it. One token of the history has an embedding with NaN."""
    folder = Path(shutil.copytree(tiny_int8_bundle, tmp_path / "broken"))
    job = hourly_job(60, 3, sample_count=9)
    s1 = Engine.load(tiny_int8_bundle, threads=1).encode(job).s1
    for file in (DECODER_FILE, BRANCHES_FILE):
        model = onnx.load(folder / file)
        tables = [
            t for graph in graphs_of(model.graph) for t in graph.initializer if "emb_s1.weight" in t.name
        ]
        assert tables
        for table in tables:
            values = numpy_helper.to_array(table).copy()
            values[s1[20], 0] = np.nan
            table.CopyFrom(numpy_helper.from_array(values, table.name))
        onnx.save(model, folder / file)
    broken = Engine(folder, load_manifest(tiny_int8_bundle), CpuDevice(1))
    for paths in (2, 9):
        assert np.isnan(broken.forecast([replace(job, sample_count=paths)])[0]).all()


def test_the_weights_of_an_8_bit_bundle_take_less(tiny_int8_bundle: Path, tiny_base_bundle: Path) -> None:
    """Most of Kronos-base's are in its layers; of the tiny size half are in the heads, which stay float32."""
    eight, whole = ((f / BRANCHES_DATA_FILE).stat().st_size for f in (tiny_int8_bundle, tiny_base_bundle))
    assert eight < 0.8 * whole
