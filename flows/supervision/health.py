"""Collects what runs on a machine and what is wrong with it, for `kronos status`."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import httpx
import psycopg

from flows.runtime.disk_space import low_space
from flows.supervision.folder import UpFolder
from flows.supervision.prefect_api import DeploymentState, deployment_states, prefect_client
from flows.supervision.programs import DATABASE, MARKET, PREFECT, SERVER, Program, programs
from flows.supervision.readiness import answers
from flows.supervision.secrets import read_secrets
from flows.supervision.settings import UpSettings
from flows.supervision.supervisor import ProcessState, Supervisor
from sql.embedded import server as embedded


@dataclass(frozen=True)
class ProgramHealth:
    """A program with its state.

    Attributes
    ----------
    process
        What supervisord says; None if it does not know the program.
    ready
        Whether it answers; None for a program that is not asked.
    log
        Its log.
    """

    program: Program
    process: ProcessState | None
    ready: bool | None
    log: Path


@dataclass(frozen=True)
class Health:
    """All that `kronos status` shows.

    Attributes
    ----------
    logs
        Folder of the logs.
    deployments
        None if the Prefect server does not answer.
    problems
        A sentence for each thing that is wrong.
    """

    programs: Sequence[ProgramHealth]
    logs: Path
    deployments: Sequence[DeploymentState] | None
    problems: Sequence[str]


def machine_health(folder: UpFolder, settings: UpSettings) -> Health:
    """Ask supervisord, the servers and the database of a machine.

    Raises
    ------
    ValueError
        ``KRONOS_MIN_FREE_MB`` is not a number.
    UpError
        The secrets can't be read.
    """
    states = Supervisor(folder).states()
    found = [
        ProgramHealth(program, states.get(program.name), _ready(program, settings), folder.log(program.name))
        for program in programs(settings, generated=MARKET in states)
    ]
    deployments = _deployments(folder)
    return Health(
        found,
        folder.logs,
        deployments,
        [
            *problems(found, deployments),
            *low_space([folder.path, settings.data_folder]),
        ],
    )


def problems(found: Sequence[ProgramHealth], deployments: Sequence[DeploymentState] | None) -> list[str]:
    """Return what is wrong with the programs and deployments, and where to look."""
    sentences = []
    for item in found:
        state = "is not running" if item.process is None else f"is {item.process.state.lower()}"
        if item.process is None or not item.process.runs:
            sentences.append(f"{item.program.name} {state}: see {item.log}")
        elif item.ready is False:
            sentences.append(f"{item.program.name} runs and is not ready: see {item.log}")
    for deployment in deployments or ():
        if deployment.last_failed:
            sentences.append(
                f"the last run of {deployment.name} ended as {deployment.last_state}: see the Prefect UI"
            )
        if deployment.overdue:
            sentences.append(
                f"{deployment.overdue} runs of {deployment.name} are due and have not begun: "
                "does the worker run?"
            )
        if deployment.paused:
            sentences.append(f"the schedule of {deployment.name} is paused")
    return sentences


def _ready(program: Program, settings: UpSettings) -> bool | None:
    if program.name == SERVER:
        return answers(f"{settings.server_address}/health/ready")
    if program.name == PREFECT:
        return answers(f"{settings.prefect_address}/api/health")
    if program.name == DATABASE:
        return _database_answers(settings)
    return None


def _database_answers(settings: UpSettings) -> bool:
    url = embedded.running(settings.data_folder)
    if url is None:
        return False
    try:
        psycopg.connect(url, connect_timeout=5).close()
    except psycopg.Error:
        return False
    return True


def _deployments(folder: UpFolder) -> list[DeploymentState] | None:
    secrets = read_secrets(folder)
    if not secrets:
        return None
    try:
        with prefect_client(secrets) as client:
            return deployment_states(client)
    except (httpx.HTTPError, RuntimeError):  # Prefect's client raises the latter where nothing listens
        return None
