"""Which names a server without keys answers to, so that no web page reads it through the user's browser.

A page of any site may send its visitor's browser to 127.0.0.1, under a name of its own that it lets point
there (DNS rebinding). The browser then sends that name as Host, which gives it away.
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
    """A Litestar guard that refuses requests whose Host is neither this machine nor a name that is allowed.

    Parameters
    ----------
    allowed
        Names beyond this machine's own, without ports; of a proxy in front, say.
    """

    def __init__(self, allowed: Sequence[str]) -> None:
        self._allowed = frozenset(name.lower() for name in allowed)

    async def __call__(
        self, connection: ASGIConnection[Any, Any, Any, Any], handler: BaseRouteHandler
    ) -> None:
        """Let a request pass.

        Raises
        ------
        MisdirectedRequest
            If its Host is another one, or missing.
        """
        given = connection.headers.get("host", "")
        match = _WITH_PORT.fullmatch(given)
        name = match[1].strip("[]").lower() if match is not None else ""
        if name not in self._allowed and not is_loopback(name):
            raise MisdirectedRequest(given)
