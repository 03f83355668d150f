"""The few calls of a Prefect server's interface that a round needs."""

import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import httpx

WORK_POOL = "local"
ENDED = ("COMPLETED", "FAILED", "CRASHED", "CANCELLED")

BUSY = (429, 502, 503)  # 503 where its SQLite is locked


class RunState(NamedTuple):
    """The state of a run."""

    kind: str
    name: str
    message: str


class PrefectApi:
    """A Prefect server, which may be restarted between and during calls.

    Parameters
    ----------
    url
        Its address with ``/api``.
    patience_s
        For how long a call is repeated while the server can't be reached.
    """

    def __init__(self, url: str, patience_s: float = 120.0) -> None:
        self._http = httpx.Client(base_url=url, timeout=20)
        self._patience_s = patience_s

    def ready(self) -> bool:
        """Whether it answers."""
        try:
            return self._http.get("/health").status_code == 200
        except httpx.HTTPError:
            return False

    def deploy(self, flow: str, entrypoint: str, folder: Path) -> str:
        """Make the work pool and a deployment of a flow without limits; returns the deployment's id."""
        self._call("POST", "/work_pools/", {"name": WORK_POOL, "type": "process"})
        flow_id = self._call("POST", "/flows/", {"name": flow})["id"]
        deployment = {
            "name": "chaos",
            "flow_id": flow_id,
            "work_pool_name": WORK_POOL,
            "entrypoint": entrypoint,
            "path": ".",
            "pull_steps": [{"prefect.deployments.steps.set_working_directory": {"directory": str(folder)}}],
            "enforce_parameter_schema": False,
        }
        return str(self._call("POST", "/deployments/", deployment)["id"])

    def start_run(self, deployment: str, parameters: Mapping[str, Any]) -> str:
        """Order a run at once; returns its id."""
        body = {"parameters": parameters, "state": {"type": "SCHEDULED"}}
        return str(self._call("POST", f"/deployments/{deployment}/create_flow_run", body)["id"])

    def state(self, run: str) -> RunState:
        """The state of a run."""
        state = self._call("GET", f"/flow_runs/{run}")["state"]
        return RunState(state["type"], state["name"], state["message"] or "")

    def wait(self, run: str, limit_s: float) -> RunState:
        """Wait until a run has ended, or for `limit_s`; returns its state."""
        give_up = time.monotonic() + limit_s
        while (state := self.state(run))[0] not in ENDED and time.monotonic() < give_up:
            time.sleep(0.2)
        return state

    def close(self) -> None:
        """Close the connections."""
        self._http.close()

    def _call(self, method: str, path: str, body: Any = None) -> Any:
        give_up = time.monotonic() + self._patience_s
        while True:
            try:
                answer = self._http.request(method, path, json=body)
                if answer.status_code not in BUSY or time.monotonic() > give_up:
                    answer.raise_for_status()
                    return answer.json()
            except httpx.TransportError:
                if time.monotonic() > give_up:
                    raise
            time.sleep(0.2)
