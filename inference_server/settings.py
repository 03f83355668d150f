"""Reads the server's settings from environment variables; each has a default and a reason to change it."""

import os
import re
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Self

import msgspec
from msgspec import Meta

from inference_server.addresses import is_loopback
from inference_server.engine.devices import DeviceChoice
from inference_server.schemas import Limits

MIN_CANDLES = 32
"""Fewer candles do not determine a market's scale, and the model was not trained on such short windows."""

SHORTEST_KEY = 16
"""Characters of an API key: shorter ones can be guessed."""

_LARGEST = 2**40
Count = Annotated[int, Meta(ge=1, le=_LARGEST)]
Seconds = Annotated[float, Meta(gt=0, le=sys.float_info.max)]  # finite


class SettingsError(ValueError):
    """A setting that cannot be used; the message names its variable."""


def _variable(field: str) -> str:
    """Return the environment variable of a field."""
    return f"KRONOS_{field.upper()}"


class Settings(msgspec.Struct, frozen=True, rename=_variable):
    """Everything that an operator can set; `from_environment` reads it from the variables named below."""

    bundle: Path
    """`KRONOS_BUNDLE`, required: the folder that `python -m export` wrote."""
    host: str = "127.0.0.1"
    """`KRONOS_HOST`: other machines reach the server only on a non-loopback address, which requires API
    keys."""
    port: Annotated[int, Meta(ge=0, le=65535)] = 8200
    """`KRONOS_PORT`: change it to run several bundles side by side."""
    database_url: str | None = msgspec.field(default=None, name="DATABASE_URL")
    """`DATABASE_URL`: Postgres to read candles from; unless set, an embedded Postgres that was set up
    before."""
    database_timeout_s: Seconds = 5.0
    """`KRONOS_DATABASE_TIMEOUT_S`: time after which a connection or a query is abandoned; raise it for a
    far or slow database."""
    database_connections: Count = 4
    """`KRONOS_DATABASE_CONNECTIONS`: lower it where a hosted database allows few connections."""
    device: DeviceChoice = DeviceChoice()
    """`KRONOS_DEVICE`: auto, cpu, cuda or cuda:N. With auto a half-precision bundle runs on a GPU if one
    works, otherwise on the CPU. Choose cuda to refuse the CPU, cpu to leave the GPU to other programs, cuda:N
    for a card other than the first. `KRONOS_CUDA_GRAPHS`: on, or off where the driver fails on them."""
    threads: Count | None = None
    """`KRONOS_THREADS`: cores for inference, all by default; fewer leave some to other programs."""
    max_pred_len: Count = 512
    """`KRONOS_MAX_PRED_LEN`: running time grows with it; the bundle's max_context is a further limit."""
    max_sample_count: Count = 256
    """`KRONOS_MAX_SAMPLE_COUNT`: memory and time grow with it; p10 and p90 converge well below 256 paths."""
    max_lookback: Annotated[int, Meta(ge=MIN_CANDLES, le=_LARGEST)] = 4096
    """`KRONOS_MAX_LOOKBACK`: candles beyond the bundle's max_context only affect the normalisation."""
    max_batch_symbols: Count = 100
    """`KRONOS_MAX_BATCH_SYMBOLS`: each symbol is one job of the queue; lower it to leave room for other
    callers."""
    max_body_bytes: Annotated[int, Meta(ge=1024, le=_LARGEST)] = 32 * 2**20
    """`KRONOS_MAX_BODY_BYTES`: 100 symbols with candles and events take about 25 MB as nested lists."""
    max_answer_values: Annotated[int, Meta(ge=1000, le=_LARGEST)] = 2_000_000
    """`KRONOS_MAX_ANSWER_VALUES`: numbers in one answer of /predict or /predict-batch, about 20 bytes of JSON
    each; the default is two and a half times 256 paths × 512 candles × 6 features. Lower it to bound the
    memory of answers with samples, raise it to allow a batch with samples in one request."""
    api_keys: tuple[str, ...] = ()
    """`KRONOS_API_KEYS` (separated by commas), `KRONOS_API_KEYS_FILE` (one a line): keys that may request
    forecasts; required unless `host` is a loopback address. With two keys one can be replaced while the other
    works."""
    admin_keys: tuple[str, ...] = ()
    """`KRONOS_ADMIN_KEYS`, `KRONOS_ADMIN_KEYS_FILE`: keys that may also use /admin, which is closed
    without them."""
    allowed_hosts: tuple[str, ...] = ()
    """`KRONOS_ALLOWED_HOSTS` (separated by commas): host names that a server without keys answers to in
    addition to those of its own machine, such as the name of a proxy in front of it."""
    cache_bytes: Count | None = None
    """`KRONOS_CACHE_BYTES`: memory for keys and values, which determines how many rows run at once. By
    default a quarter of the memory (or of its limit) on the CPU and 40 % of the free memory on a GPU: lower
    it where other programs need memory, raise it on a machine for the server alone."""
    queue_limit: Count = 256
    """`KRONOS_QUEUE_LIMIT`: forecasts that may wait; further ones are answered 429 at once. Lower it for
    shorter waits in the queue, raise it for larger bursts."""
    request_timeout_s: Seconds = 900.0
    """`KRONOS_REQUEST_TIMEOUT_S`: time limit of a request without X-Request-Timeout; the default suffices for
    a sliding context on a CPU, which runs the whole window at every step."""
    body_timeout_s: Seconds = 30.0
    """`KRONOS_BODY_TIMEOUT_S`: time in which a body must arrive; raise it for slow connections."""
    grace_s: Seconds = 30.0
    """`KRONOS_GRACE_S`: time that running requests have to finish after SIGTERM; keep it below the time after
    which your process manager kills."""
    result_cache_bytes: Annotated[int, Meta(ge=0, le=_LARGEST)] = 0
    """`KRONOS_RESULT_CACHE_BYTES`: memory for sample paths of requests with a seed, so that a repeated
    request does not run the model; 0, the default, stores none, since scheduled requests seldom repeat."""
    metrics_symbols: Annotated[int, Meta(ge=0, le=_LARGEST)] = 1000
    """`KRONOS_METRICS_SYMBOLS`: /metrics/flows has three series for each symbol and timeframe, and for
    more active symbols than these only series of their asset classes; raise it where Prometheus has room."""

    def __post_init__(self) -> None:
        if not self.api_keys and not is_loopback(self.host):
            raise SettingsError(
                f"KRONOS_HOST is {self.host!r}, which other machines may reach, and there are no API keys: "
                "set KRONOS_API_KEYS or KRONOS_API_KEYS_FILE, or keep to 127.0.0.1"
            )

    def __repr__(self) -> str:
        """Return the settings without the keys, which must not appear in a log."""
        public = [name for name in self.__struct_fields__ if name not in ("api_keys", "admin_keys")]
        return f"Settings({', '.join(f'{name}={getattr(self, name)!r}' for name in public)})"

    @property
    def limits(self) -> Limits:
        """The limits of a request, as `GET /model` publishes them."""
        return Limits(
            min_candles=MIN_CANDLES,
            max_pred_len=self.max_pred_len,
            max_sample_count=self.max_sample_count,
            max_lookback=self.max_lookback,
            max_batch_symbols=self.max_batch_symbols,
            max_body_bytes=self.max_body_bytes,
            max_answer_values=self.max_answer_values,
        )

    @classmethod
    def from_environment(cls, environment: Mapping[str, str] = os.environ) -> Self:
        """Return the settings in environment variables; an empty variable counts as absent.

        Raises
        ------
        SettingsError
            If KRONOS_BUNDLE is missing, a value is not a number in range, a key is too weak, or keys are
            missing where other machines reach the server; the message names the variable.
        """
        variables = {name: text for name, value in environment.items() if (text := value.strip())}
        if "KRONOS_BUNDLE" not in variables:
            raise SettingsError("KRONOS_BUNDLE is not set; expected the folder that `python -m export` wrote")
        hosts = [name.strip() for name in variables.get("KRONOS_ALLOWED_HOSTS", "").split(",")]
        values: dict[str, Any] = {
            **variables,
            "KRONOS_DEVICE": _device(variables),
            "KRONOS_API_KEYS": _keys(variables, "KRONOS_API_KEYS"),
            "KRONOS_ADMIN_KEYS": _keys(variables, "KRONOS_ADMIN_KEYS"),
            "KRONOS_ALLOWED_HOSTS": [name for name in hosts if name],
        }
        try:
            return msgspec.convert(values, cls, strict=False, dec_hook=_from_text)
        except msgspec.ValidationError as error:
            if isinstance(error.__cause__, SettingsError):
                raise error.__cause__ from None
            raise _out_of_range(cls, variables, str(error)) from None


def _from_text(kind: type[Any], text: str) -> Any:
    """Return a value of a type that msgspec does not convert itself, which is `Path` alone."""
    return kind(text)


def _out_of_range(settings: type[Settings], variables: Mapping[str, str], message: str) -> SettingsError:
    """Return the error for a number that msgspec refuses: the variable, its value and the expected range."""
    variable = re.split(r"at `\$\.", message)[-1].rstrip("`")
    (field,) = (field for field in msgspec.structs.fields(settings) if field.encode_name == variable)
    text, info = variables[variable], msgspec.inspect.type_info(field.type)
    for kind in info.types if isinstance(info, msgspec.inspect.UnionType) else [info]:
        if isinstance(kind, msgspec.inspect.IntType):
            return SettingsError(
                f"{variable} is {text!r}; expected a whole number, {kind.ge} … {kind.le}",
            )
    return SettingsError(f"{variable} is {text!r}; expected a number of seconds above 0")


def _device(variables: Mapping[str, str]) -> DeviceChoice:
    name, graphs = variables.get("KRONOS_DEVICE", "auto"), variables.get("KRONOS_CUDA_GRAPHS", "on")
    kind, colon, index = name.partition(":")
    if kind not in ("auto", "cpu", "cuda") or (colon and not (kind == "cuda" and index.isdecimal())):
        raise SettingsError(f"KRONOS_DEVICE is {name!r}; expected auto, cpu, cuda or a card such as cuda:1")
    if graphs not in ("on", "off"):
        raise SettingsError(f"KRONOS_CUDA_GRAPHS is {graphs!r}; expected on or off")
    return DeviceChoice(kind, int(index or 0), graphs == "on")


def _keys(variables: Mapping[str, str], variable: str) -> tuple[str, ...]:
    """Return the keys of a variable and of the file that `<variable>_FILE` names; no message shows a key."""
    keys = [key.strip() for key in variables.get(variable, "").split(",")]
    if (path := variables.get(f"{variable}_FILE")) is not None:
        try:
            lines = Path(path).read_text(encoding="utf-8").splitlines()
        except (OSError, UnicodeDecodeError) as error:
            reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8"
            raise SettingsError(f"{variable}_FILE is {path!r}, which cannot be read: {reason}") from None
        keys += [line.strip() for line in lines if not line.lstrip().startswith("#")]
    keys = [key for key in keys if key]
    for number, key in enumerate(keys, start=1):
        if len(key) < SHORTEST_KEY or not key.isascii() or not key.isprintable() or " " in key:
            raise SettingsError(
                f"key {number} of {variable} cannot be used: expected at least {SHORTEST_KEY} ASCII "
                "characters without spaces, such as python -c 'import secrets; print(secrets.token_hex())'"
            )
    return tuple(dict.fromkeys(keys))
