"""The server's settings: each an environment variable with a default and the reason to change it."""

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

from inference_server.addresses import is_loopback
from inference_server.devices import DeviceChoice
from inference_server.schemas import Limits

MIN_CANDLES = 32
"""Fewer candles say nothing of a market's scale; the model was never shown such short windows."""


SHORTEST_KEY = 16
"""Characters of an API key: shorter ones can be guessed."""


class SettingsError(ValueError):
    """A setting that cannot be used; the message names its variable."""


@dataclass(frozen=True)
class Settings:
    """Everything an operator can set; `from_environment` names the variables."""

    bundle: Path
    """`KRONOS_BUNDLE`, required: the folder that `python -m export` wrote."""
    host: str = "127.0.0.1"
    """`KRONOS_HOST`: other machines reach the server only on another address, which needs API keys."""
    port: int = 8200
    """`KRONOS_PORT`: change it to run several bundles side by side."""
    database_url: str | None = None
    """`DATABASE_URL`: Postgres to read candles from; without it the local embedded one, if there is one."""
    database_timeout_s: float = 5.0
    """`KRONOS_DATABASE_TIMEOUT_S`: raise it for a far or slow database; a dead one is given up after it."""
    database_connections: int = 4
    """`KRONOS_DATABASE_CONNECTIONS`: lower it where a hosted database allows few connections."""
    device: DeviceChoice = field(default_factory=DeviceChoice)
    """`KRONOS_DEVICE`: auto, cpu, cuda or cuda:N. A GPU serves a half-precision bundle where one works, and
    the CPU where none does; say cuda where that shall not happen, cpu where the GPU is for others, cuda:N for
    a card other than the first. `KRONOS_CUDA_GRAPHS`: on, or off where a driver has trouble with them."""
    threads: int | None = None
    """`KRONOS_THREADS`: cores for inference (all unless given); fewer leave room for neighbours."""
    max_pred_len: int = 512
    """`KRONOS_MAX_PRED_LEN`: time grows with it; the bundle's max_context is a further limit."""
    max_sample_count: int = 256
    """`KRONOS_MAX_SAMPLE_COUNT`: memory and time grow with it; p10 and p90 settle well below 256 paths."""
    max_lookback: int = 4096
    """`KRONOS_MAX_LOOKBACK`: beyond the bundle's max_context more candles only set the scale."""
    max_batch_symbols: int = 100
    """`KRONOS_MAX_BATCH_SYMBOLS`: each symbol is a job in the queue; fewer leave room for other callers."""
    max_body_bytes: int = 32 * 2**20
    """`KRONOS_MAX_BODY_BYTES`: 100 symbols with candles and events take about 25 MB as nested lists."""
    max_answer_values: int = 2_000_000
    """`KRONOS_MAX_ANSWER_VALUES`: numbers in one answer of /predict or /predict-batch, about 20 bytes of JSON
    each; the default takes two and a half times 256 paths × 512 candles × 6 features. Fewer bound what an
    answer with samples takes of the memory, more let a batch with samples be one request."""
    api_keys: tuple[str, ...] = field(default=(), repr=False)
    """`KRONOS_API_KEYS` (separated by commas), `KRONOS_API_KEYS_FILE` (one a line): who may ask; required
    as soon as `host` is no loopback address, several so that one can be replaced while the old one works."""
    admin_keys: tuple[str, ...] = field(default=(), repr=False)
    """`KRONOS_ADMIN_KEYS`, `KRONOS_ADMIN_KEYS_FILE`: who may also use /admin, which nobody may without."""
    allowed_hosts: tuple[str, ...] = ()
    """`KRONOS_ALLOWED_HOSTS` (separated by commas): names under which a server without keys is asked, beside
    those of its own machine; those of a proxy in front."""
    cache_bytes: int | None = None
    """`KRONOS_CACHE_BYTES`: how many rows run at once follows from it. Unless given, a quarter of the memory
    (or of its limit) on the CPU and 40 % of what is free on a GPU: lower it where neighbours need memory,
    raise it on a machine of the server's own."""
    queue_limit: int = 256
    """`KRONOS_QUEUE_LIMIT`: forecasts that may wait; the next is answered 429 at once. Fewer keep the wait of
    those in the queue short, more take larger bursts."""
    request_timeout_s: float = 900.0
    """`KRONOS_REQUEST_TIMEOUT_S`: the longest a request may take unless its X-Request-Timeout says less or
    more; the default fits a window that is read again at every step on a CPU."""
    body_timeout_s: float = 30.0
    """`KRONOS_BODY_TIMEOUT_S`: the time in which a body must have arrived; raise it for slow lines."""
    grace_s: float = 30.0
    """`KRONOS_GRACE_S`: how long running requests may go on after SIGTERM; keep it below the time after which
    your process manager kills."""
    result_cache_bytes: int = 0
    """`KRONOS_RESULT_CACHE_BYTES`: memory for answers to requests with a seed, to give again without running
    the model; 0, the default, keeps none, since scheduled requests seldom repeat."""
    limits: Limits = field(init=False)

    def __post_init__(self) -> None:
        if not self.api_keys and not is_loopback(self.host):
            raise SettingsError(
                f"KRONOS_HOST is {self.host!r}, which other machines may reach, and there are no API keys: "
                "set KRONOS_API_KEYS or KRONOS_API_KEYS_FILE, or keep to 127.0.0.1"
            )
        limits = Limits(
            min_candles=MIN_CANDLES,
            max_pred_len=self.max_pred_len,
            max_sample_count=self.max_sample_count,
            max_lookback=self.max_lookback,
            max_batch_symbols=self.max_batch_symbols,
            max_body_bytes=self.max_body_bytes,
            max_answer_values=self.max_answer_values,
        )
        object.__setattr__(self, "limits", limits)

    @classmethod
    def from_environment(cls, environment: Mapping[str, str] = os.environ) -> Self:
        """Return the settings that the environment variables give; an empty variable counts as absent.

        Raises
        ------
        SettingsError
            If KRONOS_BUNDLE is missing, a value is not a number in range, a key is too weak, or keys are
            missing where other machines reach the server; the message names the variable.
        """
        given = {name: value for name, value in environment.items() if value}
        if "KRONOS_BUNDLE" not in given:
            raise SettingsError("KRONOS_BUNDLE is not set; expected the folder that `python -m export` wrote")
        numbers: dict[str, Any] = {
            name: _whole(given, variable, low, high)
            for name, (variable, low, high) in _WHOLE_NUMBERS.items()
            if variable in given
        }
        for name, variable in _SECONDS.items():
            if variable in given:
                numbers[name] = _seconds(given, variable)
        return cls(
            bundle=Path(given["KRONOS_BUNDLE"]),
            host=given.get("KRONOS_HOST", cls.host),
            database_url=given.get("DATABASE_URL"),
            device=_device(given),
            api_keys=_keys(given, "KRONOS_API_KEYS"),
            admin_keys=_keys(given, "KRONOS_ADMIN_KEYS"),
            allowed_hosts=tuple(
                name.strip() for name in given.get("KRONOS_ALLOWED_HOSTS", "").split(",") if name.strip()
            ),
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
    "max_answer_values": ("KRONOS_MAX_ANSWER_VALUES", 1000, _LARGEST),
    "cache_bytes": ("KRONOS_CACHE_BYTES", 1, _LARGEST),
    "queue_limit": ("KRONOS_QUEUE_LIMIT", 1, _LARGEST),
    "result_cache_bytes": ("KRONOS_RESULT_CACHE_BYTES", 0, _LARGEST),
}
_SECONDS = {
    "database_timeout_s": "KRONOS_DATABASE_TIMEOUT_S",
    "request_timeout_s": "KRONOS_REQUEST_TIMEOUT_S",
    "body_timeout_s": "KRONOS_BODY_TIMEOUT_S",
    "grace_s": "KRONOS_GRACE_S",
}


def _whole(given: Mapping[str, str], variable: str, low: int, high: int) -> int:
    try:
        value = int(given[variable])
    except ValueError:
        value = low - 1
    if not low <= value <= high:
        raise SettingsError(f"{variable} is {given[variable]!r}; expected a whole number, {low} … {high}")
    return value


def _device(given: Mapping[str, str]) -> DeviceChoice:
    name, graphs = given.get("KRONOS_DEVICE", "auto"), given.get("KRONOS_CUDA_GRAPHS", "on")
    kind, colon, index = name.partition(":")
    if kind not in ("auto", "cpu", "cuda") or (colon and not (kind == "cuda" and index.isdecimal())):
        raise SettingsError(f"KRONOS_DEVICE is {name!r}; expected auto, cpu, cuda or a card such as cuda:1")
    if graphs not in ("on", "off"):
        raise SettingsError(f"KRONOS_CUDA_GRAPHS is {graphs!r}; expected on or off")
    return DeviceChoice(kind, int(index or 0), graphs == "on")


def _seconds(given: Mapping[str, str], variable: str) -> float:
    try:
        value = float(given[variable])
    except ValueError:
        value = 0.0
    if not 0 < value < float("inf"):
        raise SettingsError(f"{variable} is {given[variable]!r}; expected a number of seconds above 0")
    return value


def _keys(given: Mapping[str, str], variable: str) -> tuple[str, ...]:
    """Return the keys of a variable and of the file that its sister names; no message ever shows one."""
    keys = [key.strip() for key in given.get(variable, "").split(",")]
    if (name := given.get(f"{variable}_FILE")) is not None:
        try:
            lines = Path(name).read_text(encoding="utf-8").splitlines()
        except (OSError, UnicodeDecodeError) as error:
            reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8"
            raise SettingsError(f"{variable}_FILE is {name!r}, which cannot be read: {reason}") from None
        keys += [line.strip() for line in lines if not line.lstrip().startswith("#")]
    keys = [key for key in keys if key]
    for number, key in enumerate(keys, start=1):
        if len(key) < SHORTEST_KEY or not key.isascii() or not key.isprintable() or " " in key:
            raise SettingsError(
                f"key {number} of {variable} cannot be used: expected at least {SHORTEST_KEY} ASCII "
                "characters without spaces, such as python -c 'import secrets; print(secrets.token_hex())'"
            )
    return tuple(dict.fromkeys(keys))
