from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from onnx import TensorProto

from export.functions import ADD_AND_NORM, GATED_UNIT, ROUND_ROWS, SAMPLE
from tests.helpers.compiled_operators import NEEDS_LIBRARY, both, normal, run

pytestmark = NEEDS_LIBRARY


@settings(max_examples=60, deadline=None)
@given(
    rows=st.integers(1, 40),
    width=st.sampled_from([1, 15, 16, 33, 832]),
    size=st.sampled_from([0.0, 1e-38, 1e-3, 1.0, 1e6]),
    seed=st.integers(0, 1000),
)
def test_rows_round_to_the_same_numbers(rows: int, width: int, size: float, seed: int) -> None:
    x = normal(seed, 1, rows, width) * np.float32(size)
    own, function = both(ROUND_ROWS, {"x": x})
    np.testing.assert_array_equal(own[0], function[0])
    np.testing.assert_array_equal(own[1], function[1])


@pytest.mark.parametrize("wrong", [np.nan, np.inf])
@pytest.mark.parametrize("place", [0, 15, 31, 32])
def test_rounding_keeps_what_is_no_number(wrong: float, place: int) -> None:
    x = normal(0, 1, 3, 33)
    x[0, 1, place] = wrong
    (_, scale) = run(ROUND_ROWS, {"x": x}, native=True)
    assert np.isnan(scale[0, :, 0]).tolist() == [False, True, False]


@settings(max_examples=60, deadline=None)
@given(
    rows=st.integers(1, 40),
    width=st.sampled_from([1, 15, 16, 33, 2048]),
    size=st.sampled_from([0.0, 1e-20, 1.0, 30.0, 1e6]),
    seed=st.integers(0, 1000),
)
def test_a_gated_unit_is_exact_to_some_bits(rows: int, width: int, size: float, seed: int) -> None:
    x = normal(seed, 1, rows, 2 * width) * np.float32(size)
    (out,) = run(GATED_UNIT, {"x": x}, native=True)
    gate, up = x[..., :width].astype(float), x[..., width:].astype(float)
    exact = gate / (1 + np.exp(np.minimum(-gate, 700))) * up
    np.testing.assert_allclose(out, exact, rtol=1e-6, atol=1e-20)
    (function,) = run(GATED_UNIT, {"x": x}, native=False)
    np.testing.assert_allclose(out, function, rtol=1e-5, atol=1e-6 * max(size, size**2))


@pytest.mark.parametrize("place", [0, 20, 33, 50])
def test_a_gated_unit_keeps_what_is_no_number(place: int) -> None:
    x = normal(0, 1, 3, 66)
    x[0, 1, place] = np.nan
    (out,) = run(GATED_UNIT, {"x": x}, native=True)
    assert np.isnan(out[0, :, place % 33]).tolist() == [False, True, False]


@settings(max_examples=60, deadline=None)
@given(
    rows=st.integers(1, 40),
    width=st.sampled_from([1, 15, 16, 33, 832]),
    size=st.sampled_from([0.0, 1e-10, 1.0, 1e6]),
    seed=st.integers(0, 1000),
)
def test_an_addition_is_normalised(rows: int, width: int, size: float, seed: int) -> None:
    shape = 2, rows, width
    arrays = {name: normal(seed + i, *shape) * np.float32(size) for i, name in enumerate(("x", "skip"))}
    arrays |= {name: normal(seed + i, width) for i, name in enumerate(("weight", "bias"))}
    own, function = both(ADD_AND_NORM, arrays, epsilon=1e-5)
    np.testing.assert_array_equal(own[1], arrays["x"] + arrays["skip"] + arrays["bias"])
    exact = own[1].astype(float)
    exact *= arrays["weight"] / np.sqrt((exact**2).mean(-1, keepdims=True) + 1e-5)
    np.testing.assert_allclose(own[0], exact, rtol=2e-6, atol=1e-30)
    np.testing.assert_allclose(own[0], function[0], rtol=1e-5, atol=1e-30)
    np.testing.assert_array_equal(own[1], function[1])
    alone = {name: array[:1, -1:] if array.ndim == 3 else array for name, array in arrays.items()}
    (normed, _) = run(ADD_AND_NORM, alone, native=True, epsilon=1e-5)
    np.testing.assert_array_equal(normed[0, 0], own[0][0, -1])


@pytest.mark.parametrize("place", [0, 15, 32])
def test_a_norm_keeps_what_is_no_number_in_its_row(place: int) -> None:
    arrays = {name: normal(i, 1, 3, 33) for i, name in enumerate(("x", "skip"))}
    arrays |= {name: normal(i, 33) for i, name in enumerate(("weight", "bias"))}
    arrays["x"][0, 1, place] = np.nan
    (normed, total) = run(ADD_AND_NORM, arrays, native=True, epsilon=1e-5)
    assert np.isnan(normed[0]).all(axis=1).tolist() == [False, True, False]
    assert np.argwhere(np.isnan(total)).tolist() == [[0, 1, place]]


@settings(max_examples=150, deadline=None)
@given(
    rows=st.integers(1, 5),
    count=st.sampled_from([1, 4, 17, 512, 1024]),
    spread=st.sampled_from([0.0, 0.1, 1.0, 30.0]),
    whole=st.booleans(),
    temperature=st.sampled_from([0.25, 1.0, 3.0]),
    top_k=st.integers(0, 600),
    top_p=st.sampled_from([0.0, 0.3, 0.9, 1.0]),
    seed=st.integers(0, 10_000),
)
def test_the_same_tokens_are_drawn(
    rows: int,
    count: int,
    spread: float,
    whole: bool,
    temperature: float,
    top_k: int,
    top_p: float,
    seed: int,
) -> None:
    logits = normal(seed, rows, count) * np.float32(spread)
    arrays: dict[str, NDArray[Any]] = {
        "logits": np.rint(logits) if whole else logits,  # with ties
        "temperature": np.full((rows, 1), temperature, np.float32),
        "top_k": np.full((rows, 1), top_k),
        "top_p": np.full((rows, 1), top_p, np.float32),
        "uniform": np.random.default_rng(seed).random((rows, 1)).astype(np.float32),
    }
    own, function = both(SAMPLE, arrays)
    np.testing.assert_array_equal(own[0], function[0])


@pytest.mark.parametrize("wrong", [np.nan, -np.nan, np.inf])
def test_no_token_is_drawn_of_a_row_with_a_logit_that_is_no_number(wrong: float) -> None:
    logits = normal(0, 3, 20)
    logits[1, 4] = wrong
    column = np.ones((3, 1), np.float32)
    arrays: dict[str, NDArray[Any]] = {
        "logits": logits,
        "temperature": column,
        "top_k": np.zeros((3, 1), np.int64),
        "top_p": column,
        "uniform": column / 2,
    }
    own, function = both(SAMPLE, arrays)
    assert (own[0][:, 0] == -1).tolist() == [False, True, False]
    np.testing.assert_array_equal(own[0], function[0])


def test_element_types_are_as_onnx_numbers_them() -> None:
    assert (TensorProto.FLOAT, TensorProto.UINT8, TensorProto.INT8) == (1, 2, 3)
    assert (TensorProto.INT32, TensorProto.INT64) == (6, 7)
