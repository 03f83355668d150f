"""``python -m benchmarks.growth [SYMBOLS …]``: runs of predict-batch over generated markets; prints a table.

Each run is a process of its own, with an embedded Postgres and a Prefect server of its own and an inference
server that answers at once, so that its time and its memory are those of everything but the model. With
``--bundle`` a real inference server answers.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import psycopg

from benchmarks.growth.market import add_market
from benchmarks.growth.processes import Sampler
from benchmarks.growth.servers import prefect_server
from flows.runtime.local_server import ServerProcess, server_process
from sql.connect import connect
from sql.embedded import pid_file
from sql.embedded import server as embedded
from sql.migrate import migrate

CANDLES = 400  # a symbol: 392 for the forecast, and some that may be open
HEADS = (
    "symbols",
    "time",
    "CPU of the flow, per symbol",
    "of Postgres",
    "of Prefect's server",
    "of the inference server",
    "peak memory of the flow",
    "of Prefect's server",
    "of the inference server",
    "a forecast in the database",
)


def measure(symbols: int, bundle: Path | None, parameters: dict[str, Any]) -> dict[str, Any]:
    """Run the flow over a fresh market; return what `benchmarks.growth.run_flow` and the sampler measured."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        os.environ |= {
            "KRONOS_DATA_DIR": f"{folder}/postgres",
            "PREFECT_HOME": f"{folder}/prefect",
            "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
            "DO_NOT_TRACK": "1",
        }
        os.environ.pop("DATABASE_URL", None)
        try:
            with connect(autocommit=True) as connection:
                migrate(connection)
                add_market(connection, symbols, CANDLES)
                row = connection.execute("SHOW data_directory").fetchone()
            assert row is not None
            with _inference_server(bundle, folder) as model, prefect_server(folder) as (api, prefect):
                os.environ |= {"KRONOS_SERVER": model.address, "PREFECT_API_URL": api}
                postgres = pid_file.postmaster(Path(row[0]))
                assert postgres is not None
                servers = {"postgres": postgres, "prefect": prefect, "model": model.process.pid}
                found = _run(symbols, parameters, servers, folder)
            with connect(autocommit=True) as connection:
                return found | {"kb": _stored_kb(connection)}
        finally:
            embedded.stop()


def _stored_kb(connection: psycopg.Connection[Any]) -> float:
    """Return the size of a forecast in the database, with its indexes and inputs."""
    row = connection.execute(
        "SELECT (pg_total_relation_size('ml_predictions') + pg_total_relation_size('prediction_inputs'))"
        " / 1e3 / count(*) FROM ml_predictions"
    ).fetchone()
    assert row is not None
    return float(row[0])


def _inference_server(bundle: Path | None, folder: Path) -> AbstractContextManager[ServerProcess]:
    """Start a server of a bundle, or the stand-in."""
    if bundle is None:
        return server_process("benchmarks.growth.stand_in", "/", os.environ, folder / "server.log")
    environment = {**os.environ, "KRONOS_BUNDLE": str(bundle)}
    return server_process("inference_server", "/health/ready", environment, folder / "server.log")


def _run(symbols: int, parameters: dict[str, Any], servers: dict[str, int], folder: Path) -> dict[str, Any]:
    command = [sys.executable, "-m", "benchmarks.growth.run_flow", str(symbols), json.dumps(parameters)]
    with (
        (folder / "flow.log").open("w") as log,
        subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=log, text=True
        ) as flow,
    ):
        assert flow.stdin is not None
        assert flow.stdout is not None
        _line(flow.stdout, "READY", folder)
        with Sampler(servers) as sampler:
            flow.stdin.write("\n")
            flow.stdin.flush()
            found: dict[str, Any] = json.loads(_line(flow.stdout, "FIGURES", folder))
    if found["state"] != "Completed":
        raise RuntimeError(f"the run of {symbols} symbols is {found['state']}: {found['message']}")
    return found | {"of": sampler.usage}


def _line(lines: Any, beginning: str, folder: Path) -> str:
    """Return the rest of the first line with a beginning."""
    for line in lines:
        if line.startswith(beginning):
            return str(line.removeprefix(beginning))
    raise RuntimeError((folder / "flow.log").read_text()[-3000:])


def table(rows: list[dict[str, Any]]) -> str:
    """The figures as a Markdown table."""
    lines = [HEADS, ("---",) * len(HEADS)] + [_cells(row) for row in rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _cells(row: dict[str, Any]) -> tuple[str, ...]:
    def each(cpu_s: float) -> str:
        return f"{1e3 * cpu_s / row['symbols']:.1f} ms"

    of = row["of"]
    return (
        f"{row['symbols']:,}",
        f"{row['seconds']:.0f} s",
        each(row["cpu_seconds"]),
        *(each(of[name].cpu_s) for name in ("postgres", "prefect", "model")),
        f"{row['peak_mb']:.0f} MB",
        *(f"{of[name].peak_mb:.0f} MB" for name in ("prefect", "model")),
        f"{row['kb']:.1f} kB",
    )


def main() -> None:
    """Measure and print the table."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.growth", description=__doc__)
    parser.add_argument("symbols", nargs="*", type=int, default=[1000, 10_000])
    parser.add_argument("--bundle", type=Path, help="a bundle for a real inference server")
    parser.add_argument("--pred-len", type=int, default=120)
    parser.add_argument("--sample-count", type=int, default=20)
    args = parser.parse_args()
    parameters = {"pred_len": args.pred_len, "sample_count": args.sample_count}
    print(table([measure(count, args.bundle, parameters) for count in args.symbols]))


if __name__ == "__main__":
    main()
