"""Runs of predict-batch over rows that are stored: which are kept and which are made again."""

from datetime import timedelta
from typing import Any

import msgspec
import psycopg
import pytest

from flows.forecasting.seeds import forecast_seed
from sql.loading import load
from tests.helpers.predict_runs import AS_OF, SYMBOLS, add_releases, artifact, market, run, stored
from tests.helpers.stand_in_server import Script

__all__ = ["market"]

pytestmark = pytest.mark.usefixtures("prefect_server")


def test_a_run_that_would_write_what_is_there_already_does_not(
    market: psycopg.Connection[Any], script: Script
) -> None:
    add_releases(market)
    run()
    before, asked = stored(market), len(script.requests)
    for _ in range(2):
        state = run(as_of=AS_OF + timedelta(minutes=20))  # an hour missed, an hour run late
        assert state.is_completed()
        assert [outcome.unchanged for outcome in state.result()] == [True] * len(SYMBOLS)
    assert len(script.requests) == asked
    assert stored(market) == before
    description, table = artifact()
    assert [row["result"] for row in table] == ["unchanged"] * len(SYMBOLS)
    assert table[0]["p50"] == table[1]["p50"] != ""
    assert "failed" not in description


def test_a_corrected_candle_or_force_makes_a_row_again(
    market: psycopg.Connection[Any], script: Script
) -> None:
    add_releases(market)
    run()
    script.requests.clear()
    newest = "(SELECT max(ts) FROM ohlcv_1h WHERE symbol = 'ETH-USD')"
    market.execute(f"UPDATE ohlcv_1h SET close = 101 WHERE symbol = 'ETH-USD' AND ts = {newest}")
    outcomes = run().result()
    assert script.calls == {"ETH-USD": 1}
    assert [outcome.symbol for outcome in outcomes if not outcome.unchanged] == ["ETH-USD"]
    run(force=True)
    assert set(script.calls) == set(SYMBOLS)


def test_a_row_that_could_not_have_its_events_is_made_again(
    market: psycopg.Connection[Any], script: Script
) -> None:
    only: dict[str, Any] = {"symbols": ["SPY", "EURUSD"]}
    run(**only)
    run(**only)
    assert script.calls == {"SPY": 2, "EURUSD": 2}  # no calendar: it may be there the next time
    add_releases(market)
    script.without_events = {"SPY"}
    script.requests.clear()
    run(**only)
    run(**only)
    assert script.calls == {"SPY": 2, "EURUSD": 1}


@pytest.mark.parametrize(("model", "with_events"), [({"has_events": False}, True), ({}, False)])
def test_a_row_without_events_by_choice_or_by_its_bundle_stays(
    market: psycopg.Connection[Any], script: Script, model: dict[str, Any], with_events: bool
) -> None:
    script.model = msgspec.structs.replace(script.model, **model)
    for _ in range(2):
        assert run(symbols=["SPY"], with_events=with_events).is_completed()
    assert script.calls == {"SPY": 1}


def test_a_server_that_is_given_another_model_mixes_no_versions(
    market: psycopg.Connection[Any], script: Script, caplog: pytest.LogCaptureFixture
) -> None:
    other = msgspec.structs.replace(script.model, version="v2", max_context=46)  # of 42 candles, no events
    script.models_after = {3: msgspec.structs.replace(other, has_events=False)}
    learned = {
        "timeframe": "1h", "model_name": "stand-in", "model_version": "v1", "asset_class": "crypto",
        "as_of": AS_OF, "low": [0.5] * 4, "high": [0.25] * 4, "counts": [99] * 4,
    }  # fmt: skip
    market.execute(load("upsert_calibration"), learned)
    add_releases(market)
    assert run(lookback=None).is_completed()
    rows = stored(market)
    assert set(rows) == set(SYMBOLS)
    versions = {symbol: row["model_version"] for symbol, row in rows.items()}
    assert set(versions.values()) == {"v1", "v2"}
    for symbol, row in rows.items():
        version = row["model_version"]
        assert row["seed"] == forecast_seed(symbol, "1h", row["as_of"], version)
        crypto = symbol in ("BTC-USD", "ETH-USD")
        assert (row["p10_calibrated"] is not None) == (version == "v1" and crypto)
        asked = [request for request in script.requests if request.symbol == symbol]
        assert len(asked) == (1 if version == "v1" else 2)
        assert (asked[-1].lookback == 42) == (version == "v2")
        assert (asked[-1].events is None) == (version == "v2")
    said = "the server changed its model from stand-in v1 during the run"
    assert any(said in record.message for record in caplog.records)


def test_a_server_whose_model_never_settles_is_a_failure_that_says_so(
    market: psycopg.Connection[Any], script: Script
) -> None:
    script.models_after = {
        number: msgspec.structs.replace(script.model, version=f"v{number + 1}") for number in range(1, 99)
    }
    state = run(symbols=["SPY"])
    assert state.is_failed()
    assert state.message is not None
    assert "SPY: the server changed its model 3 times during the run" in state.message
    assert stored(market) == {}
