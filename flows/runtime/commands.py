"""Runs a flow once from a command line, with or without a Prefect server."""

import argparse
from typing import Any, cast

from prefect import Flow, State
from prefect.exceptions import ParameterTypeError
from prefect.settings import (
    PREFECT_SERVER_ANALYTICS_ENABLED,
    PREFECT_SERVER_EPHEMERAL_STARTUP_TIMEOUT_SECONDS,
    temporary_settings,
)
from prefect.utilities.callables import get_call_parameters

from flows.runtime.arguments import TIMEFRAME, instant


def flow_arguments(prog: str, description: str | None) -> argparse.ArgumentParser:
    """Return a parser with the arguments that every flow has: ``--timeframe`` and ``--as-of``."""
    parser = argparse.ArgumentParser(prog=prog, description=description)
    parser.add_argument("--timeframe", default="1d", **TIMEFRAME)
    parser.add_argument(
        "--as-of", type=instant, help="ISO 8601, UTC unless it has a zone; the current time unless given"
    )
    return parser


def run_once(flow: Flow[..., Any], **parameters: Any) -> State[Any]:
    """Run a flow in this process, with a temporary Prefect server where none is configured."""
    with temporary_settings(set_defaults=local_prefect_defaults()):
        return cast("State[Any]", flow(**parameters, return_state=True))


def run_command(parser: argparse.ArgumentParser, flow: Flow[..., Any], parameters: dict[str, Any]) -> int:
    """Run a flow once with the arguments of a command line.

    Returns
    -------
    int
        The exit status: 0 where the run completed, 1 where it failed. Arguments that the flow refuses end the
        command with the status 2 and a message, before a run begins.
    """
    try:
        flow.validate_parameters(get_call_parameters(flow.fn, (), parameters))
    except ParameterTypeError as error:
        parser.error(str(error).replace("Flow run received invalid parameters:", "these cannot be used:"))
    return 0 if run_once(flow, **parameters).is_completed() else 1


def local_prefect_defaults() -> dict[Any, Any]:
    """Return Prefect settings for a run without a Prefect server; settings of the user's win over them.

    Prefect waits 20 s for its temporary server, whose start takes 10 to 24 s on two cores. Usage figures of
    such a server are not sent anywhere.
    """
    return {
        PREFECT_SERVER_EPHEMERAL_STARTUP_TIMEOUT_SECONDS: 90,
        PREFECT_SERVER_ANALYTICS_ENABLED: False,
    }
