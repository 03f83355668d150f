"""Which settings a Prefect server lacks."""

from typing import Any

import pytest

from flows.deployment.server_settings import SERVER_ENVIRONMENT, missing_settings

LEASES, BUFFER = (f"{name}={value}" for name, value in SERVER_ENVIRONMENT.items())
MODULE = "prefect.server.concurrency.lease_storage"


@pytest.mark.parametrize(
    ("storage", "buffer", "missing"),
    [
        (f"{MODULE}.memory", "PT1M", [LEASES, BUFFER]),
        (f"{MODULE}.filesystem", "PT1M", [BUFFER]),
        (f"{MODULE}.memory", "P7D", [LEASES]),
        (f"{MODULE}.filesystem", "P7D", []),
        ("prefect_redis.lease_storage", "P1D", []),
    ],
)
def test_what_a_server_lacks_is_given_as_variables(storage: str, buffer: str, missing: list[str]) -> None:
    settings: dict[str, Any] = {
        "server": {"concurrency": {"lease_storage": storage}, "events": {"expired_bucket_buffer": buffer}}
    }
    assert missing_settings(settings) == missing
