"""What Locust runs: clients that ask for a forecast, read the answer, and ask again at once.

``LOAD_BODY`` names the file with the request, ``LOAD_OUT`` the file for the outcomes as JSON: how long every
request took and what came of it, and how long those have waited that are unanswered at the end.
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
    """One client, who waits as long as it takes."""

    network_timeout = connection_timeout = 3600.0

    @task
    def forecast(self) -> None:
        """Ask for one forecast."""
        _waiting[id(self)] = start = time.perf_counter()
        with self.client.post(
            "/predict", data=_BODY, headers={"Content-Type": "application/json"}, catch_response=True
        ) as response:
            response.success()  # outcomes are counted here, not by Locust
        del _waiting[id(self)]
        _answered.append((time.perf_counter() - start, str(response.status_code or "no answer")))


@events.test_stopping.add_listener
def write(environment: Any, **_: Any) -> None:
    """Write what happened, before the clients are stopped amid their requests."""
    now = time.perf_counter()
    waiting = [now - start for start in _waiting.values()]
    Path(os.environ["LOAD_OUT"]).write_text(json.dumps({"answered": list(_answered), "waiting": waiting}))
