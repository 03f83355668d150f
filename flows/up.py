"""Starts everything on this machine: database, servers, worker and schedules; ``kronos down`` stops it.

The programs run under supervisord, which starts again what dies. Their files are in the folder ``.data/up``.
"""

import argparse
import os
import sys
from datetime import UTC, datetime
from pathlib import Path

from rich.console import Console

from flows.files.frames import TableError
from flows.files.market_folder import FILES_SHOWN
from flows.runtime.disk_space import low_space
from flows.supervision.bring_up import bring_up
from flows.supervision.errors import UpError
from flows.supervision.folder import UpFolder
from flows.supervision.health import machine_health
from flows.supervision.report import report
from flows.supervision.settings import UpSettings, differences, read_settings, saved_running
from flows.supervision.supervisor import Supervisor
from sql.errors import DatabaseError

console = Console(highlight=False)


def main(arguments: list[str] | None = None, prog: str = "python -m flows.up") -> int:
    """Start everything that does not run; the exit status is 0 if all of it runs."""
    parser = argparse.ArgumentParser(prog=prog, description=__doc__)
    parser.add_argument(
        "--data",
        type=Path,
        help=f"folder with your {FILES_SHOWN} as .parquet or .csv, which are loaded; unless given, the "
        "database's candles are forecast, or a generated market if the embedded database is empty",
    )
    data: Path | None = parser.parse_args(arguments).data
    folder = UpFolder.here()
    try:
        settings = read_settings()
        folder.make()
        with folder.locked():
            return _up(folder, settings, data)
    except KeyboardInterrupt:
        console.print("interrupted: everything that was started is stopped")
        return 130
    except (UpError, TableError, DatabaseError, ValueError) as error:
        console.print(f"error: {error}", style="red", markup=False, soft_wrap=True)
        return 1


def _up(folder: UpFolder, settings: UpSettings, data: Path | None) -> int:
    supervisor = Supervisor(folder)
    running = saved_running(folder)
    if running is not None and supervisor.runs():
        if data is not None:
            raise UpError("everything is up: load files with `kronos load`, or run `kronos down` first")
        return _resume(supervisor, folder, running, settings)
    for sentence in low_space([folder.path, settings.data_folder]):
        console.print(sentence, style="yellow", markup=False, soft_wrap=True)
    generated = bring_up(
        folder, settings, data, os.environ, lambda text: console.print(f"{text} …", markup=False)
    )
    console.print(started_text(folder, settings, generated=generated), markup=False, soft_wrap=True)
    return 0


def _resume(supervisor: Supervisor, folder: UpFolder, running: UpSettings, settings: UpSettings) -> int:
    """Start the programs that were stopped, and show what runs."""
    for state in supervisor.states().values():
        if not state.runs:
            supervisor.start_program(state.name)
            console.print(f"started {state.name} again")
    console.print("already up")
    for line in differences(running, settings):
        console.print(f"note: {line}; `kronos down` and `kronos up` change it", markup=False, soft_wrap=True)
    for part in report(machine_health(folder, running), datetime.now(UTC)):
        console.print(part, markup=False, soft_wrap=True)
    return 0


def started_text(folder: UpFolder, settings: UpSettings, *, generated: bool) -> str:
    """Return what is printed when everything runs: addresses, logs, and what to do next."""
    market = (
        "The market is GENERATED: none of its prices is real, and a candle is added every hour.\n"
        "To forecast your own candles: kronos down, move the database away, kronos up --data FOLDER\n"
        if generated
        else ""
    )
    return (
        f"\n{market}"
        f"the page          {settings.server_address}/\n"
        f"the Prefect UI    {settings.prefect_address}/\n"
        f"its password      the value of PREFECT_API_AUTH_STRING in {folder.secrets}\n"
        f"logs              {folder.logs}\n\n"
        "The hourly forecast runs now, and five minutes after every hour from now on.\n"
        "kronos status shows what runs, and what is wrong; kronos down stops everything."
    )


if __name__ == "__main__":
    sys.exit(main())
