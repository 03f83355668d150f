"""Scoring only what can have changed stores the same scores as scoring everything again."""

from datetime import timedelta
from typing import Any

import numpy as np
import psycopg
import pytest

from flows import score as module
from flows.generated.releases import generated_releases
from flows.load import load_calendar
from flows.scoring.tally import Tally
from market.instruments import Instrument
from tests.helpers.forecasts_in_store import (
    START,
    add_closes,
    add_forecast,
    add_instrument,
    score_rows,
    tally_of,
    walk,
)
from tests.helpers.score_runs import tasks_as_functions

__all__ = ["tasks_as_functions"]

HOURS = 120
SYMBOLS = ("BTC-USD", "ETH-USD")
CLOSES = walk(HOURS)
SCORED_AGAIN = ("created_at", "updated_at")  # times that the database keeps itself


@pytest.fixture
def market(
    database: psycopg.Connection[Any], tasks_as_functions: None, monkeypatch: pytest.MonkeyPatch
) -> psycopg.Connection[Any]:
    """Two symbols without candles; tasks run as plain functions, in small chunks."""
    monkeypatch.setattr(module, "CHUNK", 7)
    for symbol in SYMBOLS:
        add_instrument(database, Instrument(symbol, "crypto", "24/7"))
    return database


def run(hour: float, **parameters: Any) -> Tally:
    return tally_of(timeframe="1h", as_of=START + timedelta(hours=hour), **parameters)


def scores(database: psycopg.Connection[Any]) -> list[dict[str, Any]]:
    return [
        {name: value for name, value in row.items() if name not in SCORED_AGAIN}
        for row in score_rows(database)
    ]


def key_of(row: dict[str, Any]) -> tuple[Any, ...]:
    return row["symbol"], row["as_of"]


def any_candle(database: psycopg.Connection[Any], row: dict[str, Any]) -> bool:
    """Tell whether a close of a score's steps is known."""
    query = (
        "SELECT FROM ohlcv_1h WHERE symbol = %(symbol)s AND ts > %(as_of)s AND ts < %(matured_at)s "
        "AND close <> 'NaN'"
    )
    return database.execute(query, row).fetchone() is not None


def set_close(database: psycopg.Connection[Any], symbol: str, hour: int, close: float) -> None:
    database.execute(
        "INSERT INTO ohlcv_1h (symbol, ts, open, high, low, close) VALUES (%s, %s, 1, 1, 1, %s) "
        "ON CONFLICT (symbol, ts) DO UPDATE SET close = excluded.close",
        (symbol, START + timedelta(hours=hour), close),
    )


def forget_what_was_looked_at(database: psycopg.Connection[Any]) -> None:
    """As after an upgrade from a release that scored everything of the last days again."""
    database.execute("UPDATE ml_predictions SET scored_at = NULL")
    database.execute("TRUNCATE scored_closes, scored_releases")


@pytest.mark.parametrize("seed", range(2))
def test_any_order_of_changes_gives_the_scores_of_a_full_run(
    market: psycopg.Connection[Any], seed: int
) -> None:
    """Candles arrive in time, late, never, as NaN or corrected; forecasts, some made again; the calendar."""
    rng = np.random.default_rng(seed)
    calendar = generated_releases(START - timedelta(days=60), START + timedelta(days=60), now=START, seed=1)
    for hour in range(20, HOURS - 8, 2):
        for symbol in SYMBOLS:
            for candle in (hour - 1, hour, int(rng.integers(0, hour))):
                if rng.random() < 0.8:
                    factor = rng.choice([1.0, 1.01, np.nan], p=[0.7, 0.2, 0.1])
                    set_close(market, symbol, candle, float(CLOSES[candle] * factor))
            if rng.random() < 0.6:
                made = hour if rng.random() < 0.7 else int(rng.integers(10, hour))
                add_forecast(
                    market,
                    CLOSES,
                    made,
                    symbol=symbol,
                    pred_len=int(rng.integers(1, 9)),
                    width=float(rng.random()),
                )
        if rng.random() < 0.1:
            gone = START + timedelta(hours=int(rng.integers(0, hour)))
            market.execute("DELETE FROM ohlcv_1h WHERE ts = %s", (gone,))
        if hour in (60, 90):
            load_calendar(market, calendar.slice(0, calendar.height // 2) if hour == 60 else calendar)
        if rng.random() < 0.4:
            run(hour + float(rng.random()), recheck_days=100)
    run(HOURS, recheck_days=100)
    stored = scores(market)
    assert len(stored) > 40
    run(HOURS, score_all=True)
    assert scores(market) == stored
    forget_what_was_looked_at(market)
    run(HOURS, recheck_days=100)
    assert scores(market) == stored
    market.execute("TRUNCATE prediction_scores")
    forget_what_was_looked_at(market)
    run(HOURS)
    fresh = {key_of(row): row for row in scores(market)}
    for row in stored:
        if key_of(row) in fresh:
            assert fresh[key_of(row)] == row
        else:  # its candles were deleted: the score stays, and a full run makes none
            assert not any_candle(market, row)


def test_the_first_run_after_an_upgrade_scores_as_before(market: psycopg.Connection[Any]) -> None:
    """Recent forecasts are scored again; of older ones the late candles count, whenever they arrive."""
    add_closes(market, "BTC-USD", CLOSES)
    late = START + timedelta(hours=12)
    market.execute("DELETE FROM ohlcv_1h WHERE ts = %s", (late,))
    for hour in (10, 11, 100):
        add_forecast(market, CLOSES, hour)
    run(HOURS)
    forget_what_was_looked_at(market)
    day_later = run(HOURS, recheck_days=1)
    assert (day_later.new, day_later.changed, day_later.unchanged) == (0, 0, 1)
    assert run(HOURS, recheck_days=1) == Tally()
    set_close(market, "BTC-USD", 12, 1.0)
    assert run(HOURS, recheck_days=1).changed == 2
    assert [row["last_close"] for row in score_rows(market)] == [CLOSES[10], CLOSES[11], CLOSES[100]]
    assert [row["actual"].count(1.0) for row in score_rows(market)] == [1, 1, 0]


def test_a_run_that_fails_keeps_its_marks_for_the_next_one(
    market: psycopg.Connection[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    add_closes(market, "BTC-USD", CLOSES)
    add_forecast(market, CLOSES, 10)
    run(40)
    set_close(market, "BTC-USD", 12, 1.0)

    def fail(*_: Any) -> None:
        raise psycopg.OperationalError("gone")

    with monkeypatch.context() as patch:
        patch.setattr(module, "upsert_scores", fail)
        with pytest.raises(psycopg.OperationalError):
            run(40)
    assert run(40).changed == 1
    assert score_rows(market)[0]["actual"][1] == 1.0


def test_a_calendar_that_is_loaded_later_completes_recent_scores(market: psycopg.Connection[Any]) -> None:
    add_closes(market, "BTC-USD", CLOSES)
    for hour in (10, 100):
        add_forecast(market, CLOSES, hour)
    run(HOURS)
    assert [row["step_events"] for row in score_rows(market)] == [None, None]
    calendar = generated_releases(START - timedelta(days=60), START + timedelta(days=60), now=START, seed=1)
    load_calendar(market, calendar)
    assert run(HOURS, recheck_days=1).changed == 1
    assert [row["step_events"] is None for row in score_rows(market)] == [True, False]
    assert run(HOURS, recheck_days=1) == Tally()


def test_a_calendar_that_stays_the_same_makes_nothing_due(market: psycopg.Connection[Any]) -> None:
    calendar = generated_releases(START - timedelta(days=60), START + timedelta(days=90), now=START, seed=1)
    load_calendar(market, calendar)
    add_closes(market, "BTC-USD", CLOSES)
    for hour in range(10, 100, 10):
        add_forecast(market, CLOSES, hour)
    for hour in (60, 61, 90, HOURS, HOURS + 24 * 6, HOURS + 24 * 20):
        run(hour)
        assert run(hour) == Tally()


def test_only_the_forecasts_with_the_changed_candle_are_looked_at(market: psycopg.Connection[Any]) -> None:
    for symbol in SYMBOLS:
        add_closes(market, symbol, CLOSES)
        for hour in range(10, 40):
            add_forecast(market, CLOSES, hour, symbol=symbol)
    run(60)
    set_close(market, "BTC-USD", 20, 1.0)
    again = run(60)
    assert (again.new, again.changed, again.unchanged) == (0, 5, 0)  # four with it as a step, one from it
