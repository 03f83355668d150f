"""Allows symbols with a slash (BTC/USDT, EUR/USD) in paths, percent-encoded or plain."""

from typing import Any
from urllib.parse import quote, unquote

from litestar import Request
from litestar.enums import ScopeType
from litestar.types import ASGIApp, Receive, Scope, Send

_PREFIXES = ("/candles/", "/predictions/")
_ENDINGS = frozenset({"history", "inputs", "chart.png"})


class SymbolPaths:
    """Wraps the application: Litestar routes by the decoded path, in which a symbol's slash would split it.

    The application gets the symbol percent-encoded once more; `decode_symbol` undoes that after routing.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] == ScopeType.HTTP:
            raw = scope.get("raw_path") or quote(scope["path"]).encode()
            path = raw.partition(b"?")[0].decode("latin-1")  # Litestar's test client adds the query
            scope["path"] = routable(path) or scope["path"]
        await self._app(scope, receive, send)


def routable(raw_path: str) -> str | None:
    """Return a path whose symbol is one component, or None for a path without a symbol.

    Parameters
    ----------
    raw_path
        The path as sent, percent-encoded. ``/predictions/BTC%2FUSDT/history`` and
        ``/predictions/BTC/USDT/history`` are equal; a symbol that ends in ``/history`` must be encoded.
    """
    for prefix in _PREFIXES:
        if not raw_path.startswith(prefix):
            continue
        symbol, slash, ending = raw_path.removeprefix(prefix).strip("/").rpartition("/")
        if not slash or prefix == "/candles/" or unquote(ending) not in _ENDINGS:
            symbol, ending = f"{symbol}{slash}{ending}", ""
        if not symbol:
            return None
        return f"{prefix}{quote(unquote(symbol), safe='')}" + (f"/{unquote(ending)}" if ending else "")
    return None


async def decode_symbol(request: Request[Any, Any, Any]) -> None:
    """Decode the symbol for the handler; the `before_request` hook of routes with a symbol in their path."""
    # A new dictionary: Litestar keeps the one it parsed for the next request to the same path.
    request.scope["path_params"] = {
        name: unquote(value) if isinstance(value, str) else value
        for name, value in request.scope["path_params"].items()
    }
