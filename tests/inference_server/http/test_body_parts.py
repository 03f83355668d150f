"""Parts of large bodies: read in pieces they are what they are at once, errors and all."""

import json
from collections.abc import Iterator
from typing import Any

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from inference_server.errors import InvalidBody, InvalidEvents
from inference_server.forecast.event_arrays import parse_lists
from inference_server.http import body_parts, list_pieces
from inference_server.http.body_parts import parse, parse_part
from inference_server.http.list_pieces import ROWS, VALUES
from inference_server.schemas import Candles, EncodedArray, EventArray, Instant


@pytest.fixture(autouse=True)
def short_pieces() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        for module in (list_pieces, body_parts):
            patch.setattr(module, "PIECE_BYTES", 12)
        yield


def candles(**columns: Any) -> bytes:
    plain = {name: [1.5, 2.25, 3.0, 4.0, 5.0, 6.0] for name in ("open", "high", "low", "close")}
    return json.dumps({"timestamp": ["2024-01-01", 5, "2024-01-03", 7, 8, "9"], **plain, **columns}).encode()


@given(st.lists(st.integers() | st.floats(allow_nan=False, allow_infinity=False), max_size=30))
def test_pieces_of_a_list_are_the_list(values: list[float]) -> None:
    raw = json.dumps(values).encode()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(list_pieces, "PIECE_BYTES", 12)
        pieces = [json.loads(piece) for piece in list_pieces.list_pieces(raw, VALUES)]
    assert [value for piece in pieces for value in piece] == values
    assert len(pieces) >= len(raw) // 400


@given(st.lists(st.lists(st.integers(0, 9), max_size=4), max_size=20), st.sampled_from(["", " ", "\n "]))
def test_pieces_of_rows_are_the_rows(rows: list[list[int]], blank: str) -> None:
    raw = json.dumps(rows).replace("],", f"]{blank},").encode()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(list_pieces, "PIECE_BYTES", 12)
        pieces = [json.loads(piece) for piece in list_pieces.list_pieces(raw, ROWS)]
    assert [row for piece in pieces for row in piece] == rows


@pytest.mark.parametrize(
    "columns",
    [
        {},
        {"volume": [1, None, 3, None, None, 6.5], "amount": None},
        {"timestamp": ["2024-01-01, noon", "a,b,c", 'quoted ",", text', 4, "é,é,é,é,é,é"]},
        {"open": [], "trades": [1] * 30},
        {"timestamp": [1709510400000, 1709510400001, 1709510400002], "close": [1e300, -0.0, 1]},
    ],
    ids=["plain", "unknown volume", "commas", "empty and strange", "numbers"],
)
def test_candles_in_pieces_are_the_candles(columns: dict[str, Any]) -> None:
    raw = candles(**columns)
    assert parse_part(raw, Candles, "$.candles") == msgspec.json.decode(raw, type=Candles)


def test_text_for_numbers_is_taken_in_pieces_too() -> None:
    closes = [f"{number / 4}" for number in range(40)]
    read = parse_part(candles(close=closes, volume=["1_000", None, 2, " 3 ", True]), Candles, "$.candles")
    assert read.close == [number / 4 for number in range(40)]
    assert read.volume == [1000.0, None, 2.0, 3.0, 1.0]
    events = parse_part(json.dumps([["1", 0.5]] * 9).encode(), EventArray, "$.events")
    np.testing.assert_array_equal(np.frombuffer(events.data, "<f4").reshape(events.shape), [[1, 0.5]] * 9)


@pytest.mark.parametrize(
    ("kind", "raw", "message", "value"),
    [
        (Candles, candles(open=[1, 2, 3, 4, 5, 6, 7, "x"]), r"got `str` - at `\$.part.open\[7\]`$", "x"),
        (Candles, candles(low=[1] * 9 + [None]), r"got `null` - at `\$.part.low\[9\]`$", None),
        (Candles, candles(high=None), r"`array`, got `null` - at `\$.part.high`$", None),
        (Candles, candles(volume=["?"] * 9), r"got `str` - at `\$.part.volume\[0\]`$", "?"),
        (Candles, candles(timestamp=["a"] * 9 + [1.5]), r"got `float` - at `\$.part.timestamp\[9\]`$", 1.5),
        (
            Candles,
            b'{"open": [1, 2, 3, 4, 5, 6]}',
            r"missing required field `timestamp` - at `\$.part`$",
            None,
        ),
        (list[Instant], b'["2024", "2025", 2026, 2027, 1.5]', r"got `float` - at `\$.part\[4\]`$", 1.5),
        (EventArray, b'[[0, 1], [2, 3], [4, 5], [6, "x"]]', r"got `str` - at `\$.part\[3\]\[1\]`$", "x"),
        (EventArray, b"[[0, 1], [2, 3], [4, 5], [6, [7]]]", r"got `array` - at `\$.part\[3\]\[1\]`$", None),
        (EventArray, b"[0, 1, 2, 3, 4, 5, 6, 7]", r"got `int` - at `\$.part\[0\]`$", 0),
    ],
)
def test_an_error_names_the_place_in_the_whole(kind: Any, raw: bytes, message: str, value: Any) -> None:
    with pytest.raises(InvalidBody, match=message) as refused:
        parse_part(raw, kind, "$.part")
    assert refused.value.given == value


@given(st.lists(st.lists(st.floats(width=32), min_size=3, max_size=3), min_size=4, max_size=20))
def test_events_in_pieces_are_the_array(rows: list[list[float]]) -> None:
    finite = [[value if np.isfinite(value) else 1e39 for value in row] for row in rows]
    with pytest.MonkeyPatch.context() as patch:
        for module in (list_pieces, body_parts):
            patch.setattr(module, "PIECE_BYTES", 12)
        read = parse_part(json.dumps(finite).encode(), EventArray, "$.events")
    assert isinstance(read, EncodedArray)
    made = np.frombuffer(read.data, "<f4").reshape(read.shape)
    np.testing.assert_array_equal(made, parse_lists(finite))


def test_rows_of_different_length_are_refused_wherever_they_are() -> None:
    for rows in ([[1, 2]] * 9 + [[1]], [[1]] + [[1, 2]] * 9, [[1, 2], [1]] * 9):
        with pytest.raises(InvalidEvents, match="rows of events differ in length"):
            parse_part(json.dumps(rows).encode(), EventArray, "$.events")


@pytest.mark.parametrize(
    "raw", [b"[1, 2, 3, 4, 5, 6, 7,]", b"[1, 2, 3,, 4, 5, 6, 7]", b"[1, 2, 3, 4, 5, 6, 7"]
)
def test_what_is_no_list_is_refused_before_it_is_cut(raw: bytes) -> None:
    with pytest.raises(InvalidBody, match="not JSON"):
        parse(b'{"a": ' + raw + b"}", dict[str, msgspec.Raw])
