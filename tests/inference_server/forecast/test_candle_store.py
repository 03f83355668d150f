"""Candles and instruments from a real Postgres, and forecasts from them; also where there is none."""

import asyncio
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import psycopg
import pytest

from inference_server.errors import DatabaseUnavailable, NoDatabase
from inference_server.forecast.candle_store import CandleStore, find_database
from inference_server.http.problems import TYPE_PREFIX
from inference_server.metrics import Metrics
from inference_server.schemas import Candles
from market.instruments import Instrument, default_instruments
from market.times import aware
from market.warning_codes import code_of
from sql.connect import connect
from sql.embedded import server as embedded
from tests.helpers.serving import HOUR, START, candles, ready_client

LATE = np.datetime64("2030-01-01", "us")
NAMES = tuple(Candles.__struct_fields__)


def insert(connection: psycopg.Connection, symbol: str, columns: dict[str, list[Any]]) -> None:
    rows = list(zip(*(columns.get(name, [None] * len(columns["open"])) for name in NAMES), strict=True))
    with connection.cursor() as cursor:
        cursor.executemany(
            "INSERT INTO ohlcv_1h (symbol, ts, open, high, low, close, volume, amount) "
            "VALUES (%s, %s, %s, %s, %s, %s, %s, %s)",
            [(symbol, *row) for row in rows],
        )


@contextmanager
def free_port() -> Iterator[int]:
    """A port of this machine that nobody answers on."""
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        yield held.getsockname()[1]


def store(url: str | None, timeout_s: float = 5.0) -> CandleStore:
    return CandleStore(lambda: url, timeout_s, connections=2, metrics=Metrics())


def test_the_last_candles_of_several_symbols(database: psycopg.Connection, database_url: str) -> None:
    insert(database, "BTC-USD", candles(50))
    insert(database, "ETH-USD", {**candles(10), "volume": [None, *[1.0] * 9]})

    async def scene() -> None:
        reader = store(database_url)
        async with reader.running():
            windows = await reader.latest(["BTC-USD", "ETH-USD", "SPY"], "1h", 20, START + 48 * HOUR)
        assert set(windows) == {"BTC-USD", "ETH-USD"}
        bitcoin = windows["BTC-USD"]
        np.testing.assert_array_equal(bitcoin.timestamps, START + np.arange(26, 48) * HOUR)
        np.testing.assert_array_equal(bitcoin.features[:, 3], candles(50)["close"][26:48])
        assert np.isnan(bitcoin.features[:, 5]).all()
        assert np.isnan(windows["ETH-USD"].features[:, 4]).tolist() == [True] + [False] * 9

    asyncio.run(scene())


def test_symbols_without_candles_of_a_timeframe_have_aggregated_ones(
    database: psycopg.Connection, database_url: str
) -> None:
    hourly = candles(50)
    insert(database, "BTC-USD", hourly)
    insert(database, "ETH-USD", candles(50))
    database.execute(
        "INSERT INTO ohlcv_4h SELECT * FROM ohlcv_1h WHERE symbol = 'ETH-USD' AND ts < %s",
        [aware(START + 4 * HOUR)],
    )

    async def scene() -> None:
        reader = store(database_url)
        async with reader.running():
            windows = await reader.latest(["BTC-USD", "ETH-USD", "SPY"], "4h", 3, START + 39 * HOUR)
            assert await reader.latest(["BTC-USD"], "30m", 3, START + 39 * HOUR) == {}
        assert set(windows) == {"BTC-USD", "ETH-USD"}
        bitcoin = windows["BTC-USD"]
        # Its four hours from 36:00 were open at 39:00.
        np.testing.assert_array_equal(bitcoin.timestamps, START + np.arange(16, 36, 4) * HOUR)
        np.testing.assert_array_equal(bitcoin.features[:, 0], hourly["open"][16:36:4])
        np.testing.assert_array_equal(bitcoin.features[:, 3], hourly["close"][19:36:4])
        assert len(windows["ETH-USD"]) == 4  # its own

    asyncio.run(scene())


def test_times_are_utc_whatever_the_databases_zone(database: psycopg.Connection, database_url: str) -> None:
    insert(database, "BTC-USD", candles(3))
    database.execute("ALTER ROLE CURRENT_USER SET TimeZone = 'Asia/Tokyo'")

    async def scene() -> None:
        reader = store(database_url)
        async with reader.running():
            windows = await reader.latest(["BTC-USD"], "1h", 3, LATE)
        np.testing.assert_array_equal(windows["BTC-USD"].timestamps, START + np.arange(3) * HOUR)

    try:
        asyncio.run(scene())
    finally:
        database.execute("ALTER ROLE CURRENT_USER RESET TimeZone")


def test_the_table_of_instruments_wins_over_the_packaged_one(
    database: psycopg.Connection, database_url: str
) -> None:
    database.execute(
        "INSERT INTO instruments (symbol, asset_class, calendar) "
        "VALUES ('SPY', 'equity', 'XLON'), ('ACME', 'fx', 'FX')"
    )

    async def scene() -> None:
        reader = store(database_url)
        async with reader.running():
            known = await reader.instruments()
        assert known["SPY"] == Instrument("SPY", "equity", "XLON")
        assert known["ACME"].calendar == "FX"
        assert set(default_instruments()) < set(known)

    asyncio.run(scene())


def test_the_instruments_at_hand_become_the_tables_without_waiting(
    database: psycopg.Connection, database_url: str
) -> None:
    database.execute("INSERT INTO instruments VALUES ('ACME', 'commodity', 'FX', true, true)")

    async def scene() -> None:
        reader = store(database_url)
        async with reader.running():
            assert reader.instruments_at_hand() == default_instruments()
            async with asyncio.timeout(20):
                while "ACME" not in reader.instruments_at_hand():
                    await asyncio.sleep(0.01)
            assert reader.instruments_at_hand()["ACME"].allow_nonpositive

    asyncio.run(scene())


def test_instruments_at_hand_are_there_without_a_database() -> None:
    async def scene() -> None:
        reader = store(None)
        async with reader.running():
            for _ in range(3):
                assert reader.instruments_at_hand() == default_instruments()
                await asyncio.sleep(0.05)

    asyncio.run(scene())


def test_lost_connections_are_replaced(database: psycopg.Connection, database_url: str) -> None:
    insert(database, "BTC-USD", candles(3))

    async def scene() -> None:
        reader = store(database_url)
        async with reader.running():
            await reader.latest(["BTC-USD"], "1h", 3, LATE)
            database.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
                "WHERE datname = current_database() AND pid <> pg_backend_pid()"
            )
            assert len((await reader.latest(["BTC-USD"], "1h", 3, LATE))["BTC-USD"]) == 3

    asyncio.run(scene())


def test_a_query_that_hangs_is_given_up(database: psycopg.Connection, database_url: str) -> None:
    async def scene() -> None:
        reader = store(database_url, timeout_s=0.3)
        async with reader.running():
            with pytest.raises(DatabaseUnavailable, match="does not answer"):
                await reader.latest(["BTC-USD"], "1h", 3, LATE)

    with connect(database_url) as blocker:
        blocker.execute("LOCK TABLE ohlcv_1h IN ACCESS EXCLUSIVE MODE")
        asyncio.run(scene())


def test_a_database_without_tables_says_what_to_do(empty_database_url: str) -> None:
    async def scene() -> None:
        reader = store(empty_database_url)
        async with reader.running():
            with pytest.raises(DatabaseUnavailable, match="python -m sql migrate"):
                await reader.instruments()

    asyncio.run(scene())


def test_a_database_of_an_older_version_says_what_to_do(
    database: psycopg.Connection, database_url: str
) -> None:
    database.execute("ALTER TABLE instruments DROP COLUMN allow_nonpositive")

    async def scene() -> None:
        reader = store(database_url)
        async with reader.running():
            with pytest.raises(DatabaseUnavailable, match="apply the migrations"):
                await reader.instruments()

    asyncio.run(scene())


def test_a_dead_database_is_given_up_and_not_asked_again_at_once(caplog: pytest.LogCaptureFixture) -> None:
    async def scene(port: int) -> None:
        reader = store(f"postgresql://nobody@127.0.0.1:{port}/none", timeout_s=1.0)
        async with reader.running():
            with pytest.raises(DatabaseUnavailable) as first:
                await reader.instruments()
            with pytest.raises(DatabaseUnavailable) as second:
                await reader.instruments()
        assert (type(second.value), str(second.value)) == (type(first.value), str(first.value))
        assert [line.message for line in caplog.records].count("database read failed: TimeoutError") == 1

    with free_port() as port:
        asyncio.run(scene(port))


def test_any_number_of_reads_share_the_connections_there_may_be(
    database: psycopg.Connection, database_url: str
) -> None:
    insert(database, "BTC-USD", candles(40))
    query = (
        "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()"
    )

    async def scene() -> None:
        reader = store(database_url)
        async with reader.running():
            reads = [reader.latest(["BTC-USD"], "1h", 20, LATE) for _ in range(30)]
            assert all(len(windows["BTC-USD"]) == 22 for windows in await asyncio.gather(*reads))
            count = database.execute(query).fetchone()
            assert count is not None
            assert 1 <= count[0] <= 2

    asyncio.run(scene())


@pytest.mark.parametrize(("url", "error"), [(None, NoDatabase), ("mysql://somewhere", DatabaseUnavailable)])
def test_no_database_or_no_address(url: str | None, error: type[Exception]) -> None:
    async def scene() -> None:
        reader = CandleStore(lambda: url and find_database(url), 1.0, 1, Metrics())
        async with reader.running():
            with pytest.raises(error):
                await reader.latest(["BTC-USD"], "1h", 3, LATE)

    asyncio.run(scene())


def test_an_embedded_database_is_used_only_where_its_folder_exists(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KRONOS_DATA_DIR", str(tmp_path))
    monkeypatch.setattr(embedded, "start", lambda: "postgresql://embedded")
    assert find_database(None) is None
    (tmp_path / "data").mkdir()
    assert find_database(None) == "postgresql://embedded"
    assert find_database("postgres://given/db") == "postgresql://given/db"


def test_forecasts_from_the_database(
    database: psycopg.Connection, database_url: str, tiny_bundle: Path
) -> None:
    insert(database, "BTC-USD", candles(60))
    insert(database, "ETH-USD", candles(31))
    old_body = {"symbol": "BTC-USD", "timeframe": "1h", "pred_len": 3, "temperature": 1.0, "sample_count": 2}
    with ready_client(tiny_bundle, database_url=database_url) as client:
        made = client.post(
            "/predict", json={**old_body, "lookback": 400, "as_of": "2024-03-06T00:30:00"}
        ).json()
        assert (made["as_of"], made["lookback_used"]) == ("2024-03-05T23:00:00Z", 48)
        inline = {key: column[:48] for key, column in candles(60).items()}
        again = client.post("/predict", json={**old_body, "candles": inline, "seed": made["seed"]}).json()
        assert [code_of(text) for text in made["warnings"]] == ["few-paths", "cut-tails"]
        assert again == made
        assert client.post("/predict", json={**old_body, "lookback": 40}).json()["lookback_used"] == 40

        old = client.post("/predict", json={**old_body, "as_of": "2024-04-06"}).json()
        assert "stale-candles" in [code_of(text) for text in old["warnings"]]

        refusals = {"ETH-USD": 422, "SPY": 404, "NVDAX": 404}
        for symbol, status in refusals.items():
            assert client.post("/predict", json={**old_body, "symbol": symbol}).status_code == status
        unknown = client.post("/predict", json={**old_body, "symbol": "NVDAX"}).json()
        assert unknown["given"] == "NVDAX"
        assert "NVDA" in unknown["expected"]
        assert (
            "has 31 candles"
            in client.post("/predict", json={**old_body, "symbol": "ETH-USD"}).json()["detail"]
        )

        batch = client.post("/predict-batch", json={**old_body, "symbols": ["BTC-USD", *refusals]}).json()
        assert [item["error"] and item["error"]["status"] for item in batch["results"]] == [
            None,
            422,
            404,
            404,
        ]


def test_an_alias_stands_for_its_symbol(
    database: psycopg.Connection, database_url: str, tiny_bundle: Path
) -> None:
    database.execute(
        "INSERT INTO instruments (symbol, asset_class, calendar, aliases, currency, tick_size) "
        "VALUES ('BTC-USD', 'crypto', '24/7', '{XBTUSD,BTCUSDT}', 'USD', 0.5)"
    )
    insert(database, "BTC-USD", candles(60))
    body = {"timeframe": "1h", "pred_len": 3, "sample_count": 9, "top_p": 1.0, "seed": 1, "lookback": 40}
    with ready_client(tiny_bundle, database_url=database_url) as client:
        names = ["BTC-USD", "XBTUSD", "BTCUSDT", "XBT"]
        batch = client.post("/predict-batch", json={**body, "symbols": names}).json()["results"]
        assert [item["symbol"] for item in batch] == names
        own, *others = (item["result"] for item in batch[:3])
        assert own["symbol"] == "BTC-USD"
        assert others == [own, own]
        assert batch[3]["error"]["status"] == 404
        sent = {**body, "candles": candles(40)}
        asked = [client.post("/predict", json={**sent, "symbol": name}).json() for name in names[:2]]
        assert asked[0]["timestamps"] == asked[1]["timestamps"]
        assert client.get("/candles/XBTUSD?timeframe=1h&limit=5").json()["symbol"] == "BTC-USD"
        (listed,) = client.get("/symbols").json()["symbols"]
        about = {"symbol": "BTC-USD", "aliases": ["XBTUSD", "BTCUSDT"], "currency": "USD", "tick_size": 0.5}
        assert listed.items() >= about.items()


def test_forecasts_from_aggregated_candles_say_how_many_lack_parts(
    database: psycopg.Connection, database_url: str, tiny_bundle: Path
) -> None:
    insert(database, "BTC-USD", candles(160))
    database.execute("DELETE FROM ohlcv_1h WHERE ts IN (%s, %s)", [aware(START + n * HOUR) for n in (9, 121)])
    body = {"symbol": "BTC-USD", "timeframe": "4h", "pred_len": 3, "sample_count": 9, "top_p": 1.0}
    with ready_client(tiny_bundle, database_url=database_url) as client:
        made = client.post("/predict", json={**body, "as_of": "2024-03-10T14:00"}).json()
        recent = client.post("/predict", json={**body, "as_of": "2024-03-10T14:00", "lookback": 32}).json()
    assert (made["lookback_used"], recent["lookback_used"]) == (39, 32)
    (text,) = made["warnings"]
    assert text.startswith("incomplete-candles: 2 of 39 4h candles, aggregated from 1h, lack parts: 2 1h")
    (text,) = recent["warnings"]
    assert text.startswith("incomplete-candles: 1 of 32 4h candles, aggregated from 1h, lack parts: 1 1h")


def test_with_a_dead_database_inline_requests_go_on(tiny_bundle: Path) -> None:
    asked = {"symbol": "BTC-USD", "timeframe": "1h", "pred_len": 3}
    with free_port() as port:
        url = f"postgresql://nobody@127.0.0.1:{port}/none"
        with ready_client(tiny_bundle, database_url=url, database_timeout_s=0.5) as client:
            refused = client.post("/predict", json=asked)
            assert (refused.status_code, refused.json()["type"]) == (
                503,
                TYPE_PREFIX + "database-unavailable",
            )
            assert refused.headers["Retry-After"] == "5"
            assert str(port) not in refused.text
            assert client.post("/predict", json={**asked, "candles": candles()}).status_code == 200


def test_the_clock_of_the_table_is_the_model_s_and_is_said_to_who_brings_all_candles(
    database: psycopg.Connection, database_url: str, tiny_bundle: Path
) -> None:
    database.execute(
        "INSERT INTO instruments (symbol, asset_class, calendar, model_time_zone) "
        "VALUES ('BTC-USD', 'crypto', '24/7', 'Asia/Tokyo')"
    )
    insert(database, "BTC-USD", candles(48))
    body = {"symbol": "BTC-USD", "timeframe": "1h", "pred_len": 3, "sample_count": 9, "top_p": 1.0, "seed": 1}
    inline = {**body, "candles": candles(48), "future_timestamps": candles(3, START + 48 * HOUR)["timestamp"]}
    with ready_client(tiny_bundle, database_url=database_url) as client:
        stored = client.post("/predict", json={**body, "lookback": 48, "as_of": "2024-03-06T00:30"}).json()
        tokyo = client.post("/predict", json={**inline, "time_zone": "Asia/Tokyo"}).json()
        unasked = client.post("/predict", json=inline).json()
    assert stored["mean"] == tokyo["mean"] != unasked["mean"]
    assert (tokyo["warnings"], [code_of(text) for text in unasked["warnings"]]) == ([], ["model-clock"])
