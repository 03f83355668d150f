"""Starts the programs of a machine, each when what it needs is ready."""

import subprocess
import sys
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Final

import httpx
import psycopg

from flows.supervision.configuration import configuration
from flows.supervision.demo_export import demo_export
from flows.supervision.errors import UpError
from flows.supervision.folder import UpFolder
from flows.supervision.market_data import fill, will_be_generated
from flows.supervision.prefect_api import prefect_client, start_run
from flows.supervision.programs import (
    DATABASE,
    MARKET,
    PREFECT,
    PROJECT,
    SERVER,
    WORKER,
    environment_of_all,
    programs,
)
from flows.supervision.readiness import answers, require_free_port, wait_until_ready
from flows.supervision.secrets import prepare_secrets
from flows.supervision.settings import UpSettings, save_running
from flows.supervision.supervisor import Supervisor, end_processes
from flows.supervision.take_down import take_down
from sql.connect import connect, normalise_url
from sql.embedded import server as embedded
from sql.errors import DatabaseError, one_line
from sql.migrate import migrate

FIRST_DEPLOYMENT: Final = "predict-batch/predict-1h"
_PATIENCE_S: Final = 180.0
"""Longest wait for one program: on a busy machine Prefect takes a minute, and so does a large model."""

Say = Callable[[str], object]


def bring_up(
    folder: UpFolder, settings: UpSettings, data: Path | None, environment: Mapping[str, str], say: Say
) -> bool:
    """Start everything; where a step fails, stop what was started.

    Parameters
    ----------
    folder
        Has been made, and is locked.
    data
        Folder with the user's candles and calendar; None for what the database has, or a generated market.
    environment
        Variables of this process, which the programs inherit.
    say
        Takes a sentence about each step.

    Returns
    -------
    bool
        Whether the market is a generated one.

    Raises
    ------
    UpError
        A step failed.
    """
    orphans = Supervisor(folder).processes()
    if orphans:
        say(f"Ending {len(orphans)} processes that a killed supervisord left behind")
        end_processes(orphans)
    require_free_port(settings.host, settings.port, "KRONOS_PORT")
    require_free_port("127.0.0.1", settings.prefect_port, "KRONOS_PREFECT_PORT")
    secrets = prepare_secrets(folder, settings, environment)
    save_running(folder, settings)
    try:
        return _start_all(folder, settings, data, environment, secrets, say)
    except (DatabaseError, psycopg.Error) as error:
        take_down(folder, lambda sentence: None)
        raise UpError(one_line(error) if isinstance(error, psycopg.Error) else str(error)) from None
    except BaseException:
        take_down(folder, lambda sentence: None)
        raise


def _start_all(
    folder: UpFolder,
    settings: UpSettings,
    data: Path | None,
    environment: Mapping[str, str],
    secrets: Mapping[str, str],
    say: Say,
) -> bool:
    with demo_export(folder, wanted=settings.bundle is None) as export:
        if export.process is not None:
            say("Exporting kronos-demo, a small demo model, not suitable for trading; other steps go on")
        say("Starting the database")
        url = (
            embedded.start(settings.data_folder)
            if settings.embedded
            else normalise_url(environment["DATABASE_URL"])
        )
        with connect(url, autocommit=True) as connection:
            migrate(connection)
            generated = will_be_generated(connection, settings, data)
            variables = environment_of_all(environment, folder, settings, secrets, url)
            folder.configuration.write_text(configuration(programs(settings, generated=generated)))
            supervisor = Supervisor(folder)
            supervisor.start(variables)
            for name in [DATABASE, PREFECT] if settings.embedded else [PREFECT]:
                supervisor.start_program(name)
            say(
                "Loading candles and calendar"
                if not generated
                else "Generating a market: none of its prices is real"
            )
            fill(connection, data, generated=generated, say=say)
        say("Starting the Prefect server")
        health = f"{settings.prefect_address}/api/health"
        wait_until_ready(supervisor, folder, PREFECT, lambda: answers(health), _PATIENCE_S)
        say("Installing work pool, deployments and automations")
        _deploy(variables)
        if export.runs():
            say("Waiting for the export of the demo model")
        export.wait()
        say("Starting the inference server")
        supervisor.start_program(SERVER)
        ready = f"{settings.server_address}/health/ready"
        wait_until_ready(supervisor, folder, SERVER, lambda: answers(ready), _PATIENCE_S)
    say("Starting the worker")
    last = [WORKER, MARKET] if generated else [WORKER]
    for name in last:
        supervisor.start_program(name)
    _start_first_run(secrets)
    for name in last:
        wait_until_ready(supervisor, folder, name, partial(_lasts, supervisor, name), _PATIENCE_S)
    return generated


def _lasts(supervisor: Supervisor, name: str) -> bool:
    state = supervisor.states().get(name)
    return state is not None and state.state == "RUNNING"


def _deploy(variables: Mapping[str, str]) -> None:
    """Run the deploy step, which may run as often as wanted."""
    command = [sys.executable, "-m", "flows.deploy"]
    ended = subprocess.run(
        command,
        env=dict(variables),
        cwd=PROJECT,
        capture_output=True,
        text=True,
        check=False,
        stdin=subprocess.DEVNULL,
    )
    if ended.returncode:
        raise UpError(f"the deploy step failed:\n{(ended.stderr or ended.stdout).strip()}")


def _start_first_run(secrets: Mapping[str, str]) -> None:
    """Let the hourly forecast run now instead of at the next hour; rows that are stored stay."""
    try:
        with prefect_client(secrets) as client:
            start_run(client, FIRST_DEPLOYMENT, "first-after-up")
    except httpx.HTTPError as error:
        raise UpError(f"the Prefect server took no run: {error}") from None
