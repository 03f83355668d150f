"""Clients that go on asking while something happens to the server, and what each request came to."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import httpx

from benchmarks.load.bodies import encoded

HEADERS = {"Content-Type": "application/json"}
REFUSED, LOST = "not connected", "lost"
_PAUSE_S = 0.05


@asynccontextmanager
async def asking(url: str, clients: int, *bodies: dict[str, Any]) -> AsyncIterator[dict[str, Counter[str]]]:
    """Ask for the bodies in turn, until the block ends and the last answers are there.

    The outcomes are counted by where a body's candles come from: a status with the problem's name, `REFUSED`
    where there was no connection, `LOST` where one broke before the answer.
    """
    outcomes: dict[str, Counter[str]] = {_kind(body): Counter() for body in bodies}
    ended = asyncio.Event()
    limits = httpx.Limits(max_connections=clients)
    async with httpx.AsyncClient(base_url=url, timeout=600, headers=HEADERS, limits=limits) as client:
        tasks = [
            asyncio.create_task(_ask(client, bodies[number % len(bodies)], outcomes, ended))
            for number in range(clients)
        ]
        try:
            yield outcomes
        finally:
            ended.set()
            await asyncio.gather(*tasks)


async def _ask(
    client: httpx.AsyncClient,
    body: dict[str, Any],
    outcomes: dict[str, Counter[str]],
    ended: asyncio.Event,
) -> None:
    content, counted = encoded(body), outcomes[_kind(body)]
    while not ended.is_set():
        try:
            response = await client.post("/predict", content=content)
        except httpx.ConnectError:
            counted[REFUSED] += 1
            await asyncio.sleep(_PAUSE_S)
        except httpx.HTTPError:
            counted[LOST] += 1
        else:
            counted[outcome(response)] += 1
            if response.status_code >= 400:
                await asyncio.sleep(_PAUSE_S)


def outcome(response: httpx.Response) -> str:
    """An answer's status, with the name of the problem where it is one."""
    if response.is_success:
        return str(response.status_code)
    try:
        name = response.json()["type"].rpartition(":")[2]
    except (ValueError, KeyError):
        name = "no problem details"
    return f"{response.status_code} {name}"


def _kind(body: dict[str, Any]) -> str:
    return "inline" if body.get("candles") else "from the database"
