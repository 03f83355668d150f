"""Lists the programs of a machine: how each is started and stopped, and where it listens."""

import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from flows.deployment.server_settings import SERVER_ENVIRONMENT
from flows.supervision.folder import UpFolder
from flows.supervision.settings import UpSettings

DATABASE: Final = "database"
SERVER: Final = "server"
PREFECT: Final = "prefect"
WORKER: Final = "worker"
MARKET: Final = "generated-market"

POOL: Final = "local"
"""The work pool that the deployments of prefect.yaml name."""

PROJECT: Final = Path(__file__).resolve().parents[2]
"""The checkout, in which the worker's runs take place."""


@dataclass(frozen=True)
class Program:
    """One process that supervisord runs.

    Attributes
    ----------
    command
        Words of the command line; none of them is a secret.
    stop_s
        Seconds after SIGTERM until it is killed.
    address
        Where it listens; empty if nowhere.
    environment
        Variables that it alone has.
    """

    name: str
    command: tuple[str, ...]
    stop_s: int
    address: str = ""
    environment: Mapping[str, str] = field(default_factory=dict)


def programs(settings: UpSettings, *, generated: bool) -> list[Program]:
    """Return the programs in the order in which they are started; they are stopped in the reverse order.

    Parameters
    ----------
    generated
        Whether the database holds a generated market, which goes on as time passes.
    """
    python = sys.executable
    prefect = (python, "-m", "prefect")
    found = [
        Program(
            PREFECT,
            (*prefect, "server", "start", "--host", "127.0.0.1", "--port", str(settings.prefect_port)),
            20,
            f"{settings.prefect_address}/",
        ),
        Program(
            SERVER,
            (python, "-m", "inference_server"),
            # It waits for its requests, and then a little for the last answers to leave.
            int(settings.grace_s) + 10,
            f"{settings.server_address}/",
        ),
        Program(WORKER, (*prefect, "worker", "start", "--pool", POOL, "--name", "kronos-up"), 30),
    ]
    if settings.embedded:
        # An empty DATABASE_URL counts as absent; the others have the URL of this database in it.
        found.insert(0, Program(DATABASE, (python, "-m", "sql", "run"), 70, environment={"DATABASE_URL": ""}))
    if generated:
        found.append(Program(MARKET, (python, "-m", "flows.generate", "--follow"), 5))
    return found


def environment_of_all(
    inherited: Mapping[str, str],
    folder: UpFolder,
    settings: UpSettings,
    secrets: Mapping[str, str],
    database_url: str,
) -> dict[str, str]:
    """Return the environment of supervisord, which every program inherits.

    The flows send their requests to this machine's server unless the user has named others. Passwords are
    passed in it and neither in the configuration nor on a command line.

    Parameters
    ----------
    inherited
        Variables of the user.
    secrets
        `flows.supervision.secrets.prepare_secrets`.
    database_url
        URL of the database.
    """
    # The user's own Prefect profile and server are of no concern here.
    kept = {
        name: value for name, value in inherited.items() if name not in ("PREFECT_PROFILE", "PREFECT_API_KEY")
    }
    if not any(name in inherited for name in ("KRONOS_SERVER", "KRONOS_SERVERS")):
        kept["KRONOS_SERVER"] = settings.server_address
    keys = {"KRONOS_API_KEYS": secrets["KRONOS_API_KEY"]} if "KRONOS_API_KEY" in secrets else {}
    return {
        **SERVER_ENVIRONMENT,
        **kept,
        **secrets,
        **keys,
        "DATABASE_URL": database_url,
        "KRONOS_DATA_DIR": str(settings.data_folder),
        "KRONOS_BUNDLE": str(settings.bundle or folder.bundle),
        "KRONOS_HOST": settings.host,
        "KRONOS_PORT": str(settings.port),
        "PROJECT_ROOT": str(PROJECT),
        "PREFECT_HOME": str(folder.prefect),
        "PREFECT_SERVER_API_AUTH_STRING": secrets["PREFECT_API_AUTH_STRING"],
        "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
        "DO_NOT_TRACK": "1",
        # Runs and their logs are deleted after 90 days, or the server's database would grow for ever.
        "PREFECT_SERVER_SERVICES_DB_VACUUM_ENABLED": "events,flow_runs",
        "PREFECT_WORKER_QUERY_SECONDS": inherited.get("PREFECT_WORKER_QUERY_SECONDS", "5"),
        "PYTHONUNBUFFERED": "1",  # a log has a line when it is written
    }
