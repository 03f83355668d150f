from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from export.attention_bodies import Sizes
from export.functions import (
    DEPENDENCY_ATTENTION,
    HISTORY_ATTENTION,
    HISTORY_ATTENTION_8,
    PREFIX_ATTENTION,
    PREFIX_ATTENTION_8,
    STEP_ATTENTION,
    STEP_ATTENTION_8,
)
from tests.helpers.compiled_operators import NEEDS_LIBRARY, both, normal, run

POSITIONS = 600

pytestmark = NEEDS_LIBRARY


def test_the_library_runs_instead_of_the_function() -> None:
    """The functions take heads of 48 numbers, which the export never writes."""
    with pytest.raises(Exception, match="size of a head must be"):
        run(STEP_ATTENTION, step_inputs(heads=1, head_dim=48), native=True, heads=1, scale=0.1)


@pytest.mark.parametrize("eight_bits", [False, True])
@pytest.mark.parametrize(
    ("tokens", "heads", "head_dim"),
    [(1, 1, 8), (2, 3, 32), (31, 2, 52), (32, 2, 64), (33, 4, 64), (130, 2, 52), (391, 1, 16), (512, 1, 64)],
)
def test_a_history_attends_as_its_function_says(
    tokens: int, heads: int, head_dim: int, eight_bits: bool
) -> None:
    arrays, padding = history_inputs(tokens, heads, head_dim, eight_bits)
    operator = HISTORY_ATTENTION_8 if eight_bits else HISTORY_ATTENTION
    sizes = Sizes(512, head_dim, padding)
    own, function = both(operator, arrays, heads=heads, scale=head_dim**-0.5, sizes=sizes)
    assert own[0].shape == (1, tokens, heads * head_dim)
    assert own[1].shape == (1, heads, tokens, head_dim + 2 * padding)
    assert_attended(own, function, tokens)


@pytest.mark.parametrize("threads", [1, 2])
def test_a_token_of_a_history_does_not_depend_on_later_ones(threads: int) -> None:
    arrays, padding = history_inputs(300, 2, 52, eight_bits=False)
    sizes = Sizes(512, 52, padding)
    given: dict[str, Any] = {"native": True, "heads": 2, "scale": 0.14, "sizes": sizes}
    (whole, keys, _) = run(HISTORY_ATTENTION, arrays, threads=threads, **given)
    for tokens in (1, 17, 128, 129, 299):
        part = arrays | {"packed": arrays["packed"][:, :tokens], "mask": arrays["mask"][:tokens, :tokens]}
        (out, part_keys, _) = run(HISTORY_ATTENTION, part, **given)
        np.testing.assert_array_equal(out, whole[:, :tokens])
        np.testing.assert_array_equal(part_keys, keys[:, :, :tokens])


def history_inputs(
    tokens: int, heads: int, head_dim: int, eight_bits: bool
) -> tuple[dict[str, NDArray[Any]], int]:
    """The inputs of a history, and the columns of padding behind each half of a head."""
    padding = -(head_dim // 2) % 16
    place = np.arange(tokens)
    arrays = {
        "packed": normal(0, 1, tokens, 3 * heads * head_dim),
        "mask": np.where(place[None] > place[:, None], np.finfo(np.float32).min, 0).astype(np.float32),
    }
    arrays |= rotation(head_dim + 2 * padding)
    return arrays | (scales(heads, head_dim + 2 * padding) if eight_bits else {}), padding


def rotation(head_dim: int) -> dict[str, NDArray[np.float32]]:
    angle = np.arange(POSITIONS)[:, None] / 100 ** (np.arange(head_dim // 2) / head_dim)[None]
    return {"cos": np.cos(angle).astype(np.float32), "sin": np.sin(angle).astype(np.float32)}


def step_inputs(
    rows: int = 3,
    tokens: int = 1,
    past: int = 5,
    capacity: int = 12,
    heads: int = 2,
    head_dim: int = 32,
    eight_bits: bool = False,
) -> dict[str, NDArray[Any]]:
    shape = rows, heads, capacity, head_dim
    arrays: dict[str, NDArray[Any]] = {"packed": normal(0, rows, tokens, 3 * heads * head_dim)}
    for i, name in enumerate(("past_key", "past_value")):
        arrays[name] = cache(i + 1, *shape, eight_bits=eight_bits)
    arrays["seqlens_k"] = np.full(rows, past + tokens - 1, np.int32)
    arrays["total"] = np.array([past + tokens], np.int32)
    return arrays | rotation(head_dim)


def cache(seed: int, *shape: int, eight_bits: bool) -> NDArray[Any]:
    values = normal(seed, *shape)
    return np.clip(np.rint(values * 30), -128, 127).astype(np.int8) if eight_bits else values


def scales(heads: int, head_dim: int) -> dict[str, NDArray[np.float32]]:
    names = ("key_scale", "value_scale")
    steps = (np.abs(normal(i + 7, heads * head_dim)) / 30 + 0.01 for i in range(2))
    return {name: step.astype(np.float32) for name, step in zip(names, steps, strict=True)}


SHAPES = [
    # rows, tokens, past, capacity, heads, head_dim
    (1, 1, 0, 4, 1, 32),
    (3, 1, 5, 12, 2, 32),
    (20, 1, 59, 120, 2, 64),
    (2, 1, 450, 512, 1, 64),
    (2, 5, 0, 9, 2, 96),
    (1, 40, 0, 64, 2, 128),
    (2, 1, 17, 18, 1, 256),
    (2, 1, 17, 18, 2, 160),
    (1, 20, 3, 30, 1, 512),
]


@pytest.mark.parametrize("eight_bits", [False, True])
@pytest.mark.parametrize(("rows", "tokens", "past", "capacity", "heads", "head_dim"), SHAPES)
def test_a_step_attends_and_appends_as_its_function_says(
    rows: int, tokens: int, past: int, capacity: int, heads: int, head_dim: int, eight_bits: bool
) -> None:
    arrays = step_inputs(rows, tokens, past, capacity, heads, head_dim, eight_bits)
    operator = STEP_ATTENTION_8 if eight_bits else STEP_ATTENTION
    if eight_bits:
        arrays |= scales(heads, head_dim)
    own, function = both(operator, arrays, heads=heads, scale=head_dim**-0.5)
    assert_attended(own, function, past + tokens)


@pytest.mark.parametrize("histories", [1, 2])
@pytest.mark.parametrize("eight_bits", [False, True])
@pytest.mark.parametrize(
    "shape",
    [
        # rows, tokens, past, capacity, heads, head_dim, prefix
        (1, 1, 0, 4, 1, 32, 1),
        (20, 1, 59, 120, 2, 64, 391),
        (7, 1, 16, 20, 2, 32, 9),
        (3, 12, 0, 12, 2, 64, 33),
        (45, 1, 3, 4, 1, 96, 40),
        (5, 30, 0, 30, 1, 64, 70),
    ],
)
def test_rows_attend_behind_prefixes_as_the_function_says(
    shape: tuple[int, ...], eight_bits: bool, histories: int
) -> None:
    rows, tokens, past, capacity, heads, head_dim, prefix = shape
    arrays = prefix_inputs(
        rows * histories, tokens, past, capacity, heads, head_dim, prefix, histories, eight_bits
    )
    operator = PREFIX_ATTENTION_8 if eight_bits else PREFIX_ATTENTION
    own, function = both(operator, arrays, heads=heads, scale=head_dim**-0.5)
    assert_attended(own, function, past + tokens)


@pytest.mark.parametrize("histories", [1, 2])
@pytest.mark.parametrize(
    "shape",
    [
        # rows, tokens, past, capacity, heads, head_dim, prefix
        (1, 1, 0, 4, 1, 8, 1),
        (20, 1, 59, 120, 4, 208, 391),
        (7, 1, 16, 20, 2, 104, 9),
        (3, 12, 0, 12, 4, 64, 33),
        (45, 1, 3, 4, 1, 24, 40),
        (2, 30, 0, 30, 1, 208, 70),
    ],
)
def test_the_dependency_layer_attends_as_its_function_says(shape: tuple[int, ...], histories: int) -> None:
    rows, tokens, past, _, heads, head_dim, _ = shape
    arrays = dependency_inputs(rows * histories, *shape[1:], histories)
    own, function = both(DEPENDENCY_ATTENTION, arrays, heads=heads, scale=head_dim**-0.5)
    assert own[0].shape == (rows * histories, tokens, heads * head_dim)
    assert_attended(own, function, past + tokens)


def test_a_row_of_the_dependency_layer_is_the_same_to_the_bit_in_any_company() -> None:
    arrays = dependency_inputs(40, 1, 30, 60, 4, 208, 100, 2)
    (together, *_) = run(DEPENDENCY_ATTENTION, arrays, native=True, threads=2, heads=4, scale=0.07)
    for history, rows in ((0, slice(0, 20)), (1, slice(20, 23)), (0, slice(19, 20))):
        part = {name: array[rows] if len(array) == 40 else array for name, array in arrays.items()}
        for name in ("prefix_key", "prefix_value"):
            part[name] = arrays[name][history : history + 1]
        (alone, *_) = run(DEPENDENCY_ATTENTION, part, native=True, heads=4, scale=0.07)
        np.testing.assert_array_equal(alone, together[rows])


@pytest.mark.parametrize("given", ["past_key", "past_value", "packed"])
def test_a_value_that_is_no_number_stays_in_its_row_of_the_dependency_layer(given: str) -> None:
    arrays = dependency_inputs(20, 1, 7, 12, 4, 104, 50, 1)
    arrays[given][4, 0, ..., 2] = np.nan
    (out, *_) = run(DEPENDENCY_ATTENTION, arrays, native=True, heads=4, scale=0.1)
    assert np.flatnonzero(np.isnan(out).any(axis=(1, 2))).tolist() == [4]


def dependency_inputs(*shape: int) -> dict[str, NDArray[Any]]:
    """Those of `prefix_inputs` that the layer has."""
    rows, tokens, past, capacity, heads, head_dim, prefix, histories = shape
    arrays = prefix_inputs(rows, tokens, past, capacity, heads, head_dim, prefix, histories, eight_bits=False)
    return {name: arrays[name] for name in DEPENDENCY_ATTENTION.inputs}


def prefix_inputs(
    rows: int,
    tokens: int,
    past: int,
    capacity: int,
    heads: int,
    head_dim: int,
    prefix: int,
    histories: int,
    eight_bits: bool,
) -> dict[str, NDArray[Any]]:
    arrays = step_inputs(rows, tokens, past, capacity, heads, head_dim, eight_bits)
    for i, name in enumerate(("prefix_key", "prefix_value")):
        arrays[name] = cache(i + 3, histories, heads, prefix, head_dim, eight_bits=eight_bits)
    place = np.arange(past, past + tokens)
    arrays["position"] = np.tile(place + prefix, (rows, 1))
    hidden = np.arange(past + tokens)[None] > place[:, None]
    arrays["mask"] = np.where(hidden, np.finfo(np.float32).min, 0).astype(np.float32)
    return arrays | (scales(heads, head_dim) if eight_bits else {})


def assert_attended(own: list[NDArray[Any]], function: list[NDArray[Any]], length: int) -> None:
    np.testing.assert_allclose(own[0], function[0], rtol=2e-5, atol=2e-5)
    for one, other in zip(own[1:], function[1:], strict=True):
        one, other = one[:, :, :length], other[:, :, :length]
        if one.dtype == np.int8:  # a number at the middle of two steps may round to either
            assert np.abs(one.astype(int) - other).max() <= 1
            assert (one != other).mean() < 1e-3
        else:
            np.testing.assert_allclose(one, other, rtol=2e-5, atol=2e-5)


@pytest.mark.parametrize("eight_bits", [False, True])
@pytest.mark.parametrize("prefix", [0, 40])
@pytest.mark.parametrize(("rows", "tokens", "past"), [(3, 1, 17), (2, 20, 0), (40, 1, 5)])
def test_caches_may_have_zeros_behind_each_half_of_a_head(
    rows: int, tokens: int, past: int, prefix: int, eight_bits: bool
) -> None:
    """Heads of 52 numbers, as of Kronos-base."""
    heads, half, padded = 2, 26, 32
    arrays = prefix_inputs(rows, tokens, past, past + tokens, heads, 2 * padded, prefix, 1, eight_bits)
    halves = arrays["packed"].reshape(rows, tokens, 6 * heads, padded)
    arrays["packed"] = np.ascontiguousarray(halves[..., :half]).reshape(rows, tokens, -1)
    for name, array in arrays.items():
        if name.startswith(("past_", "prefix_")):
            array.reshape(*array.shape[:3], 2, padded)[..., half:] = 0
    operator = PREFIX_ATTENTION_8 if eight_bits else PREFIX_ATTENTION
    if not prefix:
        operator = STEP_ATTENTION_8 if eight_bits else STEP_ATTENTION
        arrays = {name: array for name, array in arrays.items() if name in operator.inputs}
    sizes = Sizes(512, 2 * half, padded - half)
    own, function = both(operator, arrays, heads=heads, scale=0.14, sizes=sizes)
    assert own[0].shape == (rows, tokens, 2 * heads * half)
    assert_attended(own, function, past + tokens)


@pytest.mark.parametrize("threads", [1, 2])
def test_a_row_is_the_same_to_the_bit_alone_and_in_any_company(threads: int) -> None:
    arrays = prefix_inputs(40, 1, 30, 60, 2, 64, 100, 2, False)
    together = run(PREFIX_ATTENTION, arrays, native=True, threads=threads, heads=2, scale=0.125)
    for history, rows in ((0, slice(0, 20)), (1, slice(20, 40)), (0, slice(0, 1)), (1, slice(20, 23))):
        part = {
            name: array[rows]
            if len(array) == 40
            else array[history : history + 1]
            if name.startswith("prefix")
            else array
            for name, array in arrays.items()
        }
        alone = run(PREFIX_ATTENTION, part, native=True, heads=2, scale=0.125)
        np.testing.assert_array_equal(alone[0], together[0][rows])
        for one, other in zip(alone[1:], together[1:], strict=True):
            np.testing.assert_array_equal(one[:, :, :31], other[rows, :, :31])


def test_a_value_that_is_no_number_stays_in_its_row() -> None:
    arrays = step_inputs()
    arrays["past_value"][1, 0, 2, 3] = np.nan
    (out, *_) = run(STEP_ATTENTION, arrays, native=True, heads=2, scale=0.2)
    assert np.isnan(out).any(axis=(1, 2)).tolist() == [False, True, False]
    arrays = step_inputs()
    arrays["packed"][2, 0, 1] = np.nan
    (out, *_) = run(STEP_ATTENTION, arrays, native=True, heads=2, scale=0.2)
    assert np.isnan(out).any(axis=(1, 2)).tolist() == [False, False, True]


@pytest.mark.parametrize("eight_bits", [False, True])
def test_a_token_that_is_no_number_stays_in_its_row_behind_a_prefix(eight_bits: bool) -> None:
    arrays = prefix_inputs(40, 1, 3, 8, 2, 64, 70, 1, eight_bits)
    arrays["packed"][17, 0, 5] = np.nan  # of a query
    operator = PREFIX_ATTENTION_8 if eight_bits else PREFIX_ATTENTION
    (out, *_) = run(operator, arrays, native=True, heads=2, scale=0.125)
    assert np.flatnonzero(np.isnan(out).any(axis=(1, 2))).tolist() == [17]
