"""Calls the inference server from a flow, and waits as long as a busy server requests (Retry-After)."""

import time
from collections.abc import Callable
from typing import Final, TypeVar

from prefect.logging import get_run_logger
from prefect.runtime import flow_run

from flows.runtime.settings import FlowSettings
from flows.runtime.time_limits import request_limit_s
from inference_server.client import Client, ServerTimeout, ServerUnavailable

T = TypeVar("T")

SHORTEST_WAIT_S: Final = 0.5
"""Shortest wait before another call to a busy server."""


def open_client() -> Client:
    """Return a client for the calls of a run, which carry the id of the flow run."""
    settings = FlowSettings.from_env()
    return Client(settings.server_url, settings.timeout_s, flow_run.id, settings.api_key)


def ask(call: Callable[[Client], T], longest_s: float | None = None, client: Client | None = None) -> T:
    """Call the server within a flow run; where it is busy and says for how long, wait and call again.

    All of it takes no longer than `time_limits.request_limit_s`. Calls carry the id of the flow run.

    Parameters
    ----------
    call
        What to ask a client.
    longest_s
        The most seconds that it may take, where that is less than ``KRONOS_TIMEOUT_S``.
    client
        Whose connections to use; opening a client of its own takes longer than a short call.

    Raises
    ------
    PredictionRefused, ServerTimeout, ServerUnavailable
        See `while_busy`.
    OutOfTime
        The run has to end before.
    """

    def attempt(left_s: float) -> T:
        if client is not None:
            return call(client.within(left_s))
        with open_client() as own:
            return call(own.within(left_s))

    logger = get_run_logger()
    return while_busy(attempt, request_limit_s(longest_s), logger.info)


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
            wait_s = max(round(busy.retry_after_s, 1), SHORTEST_WAIT_S)
            left_s = ends - time.monotonic() - wait_s
            if left_s <= 0:
                raise ServerTimeout(
                    f"the server asks for another {wait_s:g} s, which is more than is left of this call's "
                    f"{round(limit_s, 2):g} s (KRONOS_TIMEOUT_S, or the end of the run): {busy}",
                    busy.status,
                    busy.retry_after_s,
                ) from busy
            report(f"the server is busy, another call follows in {wait_s:g} s: {busy}")
            time.sleep(wait_s)
