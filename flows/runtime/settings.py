"""Reads the settings of the flows, each an environment variable with a default."""

import os
import re
from collections.abc import Mapping
from typing import Annotated, Any, Final

import msgspec
from msgspec import Meta

from flows.runtime.arguments import names_in
from inference_server.addresses import server_address, without_credentials
from inference_server.client import LONGEST_DEADLINE_S
from market.timeframes import TIMEFRAMES, UnknownTimeframe, parse_timeframe

RETRY_DELAYS_S = (2.0, 10.0, 30.0)
"""Waits before the second, third and fourth try of a call to a server that was not available."""

REQUESTS_AT_ONCE = 6
"""Symbols that are sent to a server at once: few enough not to fill its queue, and twice as many as step
together on a CPU (three of 20 paths), so that the next ones are there when those have ended."""

Count = Annotated[int, Meta(ge=1, le=1000)]
Seconds = Annotated[float, Meta(gt=0, le=LONGEST_DEADLINE_S)]
SecondsOrNone = Annotated[float, Meta(ge=0, le=LONGEST_DEADLINE_S)]

_ONE_SERVER: Final = "KRONOS_SERVER"
_SERVERS: Final = "KRONOS_SERVERS"


def _variable(field: str) -> str:
    """Return the environment variable of a field."""
    return f"KRONOS_{field.upper()}"


class FlowSettings(msgspec.Struct, frozen=True, rename=_variable):
    """Where the flows find the inference servers, and how long they wait for these and for the database."""

    servers: tuple[str, ...] = ("http://127.0.0.1:8200",)
    """`KRONOS_SERVERS`, or `KRONOS_SERVER` for one: change it when the server runs on another machine or
    port, or several servers share the work."""
    timeout_s: Seconds = 600.0
    """`KRONOS_TIMEOUT_S`: seconds for one symbol's answer. A request waits in the server's queue behind the
    other symbols of the run, so raise it for large models, many sample paths or a context that slides."""
    api_key: str | None = None
    """`KRONOS_API_KEY`: set it when the server requires one, as every server on another machine does."""
    shorter_lookback: frozenset[str] = frozenset({"1h"})
    """`KRONOS_SHORTER_LOOKBACK`: timeframes whose forecasts use fewer candles if the last close would be
    clipped otherwise, such as `1h,1d`, or `none`. It was measured to help hourly forecasts; such
    daily windows were too few to tell."""
    statement_timeout_s: Seconds = 120.0
    """`KRONOS_STATEMENT_TIMEOUT_S`: seconds after which the database cancels a statement of a run. Raise it
    where reading a large history takes longer."""
    wait_for_candles_s: SecondsOrNone = 300.0
    """`KRONOS_WAIT_FOR_CANDLES_S`: seconds from the beginning of a run within which it waits for newest
    candles that have closed and are not in the database, after it has forecast the other symbols; 0 waits for
    none. The default lets a load of candles that began before the run, and is tried again, end."""
    requests_at_once: Count = REQUESTS_AT_ONCE
    """`KRONOS_REQUESTS_AT_ONCE`: symbols that a block of a run sends to a server at once. Raise it for a
    server on a GPU, which forecasts more of them together."""
    dask_address: str | None = None
    """`KRONOS_DASK_ADDRESS`: set it to the address of a Dask scheduler, such as `tcp://scheduler:8786`, and
    forecasts are made by its workers, a block of symbols at a time; otherwise by the process of the run."""

    page_url: str | None = None
    """`KRONOS_PAGE_URL`: address of the page for the links in a run's table; the server's own unless set. Set
    it where browsers reach the server by another address than the flows do."""

    @property
    def server_url(self) -> str:
        """The first server of the list: for what one server answers, such as a link to its page."""
        return self.servers[0]

    @property
    def page_address(self) -> str:
        """Address of the page that shows forecasts, without a user or a password."""
        return without_credentials(self.page_url or self.server_url)

    def __repr__(self) -> str:
        shown = {name: getattr(self, name) for name in self.__struct_fields__ if name != "api_key"}
        return f"FlowSettings({', '.join(f'{name}={value!r}' for name, value in shown.items())})"

    @classmethod
    def from_env(cls) -> "FlowSettings":
        """Read the environment.

        Raises
        ------
        ValueError
            ``KRONOS_SERVER`` or ``KRONOS_SERVERS`` is not the address of a server or a list of them, or both
            are set; ``KRONOS_PAGE_URL`` is not the address of a server; ``KRONOS_DASK_ADDRESS`` is not that
            of a Dask scheduler; a number is out of its range, or ``KRONOS_SHORTER_LOOKBACK`` lists something
            else than timeframes.
        """
        values: dict[str, Any] = {name: text.strip() for name, text in os.environ.items()}
        if _ONE_SERVER in values or _SERVERS in values:
            values[_SERVERS] = _addresses(os.environ.get(_ONE_SERVER), os.environ.get(_SERVERS))
        if values.get("KRONOS_PAGE_URL"):
            values["KRONOS_PAGE_URL"] = _address("KRONOS_PAGE_URL", os.environ["KRONOS_PAGE_URL"])
        for name in ("KRONOS_API_KEY", "KRONOS_PAGE_URL", "KRONOS_SHORTER_LOOKBACK", "KRONOS_DASK_ADDRESS"):
            if not values.get(name):
                values.pop(name, None)  # an empty one counts as absent
        if "KRONOS_SHORTER_LOOKBACK" in values:
            values["KRONOS_SHORTER_LOOKBACK"] = _timeframes(values["KRONOS_SHORTER_LOOKBACK"])
        if "KRONOS_DASK_ADDRESS" in values:
            values["KRONOS_DASK_ADDRESS"] = _scheduler(values["KRONOS_DASK_ADDRESS"])
        try:
            return msgspec.convert(values, cls, strict=False)
        except msgspec.ValidationError as error:
            raise _no_number(values, str(error)) from None


def _addresses(one: str | None, several: str | None) -> tuple[str, ...]:
    """Return the addresses of the variables for one server and for several, of which one is set."""
    if one is not None and several is not None:
        raise ValueError(
            f"{_ONE_SERVER} and {_SERVERS} are both set; set one of them: "
            f"{_SERVERS} takes a single address too"
        )
    if several is None:
        return (_address(_ONE_SERVER, one or ""),)
    addresses = tuple(_address(_SERVERS, part) for part in several.split(","))
    if len(set(addresses)) < len(addresses):
        raise ValueError(f"{_SERVERS} cannot be used: it lists an address twice; expected each server once")
    return addresses


def _address(variable: str, text: str) -> str:
    try:
        return server_address(text)
    except ValueError as error:
        raise ValueError(f"{variable} cannot be used: {error}") from None


def _scheduler(text: str) -> str:
    if re.fullmatch(r"(tcp|tls)://[^/\s]+:\d+", text) is None:
        raise ValueError(
            f"KRONOS_DASK_ADDRESS is {text!r}; give the address that the scheduler logs when it starts, such "
            "as tcp://127.0.0.1:8786, or tls://scheduler:8786"
        )
    return text


def _timeframes(text: str) -> frozenset[str]:
    if text == "none":
        return frozenset()
    try:
        names = frozenset[str](map(parse_timeframe, names_in(text)))
    except UnknownTimeframe:
        names = frozenset()
    if not names:
        raise ValueError(
            f"KRONOS_SHORTER_LOOKBACK is {text!r}; give some of {', '.join(TIMEFRAMES)}, such as 1h,1d, "
            "or none"
        )
    return names


def _no_number(variables: Mapping[str, str], message: str) -> ValueError:
    """Return the error for a number that msgspec refuses, which its message names by its path."""
    variable = re.split(r"at `\$\.", message)[-1].rstrip("`")
    least = "from 0" if variable == "KRONOS_WAIT_FOR_CANDLES_S" else "above 0"
    (field,) = (field for field in msgspec.structs.fields(FlowSettings) if field.encode_name == variable)
    expected = (
        "a whole number from 1 to 1000"
        if field.type == Count
        else f"a number of seconds {least} and up to a day"
    )
    return ValueError(f"{variable} is {variables[variable]!r}; give {expected}, such as {field.default:g}")
