"""JSON in the shapes of providers, and what is refused with its beginning quoted."""

import json
from typing import Any

import pytest

from flows.files.errors import TableError
from flows.files.json_rows import json_frame

ROWS: list[dict[str, Any]] = [{"a": 1, "b": "x"}, {"a": None, "b": "y"}]
CANDLE = [1706702400000, 1.0, 2.0, 0.5, 1.5, 10.0]


def rows(document: Any) -> list[dict[str, Any]]:
    return json_frame(json.dumps(document).encode()).to_dicts()


@pytest.mark.parametrize(
    ("document", "expected"),
    [
        (ROWS, ROWS),
        ({"economicCalendar": ROWS}, ROWS),
        ({"status": "ok", "values": ROWS}, ROWS),
        ({"symbol": "SPY", "historical": ROWS}, [{**row, "symbol": "SPY"} for row in ROWS]),
        ({"ticker": "SPY", "results": ROWS, "count": 2}, [{**row, "symbol": "SPY"} for row in ROWS]),
        ({"meta": {"symbol": "SPY"}, "values": ROWS}, [{**row, "symbol": "SPY"} for row in ROWS]),
        (
            {"bars": {"SPY": ROWS[:1], "QQQ": ROWS[1:], "VIX": []}, "next_page_token": None},
            [{**ROWS[0], "symbol": "SPY"}, {**ROWS[1], "symbol": "QQQ"}],
        ),
        (
            {"s": "ok", "t": [1, 2], "o": [3, 4], "c": [5, 6.5]},
            [{"t": 1, "o": 3, "c": 5}, {"t": 2, "o": 4, "c": 6.5}],
        ),
        (
            [CANDLE],
            [
                {
                    "timestamp": 1706702400000,
                    "open": 1.0,
                    "high": 2.0,
                    "low": 0.5,
                    "close": 1.5,
                    "volume": 10.0,
                }
            ],
        ),
        (
            [[*CANDLE, 1706705999999, "15.5", 3, "1", "2", "0"]],
            [
                {
                    "timestamp": 1706702400000,
                    "open": 1.0,
                    "high": 2.0,
                    "low": 0.5,
                    "close": 1.5,
                    "volume": 10.0,
                    "amount": "15.5",
                }
            ],
        ),
        ([{"a": 1}, {"b": 2.5}], [{"a": 1, "b": None}, {"a": None, "b": 2.5}]),
    ],
)
def test_shapes(document: Any, expected: list[dict[str, Any]]) -> None:
    assert rows(document) == expected


def test_values_of_several_types_become_text() -> None:
    assert [str(row["actual"]) for row in rows([{"actual": 1.5}, {"actual": "Pass"}])] == ["1.5", "Pass"]


@pytest.mark.parametrize("text", ['{"a": 1}\n{"a": 2}\n', '\ufeff{"a": 1}\n{"a": 2}'])
def test_one_object_per_line(text: str) -> None:
    assert json_frame(text.encode()).to_dicts() == [{"a": 1}, {"a": 2}]


def test_a_single_line_is_a_row_where_that_is_known() -> None:
    assert json_frame(b'{"a": 1}\n', lines=True).to_dicts() == [{"a": 1}]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[]", r"its JSON has no rows; it begins with '\[\]'"),
        ('{"economicCalendar": []}', "its JSON has no rows"),
        ('{"Error Message": "Invalid API KEY."}', "no rows; it begins with '.*Invalid API KEY"),
        ('{"s": "no_data"}', "no rows"),
        ('[{"a": 1}, {"a": ', r"it is not whole JSON \(.*truncated.*\); it begins with"),
        ("[1, 2]", "no rows"),
        ("7", "no rows"),
        ("[[1, 2, 3]]", "no names of columns, and are neither candles as ccxt gives them"),
        ("[[1, 2, 3, 4, 5, 6], [1]]", "no names of columns"),
    ],
)
def test_what_is_refused(text: str, message: str) -> None:
    with pytest.raises(TableError, match=message):
        json_frame(text.encode())
