"""An installation of version 0.1.0 after the upgrade: its rows, readers, deployments and bundle."""

import shutil
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import psycopg
import pytest
import yaml
from prefect import Flow
from prefect.flows import load_flow_from_entrypoint
from psycopg import sql

from export.__main__ import main as export_main
from flows.predict import predict_batch
from flows.score import score
from inference_server.engine.bundle import BundleError, load_manifest
from sql.__main__ import main as sql_main
from sql.connect import connect
from sql.migrate import migrate, migrations
from tests.helpers.stand_in_server import Script
from tests.sql.test_gateway import OLD_QUERY

ROOT = Path(__file__).resolve().parents[2]
RELEASE = ROOT / "tests" / "first_release"
DEPLOYMENTS = yaml.safe_load((RELEASE / "prefect.yaml").read_text())["deployments"]
TABLES = (
    "ohlcv_1h", "ohlcv_1d", "instruments", "economic_calendar", "central_bank_rates", "economic_indicators",
    "ml_predictions", "prediction_inputs", "prediction_scores", "prediction_calibration",
)  # fmt: skip
# Every parameter of the flows of 0.1.0, set to other values than the defaults.
PARAMETERS: dict[str, dict[str, Any]] = {
    "predict": {
        "symbols": ["BTC-USD"], "timeframe": "1h", "pred_len": 4, "sample_count": 3, "top_p": 0.9,
        "temperature": 0.8, "top_k": 5, "lookback": 40, "as_of": "2024-01-03T12:00:00Z", "with_events": False,
        "seed": 3, "store_samples": True,
    },
    "score": {
        "timeframe": "1h", "as_of": "2024-01-03T12:00:00Z", "recheck_days": 1, "summary_days": 2,
        "keep_samples_days": 3,
    },
}  # fmt: skip

Contents = dict[str, tuple[list[str], list[tuple[Any, ...]]]]


def contents(connection: psycopg.Connection[Any], columns: dict[str, list[str]]) -> Contents:
    """Every row of every table as text, floats with all their digits."""
    found: Contents = {}
    for table, names in columns.items():
        query = sql.SQL("SELECT {} FROM {}").format(
            sql.SQL(", ").join(sql.SQL("{}::text").format(sql.Identifier(name)) for name in names),
            sql.Identifier(table),
        )
        found[table] = (names, sorted(connection.execute(query).fetchall(), key=str))
    return found


def columns_of(connection: psycopg.Connection[Any]) -> dict[str, list[str]]:
    query = (
        "SELECT attname::text FROM pg_attribute WHERE attrelid = %s::regclass AND attnum > 0 ORDER BY attnum"
    )
    return {table: [name for (name,) in connection.execute(query, [table])] for table in TABLES}


@pytest.fixture
def first_release(empty_database_url: str) -> Iterator[psycopg.Connection[Any]]:
    """A database as version 0.1.0 left it, with rows in every table."""
    with connect(empty_database_url, autocommit=True) as connection:
        for part in ("layout", "rows"):
            connection.execute((RELEASE / f"{part}.sql").read_text(encoding="utf-8"))
        yield connection


def test_rows_stay_as_they_are_and_a_second_migration_changes_nothing(
    first_release: psycopg.Connection[Any], capsys: pytest.CaptureFixture[str]
) -> None:
    columns = columns_of(first_release)
    before, gateway = contents(first_release, columns), first_release.execute(OLD_QUERY).fetchall()
    assert all(rows for _, rows in before.values())
    recorded = {row[0] for row in first_release.execute("SELECT version FROM kronos_migrations")}
    newer = [one for one in migrations() if one.version not in recorded]
    assert newer
    assert sql_main(["migrate"]) == 0
    assert contents(first_release, columns) == before
    assert first_release.execute(OLD_QUERY).fetchall() == gateway
    printed = capsys.readouterr().out
    assert [one.name for one in newer if one.name not in printed] == []
    after = columns_of(first_release)
    assert {table: names[: len(columns[table])] for table, names in after.items()} == columns

    everything = contents(first_release, after)
    record = first_release.execute("SELECT * FROM kronos_migrations ORDER BY 1").fetchall()
    assert sql_main(["migrate"]) == 0
    assert contents(first_release, after) == everything
    assert first_release.execute("SELECT * FROM kronos_migrations ORDER BY 1").fetchall() == record


def test_the_layout_is_that_of_the_migrations_of_its_time(
    first_release: psycopg.Connection[Any], database: psycopg.Connection[Any]
) -> None:
    """What an upgrade makes and what a new installation gets have the same columns, types and defaults."""
    migrate(first_release)
    query = """
        SELECT table_name, column_name, data_type, udt_name, is_nullable, column_default
        FROM information_schema.columns WHERE table_schema = 'public' ORDER BY table_name, column_name
    """
    indexes = (
        "SELECT tablename, indexname, indexdef FROM pg_indexes WHERE schemaname = 'public' ORDER BY 1, 2"
    )
    for ask in (query, indexes):
        assert first_release.execute(ask).fetchall() == database.execute(ask).fetchall()


@pytest.mark.usefixtures("prefect_server")
def test_its_deployments_forecast_and_score(first_release: psycopg.Connection[Any], script: Script) -> None:
    migrate(first_release)
    columns = columns_of(first_release)
    before = contents(first_release, columns)["ml_predictions"][1]
    scores = contents(first_release, columns)["prediction_scores"][1]
    parameters = {one["name"]: one["parameters"] for one in DEPLOYMENTS}
    now = datetime.now(UTC).replace(minute=0, second=0, microsecond=0)
    with first_release.cursor() as cursor:
        cursor.executemany(
            "INSERT INTO ohlcv_1h VALUES ('BTC-USD', %s, 100, 101, 99, %s, 1, 1)",
            # The first candle is still open; it counts if the next hour begins during the test.
            [(now - timedelta(hours=hour), 100 + hour % 3) for hour in range(61)],
        )
    assert predict_batch(**parameters["predict-1h"], return_state=True).is_completed()
    after = contents(first_release, columns)["ml_predictions"][1]
    (new,) = [row for row in after if row not in before]
    assert [row for row in after if row in before] == before
    assert new[: columns["ml_predictions"].index("as_of")] == ("BTC-USD", "1h")
    assert len(first_release.execute(OLD_QUERY).fetchall()) == len(before) + 1

    assert score(**parameters["score-1h"], return_state=True).is_completed()
    scored = contents(first_release, columns)["prediction_scores"][1]
    assert [row for row in scored if row in scores] == scores
    (row,) = [row for row in scored if row not in scores]
    place = columns["prediction_scores"].index("as_of")
    assert row[place].startswith("2024-01-01 20:00:00")


@pytest.mark.parametrize("deployment", DEPLOYMENTS, ids=[one["name"] for one in DEPLOYMENTS])
def test_a_registered_deployment_finds_its_flow_and_its_parameters(deployment: dict[str, Any]) -> None:
    flow: Flow[..., Any] = load_flow_from_entrypoint(str(ROOT / deployment["entrypoint"]))
    timeframe = deployment["parameters"]["timeframe"]
    assert flow.validate_parameters(deployment["parameters"])["timeframe"] == timeframe
    saved = PARAMETERS[deployment["name"].partition("-")[0]]
    validated = flow.validate_parameters(saved)
    assert set(saved) <= set(validated)
    assert {name: validated[name] for name in saved if name != "as_of"} == {
        name: value for name, value in saved.items() if name != "as_of"
    }


def test_its_bundle_is_refused_with_the_command_that_exports_it_again(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.copy(RELEASE / "manifest.json", tmp_path)
    with pytest.raises(
        BundleError, match="has format 1, this server reads format 4: export it again"
    ) as refused:
        load_manifest(tmp_path)
    command = str(refused.value).partition("python -m export ")[2].split()
    assert command[-2:] == ["--out", str(tmp_path)]
    # The command's own parser takes every option; the checkpoint's folder is not here, which it says.
    code = export_main(command)
    assert code not in (0, 2)
    assert "model" in capsys.readouterr().err
