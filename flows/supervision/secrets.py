"""Makes and reads the passwords and keys of a machine, in one file that only its owner can read."""

import os
import secrets
from collections.abc import Mapping

from flows.supervision.errors import UpError
from flows.supervision.folder import UpFolder
from flows.supervision.settings import UpSettings

_HEADING = """\
# Made by `kronos up`. To use Prefect's own commands: set -a; . {file}; set +a
# The Prefect UI asks for the value of PREFECT_API_AUTH_STRING.
"""


def prepare_secrets(
    folder: UpFolder, settings: UpSettings, environment: Mapping[str, str] = os.environ
) -> dict[str, str]:
    """Return the secrets of the processes as environment variables; those that are missing are generated.

    Parameters
    ----------
    folder
        Folder that holds their file.
    settings
        Where the servers listen. Prefect always has a password; the inference server has a key where other
        machines reach it and the environment names none.
    environment
        Variables that the user has set.

    Raises
    ------
    UpError
        The file can't be read or written, or the flows have no key of those that the environment names.
    """
    stored = read_secrets(folder)
    wanted = {
        "PREFECT_API_URL": f"{settings.prefect_address}/api",
        "PREFECT_API_AUTH_STRING": stored.get("PREFECT_API_AUTH_STRING")
        or f"kronos:{secrets.token_urlsafe(24)}",
    }
    own_keys = [
        name for name in ("KRONOS_API_KEYS", "KRONOS_API_KEYS_FILE") if environment.get(name, "").strip()
    ]
    if own_keys and not environment.get("KRONOS_API_KEY", "").strip():
        raise UpError(
            f"{own_keys[0]} is set: set KRONOS_API_KEY to one of these keys, which the flows then send"
        )
    if not settings.loopback and not own_keys:
        wanted["KRONOS_API_KEY"] = stored.get("KRONOS_API_KEY") or secrets.token_urlsafe(32)
    if wanted != stored:
        _write(folder, wanted)
    return wanted


def read_secrets(folder: UpFolder) -> dict[str, str]:
    """Return the secrets of a folder, none if it has none.

    Raises
    ------
    UpError
        The file can't be read.
    """
    try:
        lines = folder.secrets.read_text(encoding="utf-8").splitlines()
    except FileNotFoundError:
        return {}
    except OSError as error:
        raise UpError(
            f"can't read {folder.secrets}: {error.strerror}; the user who ran `kronos up` can"
        ) from None
    pairs = (line.partition("=") for line in lines if "=" in line and not line.startswith("#"))
    return {name.strip(): value.strip() for name, _, value in pairs}


def _write(folder: UpFolder, values: Mapping[str, str]) -> None:
    text = _HEADING.format(file=folder.secrets) + "".join(
        f"{name}={value}\n" for name, value in values.items()
    )
    scratch = folder.secrets.with_suffix(".new")
    try:
        scratch.unlink(missing_ok=True)
        with os.fdopen(os.open(scratch, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as stream:
            stream.write(text)
        scratch.replace(folder.secrets)
    except OSError as error:
        raise UpError(f"can't write {folder.secrets}: {error.strerror}") from None
