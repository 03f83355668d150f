"""Products with constant weights, which the library runs on processors with a matrix unit or AVX-512 VNNI."""

import functools
from typing import Any

import numpy as np
import onnxruntime as ort
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from onnx import helper, numpy_helper

from export.attention_bodies import Sizes
from export.functions import (
    BIASED_INT8_PRODUCT,
    BIASED_PRODUCT,
    DOMAIN,
    INT8_PRODUCT,
    PRODUCT,
    Operator,
    add_functions,
)
from inference_server.engine import native_operators

pytestmark = pytest.mark.skipif(native_operators.library() is None, reason="there is no compiled library")

# inner, columns: those of Kronos-base, and those that fill no tile
SHAPES = [(832, 256), (2048, 64), (1, 1), (31, 33), (32, 32), (65, 47), (100, 130)]
ROWS = [1, 2, 3, 15, 16, 17, 19, 20, 32, 33, 64, 100, 128, 129, 145, 300]


def session(
    operator: Operator, constants: dict[str, NDArray[Any]], *, native: bool, **attributes: Any
) -> ort.InferenceSession:
    node = helper.make_node(operator.name, operator.inputs, operator.outputs, domain=DOMAIN, **attributes)
    x = helper.make_tensor_value_info("x", 1, ["batch", "rows", len(constants["weight"])])
    out = helper.make_empty_tensor_value_info("out")
    weights = [numpy_helper.from_array(values, name) for name, values in constants.items()]
    opsets = [helper.make_opsetid("", 20), helper.make_opsetid(DOMAIN, 1)]
    graph = helper.make_graph([node], "one", [x], [out], weights)
    model = helper.make_model(graph, opset_imports=opsets, ir_version=10)
    add_functions(model, Sizes(512, 64))
    options = ort.SessionOptions()
    options.intra_op_num_threads = 2
    if native:
        native_operators.register(options)
    return ort.InferenceSession(model.SerializeToString(), options)


def weight_of(inner: int, columns: int) -> NDArray[np.float32]:
    return (np.random.default_rng(1).normal(size=(inner, columns)) / 8).astype(np.float32)


def normal(seed: int, *shape: int) -> NDArray[np.float32]:
    return np.random.default_rng(seed).normal(size=shape).astype(np.float32)


@functools.cache
def float_session(inner: int, columns: int, whole_steps: bool = False) -> ort.InferenceSession:
    return session(PRODUCT, {"weight": weight_of(inner, columns)}, native=True, whole_steps=int(whole_steps))


@functools.cache
def int8_session(inner: int, columns: int, native: bool) -> ort.InferenceSession:
    weight = np.random.default_rng(0).integers(-127, 128, (inner, columns)).astype(np.int8)
    return session(
        INT8_PRODUCT, {"weight": weight, "weight_scale": np.abs(normal(2, columns))}, native=native
    )


def product(session: ort.InferenceSession, x: NDArray[np.float32]) -> NDArray[np.float32]:
    (out,) = session.run(None, {"x": x})
    result: NDArray[np.float32] = out
    return result


@settings(max_examples=60, deadline=None)
@given(
    shape=st.sampled_from(SHAPES),
    rows=st.sampled_from(ROWS),
    whole_steps=st.booleans(),
    exponent=st.integers(-12, 12),
    seed=st.integers(0, 1000),
)
def test_a_product_is_as_exact_as_float32(
    shape: tuple[int, int], rows: int, whole_steps: bool, exponent: int, seed: int
) -> None:
    inner, columns = shape
    x = normal(seed, rows, 1, inner) * np.float32(10.0**exponent)
    weight = weight_of(inner, columns).astype(float)
    out = product(float_session(inner, columns, whole_steps), x)
    assert out.shape == (rows, 1, columns)
    x, out = x[:, 0], out[:, 0]
    # Each of the sums of products is rounded; a sum of products as large as these is off by less than that.
    bound = np.abs(x).astype(float) @ np.abs(weight) * np.finfo(np.float32).eps * (4 + inner**0.5)
    assert (np.abs(out - x.astype(float) @ weight) <= bound).all()


@pytest.mark.parametrize("eight_bits", [False, True])
@pytest.mark.parametrize(("inner", "columns"), SHAPES)
def test_a_row_is_the_same_to_the_bit_alone_and_in_any_company(
    inner: int, columns: int, eight_bits: bool
) -> None:
    of = int8_session(inner, columns, True) if eight_bits else float_session(inner, columns)
    x = normal(3, 1, max(ROWS), inner)
    together = product(of, x)
    for rows in ROWS:
        np.testing.assert_array_equal(product(of, x[:, :rows]), together[:, :rows])
        np.testing.assert_array_equal(product(of, x[:, -rows:]), together[:, -rows:])
    np.testing.assert_array_equal(product(of, x.swapaxes(0, 1)), together.swapaxes(0, 1))


@pytest.mark.parametrize(("inner", "columns"), SHAPES)
def test_a_row_of_a_step_is_the_same_to_the_bit_alone_and_in_any_company(inner: int, columns: int) -> None:
    of = float_session(inner, columns, True)
    x = normal(3, max(ROWS), 1, inner)
    together = product(of, x)
    for rows in ROWS:
        np.testing.assert_array_equal(product(of, x[:rows]), together[:rows])
        np.testing.assert_array_equal(product(of, x[-rows:]), together[-rows:])


@pytest.mark.parametrize("rows", ROWS)
@pytest.mark.parametrize(("inner", "columns"), SHAPES)
def test_a_product_of_8_bit_numbers_is_its_functions_to_the_bit(inner: int, columns: int, rows: int) -> None:
    x = normal(rows, 1, rows, inner)
    x[0, rows // 2] = 0
    own, function = (product(int8_session(inner, columns, native), x) for native in (True, False))
    np.testing.assert_array_equal(own, function)
    assert (own[0, rows // 2] == 0).all()


@functools.cache
def biased_session(inner: int, columns: int, eight_bits: bool, whole_steps: bool) -> ort.InferenceSession:
    bias = {"bias": normal(7, columns)}
    if eight_bits:
        weight = np.random.default_rng(0).integers(-127, 128, (inner, columns)).astype(np.int8)
        constants = {"weight": weight, "weight_scale": np.abs(normal(2, columns))}
        return session(BIASED_INT8_PRODUCT, constants | bias, native=True)
    weights = {"weight": weight_of(inner, columns)} | bias
    return session(BIASED_PRODUCT, weights, native=True, whole_steps=int(whole_steps))


@pytest.mark.parametrize("kind", ["float", "float-whole", "int8"])
@pytest.mark.parametrize("rows", [1, 3, 20, 40, 145])
@pytest.mark.parametrize(("inner", "columns"), SHAPES)
def test_a_bias_is_added_to_the_product(inner: int, columns: int, rows: int, kind: str) -> None:
    x = normal(rows, rows, 1, inner)
    eight_bits, whole = kind == "int8", kind == "float-whole"
    unbiased = int8_session(inner, columns, True) if eight_bits else float_session(inner, columns, whole)
    out = product(biased_session(inner, columns, eight_bits, whole), x)
    np.testing.assert_array_equal(out, product(unbiased, x) + normal(7, columns))


@pytest.mark.parametrize("eight_bits", [False, True])
@pytest.mark.parametrize("wrong", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("rows", [3, 40, 200])
def test_a_value_that_is_no_number_stays_in_its_row_and_is_not_lost(
    rows: int, wrong: float, eight_bits: bool
) -> None:
    x = normal(0, 1, rows, 65)
    x[0, 1, 64] = wrong
    of = int8_session(65, 47, True) if eight_bits else float_session(65, 47)
    out = product(of, x)[0]
    assert not np.isfinite(out[1]).any()
    assert np.isfinite(np.delete(out, 1, axis=0)).all()


def test_no_rows_have_no_product() -> None:
    assert product(float_session(32, 32), normal(0, 1, 0, 32)).shape == (1, 0, 32)


@pytest.mark.skipif(
    native_operators.instruction_set() not in {"amx", "avx512_vnni"},
    reason="ONNX Runtime's own products are used on this processor",
)
def test_a_weight_that_is_not_constant_is_refused() -> None:
    node = helper.make_node(PRODUCT.name, PRODUCT.inputs, PRODUCT.outputs, domain=DOMAIN, whole_steps=0)
    inputs = [helper.make_tensor_value_info(name, 1, [4, 4]) for name in PRODUCT.inputs]
    graph = helper.make_graph([node], "one", inputs, [helper.make_empty_tensor_value_info("out")])
    opsets = [helper.make_opsetid("", 20), helper.make_opsetid(DOMAIN, 1)]
    model = helper.make_model(graph, opset_imports=opsets, ir_version=10)
    add_functions(model, Sizes(512, 64))
    options = ort.SessionOptions()
    native_operators.register(options)
    with pytest.raises(Exception, match="the weight of a product must be a constant"):
        ort.InferenceSession(model.SerializeToString(), options)
