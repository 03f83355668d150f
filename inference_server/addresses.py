"""Checks and parses addresses of inference servers."""

import ipaddress
import re
from urllib.parse import urlsplit

_EXAMPLE = "http://127.0.0.1:8200"
_ROUTES = ("/predict", "/predict-batch", "/docs", "/health", "/health/live", "/health/ready", "/metrics")


def is_loopback(host: str) -> bool:
    """Return whether a host name or an IP address is a loopback one."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host.lower() == "localhost"


def server_address(address: str) -> str:
    """Return the address of an inference server without surrounding blanks and a trailing slash.

    The address may have a path, which a proxy in front of the server may require.

    Raises
    ------
    ValueError
        If its scheme is not http or https, it has no host, an invalid port, a query or a fragment, or it
        ends in one of the server's routes. The message shows the address without its password.
    """
    text = address.strip()
    if not text:
        raise ValueError(f"{address!r} is empty; expected an address such as {_EXAMPLE}")
    reason = _why_unusable(text)
    if reason is not None:
        raise ValueError(f"{_without_password(text)!r} {reason}; expected an address such as {_EXAMPLE}")
    return text.rstrip("/")


def without_credentials(address: str) -> str:
    """Return a server's address without the user and the password that it may hold."""
    return re.sub(r"//[^/@]*@", "//", address)


def host_of(address: str) -> str:
    """Return the name or the IP address in a server's address."""
    return urlsplit(address).hostname or ""


def _why_unusable(text: str) -> str | None:
    if re.search(r"\s", text) or not text.isprintable():
        return "has a blank in it"
    try:
        parts = urlsplit(text)
        _ = parts.port
    except ValueError as error:
        return f"is no URL ({error})"
    if "://" not in text:
        return "has no scheme"
    if parts.scheme not in ("http", "https"):
        return f"has the scheme {parts.scheme!r}" if parts.scheme else "has no scheme"
    if not parts.hostname or not re.fullmatch(r"[^%<>\\^`{|}]+", parts.hostname):
        return "names no host"
    if parts.query or parts.fragment:
        return "has a query or a fragment, which no address of a server has"
    route = next((route for route in _ROUTES if parts.path.rstrip("/").endswith(route)), None)
    return None if route is None else f"ends in the server's route {route}, which callers add themselves"


def _without_password(text: str) -> str:
    return re.sub(r"//[^/@]*@", "//…@", text)
