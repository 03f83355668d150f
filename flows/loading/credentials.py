"""Reads the secrets of feeds by name: from an environment variable, else from a Prefect Secret block."""

import json
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from urllib.parse import quote

from flows.files.errors import TableError
from flows.loading.addresses import SourceError

BlockReader = Callable[[str], str]


@dataclass(frozen=True)
class Credentials:
    """The headers of the requests to a feed, and the value that replaces ``{key}`` in its address."""

    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    key: str | None = field(default=None, repr=False)

    @property
    def secrets(self) -> list[str]:
        """Every secret, as it may stand in an address, in an answer, and in JSON."""
        values = [*self.headers.values(), *([] if self.key is None else [self.key])]
        written = [
            form for value in values for form in (value, quote(value, safe=""), json.dumps(value)[1:-1])
        ]
        return sorted(set(written), key=len, reverse=True)

    def without_secrets(self, error: TableError) -> TableError:
        """Return an error of the same type whose message contains none of the secrets."""
        message = str(error)
        for secret in self.secrets:
            message = message.replace(secret, "…")
        return type(error)(message)

    def filled(self, url: str) -> str:
        """Return an address with the key in place of ``{key}``."""
        return url if self.key is None else url.replace("{key}", quote(self.key, safe=""))


def read_credentials(
    headers: Mapping[str, str] | None, key: str | None, read_block: BlockReader | None = None
) -> Credentials:
    """Read the values of secrets whose names are given.

    Parameters
    ----------
    headers
        By header, the name of the environment variable or Secret block with its value.
    key
        Name of the one whose value replaces ``{key}`` in the address.
    read_block
        Returns the value of a Secret block, or raises ValueError; None where only the environment is read.

    Raises
    ------
    SourceError
        There is neither a variable nor a block of that name, or its value can't be a header. The message
        shows neither value nor name: somebody may have given the secret in place of its name.
    """
    return Credentials(
        {
            header: _value(name, f"the header {header}", read_block)
            for header, name in (headers or {}).items()
        },
        None if key is None else _value(key, "{key}", read_block),
    )


def _value(name: str, use: str, read_block: BlockReader | None) -> str:
    value = os.environ.get(name, "").strip()
    places = "environment variable"
    if not value and read_block is not None:
        places = "environment variable or Prefect Secret block"
        try:
            value = read_block(name).strip()
        except ValueError:
            value = ""
    if not value:
        raise SourceError(
            f"the {places} named for {use} is missing or empty; give the name of one that the process of the "
            "flow can read, never the secret itself"
        )
    if not value.isprintable() or not value.isascii():
        raise SourceError(f"the secret for {use} has a line break or a character that no header may have")
    return value
