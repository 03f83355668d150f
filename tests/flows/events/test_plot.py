import polars as pl
import pytest

from flows.events import EventResult
from flows.events.__main__ import main
from flows.events.plot import plot_events
from tests.helpers.event_markets import at


def columns(market, request):
    mine = market.candles[request.timeframe].filter(pl.col("symbol") == request.symbol).sort("ts")
    mine = mine.tail(len(request.timestamps))
    return {name: mine[name].to_numpy() for name in ("open", "high", "low", "close")}


@pytest.mark.parametrize(
    ("symbol", "timeframe", "as_of", "pred_len"),
    [("EURUSD", "1h", "2022-06-15T12:00", 120), ("SPY", "1d", "2022-06-15T22:00", 0)],
)
def test_a_picture_is_written(market, tmp_path, symbol, timeframe, as_of, pred_len):
    request = market.request(symbol, timeframe, as_of, lookback=100, pred_len=pred_len)
    out = tmp_path / "out.png"
    plot_events(request, columns(market, request), market.build(request), out)
    assert out.read_bytes().startswith(b"\x89PNG")


def test_a_picture_of_nothing_says_why(market, tmp_path):
    request = market.request("SPY", "1d", "2022-06-15T22:00", lookback=100)
    with pytest.raises(ValueError, match="SPY: no event array: no rows"):
        plot_events(request, {}, EventResult(error="no rows"), tmp_path / "out.png")


def test_the_command_reads_the_database(market, database, tmp_path, capsys):
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


def test_an_unknown_symbol_is_refused(database, tmp_path, capsys):
    assert main(["plot", "--symbol", "NOPE", "--timeframe", "1d", str(tmp_path / "x.png")]) == 1
    assert "NOPE: unknown instrument" in capsys.readouterr().err
