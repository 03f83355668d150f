from pathlib import Path

import polars as pl
import psycopg
import pytest

from flows.events import EventRequest, EventResult
from flows.events.__main__ import main
from flows.events.plot import plot_events
from market.types import Float64Array
from tests.helpers.event_markets import Market, at


def columns(market: Market, request: EventRequest) -> dict[str, Float64Array]:
    mine = market.candles[request.timeframe].filter(pl.col("symbol") == request.symbol).sort("ts")
    mine = mine.tail(len(request.timestamps))
    return {name: mine[name].to_numpy() for name in ("open", "high", "low", "close")}


@pytest.mark.parametrize(
    ("symbol", "timeframe", "as_of", "pred_len"),
    [("EURUSD", "1h", "2022-06-15T12:00", 120), ("SPY", "1d", "2022-06-15T22:00", 0)],
)
def test_a_picture_is_written(
    market: Market, tmp_path: Path, symbol: str, timeframe: str, as_of: str, pred_len: int
) -> None:
    request = market.request(symbol, timeframe, as_of, lookback=100, pred_len=pred_len)
    out = tmp_path / "out.png"
    plot_events(request, columns(market, request), market.build(request), out)
    assert out.read_bytes().startswith(b"\x89PNG")


def test_a_picture_of_nothing_says_why(market: Market, tmp_path: Path) -> None:
    request = market.request("SPY", "1d", "2022-06-15T22:00", lookback=100)
    with pytest.raises(ValueError, match="SPY: no event array: no rows"):
        plot_events(request, {}, EventResult(error="no rows"), tmp_path / "out.png")


def test_the_command_reads_the_database(
    market: Market, database: psycopg.Connection, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    now = at("2022-06-15T22:00")
    candles = (
        market.candles["1d"].filter((pl.col("symbol") == "SPY") & (pl.col("ts") < now)).sort("ts").tail(300)
    )
    with database.cursor() as cursor:
        with cursor.copy("COPY ohlcv_1d (symbol, ts, open, high, low, close, volume) FROM STDIN") as copy:
            for row in candles.iter_rows():
                copy.write_row(row)
        with cursor.copy(f"COPY economic_calendar ({', '.join(market.calendar.columns)}) FROM STDIN") as copy:
            for row in market.calendar.filter(pl.col("event_type") == "fomc").iter_rows():
                copy.write_row(row)
    out = tmp_path / "spy.png"
    asked = ["plot", "--symbol", "SPY", "--timeframe", "1d", "--as-of", "2022-06-15T22:00Z", str(out)]
    assert main(asked) == 0
    assert out.stat().st_size > 10_000
    said = capsys.readouterr()
    assert f"wrote {out}" in said.out
    assert "leader BTC-USD has no 1d candles" in said.err


def test_an_unknown_symbol_is_refused(
    database: psycopg.Connection, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["plot", "--symbol", "NOPE", "--timeframe", "1d", str(tmp_path / "x.png")]) == 1
    assert "NOPE: unknown instrument" in capsys.readouterr().err
