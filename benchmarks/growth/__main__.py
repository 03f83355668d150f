"""``python -m benchmarks.growth [SYMBOLS …]``: runs of predict-batch over generated markets; prints a table.

Each run is a process of its own, against an embedded Postgres of its own and an inference server that answers
at once, so that its time and its memory are those of the flow alone.
"""

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from benchmarks.growth.market import add_market
from flows.runtime.local_server import free_port
from sql.connect import connect
from sql.embedded import server as embedded
from sql.migrate import migrate

CANDLES = 400  # a symbol: 392 for the forecast, and some that may be open
HEADS = ("symbols", "time", "per symbol", "CPU of the flow, per symbol", "peak memory of the flow")


def measure(symbols: int) -> dict[str, Any]:
    """Run the flow over a fresh market; return what `benchmarks.growth.run_flow` measured."""
    with tempfile.TemporaryDirectory() as folder:
        os.environ |= {
            "KRONOS_DATA_DIR": f"{folder}/postgres",
            "PREFECT_HOME": f"{folder}/prefect",
            "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
            "DO_NOT_TRACK": "1",
        }
        os.environ.pop("DATABASE_URL", None)
        port = str(free_port())
        server = subprocess.Popen([sys.executable, "-m", "benchmarks.growth.stand_in", port])
        try:
            with connect(autocommit=True) as connection:
                migrate(connection)
                add_market(connection, symbols, CANDLES)
            return _run(symbols, {**os.environ, "KRONOS_SERVER": f"http://127.0.0.1:{port}"}, Path(folder))
        finally:
            server.kill()
            server.wait()
            embedded.stop()


def _run(symbols: int, environment: dict[str, str], folder: Path) -> dict[str, Any]:
    command = [sys.executable, "-m", "benchmarks.growth.run_flow", str(symbols)]
    with (folder / "log").open("w") as log:
        done = subprocess.run(
            command, env=environment, stdout=subprocess.PIPE, stderr=log, text=True, check=True
        )
    line = next(line for line in done.stdout.splitlines() if line.startswith("FIGURES "))
    found: dict[str, Any] = json.loads(line.removeprefix("FIGURES "))
    if found["state"] != "Completed":
        raise RuntimeError(f"the run of {symbols} symbols is {found['state']}: {found['message']}")
    return found


def table(rows: list[dict[str, Any]]) -> str:
    """The figures as a Markdown table."""
    lines = [HEADS, ("---",) * len(HEADS)] + [
        (
            f"{row['symbols']:,}",
            f"{row['seconds']:.0f} s",
            f"{1e3 * row['seconds'] / row['symbols']:.1f} ms",
            f"{1e3 * row['cpu_seconds'] / row['symbols']:.1f} ms",
            f"{row['peak_mb']:.0f} MB",
        )
        for row in rows
    ]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


if __name__ == "__main__":
    print(table([measure(int(count)) for count in sys.argv[1:] or ("1000", "10000")]))
