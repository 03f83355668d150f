"""Runs clients that send requests without pause during a fault, and counts the outcomes."""

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
    """Send the bodies in turn until the block ends, then wait for the last answers.

    The outcomes are counts by the source of a body's candles: a status with the problem's name, `REFUSED` if
    there was no connection, `LOST` if it broke before the answer.
    """
    outcomes: dict[str, Counter[str]] = {_kind(body): Counter() for body in bodies}
    stop = asyncio.Event()
    limits = httpx.Limits(max_connections=clients)
    async with httpx.AsyncClient(base_url=url, timeout=600, headers=HEADERS, limits=limits) as client:
        tasks = [
            asyncio.create_task(_ask(client, bodies[number % len(bodies)], outcomes, stop))
            for number in range(clients)
        ]
        try:
            yield outcomes
        finally:
            stop.set()
            await asyncio.gather(*tasks)


async def _ask(
    client: httpx.AsyncClient,
    body: dict[str, Any],
    outcomes: dict[str, Counter[str]],
    stop: asyncio.Event,
) -> None:
    content, counts = encoded(body), outcomes[_kind(body)]
    while not stop.is_set():
        try:
            response = await client.post("/predict", content=content)
        except httpx.ConnectError:
            counts[REFUSED] += 1
            await asyncio.sleep(_PAUSE_S)
        except httpx.HTTPError:
            counts[LOST] += 1
        else:
            counts[outcome(response)] += 1
            if response.status_code >= 400:
                await asyncio.sleep(_PAUSE_S)


def outcome(response: httpx.Response) -> str:
    """An answer's status, with the name of the problem if it is an error."""
    if response.is_success:
        return str(response.status_code)
    try:
        name = response.json()["type"].rpartition(":")[2]
    except (ValueError, KeyError):
        name = "no problem details"
    return f"{response.status_code} {name}"


def _kind(body: dict[str, Any]) -> str:
    return "inline" if body.get("candles") else "from the database"
