"""Checks the web addresses of feeds and where they redirect to, and shows them without their secrets."""

import ipaddress
import re
import socket
from collections.abc import Callable, Iterable
from typing import Final
from urllib.parse import urlsplit, urlunsplit

from flows.files.errors import TableError

_EXAMPLE: Final = "https://example.com/calendar.csv"
_PLACEHOLDER: Final = re.compile(r"\{(\w+)\}")


class SourceError(TableError):
    """A feed can't be fetched, or gives something else than a table; another try would end the same way."""


def is_web_address(location: str) -> bool:
    """Return whether a location is a web address, of whatever scheme, rather than a file or a folder."""
    return "://" in location


def check_web_address(address: str) -> None:
    """Refuse an address that is not http or https, has no host, or has a user name or password in it.

    Raises
    ------
    SourceError
        Says what is wrong; the address is shown without its secrets.
    """
    try:
        parts = urlsplit(address)
        _ = parts.port
    except ValueError as error:
        raise SourceError(
            f"{shown(address)!r} is no web address ({error}); expected one such as {_EXAMPLE}"
        ) from None
    if parts.scheme.lower() not in ("http", "https"):
        raise SourceError(
            f"{shown(address)!r} has the scheme {parts.scheme!r}; only http and https are fetched, such as "
            f"{_EXAMPLE}; give a file or a folder by its path"
        )
    if not parts.hostname or re.search(r"\s", address):
        raise SourceError(
            f"{shown(address)!r} names no host, or has a blank; expected one such as {_EXAMPLE}"
        )
    if parts.username is not None or parts.password is not None:
        raise SourceError(
            f"{shown(address)!r} has a user name or a password in it; send them in a header, whose "
            "value is read from an environment variable or a Prefect Secret block"
        )


def shown(address: str) -> str:
    """Return an address for messages: values of its query become ``…``, and so does a user name or password.

    Placeholders such as ``{symbol}`` stay.
    """
    try:
        parts = urlsplit(address)
    except ValueError:
        return re.sub(r"[?#].*", "?…", re.sub(r"//[^/@]*@", "//…@", address))
    query = "&".join(_shown_setting(setting) for setting in parts.query.split("&") if setting)
    if parts.query and not query:
        query = "…"
    host = parts.netloc.rpartition("@")
    return urlunsplit(
        parts._replace(netloc=f"…@{host[2]}" if host[1] else parts.netloc, query=query, fragment="")
    )


def _shown_setting(setting: str) -> str:
    name, equals, value = setting.partition("=")
    if not equals:
        return "…"
    return f"{name}={value if _PLACEHOLDER.fullmatch(value) else '…'}"


def placeholders(template: str) -> set[str]:
    """Return the names in braces of an address."""
    return set(_PLACEHOLDER.findall(template))


def check_redirect(
    origin: str, target: str, addresses_of: Callable[[str], Iterable[str]] | None = None
) -> None:
    """Refuse a redirect to a scheme other than http and https, from https to http, or into a private network.

    A feed on a loopback or private address, which the operator chose, may redirect to another one; a public
    host may not: the answer would be that of a machine that the host can't reach itself.

    Parameters
    ----------
    origin, target
        Whole addresses.
    addresses_of
        Returns the IP addresses of a host; the system's resolver unless given.

    Raises
    ------
    SourceError
        Names the two addresses without their secrets.
    """
    where = f"{shown(origin)} redirects to {shown(target)}"
    check_web_address(target)
    before, after = urlsplit(origin), urlsplit(target)
    if before.scheme == "https" and after.scheme == "http":
        raise SourceError(f"{where}: from https to http, which is not followed")
    resolve = addresses_of or _addresses
    if _is_private(after.hostname or "", resolve) and not _is_private(before.hostname or "", resolve):
        raise SourceError(
            f"{where}: from a public host into a private network, which is not followed; give the private "
            "address itself if that is meant"
        )


def _is_private(host: str, addresses_of: Callable[[str], Iterable[str]]) -> bool:
    """Return whether any address of a host is not a public one; a host without addresses counts as public."""
    return any(not _is_public(text) for text in addresses_of(host))


def _is_public(text: str) -> bool:
    address = ipaddress.ip_address(text.partition("%")[0])
    mapped = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None
    return (mapped or address).is_global


def _addresses(host: str) -> list[str]:
    try:
        return [str(found[4][0]) for found in socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)]
    except OSError:
        return []
