"""Tests on a real Postgres which forecasts calibrations are learned from, and which use them."""

from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import numpy as np
import psycopg
import pytest

from flows.score import score
from flows.scoring import calibration_store
from flows.scoring.calibration import calibrate
from flows.scoring.calibration_store import (
    learn_calibrations,
    read_calibration_history,
    read_calibrations,
)
from market.instruments import Instrument
from tests.helpers.databases import filled_template
from tests.helpers.forecasts_in_store import (
    BTC,
    START,
    add_closes,
    add_forecast,
    add_instrument,
    score_rows,
    walk,
)
from tests.helpers.score_runs import tasks_as_functions

__all__ = ["tasks_as_functions"]

HOURS = 700
CLOSES = walk(HOURS)
INSTRUMENTS = {"BTC-USD": BTC}
NARROW = 0.3  # of the width that a random walk needs: 30 % of the closes lie within


def fill(database: psycopg.Connection[Any]) -> None:
    """Hourly closes, and too narrow forecasts from the first 300 hours."""
    add_instrument(database)
    add_closes(database, "BTC-USD", CLOSES)
    for hour in range(300):
        add_forecast(database, CLOSES, hour, width=NARROW)


@pytest.fixture(scope="module")
def database_template(postgres_url: str, migrated_template: str) -> Iterator[str]:
    with filled_template(postgres_url, migrated_template, fill) as name:
        yield name


@pytest.fixture
def market(database: psycopg.Connection[Any], tasks_as_functions: None) -> psycopg.Connection[Any]:
    return database


def at(hour: float) -> dict[str, Any]:
    return {"timeframe": "1h", "as_of": START + timedelta(hours=hour)}


def known(database: psycopg.Connection[Any], hour: float, version: str = "v1") -> dict[str, Any]:
    return read_calibrations(
        database,
        timeframe="1h",
        model_name="tiny",
        model_version=version,
        as_of=START + timedelta(hours=hour),
    )


def test_coverage_before_and_after_on_a_later_period(market: psycopg.Connection[Any]) -> None:
    """Scores, a calibration learned from them, forecasts with it, and the scores of those."""
    score.fn(**at(304))
    calibration = known(market, 305)["crypto"]
    assert calibration.counts.tolist() == [300] * 4
    for hour in range(305, HOURS - 4):
        spread = 1.2816 * 0.01 * np.sqrt(np.arange(1, 5)) * NARROW
        envelope = CLOSES[hour] * np.exp(np.array([-1.0, 0.0, 1.0])[:, None] * spread)
        band = calibrate(calibration, *envelope)
        assert band is not None
        add_forecast(
            market,
            CLOSES,
            hour,
            width=NARROW,
            p10_calibrated=band[0].tolist(),
            p90_calibrated=band[1].tolist(),
        )
    score.fn(**at(HOURS))
    later = score_rows(market)[300:]
    raw = np.mean([row["covered"] for row in later])
    calibrated = np.mean([row["covered_calibrated"] for row in later])
    assert 0.25 <= raw <= 0.5
    assert calibrated == pytest.approx(0.8, abs=0.05)


def test_only_forecasts_that_had_matured_count(market: psycopg.Connection[Any]) -> None:
    score.fn(**at(310))
    market.execute("DELETE FROM prediction_calibration")
    as_of = START + timedelta(hours=200)
    (learned,) = learn_calibrations(market, "1h", as_of, INSTRUMENTS)
    assert (
        learned.calibration.counts.tolist() == [196] * 4
    )  # the last one was made 4 hours and its own before
    market.execute("DELETE FROM prediction_calibration")
    market.execute("UPDATE ohlcv_1h SET close = 1 WHERE ts >= %s", (as_of,))
    score.fn(**at(310))
    market.execute("DELETE FROM prediction_calibration")
    (again,) = learn_calibrations(market, "1h", as_of, INSTRUMENTS)
    np.testing.assert_array_equal(again.calibration.low, learned.calibration.low)
    np.testing.assert_array_equal(again.calibration.high, learned.calibration.high)


def test_a_forecast_uses_the_newest_of_its_model_that_was_learned_by_then(
    market: psycopg.Connection[Any],
) -> None:
    score.fn(**at(200))
    score.fn(**at(290))
    assert known(market, 199) == {}
    assert known(market, 200)["crypto"].counts[0] == 196
    assert known(market, 289.9)["crypto"].counts[0] == 196
    assert known(market, 290)["crypto"].counts[0] == 286
    assert known(market, 290, version="v2") == {}


def test_learns_once_a_day(market: psycopg.Connection[Any]) -> None:
    for hour in (194, 200, 215.9, 216):
        score.fn(**at(hour))
    instants = market.execute("SELECT as_of FROM prediction_calibration ORDER BY as_of").fetchall()
    assert [when for (when,) in instants] == [START + timedelta(hours=hour) for hour in (194, 216)]


def test_nothing_is_learned_from_too_few_forecasts(market: psycopg.Connection[Any]) -> None:
    score.fn(**at(40))
    assert known(market, 40) == {}


def test_asset_classes_are_learned_separately(market: psycopg.Connection[Any]) -> None:
    add_instrument(market, Instrument("EURUSD", "fx", "24/7"))
    add_closes(market, "EURUSD", CLOSES)
    for hour in range(100):
        add_forecast(market, CLOSES, hour, symbol="EURUSD", width=3.0)
    score.fn(**at(304))
    calibrations = known(market, 304)
    assert sorted(calibrations) == ["crypto", "fx"]
    assert (calibrations["crypto"].low > 0).all()
    assert (calibrations["fx"].low < 0).all()  # too wide: narrowed


def test_a_step_is_learned_from_the_forecasts_that_have_it(market: psycopg.Connection[Any]) -> None:
    for hour in range(60):
        add_forecast(market, CLOSES, hour, width=NARROW, pred_len=6)
    score.fn(**at(304))
    calibration = known(market, 304)["crypto"]
    assert calibration.counts.tolist() == [300] * 4 + [60] * 2
    assert np.isfinite(calibration.high).all()


def backfill(market: psycopg.Connection[Any], first: int, end: int, **changed: Any) -> None:
    """Make the forecasts of some hours backfilled ones."""
    rows = [START + timedelta(hours=hour) for hour in range(first, end)]
    market.execute("UPDATE ml_predictions SET backfilled = true WHERE as_of = ANY (%s)", [rows])
    for column, value in changed.items():
        market.execute(f"UPDATE ml_predictions SET {column} = %s WHERE as_of = ANY (%s)", [value, rows])


def test_backfilled_forecasts_count_unless_the_model_was_trained_on_their_candles(
    market: psycopg.Connection[Any],
) -> None:
    backfill(market, 0, 200)
    backfill(market, 0, 100, warnings=["few-paths: 3", "in-training-span: 2020-01-01 to 2024-01-05"])
    score.fn(**at(304))
    assert known(market, 304)["crypto"].counts.tolist() == [200] * 4


def test_of_many_forecasts_a_sample_is_learned_from(
    market: psycopg.Connection[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    score.fn(**at(304))
    whole = known(market, 304)["crypto"]
    monkeypatch.setattr(calibration_store, "MOST_FORECASTS", 150)
    market.execute("DELETE FROM prediction_calibration")
    (sample,) = learn_calibrations(market, "1h", START + timedelta(hours=304), INSTRUMENTS)
    assert 100 < sample.calibration.counts[0] < 200
    assert sample.calibration.low == pytest.approx(whole.low, rel=0.5)
    market.execute("DELETE FROM prediction_calibration")
    (again,) = learn_calibrations(market, "1h", START + timedelta(hours=304), INSTRUMENTS)
    np.testing.assert_array_equal(again.calibration.low, sample.calibration.low)


def test_the_history_gives_what_each_instant_may_use(market: psycopg.Connection[Any]) -> None:
    for hour in (200, 290):
        score.fn(**at(hour))
    for first in (0, 195, 210, 300):
        history = read_calibration_history(
            market, "1h", "tiny", "v1", START + timedelta(hours=first), START + timedelta(hours=305)
        )
        for instant in (first, 199.9, 200, 289.9, 290, 305):
            if instant < first:
                continue
            found, expected = history.at("crypto", START + timedelta(hours=instant)), known(market, instant)
            assert (found is None) == (expected == {})
            if found is not None:
                np.testing.assert_array_equal(found.counts, expected["crypto"].counts)
        assert history.at("fx", START + timedelta(hours=305)) is None


def test_a_model_of_which_forecasts_mature_later_in_the_day_is_learned_too(
    market: psycopg.Connection[Any],
) -> None:
    for hour in range(240, 296):
        add_forecast(market, CLOSES, hour, model_name="other")
    score.fn(**at(290))
    assert known(market, 290) != {}
    score.fn(**at(300))
    score.fn(**at(311))
    models = market.execute("SELECT model_name, as_of FROM prediction_calibration ORDER BY 2, 1").fetchall()
    assert [(name, (when - START) / timedelta(hours=1)) for name, when in models] == [
        ("tiny", 290.0),
        ("other", 300.0),
    ]
