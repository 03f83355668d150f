"""API keys: which route asks for one, which keys it takes, and what a refusal is."""

import asyncio
from types import SimpleNamespace
from typing import Any

import pytest

from inference_server.errors import Forbidden, ServiceError, Unauthorised
from inference_server.http.auth import ADMIN, OPEN, KeyGuard

KEYS, ADMIN_KEYS = ("first-key-of-many", "second-key-of-many"), ("key-of-the-operator",)
CLOSED: dict[str, str] = {}


def outcome(guard: KeyGuard, opt: dict[str, str], header: str | None) -> type[ServiceError] | None:
    connection: Any = SimpleNamespace(headers={} if header is None else {"authorization": header})
    route: Any = SimpleNamespace(opt=opt)
    try:
        asyncio.run(guard(connection, route))
    except ServiceError as refusal:
        return type(refusal)
    return None


@pytest.mark.parametrize(
    ("opt", "header", "expected"),
    [
        (OPEN, None, None),
        (OPEN, "Bearer wrong", None),
        (CLOSED, None, Unauthorised),
        (CLOSED, "", Unauthorised),
        (CLOSED, "Bearer", Unauthorised),
        (CLOSED, "Bearer ", Unauthorised),
        (CLOSED, "Bearer wrong", Unauthorised),
        (CLOSED, "Bearer first-key-of-man", Unauthorised),
        (CLOSED, "Bearer first-key-of-many,", Unauthorised),
        (CLOSED, "Bearer \xe9\xff", Unauthorised),
        (CLOSED, "Basic first-key-of-many", Unauthorised),
        (CLOSED, "first-key-of-many", Unauthorised),
        (CLOSED, "Bearer first-key-of-many", None),
        (CLOSED, "bearer  second-key-of-many ", None),
        (CLOSED, "Bearer key-of-the-operator", None),
        (ADMIN, None, Unauthorised),
        (ADMIN, "Bearer wrong", Unauthorised),
        (ADMIN, "Bearer first-key-of-many", Forbidden),
        (ADMIN, "Bearer key-of-the-operator", None),
    ],
)
def test_every_route_but_the_open_ones_needs_one_of_the_keys(
    opt: dict[str, str], header: str | None, expected: type[ServiceError] | None
) -> None:
    assert outcome(KeyGuard(KEYS, ADMIN_KEYS), opt, header) is expected


def test_without_keys_forecasts_are_open_and_admin_routes_closed() -> None:
    guard = KeyGuard((), ())
    assert outcome(guard, CLOSED, None) is None
    assert outcome(guard, CLOSED, "Bearer whatever") is None
    assert outcome(guard, ADMIN, None) is Forbidden
    assert outcome(guard, ADMIN, "Bearer ") is Forbidden
