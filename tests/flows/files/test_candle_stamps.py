"""Files whose candles are stamped with their close."""

import polars as pl
import pytest

from flows.files.candle_files import CandleRows, read_candles
from flows.files.errors import TableError
from flows.files.options import ReadOptions
from market.instruments import Instrument

SHARE = Instrument("SPY", "equity", "XNYS", stamp="close")
COIN = Instrument("BTC-USD", "crypto", "24/7", stamp="close")


def read(stamps: list[str], timeframe: str, instrument: Instrument = SHARE, **options: str) -> CandleRows:
    prices = {name: [10.0] * len(stamps) for name in ("open", "high", "low", "close")}
    frame = pl.DataFrame({"symbol": instrument.symbol, "timestamp": stamps, **prices})
    known = {instrument.symbol: instrument}
    return read_candles(frame, timeframe, instruments=known, options=ReadOptions(**options))  # type: ignore[arg-type]


def opens(file: CandleRows) -> list[str]:
    return [f"{ts:%Y-%m-%d %H:%M}" for ts in file.rows["ts"]]


def test_intraday_candles_get_their_open_and_the_file_says_so() -> None:
    session = [f"2024-06-13 {clock}" for clock in ("13:30", "14:30", "15:30", "16:00")]
    file = read(session, "1h", timezone="America/New_York")
    assert opens(file) == [f"2024-06-13 {clock}" for clock in ("16:30", "17:30", "18:30", "19:30")]
    assert file.notes == (
        "SPY: its candles are stamped with their close (stamp in the table instruments) and were moved to "
        "their open, the last from 2024-06-13 20:00 to 2024-06-13 19:30 UTC",
    )
    assert "last candle: SPY 2024-06-13 19:30 UTC, open 10, high 10, low 10, close 10" in file.understood
    assert read(session[::-1], "1h", timezone="America/New_York").rows.equals(file.rows)


@pytest.mark.parametrize(
    ("instrument", "stamps", "timeframe", "expected"),
    [
        (SHARE, ["2024-06-12T20:00Z", "2024-06-13T20:00Z"], "1d", ["2024-06-12 00:00", "2024-06-13 00:00"]),
        (SHARE, ["2024-06-12", "2024-06-13"], "1d", ["2024-06-12 00:00", "2024-06-13 00:00"]),
        (COIN, ["1718150400000", "1718236800000"], "1d", ["2024-06-11 00:00", "2024-06-12 00:00"]),
        (COIN, ["2024-06-12", "2024-06-13"], "1d", ["2024-06-12 00:00", "2024-06-13 00:00"]),
        (SHARE, ["2024-06-07", "2024-06-14"], "1w", ["2024-06-03 00:00", "2024-06-10 00:00"]),
    ],
)
def test_days_and_weeks_get_their_date(
    instrument: Instrument, stamps: list[str], timeframe: str, expected: list[str]
) -> None:
    file = read(stamps, timeframe, instrument)
    assert opens(file) == expected
    moved = expected[-1] != f"{stamps[-1]} 00:00"
    assert len(file.notes) == moved


def test_an_unknown_calendar_is_named() -> None:
    with pytest.raises(TableError, match="A: unknown calendar 'NOWHERE'"):
        read(["2024-06-13 13:30"], "1h", Instrument("A", "equity", "NOWHERE", stamp="close"))
