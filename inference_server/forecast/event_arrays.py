"""Parses the `events` of a request into a float32 array and checks its shape and values."""

from collections.abc import Iterable

import numpy as np

from inference_server.errors import InvalidEvents
from inference_server.schemas import EncodedArray, EventArray
from market.event_channels import EVENT_CHANNELS
from market.types import Float32Array


def parse_events(events: EventArray, rows: int, pred_len: int) -> Float32Array:
    """Return the event array of a request as float32 of shape (rows, 20) or (rows + pred_len, 20),
    C-contiguous.

    Parameters
    ----------
    events
        Nested lists, or a shape with little-endian float32 bytes.
    rows
        T, the number of candles in the window.

    Raises
    ------
    InvalidEvents
        If the shape is different, or a value is NaN or infinite in float32; the error names row and channel.
    """
    array = _parse_bytes(events) if isinstance(events, EncodedArray) else parse_lists(events)
    channels = len(EVENT_CHANNELS)
    shapes = [[rows, channels], [rows + pred_len, channels]]
    if list(array.shape) not in shapes:
        raise InvalidEvents(
            f"events have shape {list(array.shape)}; expected {shapes[0]} or {shapes[1]}, "
            f"for {rows} candles used and pred_len {pred_len}",
            given=list(array.shape),
            expected=shapes,
        )
    finite = np.isfinite(array)
    if not finite.all():
        row, channel = (int(index) for index in np.argwhere(~finite)[0])
        raise InvalidEvents(
            f"events[{row}][{channel}] ({EVENT_CHANNELS[channel]}) is {array[row, channel]}",
            given=str(array[row, channel]),
            expected="finite numbers that float32 can hold",
        )
    return array


def parse_lists(events: list[list[float]]) -> Float32Array:
    """Return nested lists as an array; values beyond float32 become infinite.

    Raises
    ------
    InvalidEvents
        If rows differ in length.
    """
    shape = (len(events), common_width(map(len, events)))
    with np.errstate(over="ignore"):
        return np.asarray(events, dtype=np.float64).astype(np.float32).reshape(shape)


def common_width(widths: Iterable[int]) -> int:
    """Return the length that all rows of events have; 0 without rows.

    Raises
    ------
    InvalidEvents
        If they differ.
    """
    lengths = set(widths)
    if len(lengths) > 1:
        raise InvalidEvents(
            "rows of events differ in length",
            given=sorted(lengths)[:10],
            expected=f"{len(EVENT_CHANNELS)} channels in every row",
        )
    return lengths.pop() if lengths else 0


def _parse_bytes(events: EncodedArray) -> Float32Array:
    """Return little-endian float32 bytes as an array of their shape."""
    rows, channels = events.shape
    if min(rows, channels) < 0 or rows * channels * 4 != len(events.data):
        raise InvalidEvents(
            f"events.data holds {len(events.data)} bytes and events.shape is {[rows, channels]}",
            given=len(events.data),
            expected="4 bytes (little-endian float32) per element of shape",
        )
    return np.frombuffer(events.data, dtype="<f4").reshape(rows, channels).astype(np.float32)
