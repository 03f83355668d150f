"""Reads the settings of the flows, each an environment variable with a default."""

import os
from dataclasses import dataclass, field

from flows.runtime.arguments import names_in
from inference_server.addresses import server_address
from inference_server.client import LONGEST_DEADLINE_S
from market.timeframes import TIMEFRAMES

RETRY_DELAYS_S = (2.0, 10.0, 30.0)
"""Waits before a second, third and fourth try of a call to a server that was not available."""

WORKERS = 4
"""Symbols on their way to the server at once: enough to keep it busy, few enough not to fill its queue."""


@dataclass(frozen=True)
class FlowSettings:
    """Where the flows find the inference server, and how long they wait for it.

    Attributes
    ----------
    server_url
        ``KRONOS_SERVER``: change it when the server runs on another machine or port.
    timeout_s
        ``KRONOS_TIMEOUT_S``: seconds for one symbol's answer. A request waits in the server's queue behind
        the other symbols of the run, so raise it for large models, many sample paths or a context that
        slides.
    api_key
        ``KRONOS_API_KEY``: set it when the server asks for one, as every server on another machine does.
    shorter_lookback
        ``KRONOS_SHORTER_LOOKBACK``: timeframes whose forecasts take fewer candles where the last close would
        be clipped otherwise, such as ``1h,1d``, or ``none``. It was measured to help hourly forecasts; for
        daily ones there were too few such windows to tell.
    statement_timeout_s
        ``KRONOS_STATEMENT_TIMEOUT_S``: seconds after which the database gives up a statement of a run. Raise
        it where reading a large history takes longer.
    """

    server_url: str = "http://127.0.0.1:8200"
    timeout_s: float = 600.0
    api_key: str | None = field(default=None, repr=False)
    shorter_lookback: frozenset[str] = frozenset({"1h"})
    statement_timeout_s: float = 120.0

    @classmethod
    def from_env(cls) -> "FlowSettings":
        """Read the environment.

        Raises
        ------
        ValueError
            ``KRONOS_SERVER`` is not the address of a server, a timeout is not a number of seconds up to a
            day, or ``KRONOS_SHORTER_LOOKBACK`` lists something else than timeframes.
        """
        return cls(
            _address(os.environ.get("KRONOS_SERVER", cls.server_url)),
            _seconds("KRONOS_TIMEOUT_S", cls.timeout_s),
            os.environ.get("KRONOS_API_KEY") or None,
            _timeframes(os.environ.get("KRONOS_SHORTER_LOOKBACK"), cls.shorter_lookback),
            _seconds("KRONOS_STATEMENT_TIMEOUT_S", cls.statement_timeout_s),
        )


def _address(given: str) -> str:
    try:
        return server_address(given)
    except ValueError as error:
        raise ValueError(f"KRONOS_SERVER cannot be used: {error}") from None


def _seconds(variable: str, default: float) -> float:
    given = os.environ.get(variable, str(default))
    try:
        seconds = float(given)
    except ValueError:
        seconds = 0.0
    if not 0 < seconds <= LONGEST_DEADLINE_S:
        raise ValueError(
            f"{variable} is {given!r}; give a number of seconds above 0 and up to a day, such as {default:g}"
        )
    return seconds


def _timeframes(given: str | None, default: frozenset[str]) -> frozenset[str]:
    if not given:
        return default
    if given == "none":
        return frozenset()
    names = frozenset(names_in(given))
    if not names or not names <= set(TIMEFRAMES):
        raise ValueError(
            f"KRONOS_SHORTER_LOOKBACK is {given!r}; give timeframes, such as {','.join(TIMEFRAMES)}, or none"
        )
    return names
