"""Calls the inference servers from a flow, and waits as long as busy servers request (Retry-After)."""

import random
import time
from collections.abc import Callable
from typing import Final, TypeVar

from prefect.logging import get_run_logger
from prefect.runtime import flow_run

from flows.runtime.run_notices import add_notice
from flows.runtime.server_list import first_model
from flows.runtime.server_pool import ServerPool
from flows.runtime.settings import FlowSettings
from flows.runtime.time_limits import request_limit_s
from inference_server.client import Client, ServerTimeout, ServerUnavailable
from inference_server.schemas import ModelInfo

T = TypeVar("T")

SHORTEST_WAIT_S: Final = 0.5
"""Shortest wait before another call to a busy server."""

LONGEST_WAIT_SHARE: Final = 1.1
"""Longest wait, as a share of what the server asks for: calls that were refused together return apart."""


def open_client(model: ModelInfo) -> ServerPool:
    """Return the servers of `FlowSettings` for the calls of a run, which carry the id of the flow run.

    Parameters
    ----------
    model
        The model that the run forecasts with, from `model_for_run`: servers with another one are left out.
    """
    return ServerPool(_clients(), model, add_notice, get_run_logger().info)


def model_for_run(longest_s: float) -> ModelInfo:
    """Return the model for a run: that of the first server of the list that names one.

    Busy servers are waited for, as `ask` does.

    Raises
    ------
    PredictionRefused, ServerTimeout, ServerUnavailable, OutOfTime
        See `ask`.
    """
    clients = _clients()
    try:
        return while_busy(
            lambda left_s: first_model(clients, left_s, add_notice),
            request_limit_s(longest_s),
            get_run_logger().info,
        )
    finally:
        for client in clients.values():
            client.close()


def ask(call: Callable[[Client], T], servers: ServerPool) -> T:
    """Call a server within a flow run; where all are busy and say for how long, wait and call again.

    All of it takes no longer than `time_limits.request_limit_s`.

    Raises
    ------
    PredictionRefused, ServerTimeout, ServerUnavailable
        See `while_busy` and `ServerPool.call`.
    OutOfTime
        The run has to end before.
    """
    return while_busy(lambda left_s: servers.call(call, left_s), request_limit_s(), get_run_logger().info)


def _clients() -> dict[str, Client]:
    settings = FlowSettings.from_env()
    return {
        address: Client(address, settings.timeout_s, flow_run.id, settings.api_key)
        for address in settings.servers
    }


def while_busy(call: Callable[[float], T], limit_s: float, report: Callable[[str], object]) -> T:
    """Call a server, and again after the time that it asks for (Retry-After), until it answers otherwise.

    Parameters
    ----------
    call
        Makes one call, within the seconds that are left for it.
    limit_s
        The seconds for all calls and the waits between them.
    report
        Takes a sentence about each wait.

    Raises
    ------
    PredictionRefused
        The server refuses the request.
    ServerTimeout
        There was no answer in time, or the server was busy all the time.
    ServerUnavailable
        The server fails, or can't be reached, and does not say when to try again.
    """
    ends = time.monotonic() + limit_s
    left_s = limit_s
    while True:
        try:
            return call(left_s)
        except ServerTimeout:
            raise
        except ServerUnavailable as busy:
            if busy.retry_after_s is None:
                raise
            asked_s = max(round(busy.retry_after_s, 1), SHORTEST_WAIT_S)
            wait_s = asked_s * random.uniform(1.0, LONGEST_WAIT_SHARE)
            left_s = ends - time.monotonic() - wait_s
            if left_s <= 0:
                raise ServerTimeout(
                    f"the server asks for another {asked_s:g} s, which is more than is left of this call's "
                    f"{round(limit_s, 2):g} s (KRONOS_TIMEOUT_S, or the end of the run): {busy}",
                    busy.status,
                    busy.retry_after_s,
                ) from busy
            report(f"the server is busy, another call follows in {wait_s:.3g} s: {busy}")
            time.sleep(wait_s)
