"""The settings that a Prefect server needs so that dead runs are found after it was down itself."""

from collections.abc import Mapping
from datetime import timedelta
from typing import Any, Final

from pydantic import TypeAdapter

SERVER_ENVIRONMENT: Final = {
    "PREFECT_SERVER_CONCURRENCY_LEASE_STORAGE": "prefect.server.concurrency.lease_storage.filesystem",
    "PREFECT_SERVER_EVENTS_EXPIRED_BUCKET_BUFFER": "P7D",
}
"""Environment variables of ``prefect server start``.

Leases in files: by default a restarted server has forgotten them, and Prefect ends every run whose lease it
cannot renew, within four minutes. A week: by default the server forgets a minute after its time
was up that it was waiting for a heartbeat; after an outage of all machines, a run that died in it would be
Running for ever, and its concurrency slot taken.
"""

_SHORTEST_BUFFER: Final = timedelta(hours=24)


def missing_settings(settings: Mapping[str, Any]) -> list[str]:
    """Return the environment variables, with values, that a server should be started with and is not.

    Parameters
    ----------
    settings
        The server's settings, as ``GET /admin/settings`` gives them.
    """
    server = settings["server"]
    buffer = TypeAdapter(timedelta).validate_python(server["events"]["expired_bucket_buffer"])
    leases: str = server["concurrency"]["lease_storage"]
    forgetful = {
        "PREFECT_SERVER_CONCURRENCY_LEASE_STORAGE": leases.endswith(".memory"),
        "PREFECT_SERVER_EVENTS_EXPIRED_BUCKET_BUFFER": buffer < _SHORTEST_BUFFER,
    }
    return [f"{name}={value}" for name, value in SERVER_ENVIRONMENT.items() if forgetful[name]]
