"""The flow backfill on a real Postgres and Prefect; the server's failures come from a stand-in."""

import json
from collections.abc import Coroutine
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
import numpy as np
import psycopg
import pytest
from prefect import State
from prefect.artifacts import Artifact
from prefect.client.orchestration import get_client
from prefect.client.schemas.filters import ArtifactFilter, ArtifactFilterKey

from flows.backfill import backfill, main
from flows.backfilling import filling, run
from flows.backfilling.progress import BackfillCount
from flows.forecasting.store import insert_backfilled
from flows.predict import predict_batch
from inference_server.schemas import EncodedArray
from market.warning_codes import WarningCode, code_of
from sql.loading import load
from tests.helpers.predict_runs import AS_OF, SHORT, SYMBOLS, add_candles, add_releases
from tests.helpers.stand_in_server import Script

HOUR = timedelta(hours=1)
SETTINGS = {name: value for name, value in SHORT.items() if name != "as_of"}

pytestmark = pytest.mark.usefixtures("prefect_server")


@pytest.fixture(autouse=True)
def _no_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    for task in (filling.fill_block, run.read_plan):
        monkeypatch.setattr(task, "retry_delay_seconds", [0.0] * (task.retries or 0))


@pytest.fixture
def market(database: psycopg.Connection[Any], script: Script) -> psycopg.Connection[Any]:
    """Active instruments with 60 hourly candles each and a live forecast from the last one."""
    for symbol in SYMBOLS:
        add_candles(database, symbol, 60)
    add_releases(database)
    assert predict_batch(**SHORT, return_state=True).is_completed()
    script.requests.clear()
    return database


def fill(hours: int, **parameters: Any) -> State[Any]:
    given = {"start": AS_OF - hours * HOUR, "end": AS_OF, **SETTINGS, **parameters}
    return backfill(**given, return_state=True)


def rows(database: psycopg.Connection[Any], where: str = "backfilled") -> dict[tuple[str, datetime], Any]:
    query = f"SELECT * FROM ml_predictions WHERE {where} ORDER BY symbol, as_of"
    with database.cursor(row_factory=psycopg.rows.dict_row) as cursor:
        return {(row["symbol"], row["as_of"]): row for row in cursor.execute(query).fetchall()}


def artifact(key: str) -> Any:
    found = Artifact.get(key)
    assert found is not None
    assert not isinstance(found, Coroutine)
    return found


def test_every_missing_forecast_is_the_one_that_a_live_run_would_have_made(
    market: psycopg.Connection[Any], script: Script
) -> None:
    live = rows(market, "true")
    state = fill(5)
    assert state.is_completed()
    filled = rows(market)
    # Six closes of each market around the clock, of which the last has the live forecast.
    assert sum(symbol == "BTC-USD" for symbol, _ in filled) == 5
    assert {symbol for symbol, _ in filled} == {"BTC-USD", "ETH-USD", "EURUSD"}  # SPY was shut
    assert rows(market, "NOT backfilled") == live
    backfill_requests = {(one.symbol, tuple(one.future_timestamps or ())): one for one in script.requests}
    script.requests.clear()
    for hours in range(1, 6):
        assert predict_batch(**{**SHORT, "as_of": AS_OF - hours * HOUR}, return_state=True).is_completed()
    for request in script.requests:
        other = backfill_requests.pop((request.symbol, tuple(request.future_timestamps or ())), None)
        if other is not None:
            assert isinstance(request.events, EncodedArray)
            assert other == request
    assert backfill_requests == {}
    own = ("created_at", "updated_at", "fingerprint", "backfilled")
    remade = rows(market, "NOT backfilled")
    for key, row in filled.items():
        assert {name: value for name, value in row.items() if name not in own} == {
            name: value for name, value in remade[key].items() if name not in own
        }


def test_a_second_run_makes_nothing_and_force_makes_backfilled_rows_alone(
    market: psycopg.Connection[Any], script: Script
) -> None:
    assert fill(5).is_completed()
    before, live = rows(market), rows(market, "NOT backfilled")
    script.requests.clear()
    state = fill(5)
    assert script.requests == []
    assert state.result().of("BTC-USD").stored == 6
    assert rows(market) == before
    assert fill(5, force=True).is_completed()
    assert len(script.requests) == len(before)
    after = rows(market)
    for key, row in after.items():
        assert row.pop("updated_at") > before[key].pop("updated_at")
    assert after == before
    assert rows(market, "NOT backfilled") == live


def test_a_run_that_loses_its_server_keeps_what_is_stored_and_the_next_goes_on(
    market: psycopg.Connection[Any], script: Script
) -> None:
    script.statuses["ETH-USD"] = [200, 200, *[500] * 400]
    state = fill(8)
    assert state.is_failed()
    assert state.message is not None
    assert (
        "ended early, run again for what is missing: ServerUnavailable: Told to fail (500)" in state.message
    )
    first = rows(market)
    assert sum(symbol == "ETH-USD" for symbol, _ in first) == 2
    assert sum(symbol == "BTC-USD" for symbol, _ in first) > 2
    script.statuses.clear()
    script.requests.clear()
    state = fill(8)
    assert state.is_completed()
    assert len(rows(market)) == len(first) + len(script.requests)
    assert {key: row for key, row in rows(market).items() if key in first} == first


def test_another_try_of_a_block_makes_only_what_is_missing(
    market: psycopg.Connection[Any], script: Script
) -> None:
    script.statuses["ETH-USD"] = [200, 500]
    state = fill(5)
    assert state.is_completed()
    assert script.calls["ETH-USD"] == 6
    assert state.result().of("ETH-USD").made == 5
    assert state.result().of("BTC-USD").made == 5


def test_answers_are_stored_before_a_batch_is_full(
    market: psycopg.Connection[Any], script: Script, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(filling, "STORED_EVERY_S", -1.0)
    sizes: list[int] = []

    def noted(connection: Any, given: Any) -> list[bool]:
        sizes.append(len(given))
        return insert_backfilled(connection, given)

    monkeypatch.setattr("flows.backfilling.filling.insert_backfilled", noted)
    assert fill(5, symbols=["BTC-USD"]).is_completed()
    assert sizes == [1] * 5


def test_a_refused_forecast_fails_alone(market: psycopg.Connection[Any], script: Script) -> None:
    script.statuses["ETH-USD"] = [200, 422]
    state = fill(5)
    assert state.is_failed()
    assert state.message is not None
    assert "1 forecasts failed. ETH-USD: PredictionRefused: Told to fail (422)" in state.message
    assert sum(symbol == "ETH-USD" for symbol, _ in rows(market)) == 4
    assert sum(symbol == "BTC-USD" for symbol, _ in rows(market)) == 5


def test_a_model_that_changes_ends_the_run(market: psycopg.Connection[Any], script: Script) -> None:
    script.models_after[3] = msgspec.structs.replace(script.model, version="v2")
    state = fill(5)
    assert state.is_failed()
    assert state.message is not None
    assert "the server went on from stand-in v1 to stand-in v2" in state.message
    assert {row["model_version"] for row in rows(market).values()} == {"v1"}


def test_symbols_without_a_live_forecast_are_left_out(
    market: psycopg.Connection[Any], script: Script
) -> None:
    add_candles(market, "GBPUSD", 60)
    state = fill(3, symbols=["BTC-USD", "GBPUSD"])
    assert state.is_completed()
    assert "no live forecast of this model is stored" in state.result().of("GBPUSD").reason
    assert {symbol for symbol, _ in rows(market)} == {"BTC-USD"}
    refused = fill(3, symbols=["GBPUSD"])
    assert refused.is_failed()
    assert refused.message is not None
    assert refused.message.startswith("GBPUSD, model stand-in: no live forecast of this model is stored")


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        (
            {"start": AS_OF, "end": AS_OF - HOUR},
            "start 2024-12-18T12:00Z is later than end 2024-12-18T11:00Z",
        ),
        ({"end": datetime.now(UTC) + timedelta(days=9)}, "lies in the future; expected at most the current"),
        ({"start": datetime(2024, 1, 1)}, "start 2024-01-01T00:00Z is before the first 1h candle of any"),
        ({"symbols": ["NO-SUCH"]}, "NO-SUCH: unknown instrument"),
        ({"pred_len": 600}, "pred_len 600 given; the server takes at most 512"),
        ({"lookback": 8}, "lookback 8 given; the model forecasts from at least 32 candles"),
    ],
)
def test_what_is_refused_before_anything_is_made(
    market: psycopg.Connection[Any], script: Script, parameters: dict[str, Any], message: str
) -> None:
    state = fill(3, **parameters)
    assert state.is_failed()
    assert state.message is not None
    assert message in state.message
    assert script.requests == []


def test_candles_with_too_little_before_them_are_left_out(
    market: psycopg.Connection[Any], script: Script
) -> None:
    state = fill(55, symbols=["BTC-USD"])
    assert state.is_completed()
    count = state.result().of("BTC-USD")
    assert (count.made, count.left_out, count.stored) == (28, 27, 1)
    assert "1h candles had closed by" in count.reason


def test_one_forecast_every_n_hours(market: psycopg.Connection[Any], script: Script) -> None:
    assert fill(10, symbols=["BTC-USD"], every=4).is_completed()
    assert [AS_OF - as_of for _, as_of in rows(market)] == [11 * HOUR, 7 * HOUR, 3 * HOUR]


def test_the_rows_of_a_trained_time_say_so(market: psycopg.Connection[Any], script: Script) -> None:
    span = {"first": "2020-01-01T00:00:00Z", "last": f"{AS_OF - 3 * HOUR:%Y-%m-%dT%H:%M:%SZ}"}
    script.model = msgspec.structs.replace(script.model, manifest={"training_span": span})
    state = fill(6, symbols=["BTC-USD"])
    assert state.is_completed()
    # The first candle forecast opens at the instant of the forecast.
    codes = {
        as_of: [code_of(text) for text in row["warnings"] or ()] for (_, as_of), row in rows(market).items()
    }
    in_span = {as_of for as_of, found in codes.items() if WarningCode.IN_TRAINING_SPAN in found}
    assert in_span == {AS_OF - hours * HOUR for hours in (7, 6, 5, 4)}
    assert state.result().of("BTC-USD").in_training_span == 4
    description = artifact("backfill-1h-summary").description
    assert "IN TRAINING SPAN: the model was trained on candles of 2020-01-01 to 2024-12-18" in description


def test_a_forecast_has_the_calibration_that_was_learned_by_its_instant(
    market: psycopg.Connection[Any], script: Script
) -> None:
    for hours, move in ((3, 0.5), (1, 2.0)):
        learned = {
            "timeframe": "1h", "model_name": "stand-in", "model_version": "v1", "asset_class": "crypto",
            "as_of": AS_OF - hours * HOUR, "low": [move] * 4, "high": [move] * 4, "counts": [99] * 4,
        }  # fmt: skip
        market.execute(load("upsert_calibration"), learned)
    assert fill(5, symbols=["BTC-USD"]).is_completed()
    widening = []
    for row in rows(market).values():
        calibrated, p10, p90 = (
            np.array(row[name] or [np.nan] * 4) for name in ("p10_calibrated", "p10", "p90")
        )
        widening.append(float(((p10 - calibrated) / (p90 - p10))[-1]))
    assert widening == pytest.approx([np.nan, np.nan, 0.5, 0.5, 2.0], nan_ok=True)


def test_a_run_shows_its_progress_and_a_table(market: psycopg.Connection[Any], script: Script) -> None:
    state = fill(5)
    assert state.is_completed()
    count = state.result()
    assert isinstance(count, BackfillCount)
    assert count.settled == count.total == count.sum_of("made")
    with get_client(sync_client=True) as client:
        found = client.read_artifacts(
            artifact_filter=ArtifactFilter(key=ArtifactFilterKey(any_=["backfill-1h"])),
        )
    newest = max(found, key=lambda one: str(one.created))
    assert newest.type == "progress"
    assert newest.data == 100.0
    assert f"{count.total} of {count.total} missing forecasts, 100.0 %" in str(newest.description)
    table = {row["symbol"]: row for row in json.loads(str(artifact("backfill-1h-summary").data))}
    assert (table["BTC-USD"]["made"], table["BTC-USD"]["stored before"]) == (5, 1)


def test_forecasts_without_events_say_so(market: psycopg.Connection[Any], script: Script) -> None:
    market.execute("DELETE FROM economic_calendar")
    assert fill(2, symbols=["BTC-USD"]).is_completed()
    assert (
        "WITHOUT EVENTS: 2 forecasts, the last: no calendar rows"
        in artifact("backfill-1h-summary").description
    )
    for row in rows(market).values():
        assert any(code_of(text) == WarningCode.EVENTS_NOT_USED for text in row["warnings"])


def test_the_command_runs_the_flow(market: psycopg.Connection[Any], script: Script) -> None:
    arguments = ["--symbols", "BTC-USD", "--pred-len", "4", "--samples", "3", "--lookback", "40"]
    assert main(["--start", "2024-12-18T10:00", "--end", "2024-12-18T11:00Z", *arguments]) == 0
    assert len(rows(market)) == 2
    assert main(["--start", "2024-12-18T11:00", "--end", "2024-12-18T10:00Z", *arguments]) == 1
