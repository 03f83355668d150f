"""A gateway that reads the original columns is not interrupted by migrations and upserts."""

import threading
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import psycopg
import pytest
from psycopg.types.json import Jsonb

from sql import migrate as module
from sql.connect import connect
from sql.errors import DatabaseError
from sql.loading import load
from sql.migrate import migrate, migrations
from tests.helpers.databases import OLDER_TABLES, build_older

# Uses only columns that the table has before the migrations.
OLD_QUERY = """
    SELECT symbol, timeframe, as_of, model_name, model_version, pred_len, timestamps,
        p10, p50, p90, created_at
    FROM ml_predictions ORDER BY symbol
"""
ROWS = 500
RERUN: dict[str, Any] = {
    "timeframe": "1d", "as_of": datetime(2024, 1, 1, tzinfo=UTC), "model_name": "kronos-base",
    "model_version": "2", "pred_len": 1, "timestamps": [datetime(2024, 1, 2, tzinfo=UTC)],
    "p10": [1.5], "p50": [2.5], "p90": [3.5], "seed": 7, "event_context": Jsonb({"events_active": ["fomc"]}),
    "p10_calibrated": [1.4], "p90_calibrated": [3.6], "samples": [[2.5]],
    "warnings": ["candles-late: newer ones had closed"], "fingerprint": "f",
    "statistics": Jsonb({"paths": 20}),
}  # fmt: skip


class Gateway:
    """Reads forecasts repeatedly in a thread; a query that waits 100 ms for a lock fails."""

    def __init__(self, url: str) -> None:
        self._connection = psycopg.connect(url, autocommit=True)
        self._connection.execute("SET TimeZone = 'UTC'; SET lock_timeout = '100ms'")
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._read_repeatedly)
        self.reads = 0
        self.error: Exception | None = None

    def __enter__(self) -> "Gateway":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()
        self._connection.close()

    def read(self) -> list[tuple[Any, ...]]:
        return self._connection.execute(OLD_QUERY).fetchall()

    def _read_repeatedly(self) -> None:
        try:
            while not self._stop.is_set():
                assert shape(self.read()) == SHAPE
                self.reads += 1
        except Exception as error:
            self.error = error


def shape(rows: list[tuple[Any, ...]]) -> tuple[int, set[tuple[type, ...]]]:
    return len(rows), {tuple(type(value) for value in row) for row in rows}


SHAPE = ROWS, {(str, str, datetime, str, str, int, list, list, list, list, datetime)}


@pytest.fixture
def older(empty_database_url: str) -> Iterator[psycopg.Connection]:
    """A database with tables from before the migrations, which contain forecasts."""
    with connect(empty_database_url, autocommit=True) as connection:
        build_older(connection, *OLDER_TABLES)
        yield connection


def test_the_gateway_reads_during_migrations_and_upserts(
    older: psycopg.Connection, empty_database_url: str
) -> None:
    with Gateway(empty_database_url) as gateway, connect(empty_database_url) as holder:
        before = gateway.read()
        # Another session's open transaction makes the first attempts of each ALTER fail; it ends after 0.4 s.
        holder.execute("SELECT count(*) FROM ml_predictions")
        end_of_holder = threading.Timer(0.4, holder.rollback)
        end_of_holder.start()
        assert migrate(older) == migrations()
        end_of_holder.join()
        assert gateway.read() == before
        for step in range(300):
            older.execute(load("upsert_prediction"), RERUN | {"symbol": f"S{step + 1}"})
        after = gateway.read()
    assert gateway.error is None
    assert gateway.reads > 0
    assert shape(after) == shape(before) == SHAPE
    assert [row[:4] for row in after] == [row[:4] for row in before]


def test_a_table_that_stays_locked_fails_the_migration_but_not_the_gateway(
    older: psycopg.Connection, empty_database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_ATTEMPTS", 3)
    monkeypatch.setattr(module, "_PAUSE_S", 0.01)
    with connect(empty_database_url) as holder:
        holder.execute("SELECT count(*) FROM ml_predictions")
        with (
            Gateway(empty_database_url) as gateway,
            pytest.raises(DatabaseError, match="ml_predictions failed: a table stayed locked"),
        ):
            migrate(older)
        assert gateway.error is None
    columns = older.execute("SELECT * FROM ml_predictions LIMIT 0").description
    assert columns is not None
    assert "seed" not in [column.name for column in columns]
    assert migrate(older)[0].name == "ml_predictions"
