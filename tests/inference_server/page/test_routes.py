"""The routes that the page reads, on a real Postgres: answers, refusals, and what they leave out."""

import base64
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np
import psycopg
import pytest
from litestar.testing import TestClient
from psycopg.types.json import Jsonb

from inference_server.app import create_app
from inference_server.settings import Settings
from sql.connect import connect
from tests.helpers.serving import LOOPBACK
from tests.helpers.stored import (
    CONTEXT,
    HOUR,
    NOW,
    add_candles,
    add_event,
    prediction_row,
    store_inputs,
    store_row,
)

PNG = b"\x89PNG\r\n\x1a\n"
HOURLY = {"timeframe": "1h"}


@pytest.fixture
def client(database_url: str) -> Iterator[TestClient[Any]]:
    """A server without a model: none of these routes needs one."""
    with TestClient(
        create_app(Settings(bundle=Path("none"), database_url=database_url)), base_url=LOOPBACK
    ) as client:
        yield client


def answer(client: TestClient[Any], path: str, **query: Any) -> dict[str, Any]:
    response = client.get(path, params=query)
    assert response.status_code == 200, response.text
    body: dict[str, Any] = response.json()
    return body


def refusal(client: TestClient[Any], path: str, **query: Any) -> tuple[int, str]:
    response = client.get(path, params=query)
    assert response.headers["content-type"] == "application/problem+json"
    problem = response.json()
    return response.status_code, problem["detail"]


UNSET: dict[str, Any] = {"currency": None, "tick_size": None, "aliases": []}


def test_symbols_are_those_with_candles(client: TestClient[Any], database: psycopg.Connection[Any]) -> None:
    assert answer(client, "/symbols") == {"symbols": []}
    add_candles(database, "SPY", "1d", 2)
    add_candles(database, "EURUSD", "1h", 4)
    add_candles(database, "EURUSD", "1d", 2)
    store_row(database, prediction_row())
    assert answer(client, "/symbols")["symbols"] == [
        {
            "symbol": "EURUSD",
            "asset_class": "fx",
            **UNSET,
            "timeframes": [
                {
                    "timeframe": "1h",
                    "last_candle": "2024-12-18T13:00:00Z",
                    "last_forecast": "2024-12-18T11:00:00Z",
                },
                {"timeframe": "1d", "last_candle": "2024-12-17T00:00:00Z", "last_forecast": None},
            ],
        },
        {
            "symbol": "SPY",
            "asset_class": "equity",
            **UNSET,
            "timeframes": [
                {"timeframe": "1d", "last_candle": "2024-12-17T00:00:00Z", "last_forecast": None},
            ],
        },
    ]  # fmt: skip


def test_the_last_candles_before_an_instant(
    client: TestClient[Any], database: psycopg.Connection[Any]
) -> None:
    add_candles(database, "EURUSD", "1h", 10)
    database.execute("UPDATE ohlcv_1h SET close = 'NaN', volume = NULL WHERE ts = %s", (NOW - HOUR,))
    found = answer(client, "/candles/EURUSD", **HOURLY, limit=3, before=NOW.isoformat())
    assert found["timestamp"] == [f"2024-12-18T{hour:02}:00:00Z" for hour in (9, 10, 11)]
    assert (found["close"][2], found["volume"]) == (None, [10.0, 10.0, None])
    assert len(answer(client, "/candles/EURUSD", **HOURLY)["open"]) == 10
    assert answer(client, "/candles/EURUSD", timeframe="1d")["timestamp"] == []


def test_the_calendar_lists_what_concerns_a_symbol(
    client: TestClient[Any], database: psycopg.Connection[Any]
) -> None:
    add_event(database, NOW + 7 * HOUR, "Federal Funds Rate", forecast=4.5, previous=4.75)
    add_event(database, NOW + 8 * HOUR, "Beige Book", impact="low")
    add_event(database, NOW + 9 * HOUR, "German ZEW", currency="EUR", event_type="other", impact="High")
    add_event(database, NOW + 9 * HOUR, "UK CPI", currency="GBP")
    add_event(
        database, NOW + 9 * HOUR, "MSFT", symbol="MSFT", currency=None, event_type="earnings", impact=None
    )
    add_event(database, NOW + 99 * HOUR, "GDP")
    span = {"start": NOW.isoformat(), "end": (NOW + 24 * HOUR).isoformat()}
    euro = answer(client, "/calendar", symbol="EURUSD", **span)
    assert euro["currencies"] == ["EUR", "USD"]
    assert [event["title"] for event in euro["events"]] == ["Federal Funds Rate", "German ZEW"]
    assert euro["events"][0] == {
        "event_time": "2024-12-18T19:00:00Z", "time_known": True, "scheduled": True, "currency": "USD",
        "event_type": "fomc", "title": "Federal Funds Rate", "impact": "high", "actual": None,
        "forecast": 4.5, "previous": 4.75,
    }  # fmt: skip
    share = answer(client, "/calendar", symbol="MSFT", **span)
    assert [event["event_type"] for event in share["events"]] == ["fomc", "earnings"]


def test_the_calendar_shows_nothing_that_was_withdrawn_and_minds_no_case(
    client: TestClient[Any], database: psycopg.Connection[Any]
) -> None:
    add_event(database, NOW + 7 * HOUR, "CPI m/m", withdrawn_at=NOW)
    add_event(database, NOW + 8 * HOUR, "CPI m/m", currency="usd")
    span = {"start": NOW.isoformat(), "end": (NOW + 24 * HOUR).isoformat()}
    (event,) = answer(client, "/calendar", symbol="EURUSD", **span)["events"]
    assert event["event_time"] == "2024-12-18T20:00:00Z"


def test_the_newest_forecast_has_every_column_of_its_row(
    client: TestClient[Any], database: psycopg.Connection[Any]
) -> None:
    store_row(database, prediction_row(as_of=NOW - 2 * HOUR, p50=[1.0, 1.0]))
    told = ["candles-late: newer ones had closed"]
    statistics = {"paths": 20, "calibrated": False, "last_close": 1.05, "probabilities": {"up": [0.5, 0.55]}}
    changed = {"p10_calibrated": [1.0, 0.9], "p90_calibrated": [1.1, 1.2], "statistics": Jsonb(statistics)}
    store_row(database, prediction_row(warnings=told, **changed))
    found = answer(client, "/predictions/EURUSD", **HOURLY)
    assert found.pop("created_at") == found.pop("updated_at")
    assert found == {
        "symbol": "EURUSD", "timeframe": "1h", "as_of": "2024-12-18T11:00:00Z", "model_name": "tiny",
        "model_version": "abc", "pred_len": 2, "timestamps": ["2024-12-18T12:00:00Z", "2024-12-18T13:00:00Z"],
        "p10": [1.04, 1.03], "p50": [1.05, 1.05], "p90": [1.06, 1.07], "seed": 7, "event_context": CONTEXT,
        "p10_calibrated": [1.0, 0.9], "p90_calibrated": [1.1, 1.2], "warnings": told,
        "statistics": statistics, "backfilled": False,
    }  # fmt: skip
    earlier = answer(client, "/predictions/EURUSD", **HOURLY, as_of="2024-12-18T10:00:00Z")
    assert earlier["p50"] == [1.0, 1.0]
    assert earlier["warnings"] is earlier["statistics"] is None


def test_of_two_models_the_last_to_write_or_the_one_asked_for(
    client: TestClient[Any], database: psycopg.Connection[Any]
) -> None:
    store_row(database, prediction_row(model_name="new"))
    store_row(database, prediction_row(model_name="old"))
    database.execute(
        "UPDATE ml_predictions SET updated_at = NULL, created_at = %s WHERE model_name = 'old'", (NOW,)
    )
    assert answer(client, "/predictions/EURUSD", **HOURLY)["model_name"] == "new"
    assert answer(client, "/predictions/EURUSD", **HOURLY, model_name="old")["updated_at"] is None


def test_the_history_is_newest_first_and_tells_what_can_be_made_again(
    client: TestClient[Any], database: psycopg.Connection[Any]
) -> None:
    for back in (1, 3, 2):
        row = prediction_row(as_of=NOW - back * HOUR)
        store_row(database, row)
    store_inputs(database, row, None)
    past = answer(client, "/predictions/EURUSD/history", **HOURLY)["predictions"]
    assert [one["as_of"][11:13] for one in past] == ["11", "10", "09"]
    assert [one["has_inputs"] for one in past] == [False, True, False]
    assert answer(client, "/predictions/SPY/history", **HOURLY) == {"predictions": []}
    assert len(answer(client, "/predictions/EURUSD/history", **HOURLY, limit=1)["predictions"]) == 1


def test_the_inputs_of_a_forecast_are_as_predict_takes_them(
    client: TestClient[Any], database: psycopg.Connection[Any]
) -> None:
    events = np.random.default_rng(0).normal(size=(42, 20)).astype(np.float32)
    store_row(database, prediction_row())
    status, detail = refusal(client, "/predictions/EURUSD/inputs", **HOURLY)
    assert (status, "kept for a month" in detail) == (404, True)
    store_inputs(database, prediction_row(), events)
    found = answer(client, "/predictions/EURUSD/inputs", **HOURLY)
    sent = found.pop("events")
    assert sent["shape"] == [42, 20]
    np.testing.assert_array_equal(
        np.frombuffer(base64.b64decode(sent["data"]), "<f4").reshape(42, 20), events
    )
    assert found == {
        "lookback": 40, "sample_count": 4, "temperature": 1.0, "top_k": 0, "top_p": 1.0, "event_schema": 1,
    }  # fmt: skip
    store_inputs(database, prediction_row(), None)
    assert answer(client, "/predictions/EURUSD/inputs", **HOURLY)["events"] is None


def test_the_chart_is_drawn_with_and_without_what_lies_around(
    client: TestClient[Any], database: psycopg.Connection[Any]
) -> None:
    store_row(database, prediction_row())
    bare = client.get("/predictions/EURUSD/chart.png", params=HOURLY)
    add_candles(database, "EURUSD", "1h", 60)
    for hours in range(-20, 20):
        add_event(database, NOW + hours * HOUR, f"Release {hours}", event_type="cpi" if hours else "fomc")
    full = client.get("/predictions/EURUSD/chart.png", params=HOURLY)
    for response in (bare, full):
        assert response.status_code == 200
        assert response.headers["content-type"] == "image/png"
        assert response.content.startswith(PNG)
    assert len(full.content) > len(bare.content)


@pytest.mark.parametrize(
    ("path", "query", "status", "said"),
    [
        ("/predictions/EURUSD", HOURLY, 404, "no 1h forecast of EURUSD is stored"),
        ("/predictions/EURUSD", {**HOURLY, "model_name": "x"}, 404, "for this as_of and model"),
        ("/predictions/%00", HOURLY, 404, "no 1h forecast"),
        ("/predictions/EURUSD", {**HOURLY, "model_name": "\x00"}, 404, "no 1h forecast"),
        ("/predictions/EURUSD/chart.png", HOURLY, 404, "no 1h forecast"),
        ("/predictions/EURUSD", {}, 422, "query parameter timeframe is missing"),
        ("/predictions/EURUSD", {"timeframe": "3h"}, 422, "query parameter timeframe"),
        ("/predictions/EURUSD", {**HOURLY, "as_of": "yesterday"}, 422, "as_of is 'yesterday'"),
        ("/candles/ACME", HOURLY, 404, "ACME is no registered symbol"),
        ("/candles/eurusd", HOURLY, 404, "; did you mean EURUSD?"),
        ("/predictions/eurusd", HOURLY, 404, "no 1h forecast of eurusd is stored; did you mean EURUSD?"),
        ("/predictions/eurusd/inputs", HOURLY, 404, "; did you mean EURUSD?"),
        ("/predictions/eurusd/chart.png", HOURLY, 404, "; did you mean EURUSD?"),
        ("/predictions/eurusd/history", HOURLY, 404, "; did you mean EURUSD?"),
        ("/candles/EURUSD", {**HOURLY, "limit": 0}, 422, "query parameter limit"),
        (
            "/calendar",
            {"symbol": "btc", "start": "2024-01-01", "end": "2024-02-01"},
            404,
            "; did you mean BTC-USD",
        ),
        ("/calendar", {"symbol": "ACME", "start": "2024-01-01", "end": "2024-02-01"}, 404, "ACME"),
        ("/calendar", {"symbol": "SPY", "start": "2024-01-01", "end": "2024-01-01"}, 422, "span no time"),
        ("/calendar", {"symbol": "SPY", "start": "2004-01-01", "end": "2024-01-01"}, 422, "three years"),
    ],
)
def test_refusals_say_what_is_wrong(
    client: TestClient[Any], path: str, query: dict[str, Any], status: int, said: str
) -> None:
    got, detail = refusal(client, path, **query)
    assert got == status
    assert said in detail


def test_without_a_database_every_read_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("DATABASE_URL", raising=False)
    monkeypatch.setenv("KRONOS_DATA_DIR", str(tmp_path / "none"))
    with TestClient(create_app(Settings(bundle=Path("none"))), base_url=LOOPBACK) as client:
        for path in ("/symbols", "/candles/SPY", "/predictions/SPY"):
            status, detail = refusal(client, path, timeframe="1d")
            assert (status, "this server has no database" in detail) == (503, True)


def test_a_database_without_the_newest_tables_says_what_to_do(empty_database_url: str) -> None:
    with TestClient(
        create_app(Settings(bundle=Path("none"), database_url=empty_database_url)), base_url=LOOPBACK
    ) as client:
        status, detail = refusal(client, "/predictions/SPY", timeframe="1d")
        assert (status, "python -m sql migrate" in detail) == (503, True)


def test_the_page_is_open_and_its_data_needs_the_key(database_url: str) -> None:
    key = "a-key-of-the-tests-1"
    settings = Settings(bundle=Path("none"), database_url=database_url, api_keys=(key,))
    with TestClient(create_app(settings), base_url=LOOPBACK) as client:
        page = client.get("/")
        assert page.status_code == 200
        assert "default-src 'self'" in page.headers["content-security-policy"]
        assert client.get("/page-files/page.js").headers["cache-control"] == "no-cache"
        assert "immutable" in client.get("/page-plotly.min.js").headers["cache-control"]
        assert client.get("/symbols").status_code == 401
        assert client.get("/symbols", headers={"authorization": f"Bearer {key}"}).status_code == 200


def test_candles_after_a_forecast_do_not_outrun_its_chart(
    client: TestClient[Any], database_url: str, database: psycopg.Connection[Any]
) -> None:
    """The calendar of a long daily forecast still fits the span that the route allows."""
    days = [NOW.replace(hour=0) + timedelta(days=i + 1) for i in range(120)]
    values = [1.0] * 120
    row = prediction_row(timeframe="1d", as_of=NOW.replace(hour=0), pred_len=120, timestamps=days)
    with connect(database_url, autocommit=True) as connection:
        store_row(connection, {**row, "p10": values, "p50": values, "p90": values})
        add_candles(connection, "EURUSD", "1d", 300)
    assert client.get("/predictions/EURUSD/chart.png", params={"timeframe": "1d"}).status_code == 200
