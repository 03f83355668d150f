"""Names the model of a list of servers, and the error where none of them can be used."""

import time
from collections.abc import Callable, Mapping, Sequence
from typing import Final

from inference_server.addresses import without_credentials
from inference_server.client import Client, ClientError, ServerUnavailable
from inference_server.schemas import ModelInfo
from market.warning_codes import WarningCode, warning

CHECK_S: Final = 10.0
"""The most seconds in which a server has to name its model, where another one can be called instead."""

SHORTEST_CALL_S: Final = 0.1
"""Seconds for a call whose time is over, so that it ends with an error that names the server."""


def first_model(
    clients: Mapping[str, Client], limit_s: float, add_notice: Callable[[str], object]
) -> ModelInfo:
    """Return the model of the first server of a list that names one.

    The order of the list decides, so that a run's model does not depend on which server answers sooner.

    Parameters
    ----------
    clients
        By address, in the order of the list.
    limit_s
        The seconds for all of it.
    add_notice
        Takes a warning about each server that was passed over.

    Raises
    ------
    PredictionRefused
        Every server refuses the call, as with a wrong API key.
    ServerTimeout, ServerUnavailable
        No server named its model; see `all_failed`.
    """
    ends = time.monotonic() + limit_s
    failures: dict[str, ClientError] = {}
    for number, (address, client) in enumerate(clients.items(), start=1):
        left_s = max(ends - time.monotonic(), SHORTEST_CALL_S)
        try:
            model = client.within(left_s if number == len(clients) else min(CHECK_S, left_s)).model()
        except ClientError as failure:
            failures[address] = failure
            continue
        for passed_over, reason in failures.items():
            add_notice(unavailable(passed_over, reason))
        return model
    raise all_failed(list(failures.values()))


def unavailable(address: str, failure: ClientError) -> str:
    """Return the warning about a server whose work the others do."""
    name = without_credentials(address)
    text = f"SERVER UNAVAILABLE: {name}: the other servers make its forecasts: {failure}"
    return warning(WarningCode.SERVER_UNAVAILABLE, text)


def all_failed(failures: Sequence[ClientError]) -> ClientError:
    """Return one error for the failures of every server that was called.

    A single failure is returned as it is. Of several, a server that is busy or failed may answer another try,
    which the error asks for after the shortest wait that a busy one asks for.
    """
    if len(failures) == 1:
        return failures[0]
    curable = [failure for failure in failures if isinstance(failure, ServerUnavailable)]
    if not curable:
        return failures[0]
    message = "no server of the list can be used: " + "; ".join(str(failure) for failure in failures)
    waits = [failure.retry_after_s for failure in curable if failure.retry_after_s is not None]
    return ServerUnavailable(message, retry_after_s=min(waits, default=None))
