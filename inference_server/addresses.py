"""Addresses of inference servers: which can be used, and which are this machine's own."""

import ipaddress
import re
from urllib.parse import urlsplit

_EXAMPLE = "http://127.0.0.1:8200"
_ROUTES = ("/predict", "/predict-batch", "/docs", "/health", "/health/live", "/health/ready", "/metrics")


def is_loopback(host: str) -> bool:
    """Whether a name or address is this machine's own."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host.lower() == "localhost"


def server_address(address: str) -> str:
    """Return the address of an inference server without blanks around it and without a slash at its end.

    A path in front of the server's own routes, such as a proxy may add, belongs to the address.

    Raises
    ------
    ValueError
        It has no scheme or another one than http and https, no host, no usable port, or a query, or it ends
        in one of the server's routes. The message shows the address without its password.
    """
    text = address.strip()
    if not text:
        raise ValueError(f"{address!r} is empty; expected an address such as {_EXAMPLE}")
    reason = _why_unusable(text)
    if reason is not None:
        raise ValueError(f"{_without_password(text)!r} {reason}; expected an address such as {_EXAMPLE}")
    return text.rstrip("/")


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
