"""API keys: who may use which route. A route is closed unless its `opt` says otherwise."""

import hmac
from collections.abc import Sequence
from hashlib import sha256
from typing import Any

from litestar.connection import ASGIConnection
from litestar.handlers import BaseRouteHandler

from inference_server.errors import Forbidden, Unauthorised

_ACCESS = "access"
OPEN = {_ACCESS: "open"}
"""For the `opt` of a route that answers anybody, and so may tell nothing that is worth a key."""
ADMIN = {_ACCESS: "admin"}
"""For the `opt` of a route that answers admin keys alone."""


class KeyGuard:
    """A Litestar guard that asks for a bearer key on every route that is not open.

    Parameters
    ----------
    api_keys
        Keys that may use every route but those for admins; without any, those routes need no key.
    admin_keys
        Keys that may use every route; without any, routes for admins answer nobody.
    """

    def __init__(self, api_keys: Sequence[str], admin_keys: Sequence[str]) -> None:
        self._keyless = not api_keys
        # Digests are of one length, so that a comparison's time does not tell a key's.
        self._api_keys = [_digest(key.encode()) for key in api_keys]
        self._admin_keys = [_digest(key.encode()) for key in admin_keys]

    async def __call__(
        self, connection: ASGIConnection[Any, Any, Any, Any], handler: BaseRouteHandler
    ) -> None:
        """Let a request pass.

        Raises
        ------
        Unauthorised
            If the route needs a key and none of the right kind of ours was given.
        Forbidden
            If it needs an admin key, and the one given is an ordinary one or there are no admin keys.
        """
        access = handler.opt.get(_ACCESS)
        if access == "open":
            return
        given = _bearer(connection.headers.get("authorization", ""))
        if access == "admin":
            if not self._admin_keys:
                raise Forbidden("this server has no admin key: set KRONOS_ADMIN_KEYS and restart it")
            if _is_one_of(given, self._admin_keys):
                return
            if _is_one_of(given, self._api_keys):
                raise Forbidden("this API key may ask for forecasts; this route needs an admin key")
            raise Unauthorised
        if not self._keyless and not _is_one_of(given, [*self._api_keys, *self._admin_keys]):
            raise Unauthorised


def _bearer(header: str) -> bytes | None:
    """Return the digest of the key in an Authorization header."""
    scheme, _, key = header.partition(" ")
    return _digest(key.strip().encode("latin-1")) if scheme.lower() == "bearer" else None


def _is_one_of(given: bytes | None, keys: Sequence[bytes]) -> bool:
    """Compare with every key, each in constant time, whichever is the right one."""
    return given is not None and sum([hmac.compare_digest(given, key) for key in keys]) > 0


def _digest(key: bytes) -> bytes:
    return sha256(key).digest()
