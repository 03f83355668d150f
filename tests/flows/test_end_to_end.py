"""From stored candles to stored envelopes through the real server, engine, Postgres and Prefect."""

from collections.abc import Iterator
from datetime import UTC
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import psycopg
import pytest

from flows.generated.market import END, generate_market
from flows.load import load_calendar, load_candles
from flows.predict import predict_batch
from flows.runtime.local_server import ServerError, local_server
from inference_server.client import Client
from inference_server.schemas import PredictRequest
from market.instruments import default_instruments
from market.time_grid import future_timestamps

SYMBOLS = ["BTC-USD", "EURUSD", "SPY"]
SHORT: dict[str, Any] = {"as_of": END, "pred_len": 6, "sample_count": 4}


@pytest.fixture(scope="module")
def server(tiny_bundle: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with local_server(tiny_bundle, tmp_path_factory.mktemp("server") / "log") as address:
        yield address


@pytest.fixture
def market(database: psycopg.Connection[Any]) -> psycopg.Connection[Any]:
    market = generate_market(days=300, hours=500)
    wanted = pl.col("symbol").is_in(SYMBOLS)
    load_candles(database, market.candles_1h.filter(wanted), "1h")
    load_candles(database, market.candles_1d.filter(wanted), "1d")
    load_calendar(database, market.calendar)
    return database


def stored(database: psycopg.Connection[Any]) -> list[dict[str, Any]]:
    with database.cursor(row_factory=psycopg.rows.dict_row) as cursor:
        return cursor.execute("SELECT * FROM ml_predictions ORDER BY symbol, timeframe").fetchall()


@pytest.mark.parametrize("timeframe", ["1h", "1d"])
@pytest.mark.usefixtures("prefect_server")
def test_forecasts_on_each_calendar_with_events_and_again_the_same(
    market: psycopg.Connection[Any], server: str, monkeypatch: pytest.MonkeyPatch, timeframe: str
) -> None:
    monkeypatch.setenv("KRONOS_SERVER", server)
    assert predict_batch(timeframe=timeframe, **SHORT, return_state=True).is_completed()
    rows = stored(market)
    assert [row["symbol"] for row in rows] == SYMBOLS
    for row in rows:
        last = np.datetime64(row["as_of"].astimezone(UTC).replace(tzinfo=None), "us")
        expected = future_timestamps(default_instruments()[row["symbol"]], timeframe, last, 6)
        assert [time.replace(tzinfo=None) for time in row["timestamps"]] == expected.tolist()
        assert all(
            low <= middle <= high
            for low, middle, high in zip(row["p10"], row["p50"], row["p90"], strict=True)
        )
        assert "fomc" in row["event_context"]["events_active"]
    assert predict_batch(timeframe=timeframe, **SHORT, force=True, return_state=True).is_completed()
    for before, after in zip(rows, stored(market), strict=True):
        assert after["updated_at"] > before["updated_at"]
        assert {**after, "updated_at": None} == {**before, "updated_at": None}


@pytest.mark.usefixtures("prefect_server")
def test_a_row_without_events_is_what_the_server_answers_from_its_own_database(
    market: psycopg.Connection[Any],
    database_url: str,
    tiny_bundle: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with local_server(tiny_bundle, tmp_path / "log") as address, Client(address) as client:
        monkeypatch.setenv("KRONOS_SERVER", address)
        predict_batch(timeframe="1h", symbols=["EURUSD"], with_events=False, lookback=50, **SHORT)
        (row,) = stored(market)
        asked = PredictRequest(
            symbol="EURUSD",
            timeframe="1h",
            pred_len=6,
            sample_count=4,
            top_p=1.0,
            lookback=50,
            as_of=END.isoformat(),
            seed=row["seed"],
        )
        answer = client.predict(asked)
    assert (answer.p10, answer.p50, answer.p90) == (row["p10"], row["p50"], row["p90"])
    assert answer.as_of == row["as_of"]
    assert answer.timestamps == row["timestamps"]


def test_a_server_that_ends_says_why(tmp_path: Path) -> None:
    with (
        pytest.raises(ServerError, match=r"inference_server ended; its log .* ends with\n.*no bundle in"),
        local_server(tmp_path / "nothing", tmp_path / "log"),
    ):
        pass
