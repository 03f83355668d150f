"""Files of candles as people and providers have them: what is read, what is asked back, what is refused."""

from pathlib import Path
from typing import Any

import pytest

from flows.files.candle_files import CandleRows, read_candles
from flows.files.errors import TableError
from flows.files.frames import read_table
from flows.files.options import ReadOptions
from tests.helpers.candle_layouts import LAYOUTS, PRICES

Expected = tuple[str, list[float | None]]
"""Time of the first candle in UTC, and its open, high, low, close, volume, amount."""


def read(
    folder: Path, text: str, timeframe: str = "1d", encoding: str = "utf-8", **options: Any
) -> CandleRows:
    file = folder / "candles.csv"
    file.write_bytes(text.encode(encoding))
    return read_candles(read_table(file).frame, timeframe, ["A"], options=ReadOptions(**options))


def first(candles: CandleRows) -> Expected:
    row = candles.rows.row(0)
    return f"{row[1]:%Y-%m-%d %H:%M}", list(row[2:])


@pytest.mark.parametrize("name", LAYOUTS)
def test_files_as_providers_have_them(tmp_path: Path, name: str) -> None:
    example = LAYOUTS[name]
    candles = read(tmp_path, example.text, example.timeframe, example.encoding, **(example.options or {}))
    assert first(candles) == (example.time, [*PRICES, example.volume, example.amount])


HEAD = "timestamp,open,high,low,close\n"
CANDLE = HEAD + "2024-01-02,10,12,9,11\n"
ONE_KEY = r"\(symbol, timestamp\)"


@pytest.mark.parametrize(
    ("text", "timeframe", "options", "message"),
    [
        (
            HEAD + "01/02/2024,10,12,9,11\n",
            "1d",
            {},
            r"'01/02/2024' is 2024-02-01 .* 2024-01-02 .*--date-order",
        ),
        (
            HEAD + "2024/01/02 09:30,10,12,9,11\n",
            "1h",
            {},
            r"such as 2024-01-02 09:30, have no zone, .*--timezone",
        ),
        (HEAD + "2024-01-02 09:30 EST,10,12,9,11\n", "1h", {}, r"name the zone EST, .*--timezone"),
        (
            HEAD.replace(",", ";") + "2024-01-02;1,234;1,235;1,233;1,234\n",
            "1d",
            {},
            r"'1,23\d' is 123\d .*--decimal",
        ),
        (HEAD + "soon,10,12,9,11\n", "1d", {}, r"timestamp is not a time like .*: A soon " + ONE_KEY),
        (HEAD + "2024-01-02,10,12,9,1.6%\n", "1d", {}, r"close is not a number: A 2024-01-02\S* 1\.6%"),
        (HEAD + "2024-01-02,10,12,9,null\n", "1d", {}, r"close is missing: A 2024-01-02\S* " + ONE_KEY),
        (
            HEAD + "2024-01-02,10,12,9,11\n2024-01-02,10,12,9,10\n",
            "1d",
            {},
            r"several rows of one key with different values: A 2024-01-02\S* \(symbol, timestamp\)",
        ),
        (
            "DATE,DEXUSEU\n2024-01-02,1.09\n",
            "1d",
            {},
            r"one value for each date \(DEXUSEU\), .*load indicators",
        ),
        (CANDLE, "1d", {"preset": "fred"}, r"preset fred is .* one value a date is no candle"),
        (CANDLE, "1d", {"preset": "forexfactory"}, "is one for calendar, not for candles"),
        (
            "Datum,open,high,low,Kurs\n2024-01-02,10,12,9,11\n",
            "1d",
            {},
            r"missing columns: close; .*--map close=NAME",
        ),
        (
            "Date,Open,High,Low,Adj Close\n2024-01-02,10,12,9,11\n",
            "1d",
            {},
            r"missing columns: close; .*--map close='Adj Close' takes Adj Close",
        ),
        (CANDLE, "1d", {"columns": {"close": "Kurs"}}, r"no column 'Kurs', .*its columns are t"),
        (CANDLE, "1d", {"columns": {"klose": "close"}}, r"--map names the column 'klose'; exp"),
    ],
)
def test_what_is_asked_back_or_refused(
    tmp_path: Path, text: str, timeframe: str, options: dict[str, Any], message: str
) -> None:
    with pytest.raises(TableError, match=message):
        read(tmp_path, text, timeframe, **options)


def test_the_user_names_columns_in_any_language(tmp_path: Path) -> None:
    text = "Tag;Anfang;Spitze;Boden;Ende;Stück\n02.01.2024;10,0;12,0;9,0;11,0;5\n"
    names = {"timestamp": "Tag", "open": "Anfang", "high": "Spitze", "low": "Boden", "close": "Ende"}
    candles = read(tmp_path, text, columns=names)
    assert first(candles) == ("2024-01-02 00:00", [*PRICES, None, None])
    assert candles.notes == ("columns that are not used: Stück",)


def test_one_file_of_yfinance_with_several_symbols(tmp_path: Path) -> None:
    text = (
        "Ticker,B,B,B,B,A,A,A,A\nPrice,Open,High,Low,Close,Open,High,Low,Close\nDate,,,,,,,,\n"
        "2024-01-02,1,2,0.5,1.5,10,12,9,11\n2024-01-03,1,2,0.5,1.5,,,,\n"
    )
    (tmp_path / "candles.csv").write_text(text)
    candles = read_candles(read_table(tmp_path / "candles.csv").frame, "1d")
    assert candles.rows["symbol"].to_list() == ["A", "B", "B"]
    assert first(candles) == ("2024-01-02 00:00", [*PRICES, None, None])
    assert candles.notes == ("1 rows without any price were left out",)


def test_holidays_footers_and_repeated_rows_are_left_out_and_counted(tmp_path: Path) -> None:
    text = (
        "Date,Open,High,Low,Close,Volume\n2024-01-04,10,12,9,11,5\n2024-01-03,null,null,null,null,null\n"
        "2024-01-02,10,12,9,11,5\n2024-01-02,10,12,9,11,5\nDownloaded from somewhere\n"
    )
    candles = read(tmp_path, text)
    assert candles.rows.height == 2
    assert candles.notes == (
        "2 rows without any price were left out",
        "1 rows repeat another and were dropped",
    )
    assert "order: newest first" in candles.understood


def test_what_was_understood_is_said(tmp_path: Path) -> None:
    text = "Datum;Uhrzeit;Open;High;Low;Close\n02.01.2024;09:30;10,5;12,0;9,0;11,0\n"
    assert read(tmp_path, text, "1h", timezone="Europe/Berlin").understood == (
        "columns: timestamp = Datum and Uhrzeit, open = Open, high = High, low = Low, close = Close",
        "numbers: decimal comma",
        "dates: day, month, year",
        "zone: Europe/Berlin",
        "order: oldest first",
        "candles: 1 of 1 symbol",
        "first candle: A 2024-01-02 08:30 UTC, open 10.5, high 12, low 9, close 11",
        "last candle: A 2024-01-02 08:30 UTC, open 10.5, high 12, low 9, close 11",
    )


def test_a_quote_behind_the_last_candle_is_left_out_and_named(tmp_path: Path) -> None:
    rows = "".join(f"2024-01-{day:02} 00:00:00-05:00,10,12,9,11\n" for day in range(2, 6))
    candles = read(tmp_path, HEAD + rows + "2024-01-08 15:31:07-05:00,10,12,9,11\n")
    assert candles.rows.height == 4
    assert candles.notes == ("1 unfinished candles at the end were left out: A 2024-01-08 15:31",)
    with pytest.raises(TableError, match="candles of A are 509 minutes apart"):
        read(tmp_path, HEAD + rows.replace("04 00:00", "04 15:31"))
