"""Reads the settings of `kronos up` from the environment, and keeps those with which the processes run."""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Final

import msgspec
from msgspec import Meta

from flows.supervision.errors import UpError
from flows.supervision.folder import UpFolder
from inference_server.addresses import is_loopback
from sql.connect import describe, normalise_url
from sql.embedded.server import data_folder
from sql.errors import DatabaseError

EMBEDDED: Final = "embedded"
"""Stands for the embedded Postgres in `UpSettings.database`."""

Port = Annotated[int, Meta(ge=1, le=65535)]
_WILDCARDS: Final = {"0.0.0.0": "127.0.0.1", "::": "[::1]"}


class UpSettings(msgspec.Struct, frozen=True):
    """What the processes of one machine are started with; holds no secrets.

    Attributes
    ----------
    host, port
        `KRONOS_HOST`, `KRONOS_PORT`: address of the inference server.
    prefect_port
        `KRONOS_PREFECT_PORT`: port of the Prefect server, on 127.0.0.1.
    database
        `EMBEDDED`, or `user@host:port/database` of `DATABASE_URL`.
    data_folder
        `KRONOS_DATA_DIR`: folder of the embedded Postgres.
    bundle
        `KRONOS_BUNDLE`: the bundle to serve; None for the demo model, which is exported.
    grace_s
        `KRONOS_GRACE_S`: seconds that the inference server's requests have to finish.
    """

    host: str
    port: Port
    prefect_port: Port
    database: str
    data_folder: Path
    bundle: Path | None
    grace_s: float

    @property
    def loopback(self) -> bool:
        """Whether only this machine reaches the inference server."""
        return is_loopback(self.host)

    @property
    def server_address(self) -> str:
        """The address at which this machine reaches the inference server."""
        host = _WILDCARDS.get(self.host, f"[{self.host}]" if ":" in self.host else self.host)
        return f"http://{host}:{self.port}"

    @property
    def prefect_address(self) -> str:
        """The address of the Prefect server's UI; its API is below `/api`."""
        return f"http://127.0.0.1:{self.prefect_port}"

    @property
    def embedded(self) -> bool:
        """Whether the database is the embedded Postgres."""
        return self.database == EMBEDDED


_DEFAULTS: Final = {"KRONOS_PORT": 8200, "KRONOS_PREFECT_PORT": 4200}


def read_settings(environment: Mapping[str, str] = os.environ) -> UpSettings:
    """Return the settings in environment variables; an empty variable counts as absent.

    Raises
    ------
    UpError
        A value can't be used; the message names the variable.
    """
    given = {name: text for name, value in environment.items() if (text := value.strip())}
    bundle = given.get("KRONOS_BUNDLE")
    if bundle is not None and not (Path(bundle) / "manifest.json").is_file():
        raise UpError(f"KRONOS_BUNDLE is {bundle!r}; expected the folder that `python -m export` wrote")
    settings = UpSettings(
        host=given.get("KRONOS_HOST", "127.0.0.1"),
        port=_port(given, "KRONOS_PORT"),
        prefect_port=_port(given, "KRONOS_PREFECT_PORT"),
        database=_database(given),
        data_folder=data_folder(),
        bundle=None if bundle is None else Path(bundle).resolve(),
        grace_s=_seconds(given),
    )
    if settings.port == settings.prefect_port:
        raise UpError(f"KRONOS_PORT and KRONOS_PREFECT_PORT are both {settings.port}; give two ports")
    return settings


def _port(given: Mapping[str, str], variable: str) -> int:
    text = given.get(variable, str(_DEFAULTS[variable]))
    try:
        return msgspec.convert(text, Port, strict=False)
    except msgspec.ValidationError:
        raise UpError(f"{variable} is {text!r}; expected a whole number, 1 … 65535") from None


def _seconds(given: Mapping[str, str]) -> float:
    text = given.get("KRONOS_GRACE_S", "30")
    try:
        seconds: float = msgspec.convert(text, Annotated[float, Meta(gt=0, le=86400)], strict=False)
    except msgspec.ValidationError:
        raise UpError(
            f"KRONOS_GRACE_S is {text!r}; expected a number of seconds above 0 and up to a day"
        ) from None
    return seconds


def _database(given: Mapping[str, str]) -> str:
    if "DATABASE_URL" not in given:
        return EMBEDDED
    try:
        return describe(normalise_url(given["DATABASE_URL"]))
    except DatabaseError as error:
        raise UpError(str(error)) from None


def save_running(folder: UpFolder, settings: UpSettings) -> None:
    """Write down what the processes were started with, for `kronos status` and `kronos down`."""
    folder.running.write_bytes(msgspec.json.format(msgspec.json.encode(settings, enc_hook=str)))


def saved_running(folder: UpFolder) -> UpSettings | None:
    """Return what the processes of a folder were started with last; None if nothing ever was."""
    try:
        return msgspec.json.decode(folder.running.read_bytes(), type=UpSettings, dec_hook=_from_text)
    except (FileNotFoundError, NotADirectoryError):
        return None
    except msgspec.DecodeError as error:
        raise UpError(
            f"{folder.running} can't be read ({error}): delete it and run `kronos up` again"
        ) from None


def _from_text(kind: type[Any], text: str) -> Any:
    """Return a value of a type that msgspec does not convert itself, which is `Path` alone."""
    return kind(text)


def differences(running: UpSettings, asked: UpSettings) -> list[str]:
    """Return a line for each setting that differs from the one with which the processes run."""
    return [
        f"{name} is {_shown(getattr(running, name))}, not {_shown(getattr(asked, name))}"
        for name in UpSettings.__struct_fields__
        if getattr(running, name) != getattr(asked, name)
    ]


def _shown(value: Any) -> str:
    return "the demo model" if value is None else str(value)
