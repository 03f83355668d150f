"""``python -m benchmarks.growth.many_machines``: a run over two of each process, of which one is killed.

Two inference servers, two Dask workers and two Prefect workers stand for as many machines. The run of a
deployment forecasts its symbols on the Dask cluster; one process of each pair gets SIGKILL. Prints what was
killed and when, and whether every row is stored once.
"""

import argparse
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import Any, Final
from uuid import UUID

import psutil
import psycopg
from prefect.client.orchestration import get_client
from prefect.deployments import run_deployment
from prefect.settings import PREFECT_API_URL, temporary_settings

from benchmarks.growth.market import AS_OF, add_market, names
from benchmarks.growth.servers import prefect_server
from benchmarks.models import bundle
from flows.runtime.local_server import free_port, server_process
from sql.connect import connect
from sql.embedded import server as embedded
from sql.migrate import migrate

DEPLOYMENT: Final = "predict-batch/predict-1h"
PARAMETERS: Final = {"as_of": AS_OF.isoformat(), "pred_len": 48, "sample_count": 4}
PATIENCE_S: Final = 900.0
_WHOLE = """
SELECT count(*), count(DISTINCT symbol), bool_and(
    cardinality(timestamps) = pred_len AND cardinality(p10) = pred_len
    AND cardinality(p50) = pred_len AND cardinality(p90) = pred_len
) FROM ml_predictions
"""


@contextmanager
def running(command: list[str], log: Path) -> Iterator[psutil.Process]:
    """Run a Python module as a process group, and end the group when the block ends."""
    with log.open("wb") as output:
        process = subprocess.Popen(
            [sys.executable, "-m", *command], stdout=output, stderr=output, start_new_session=True
        )
    try:
        yield psutil.Process(process.pid)
    finally:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def main() -> None:
    """Run, kill, and print."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.growth.many_machines", description=__doc__)
    parser.add_argument("--symbols", type=int, default=200)
    parser.add_argument("--logs", type=Path, help="folder for the logs of all processes")
    symbols = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        logs = symbols.logs or folder
        os.environ |= {
            "KRONOS_DATA_DIR": f"{folder}/postgres",
            "PREFECT_HOME": f"{folder}/prefect",
            "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
            "PREFECT_WORKER_QUERY_SECONDS": "2",
            "DO_NOT_TRACK": "1",
            "PROJECT_ROOT": str(Path.cwd()),
        }
        os.environ.pop("DATABASE_URL", None)
        try:
            with connect(autocommit=True) as connection:
                migrate(connection)
                add_market(connection, symbols.symbols, 400)
                report(connection, symbols.symbols, logs)
        finally:
            embedded.stop()


def report(connection: psycopg.Connection[Any], symbols: int, logs: Path) -> None:
    """Start the processes, make two runs, and print what happened."""
    with ExitStack() as stack:
        models = [stack.enter_context(_model(logs / f"server-{number}.log")) for number in (1, 2)]
        os.environ["KRONOS_SERVERS"] = ",".join(address for address, _ in models)
        port = free_port()
        os.environ["KRONOS_DASK_ADDRESS"] = f"tcp://127.0.0.1:{port}"
        scheduler = ["dask", "scheduler", "--host", "127.0.0.1", "--port", str(port), "--no-dashboard"]
        stack.enter_context(running(scheduler, logs / "dask-scheduler.log"))
        worker = ["dask", "worker", os.environ["KRONOS_DASK_ADDRESS"], "--nthreads", "1", "--no-dashboard"]
        dask = [
            stack.enter_context(running([*worker, "--no-nanny"], logs / f"dask-{number}.log"))
            for number in (1, 2)
        ]
        os.environ["PREFECT_API_URL"], _ = stack.enter_context(prefect_server(logs))
        stack.enter_context(temporary_settings({PREFECT_API_URL: os.environ["PREFECT_API_URL"]}))
        deploy(logs)
        prefect = [
            stack.enter_context(
                running(["prefect", "worker", "start", "--pool", "local"], logs / f"worker-{number}.log")
            )
            for number in (1, 2)
        ]
        killed_run(connection, symbols, dask, models, prefect)
        state, seconds = finish(start(symbols))
        print(f"next run: {state}, {seconds:.0f} s, rows: {rows(connection)}", flush=True)


@contextmanager
def _model(log: Path) -> Iterator[tuple[str, psutil.Process]]:
    environment = {**os.environ, "KRONOS_BUNDLE": str(bundle("mini", "events")), "KRONOS_THREADS": "1"}
    with server_process("inference_server", "/health/ready", environment, log, PATIENCE_S) as server:
        yield server.address, psutil.Process(server.process.pid)


def deploy(logs: Path) -> None:
    """Make the work pool and the deployments."""
    with (logs / "deploy.log").open("wb") as output:
        for command in (
            ["work-pool", "create", "local", "--type", "process", "--overwrite"],
            ["--no-prompt", "deploy", "--name", "predict-1h"],
        ):
            subprocess.run(
                [sys.executable, "-m", "prefect", *command], check=True, stdout=output, stderr=output
            )


def killed_run(
    connection: psycopg.Connection[Any],
    symbols: int,
    dask: list[psutil.Process],
    models: list[tuple[str, psutil.Process]],
    prefect: list[psutil.Process],
) -> None:
    """Make a run and kill one process of each pair while it runs."""
    run, began = start(symbols), time.monotonic()
    victims: list[tuple[str, Callable[[], psutil.Process]]] = [
        ("Dask worker", lambda: dask[0]),
        ("inference server", lambda: models[0][1]),
        ("Prefect worker of the run", lambda: next(each for each in prefect if has_flow(each))),
    ]
    for number, (name, find) in enumerate(victims, start=1):
        wait_until(partial(has_rows, connection, number * symbols // 5))
        find().kill()
        print(f"{time.monotonic() - began:.0f} s, {rows(connection)[0]} rows: killed the {name}", flush=True)
    state, _ = finish(run)
    print(f"{time.monotonic() - began:.0f} s: {state}, rows: {rows(connection)}", flush=True)


def has_flow(worker: psutil.Process) -> bool:
    """Return whether a Prefect worker runs a flow now."""
    return any("prefect" in " ".join(child.cmdline()) for child in worker.children(recursive=True))


def has_rows(connection: psycopg.Connection[Any], count: int) -> bool:
    """Return whether so many rows are stored."""
    return rows(connection)[0] >= count


def rows(connection: psycopg.Connection[Any]) -> tuple[int, int, bool | None]:
    """Return the number of rows and of their symbols, and whether all are whole."""
    row = connection.execute(_WHOLE).fetchone()
    assert row is not None
    return row[0], row[1], row[2]


def start(symbols: int) -> UUID:
    """Start a run of the deployment."""
    parameters = {**PARAMETERS, "symbols": names(symbols)}
    return run_deployment(DEPLOYMENT, parameters=parameters, timeout=0).id  # type: ignore[union-attr]


def finish(run: UUID) -> tuple[str, float]:
    """Wait for the end of a run; return its state and how long it took."""
    with get_client(sync_client=True) as client:
        wait_until(lambda: (state := client.read_flow_run(run).state) is not None and state.is_final())
        found = client.read_flow_run(run)
    assert found.state is not None
    return f"{found.state.name} {found.state.message or ''}", found.total_run_time.total_seconds()


def wait_until(condition: Callable[[], bool]) -> None:
    """Wait until a condition is fulfilled, at most `PATIENCE_S`."""
    give_up = time.monotonic() + PATIENCE_S
    while not condition():
        if time.monotonic() > give_up:
            raise TimeoutError(f"nothing happened for {PATIENCE_S:g} s")
        time.sleep(0.2)


if __name__ == "__main__":
    main()
