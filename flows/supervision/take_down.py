"""Stops the programs of a machine in order, and leaves none of their processes."""

from collections.abc import Callable
from typing import Final

import httpx

from flows.supervision.folder import UpFolder
from flows.supervision.prefect_api import mark_crashed, prefect_client, runs_with_a_process
from flows.supervision.programs import MARKET, WORKER, programs
from flows.supervision.secrets import read_secrets
from flows.supervision.settings import UpSettings, saved_running
from flows.supervision.supervisor import Supervisor, end_processes
from sql.embedded import server as embedded

_RUN_ID: Final = "PREFECT__FLOW_RUN_ID"
"""Variable of the process of a flow run."""


def take_down(folder: UpFolder, say: Callable[[str], object]) -> bool:
    """Stop everything that runs from a folder; return whether anything did.

    The worker is stopped first, and the runs whose processes it started are set to Crashed where they do not
    end by themselves: none is left Running.

    Parameters
    ----------
    say
        Takes a sentence about each step.

    Raises
    ------
    UpError
        A program or supervisord does not stop.
    DatabaseError
        The embedded Postgres does not stop.
    """
    settings = saved_running(folder)
    if settings is None:
        return False
    supervisor = Supervisor(folder)
    running = supervisor.runs()
    if running:
        _stop_programs(supervisor, folder, settings, say)
        supervisor.shut_down()
    orphans = supervisor.processes()
    if orphans:  # supervisord was killed, and Prefect may still answer
        end_processes(supervisor.processes(_RUN_ID))
        _end_runs(folder, say)
        end_processes(supervisor.processes())
    # Also where the program that keeps it was killed.
    stopped = settings.embedded and embedded.stop(settings.data_folder)
    return running or bool(orphans) or stopped


def _stop_programs(
    supervisor: Supervisor, folder: UpFolder, settings: UpSettings, say: Callable[[str], object]
) -> None:
    states = supervisor.states()
    for program in reversed(programs(settings, generated=MARKET in states)):
        if program.name not in states:
            continue
        if states[program.name].runs:
            say(f"Stopping {program.name}")
        supervisor.stop_program(program.name)
        if program.name == WORKER:
            end_processes(supervisor.processes(_RUN_ID))
            _end_runs(folder, say)


def _end_runs(folder: UpFolder, say: Callable[[str], object]) -> None:
    """Set the runs to Crashed that have no process any more."""
    secrets = read_secrets(folder)
    if not secrets:
        return
    try:
        with prefect_client(secrets) as client:
            runs = runs_with_a_process(client)
            mark_crashed(client, runs, "stopped by `kronos down`; the next run makes what is missing")
    except (httpx.HTTPError, RuntimeError) as error:
        say(f"The Prefect server does not answer, so runs may be left as they were: {error}")
        return
    for run in runs:
        say(f"The run {run.name} was stopped; it is marked as Crashed")
