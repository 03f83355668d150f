"""The server's settings: each an environment variable with a default and the reason to change it."""

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self

from inference_server.schemas import Limits

MIN_CANDLES = 32
"""Fewer candles say nothing of a market's scale; the model was never shown such short windows."""


class SettingsError(ValueError):
    """A setting that cannot be used; the message names its variable."""


@dataclass(frozen=True)
class Settings:
    """Everything an operator can set; `from_environment` names the variables."""

    bundle: Path
    """`KRONOS_BUNDLE`, required: the folder that `python -m export` wrote."""
    host: str = "127.0.0.1"
    """`KRONOS_HOST`: other machines reach the server only on another address; there is no login yet."""
    port: int = 8200
    """`KRONOS_PORT`: change it to run several bundles side by side."""
    database_url: str | None = None
    """`DATABASE_URL`: Postgres to read candles from; without it the local embedded one, if there is one."""
    database_timeout_s: float = 5.0
    """`KRONOS_DATABASE_TIMEOUT_S`: raise it for a far or slow database; a dead one is given up after it."""
    database_connections: int = 4
    """`KRONOS_DATABASE_CONNECTIONS`: lower it where a hosted database allows few connections."""
    threads: int | None = None
    """`KRONOS_THREADS`: cores for inference (all unless given); fewer leave room for neighbours."""
    max_pred_len: int = 512
    """`KRONOS_MAX_PRED_LEN`: time grows with it; the bundle's max_context is a further limit."""
    max_sample_count: int = 256
    """`KRONOS_MAX_SAMPLE_COUNT`: memory and time grow with it; p10 and p90 settle well below 256 paths."""
    max_lookback: int = 4096
    """`KRONOS_MAX_LOOKBACK`: beyond the bundle's max_context more candles only set the scale."""
    max_batch_symbols: int = 100
    """`KRONOS_MAX_BATCH_SYMBOLS`: a batch holds the model until it is done; fewer let others in sooner."""
    max_body_bytes: int = 32 * 2**20
    """`KRONOS_MAX_BODY_BYTES`: 100 symbols with candles and events take about 25 MB as nested lists."""
    limits: Limits = field(init=False)

    def __post_init__(self) -> None:
        limits = Limits(
            min_candles=MIN_CANDLES,
            max_pred_len=self.max_pred_len,
            max_sample_count=self.max_sample_count,
            max_lookback=self.max_lookback,
            max_batch_symbols=self.max_batch_symbols,
            max_body_bytes=self.max_body_bytes,
        )
        object.__setattr__(self, "limits", limits)

    @classmethod
    def from_environment(cls, environment: Mapping[str, str] = os.environ) -> Self:
        """Return the settings that the environment variables give; an empty variable counts as absent.

        Raises
        ------
        SettingsError
            If KRONOS_BUNDLE is missing or a value is not a number in range; the message names the variable.
        """
        given = {name: value for name, value in environment.items() if value}
        if "KRONOS_BUNDLE" not in given:
            raise SettingsError("KRONOS_BUNDLE is not set; expected the folder that `python -m export` wrote")
        numbers = {
            name: _whole(given, variable, low, high)
            for name, (variable, low, high) in _WHOLE_NUMBERS.items()
            if variable in given
        }
        return cls(
            bundle=Path(given["KRONOS_BUNDLE"]),
            host=given.get("KRONOS_HOST", cls.host),
            database_url=given.get("DATABASE_URL"),
            database_timeout_s=_seconds(given, "KRONOS_DATABASE_TIMEOUT_S", cls.database_timeout_s),
            **numbers,
        )


_LARGEST = 2**40
_WHOLE_NUMBERS = {
    "port": ("KRONOS_PORT", 0, 65535),
    "database_connections": ("KRONOS_DATABASE_CONNECTIONS", 1, _LARGEST),
    "threads": ("KRONOS_THREADS", 1, _LARGEST),
    "max_pred_len": ("KRONOS_MAX_PRED_LEN", 1, _LARGEST),
    "max_sample_count": ("KRONOS_MAX_SAMPLE_COUNT", 1, _LARGEST),
    "max_lookback": ("KRONOS_MAX_LOOKBACK", MIN_CANDLES, _LARGEST),
    "max_batch_symbols": ("KRONOS_MAX_BATCH_SYMBOLS", 1, _LARGEST),
    "max_body_bytes": ("KRONOS_MAX_BODY_BYTES", 1024, _LARGEST),
}


def _whole(given: Mapping[str, str], variable: str, low: int, high: int) -> int:
    try:
        value = int(given[variable])
    except ValueError:
        value = low - 1
    if not low <= value <= high:
        raise SettingsError(f"{variable} is {given[variable]!r}; expected a whole number, {low} … {high}")
    return value


def _seconds(given: Mapping[str, str], variable: str, default: float) -> float:
    if variable not in given:
        return default
    try:
        value = float(given[variable])
    except ValueError:
        value = 0.0
    if not 0 < value < float("inf"):
        raise SettingsError(f"{variable} is {given[variable]!r}; expected a number of seconds above 0")
    return value
