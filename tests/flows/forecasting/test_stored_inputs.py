"""What a forecast was made from, kept on a real Postgres beside its row."""

from datetime import UTC, datetime
from typing import Any

import numpy as np
import psycopg
import pytest

from flows.forecasting.candles import CandleWindow
from flows.forecasting.forecasts import Order, SamplingSettings
from flows.forecasting.stored_inputs import build_inputs, keep_inputs
from inference_server.schemas import FeatureColumns, ModelName, PredictAnswer
from market.event_channels import EVENT_SCHEMA
from market.instruments import Instrument

AS_OF = datetime(2024, 12, 18, 11, tzinfo=UTC)
EVENTS = np.random.default_rng(0).normal(size=(5, 20)).astype(np.float32)
SAMPLING = SamplingSettings("1h", pred_len=2, sample_count=20, top_p=1.0, temperature=0.9, top_k=0, seed=None)


def order(events: np.ndarray | None) -> Order:
    stamps = np.array(["2024-12-18T09:00", "2024-12-18T10:00", "2024-12-18T11:00"], dtype="datetime64[us]")
    future = (stamps[:2] + np.timedelta64(3, "h")).astype("datetime64[us]")
    window = CandleWindow(Instrument("EURUSD", "fx", "FX"), stamps, {}, future)
    return Order("EURUSD", window, SAMPLING, "abc", events)


def answer(events_used: bool) -> PredictAnswer:
    return PredictAnswer(
        symbol="EURUSD",
        timeframe="1h",
        as_of=AS_OF,
        timestamps=[],
        p10=[],
        p50=[],
        p90=[],
        mean=FeatureColumns(open=[], high=[], low=[], close=[], volume=[], amount=[]),
        seed=1,
        sample_count=20,
        lookback_used=3,
        model=ModelName(name="tiny", version="abc"),
        events_used=events_used,
        warnings=[],
    )


def kept(database: psycopg.Connection[Any]) -> dict[str, Any]:
    with database.cursor(row_factory=psycopg.rows.dict_row) as cursor:
        (row,) = cursor.execute("SELECT * FROM prediction_inputs").fetchall()
    return row


def test_settings_and_events_arrive_as_they_were_sent(database: psycopg.Connection[Any]) -> None:
    assert keep_inputs(database, build_inputs(order(EVENTS), answer(True))) is None
    row = kept(database)
    np.testing.assert_array_equal(np.frombuffer(row.pop("events"), "<f4").reshape(5, 20), EVENTS)
    assert row.pop("stored_at") is not None
    assert row == {
        "symbol": "EURUSD", "timeframe": "1h", "as_of": AS_OF, "model_name": "tiny", "lookback": 3,
        "sample_count": 20, "temperature": 0.9, "top_k": 0, "top_p": 1.0, "event_schema": EVENT_SCHEMA,
    }  # fmt: skip


@pytest.mark.parametrize(("events", "used"), [(None, False), (EVENTS, False)])
def test_a_rerun_without_events_leaves_none(
    database: psycopg.Connection[Any], events: np.ndarray | None, used: bool
) -> None:
    keep_inputs(database, build_inputs(order(EVENTS), answer(True)))
    keep_inputs(database, build_inputs(order(events), answer(used)))
    row = kept(database)
    assert (row["events"], row["event_schema"]) == (None, None)


def test_a_database_without_the_table_is_a_reason_and_no_failure(
    database_url: str, database: psycopg.Connection[Any]
) -> None:
    database.execute("DROP TABLE prediction_inputs")
    with psycopg.connect(database_url) as connection:
        reason = keep_inputs(connection, build_inputs(order(EVENTS), answer(True)))
        assert connection.execute("SELECT 1").fetchone() == (1,)
    assert reason is not None
    assert "prediction_inputs" in reason
