"""Tests the flow score-forecasts on a real Postgres: which forecasts it scores, and when."""

from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import psycopg
import pytest
from psycopg import sql

from flows import score as module
from flows.forecasting.store import insert_backfilled
from flows.generated.releases import generated_releases
from flows.load import load_calendar
from flows.scoring import due
from flows.scoring.forecast_scores import UNKNOWN_INSTRUMENT
from flows.scoring.store import claim_forecasts
from flows.scoring.tally import Tally
from market.instruments import default_instruments
from market.time_grid import future_timestamps
from sql.loading import load_for_table
from tests.helpers.forecasts_in_store import (
    START,
    add_closes,
    add_forecast,
    add_instrument,
    score_rows,
    tally_of,
    walk,
)
from tests.helpers.score_runs import CLOSES, market, run, tasks_as_functions
from tests.sql.test_backfilled import row

__all__ = ["market", "tasks_as_functions"]

pytestmark = pytest.mark.usefixtures("tasks_as_functions")


def test_a_forecast_is_scored_once_its_last_candle_has_closed(market: psycopg.Connection[Any]) -> None:
    add_forecast(market, CLOSES, 10)
    assert run(14.99).new == 0
    assert score_rows(market) == []
    assert run(15).new == 1
    (row,) = score_rows(market)
    assert row["actual"] == CLOSES[11:15].tolist()
    assert row["last_close"] == CLOSES[10]
    assert row["matured_at"] == START + timedelta(hours=15)
    assert row["abs_error"] == pytest.approx(np.abs(CLOSES[11:15] - CLOSES[10] * 1.001))
    assert row["direction_hit"] == (CLOSES[11:15] > CLOSES[10]).tolist()
    assert (row["crps"], row["covered_calibrated"]) == (None, None)
    assert {len(row[name]) for name in ("actual", "covered", "pinball")} == {row["pred_len"]} == {4}


def test_a_forecast_from_aggregated_candles_is_scored_with_them(market: psycopg.Connection[Any]) -> None:
    first = START + timedelta(hours=20)
    fours = CLOSES[3::4]  # the closes of four hours each
    stamps = [first + timedelta(hours=4 * step) for step in range(1, 4)]
    add_forecast(market, CLOSES, 23, timeframe="4h", as_of=first, pred_len=3, timestamps=stamps)

    def run_4h(hour: float) -> Tally:
        return tally_of(timeframe="4h", as_of=START + timedelta(hours=hour))

    assert run_4h(35.9) == Tally()
    assert run_4h(36).new == 1
    (row,) = score_rows(market)
    assert row["last_close"] == fours[5]
    assert row["actual"] == fours[6:9].tolist()
    assert run_4h(40) == Tally()


def test_steps_without_a_candle_are_unknown(market: psycopg.Connection[Any]) -> None:
    market.execute("DELETE FROM ohlcv_1h WHERE ts = %s", (START + timedelta(hours=12),))
    add_forecast(market, CLOSES, 10)
    run(40)
    (row,) = score_rows(market)
    assert row["actual"][1] is None
    assert row["covered"][1] is None
    assert None not in (row["actual"][0], row["covered"][0], row["pinball"][2])


def test_the_forecasts_that_are_due_are_found_through_an_index(database: psycopg.Connection[Any]) -> None:
    query = load_for_table("due_forecasts", "ohlcv_1h")
    database.execute("SET enable_seqscan = off")
    parameters = {"timeframe": "1h", "as_of": START, "n": 100}
    plan = "\n".join(line for (line,) in database.execute(sql.SQL("EXPLAIN ") + query, parameters))
    assert "ml_predictions_due" in plan


def test_without_any_candle_a_forecast_waits(market: psycopg.Connection[Any]) -> None:
    add_forecast(market, CLOSES, 58, pred_len=1)
    market.execute("DELETE FROM ohlcv_1h WHERE ts > %s", (START + timedelta(hours=58),))
    tally = run(400)
    assert tally.new == 0
    assert tally.unscored == {"none of its candles is in the database yet": {"BTC-USD": 1}}
    market.execute(
        "INSERT INTO ohlcv_1h (symbol, ts, open, high, low, close) VALUES ('BTC-USD', %s, 1, 1, 1, 1)",
        (START + timedelta(hours=59),),
    )
    assert run(400).new == 1


def test_a_broken_forecast_does_not_keep_others_from_being_scored(market: psycopg.Connection[Any]) -> None:
    add_forecast(market, CLOSES, 10)
    add_forecast(market, CLOSES, 11, p50=[1.0])
    add_forecast(market, CLOSES, 12, symbol="NO-SUCH")
    tally = run(40)
    assert tally.new == 1
    reasons = sorted(tally.unscored.items())
    assert [symbols for _, symbols in reasons] == [{"NO-SUCH": 1}, {"BTC-USD": 1}]
    assert "no such instrument" in reasons[0][0]
    assert "differ in length" in reasons[1][0]


def test_samples_give_the_crps_and_are_deleted(market: psycopg.Connection[Any]) -> None:
    paths = [[1000.0] * 4, [1010.0] * 4, [990.0] * 4]
    add_forecast(market, CLOSES, 10, samples=paths)
    run(40)
    (before,) = score_rows(market)
    spread = (10 + 10 + 20) * 2 / (2 * 3 * 2)
    expected = [np.abs(np.array([1000, 1010, 990]) - close).mean() - spread for close in CLOSES[11:15]]
    assert before["crps"] == pytest.approx(expected)
    stored = "SELECT samples FROM ml_predictions"
    assert market.execute(stored).fetchone() == (paths,)
    run(15 + 24 * 31, recheck_days=40)
    assert market.execute(stored).fetchone() == (paths,)  # the flow retention deletes them, unless asked to
    run(15 + 24 * 31, recheck_days=40, keep_samples_days=30)
    assert market.execute(stored).fetchone() == (None,)
    run(15 + 24 * 31, recheck_days=40)
    assert score_rows(market) == [before]  # the CRPS stays, the same forecast and the same closes


def test_a_score_names_the_releases_on_its_candles(market: psycopg.Connection[Any]) -> None:
    calendar = generated_releases(START - timedelta(days=60), START + timedelta(days=60), now=START, seed=1)
    load_calendar(market, calendar)
    release = market.execute(
        "SELECT event_time FROM economic_calendar WHERE event_type = 'nfp' AND event_time > %s ORDER BY 1",
        (START,),
    ).fetchone()
    assert release is not None
    hour = int((release[0] - START) / timedelta(hours=1))
    closes = walk(hour + 60)
    market.execute("DELETE FROM ohlcv_1h")
    add_closes(market, "BTC-USD", closes)
    context = {"events_active": ["nfp"], "surprise_directions": {}}
    add_forecast(market, closes, hour - 2, event_context=context)
    quiet = next(h for h in range(hour, hour + 48, 24) if not on_a_release_day(market, h + 24))
    add_forecast(market, closes, quiet + 23)
    tally = run(hour + 60)
    assert tally.without_events is None
    eventful, other = score_rows(market)
    assert eventful["events_active"] == ["nfp"]
    assert eventful["step_events"] == ["", "nfp", "", ""]
    assert eventful["event_day"] == [True] * 4
    assert other["events_active"] == []
    assert other["step_events"] == [""] * 4
    assert other["event_day"] == [False] * 4


def on_a_release_day(database: psycopg.Connection[Any], hour: int) -> bool:
    day = (START + timedelta(hours=hour)).date()
    row = database.execute("SELECT FROM economic_calendar WHERE event_time::date = %s", (day,)).fetchone()
    return row is not None


def test_without_a_calendar_scores_have_no_events(market: psycopg.Connection[Any]) -> None:
    add_forecast(market, CLOSES, 10)
    tally = run(40)
    assert tally.without_events is not None
    assert "no calendar rows" in tally.without_events
    (row,) = score_rows(market)
    assert (row["step_events"], row["event_day"]) == (None, None)


def test_daily_candles_mature_when_their_session_closes(database: psycopg.Connection[Any]) -> None:
    add_instrument(database, default_instruments()["EURUSD"])
    friday = np.datetime64("2024-01-05", "us")
    times = [
        time.item().replace(tzinfo=UTC)
        for time in future_timestamps(default_instruments()["EURUSD"], "1d", friday, 2)
    ]
    for time in (friday.item().replace(tzinfo=UTC), *times):
        database.execute(
            "INSERT INTO ohlcv_1d (symbol, ts, open, high, low, close) VALUES ('EURUSD', %s, 1, 1, 1, 1)",
            (time,),
        )
    changed: dict[str, Any] = {"symbol": "EURUSD", "timeframe": "1d", "pred_len": 2, "timestamps": times}
    add_forecast(database, CLOSES, 0, as_of=friday.item().replace(tzinfo=UTC), **changed)
    closing = datetime(2024, 1, 9, 22, tzinfo=UTC)  # Tuesday 17:00 New York
    assert tally_of(timeframe="1d", as_of=closing - timedelta(minutes=1)).new == 0
    assert tally_of(timeframe="1d", as_of=closing).new == 1
    assert score_rows(database)[0]["matured_at"] == closing


@pytest.mark.parametrize("most", [2, 3, 100])
def test_a_run_scores_everything_whatever_it_reads_at_once(
    market: psycopg.Connection[Any], monkeypatch: pytest.MonkeyPatch, most: int
) -> None:
    for hour in range(10, 17):
        add_forecast(market, CLOSES, hour)
    add_forecast(market, CLOSES, 10, symbol="NONE")
    monkeypatch.setattr(due, "MOST_DUE", most)
    monkeypatch.setattr(module, "MOST_DUE", most)
    tally = run(40)
    assert tally.new == 7
    assert tally.unscored == {UNKNOWN_INSTRUMENT: {"NONE": 1}}


def test_live_forecasts_are_scored_before_older_backfilled_ones(
    market: psycopg.Connection[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    for hour in (20, 21):
        add_forecast(market, CLOSES, hour)
    rows = [row(START + timedelta(hours=hour), 1.0, symbol="BTC-USD") for hour in (2, 3)]
    assert insert_backfilled(market, rows) == [True, True]
    chunks: list[list[float]] = []

    def noted(connection: Any, timeframe: str, keys: Any) -> Any:
        chunks.append([(key.as_of - START) / timedelta(hours=1) for key in keys])
        return claim_forecasts(connection, timeframe, keys)

    monkeypatch.setattr("flows.score.claim_forecasts", noted)
    run(40)
    # Each chunk reads the candles between its first and its last forecast.
    assert chunks == [[20, 21], [2, 3]]


def test_the_view_has_one_row_per_step(market: psycopg.Connection[Any]) -> None:
    add_forecast(market, CLOSES, 10)
    run(40)
    rows = market.execute("SELECT step, actual FROM prediction_score_steps ORDER BY step").fetchall()
    assert rows == list(enumerate(CLOSES[11:15].tolist(), start=1))
