"""Event arrays of requests: nested lists and base64, shapes and values."""

import numpy as np
import pytest

from inference_server.errors import InvalidEvents
from inference_server.forecast.event_arrays import parse_events
from inference_server.schemas import EncodedArray
from market.event_channels import EVENT_CHANNELS


def encoded(array: np.ndarray) -> EncodedArray:
    return EncodedArray(shape=array.shape, data=array.astype("<f4").tobytes())


@pytest.mark.parametrize("rows", [40, 43])
def test_event_arrays_as_lists_and_bytes_are_equal(rows: int) -> None:
    events = np.random.default_rng(0).normal(size=(rows, 20)).astype(np.float32)
    for given in (events.tolist(), encoded(events)):
        array = parse_events(given, 40, 3)
        np.testing.assert_array_equal(array, events)
        assert array.dtype == np.float32
        assert array.flags.c_contiguous
        assert array.flags.writeable


@pytest.mark.parametrize("shape", [(39, 20), (41, 20), (40, 19), (43, 21), (0, 20), (40, 0), (0, 0)])
def test_other_shapes_name_the_ones_expected(shape: tuple[int, int]) -> None:
    for given in (np.zeros(shape).tolist(), encoded(np.zeros(shape))):
        with pytest.raises(InvalidEvents, match=r"expected \[40, 20\] or \[43, 20\]") as refused:
            parse_events(given, 40, 3)
        assert refused.value.expected == [[40, 20], [43, 20]]


@pytest.mark.parametrize("shape", [(40, 20), (-40, -20), (43, 20)])
def test_bytes_that_do_not_fill_the_shape_are_refused(shape: tuple[int, int]) -> None:
    with pytest.raises(InvalidEvents, match="holds 12 bytes"):
        parse_events(EncodedArray(shape=shape, data=b"x" * 12), 40, 3)


def test_ragged_rows_are_refused() -> None:
    with pytest.raises(InvalidEvents, match="differ in length"):
        parse_events([[0.0] * 20] * 39 + [[0.0] * 19], 40, 3)


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf"), 1e300])
def test_values_that_are_not_finite_name_row_and_channel(value: float) -> None:
    events = np.zeros((40, 20))
    events[7, 17] = value
    with pytest.raises(InvalidEvents, match=r"events\[7\]\[17\] \(vix_level_z\) is") as refused:
        parse_events(events.tolist(), 40, 3)
    assert EVENT_CHANNELS[17] == "vix_level_z"
    assert refused.value.given in ("nan", "inf", "-inf")
