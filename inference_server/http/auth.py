"""Checks API keys. A route requires a key unless its `opt` says otherwise."""

import hmac
from collections.abc import Sequence
from hashlib import sha256
from typing import Any

from litestar.connection import ASGIConnection
from litestar.handlers import BaseRouteHandler

from inference_server.errors import Forbidden, Unauthorised

_ACCESS = "access"
OPEN = {_ACCESS: "open"}
"""For the `opt` of a route that needs no key, and so must not return anything confidential."""
ADMIN = {_ACCESS: "admin"}
"""For the `opt` of a route that requires an admin key."""


class KeyGuard:
    """A Litestar guard that requires a bearer key on every route that is not open.

    Parameters
    ----------
    api_keys
        Keys for every route except those for admins; without any, those routes need no key.
    admin_keys
        Keys for every route; without any, routes for admins are closed.
    """

    def __init__(self, api_keys: Sequence[str], admin_keys: Sequence[str]) -> None:
        self._keyless = not api_keys
        # Digests have equal lengths, so that the time of a comparison does not reveal that of a key.
        self._api_keys = [_digest(key.encode()) for key in api_keys]
        self._admin_keys = [_digest(key.encode()) for key in admin_keys]

    async def __call__(
        self, connection: ASGIConnection[Any, Any, Any, Any], handler: BaseRouteHandler
    ) -> None:
        """Check the key of a request.

        Raises
        ------
        Unauthorised
            If the route requires a key, and the request has none or an unknown one.
        Forbidden
            If it requires an admin key, and the request has an ordinary one or there are no admin keys.
        """
        access = handler.opt.get(_ACCESS)
        if access == "open":
            return
        key = _bearer(connection.headers.get("authorization", ""))
        if access == "admin":
            if not self._admin_keys:
                raise Forbidden("this server has no admin key: set KRONOS_ADMIN_KEYS and restart it")
            if _is_one_of(key, self._admin_keys):
                return
            if _is_one_of(key, self._api_keys):
                raise Forbidden("this API key may ask for forecasts; this route needs an admin key")
            raise Unauthorised
        if not self._keyless and not _is_one_of(key, [*self._api_keys, *self._admin_keys]):
            raise Unauthorised


def _bearer(header: str) -> bytes | None:
    """Return the digest of the key in an Authorization header."""
    scheme, _, key = header.partition(" ")
    return _digest(key.strip().encode("latin-1")) if scheme.lower() == "bearer" else None


def _is_one_of(digest: bytes | None, keys: Sequence[bytes]) -> bool:
    """Compare with every key in constant time, without stopping at a match."""
    return digest is not None and sum([hmac.compare_digest(digest, key) for key in keys]) > 0


def _digest(key: bytes) -> bytes:
    return sha256(key).digest()
