"""Locust clients that request a forecast, read the answer, and request the next one at once.

``LOAD_BODY`` names the file with the request, ``LOAD_OUT`` the file for the outcomes as JSON: seconds and
outcome of every answer, and the waits of the requests that are unanswered at the end.
"""

import json
import os
import time
from pathlib import Path
from typing import Any

from locust import FastHttpUser, events, task

_BODY = Path(os.environ["LOAD_BODY"]).read_bytes()
_answered: list[tuple[float, str]] = []
_waiting: dict[int, float] = {}


class Client(FastHttpUser):
    """A client with a very long timeout."""

    network_timeout = connection_timeout = 3600.0

    @task
    def forecast(self) -> None:
        """Request one forecast."""
        _waiting[id(self)] = start = time.perf_counter()
        with self.client.post(
            "/predict", data=_BODY, headers={"Content-Type": "application/json"}, catch_response=True
        ) as response:
            response.success()  # outcomes are counted here, not by Locust
        del _waiting[id(self)]
        _answered.append((time.perf_counter() - start, str(response.status_code or "no answer")))


@events.test_stopping.add_listener
def write(environment: Any, **_: Any) -> None:
    """Write the outcomes, before the clients are stopped."""
    now = time.perf_counter()
    waiting = [now - start for start in _waiting.values()]
    Path(os.environ["LOAD_OUT"]).write_text(json.dumps({"answered": list(_answered), "waiting": waiting}))
