"""Outcomes of symbols, one of each kind."""

from datetime import UTC, datetime

from flows.forecasting.run_summary import Horizon, Milliseconds, SymbolOutcome
from flows.forecasting.store import PredictionRow

ROW = PredictionRow(
    symbol="EURUSD",
    timeframe="1h",
    as_of=datetime(2024, 12, 18, 11, tzinfo=UTC),
    model_name="tiny",
    model_version="abc",
    pred_len=2,
    timestamps=[datetime(2024, 12, 18, 12, tzinfo=UTC), datetime(2024, 12, 18, 13, tzinfo=UTC)],
    p10=[1.04, 1.03],
    p50=[1.05, 1.055],
    p90=[1.06, 1.07],
    seed=1,
    event_context=None,
)
HORIZON = Horizon.of(ROW)
STORED = SymbolOutcome("EURUSD", HORIZON, last_close=1.05, took=Milliseconds(3.2, 51.7, 4.4))
UNCHANGED = SymbolOutcome("GBPUSD", HORIZON, last_close=1.05, unchanged=True)
FAILED = SymbolOutcome("SPY", error="PredictionRefused: Bad Request (400): no")
SKIPPED = SymbolOutcome("SPX", skipped="no 1h candles")
STALE = SymbolOutcome("SQ", stale="newest candle 2024-08-30 19:30 UTC, 500 later ones had closed")
WITHOUT = SymbolOutcome("GLD", HORIZON, last_close=1.05, without_events="the calendar is empty")
