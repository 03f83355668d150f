"""Checks the Host header on a server without keys, against DNS rebinding.

A web page can let a name of its own point to 127.0.0.1 and so reach the server through its visitor's browser.
The browser then sends that name as Host.
"""

import re
from collections.abc import Sequence
from typing import Any

from litestar.connection import ASGIConnection
from litestar.handlers import BaseRouteHandler

from inference_server.addresses import is_loopback
from inference_server.errors import MisdirectedRequest

_WITH_PORT = re.compile(r"(\[[^\]]*\]|[^:\[\]]*)(:\d*)?", re.ASCII)


class HostGuard:
    """A Litestar guard that refuses requests whose Host is neither a loopback name nor an allowed one.

    Parameters
    ----------
    allowed
        Further host names without ports, such as that of a proxy in front of the server.
    """

    def __init__(self, allowed: Sequence[str]) -> None:
        self._allowed = frozenset(name.lower() for name in allowed)

    async def __call__(
        self, connection: ASGIConnection[Any, Any, Any, Any], handler: BaseRouteHandler
    ) -> None:
        """Check the Host of a request.

        Raises
        ------
        MisdirectedRequest
            If it is missing or not allowed.
        """
        host = connection.headers.get("host", "")
        match = _WITH_PORT.fullmatch(host)
        name = match[1].strip("[]").lower() if match is not None else ""
        if name not in self._allowed and not is_loopback(name):
            raise MisdirectedRequest(host)
