"""The generated market in files and in a database, up to an instant and beyond."""

import signal
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import polars as pl
import psycopg
import pytest

from flows import generate as generated
from flows.generated.market import END, generate_market
from flows.loading.calendar import load_calendar
from flows.loading.candles import load_candles

NOW = datetime(2026, 3, 18, 12, 30, tzinfo=UTC)


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Few candles, which are generated quickly."""
    monkeypatch.setattr(
        generated, "generate_market", lambda **options: generate_market(days=40, hours=60, **options)
    )


def newest(connection: psycopg.Connection[Any], table: str) -> datetime:
    row = connection.execute(f"SELECT max(ts) FROM {table} WHERE symbol = 'BTC-USD'").fetchone()
    assert row is not None
    return row[0]  # type: ignore[no-any-return]


@pytest.mark.usefixtures("small")
def test_files_end_where_they_shall(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert generated.main(["--out", str(tmp_path), "--end", "2026-03-18T12:30"]) == 0
    assert "no real prices" in capsys.readouterr().out
    hours = pl.read_parquet(tmp_path / "candles_1h.parquet")
    assert hours["timestamp"].max() == NOW.replace(hour=11, minute=0)
    assert generated.main(["--out", str(tmp_path / "default")]) == 0
    assert pl.read_parquet(tmp_path / "default" / "candles_1h.parquet")["timestamp"].max() == END - timedelta(
        hours=1
    )
    assert generated.main(["--out", str(tmp_path / "now"), "--end", "now"]) == 0
    newest_hour = pl.read_parquet(tmp_path / "now" / "candles_1h.parquet")["timestamp"].max()
    assert timedelta(hours=1) <= datetime.now(UTC) - newest_hour < timedelta(hours=3)  # type: ignore[operator]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "one of the arguments --out --follow is required"),
        (["--out", "x", "--end", "tomorrow"], "'tomorrow' is not an ISO 8601 instant"),
        (["--out", "x", "--follow"], "not allowed with"),
    ],
)
def test_other_arguments_are_refused(
    arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit):
        generated.main(arguments)
    assert message in capsys.readouterr().err


@pytest.mark.usefixtures("small")
def test_a_stored_market_goes_on_without_a_gap(database: psycopg.Connection[Any]) -> None:
    assert not generated.holds_candles(database)
    generated.store_market(database, NOW)
    assert generated.holds_candles(database)
    assert generated.holds_generated_market(database)
    assert newest(database, "ohlcv_1h") == NOW.replace(hour=11, minute=0)
    before = database.execute("SELECT count(*) FROM ohlcv_1h").fetchone()
    assert generated.continue_market(database, NOW) == 0
    later = NOW + timedelta(days=2, hours=3)
    added = generated.continue_market(database, later)
    assert newest(database, "ohlcv_1h") == later.replace(hour=14, minute=0)
    assert newest(database, "ohlcv_1d") == datetime(2026, 3, 19, tzinfo=UTC)
    after = database.execute("SELECT count(*) FROM ohlcv_1h").fetchone()
    assert before is not None
    assert after is not None
    assert after[0] - before[0] <= added
    gaps = database.execute("""
        SELECT count(*) FROM (
            SELECT ts - lag(ts) OVER (ORDER BY ts) AS step FROM ohlcv_1h WHERE symbol = 'BTC-USD'
        ) AS steps WHERE step <> interval '1 hour'
    """).fetchone()
    assert gaps == (0,)
    days = database.execute("""
        SELECT count(*) FROM ohlcv_1d AS d WHERE symbol = 'BTC-USD' AND ts >= '2026-03-17' AND close <> (
            SELECT close FROM ohlcv_1h WHERE symbol = 'BTC-USD' AND ts = d.ts + interval '23 hours')
    """).fetchone()
    assert days == (0,)
    unknown = database.execute(
        "SELECT count(*) FROM economic_calendar WHERE event_time < %s AND actual IS NULL",
        [later.replace(minute=0)],
    ).fetchone()
    assert unknown == (0,)


@pytest.mark.parametrize("own", ["calendar", "symbol"])
@pytest.mark.usefixtures("small")
def test_a_market_with_data_of_another_source_is_left_alone(
    database: psycopg.Connection[Any], own: str, capsys: pytest.CaptureFixture[str]
) -> None:
    generated.store_market(database, NOW)
    if own == "calendar":
        row = {"event_time": [NOW], "event_type": ["cpi"], "title": ["CPI"], "source": ["mine"]}
        load_calendar(database, pl.DataFrame(row))
    else:
        candles = generate_market(days=40, hours=60).candles_1h.filter(symbol="SPY")
        load_candles(database, candles.with_columns(symbol=pl.lit("IWM")), "1h")
    assert not generated.holds_generated_market(database)
    assert generated.main(["--follow"]) == 1
    assert "holds no generated market, or other data too" in capsys.readouterr().err


def test_following_without_a_database_is_one_line(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("DATABASE_URL", "postgresql://someone:secret@127.0.0.1:1/db")
    assert generated.main(["--follow"]) == 1
    error = capsys.readouterr().err
    assert error.startswith("error: can't connect to someone@127.0.0.1:1/db")
    assert error.count("\n") == 1


@pytest.mark.usefixtures("small")
def test_following_adds_candles_until_sigterm(database: psycopg.Connection[Any]) -> None:
    generated.store_market(database, datetime.now(UTC) - timedelta(hours=3))
    before = newest(database, "ohlcv_1h")
    command = [sys.executable, "-m", "flows.generate", "--follow"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert "GENERATED candles" in process.stdout.readline()
        process.send_signal(signal.SIGTERM)
        assert process.wait(60) == 0
    assert newest(database, "ohlcv_1h") > before
