"""Injects faults into the server under load; counts the clients' outcomes and the resources left in use."""

import asyncio
import contextlib
import signal
import tempfile
from collections import Counter
from pathlib import Path

import httpx
import polars as pl

from benchmarks.load import servers
from benchmarks.load.bodies import encoded, forecast
from benchmarks.load.servers import Running
from benchmarks.load.steady import HEADERS, asking, outcome
from benchmarks.market import hourly_candles
from benchmarks.models import bundle
from flows.load import load_candles
from sql.connect import connect
from sql.embedded import server as embedded
from sql.migrate import migrate

CLIENTS = 8
SECONDS = 8.0
LEAVING, SLOW, OVERSIZE, RELOADS = 200, 50, 200, 3
LARGEST_BODY = 2**20
BODY_TIMEOUT_S = 3
RELEASED_WITHIN_S = 30.0
LONG = 120

FaultResult = tuple[str, dict[str, Counter[str]]]


def measure(size: str) -> str:
    """The table, a row for each fault."""
    rows = ["| fault | effect | outcomes of the other clients | left in use |", "|---|---|---|---|"]
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        folder.chmod(0o711)  # as root, the account that runs Postgres passes through
        url = embedded.start(folder / "postgres")
        try:
            with connect(url, autocommit=True) as connection:
                migrate(connection)
                load_candles(
                    connection, hourly_candles("BTC-USD")[:1000].with_columns(symbol=pl.lit("BTC-USD")), "1h"
                )
            settings = {
                "DATABASE_URL": url,
                "KRONOS_DATABASE_TIMEOUT_S": 2,
                "KRONOS_MAX_BODY_BYTES": LARGEST_BODY,
                "KRONOS_BODY_TIMEOUT_S": BODY_TIMEOUT_S,
            }
            with servers.this_server(bundle(size), folder / "log", **settings) as running:
                for title, fault in (
                    (f"{LEAVING} clients disconnect mid-request", _leave(running)),
                    (f"{SLOW} bodies sent too slowly", _slow(running)),
                    (f"{OVERSIZE} bodies over the limit", _flood(running)),
                    ("Postgres stops and comes back", _outage(running, folder / "postgres")),
                    (f"{RELOADS} reloads of the bundle", _reload(running)),
                    ("SIGTERM", _terminate(running)),
                ):
                    effect, outcomes = asyncio.run(fault)
                    rows.append(f"| {title} | {effect} | {_shown(outcomes)} | {_in_use(running)} |")
        finally:
            embedded.stop(folder / "postgres")
    note = (
        f"{size}; {CLIENTS} clients send requests without pause. Left in use: slots, cache bytes and "
        f"waiting jobs by the server's own metrics, at most {RELEASED_WITHIN_S:g} s after the last client."
    )
    return "\n".join([*rows, "", note])


async def _leave(running: Running) -> FaultResult:
    content = encoded(forecast(LONG, sample_count=4))

    async def go(number: int) -> None:
        _, writer = await _connected(running)
        writer.write(_head(len(content)) + content)
        await writer.drain()
        await asyncio.sleep(0.02 * (number % 50))
        writer.transport.abort()

    async with asking(running.url, CLIENTS, forecast()) as outcomes:
        await asyncio.gather(*(go(number) for number in range(LEAVING)))
        await asyncio.sleep(SECONDS / 4)
    return f"{running.figure('kronos_requests_total', outcome='gone'):.0f} counted as gone", outcomes


async def _slow(running: Running) -> FaultResult:
    answers: Counter[str] = Counter()

    async def go() -> None:
        reader, writer = await _connected(running)
        answer = asyncio.create_task(_status(reader))
        writer.write(_head(10_000))
        while not answer.done():
            writer.write(b" ")
            await asyncio.wait({answer}, timeout=0.4)
        answers[await answer] += 1
        writer.transport.abort()

    async with asking(running.url, CLIENTS, forecast()) as outcomes:
        await asyncio.gather(*(go() for _ in range(SLOW)))
    return _counts(answers), outcomes


async def _flood(running: Running) -> FaultResult:
    answers: Counter[str] = Counter()
    before = running.memory_mb()

    async def go(number: int) -> None:
        reader, writer = await _connected(running)
        answer = asyncio.create_task(_status(reader))
        part = b" " * 2**16
        chunked = number % 2 == 1
        writer.write(_head(None) if chunked else _head(4 * LARGEST_BODY))
        with contextlib.suppress(ConnectionError):
            for _ in range(4 * LARGEST_BODY // len(part)):
                writer.write(b"%x\r\n%s\r\n" % (len(part), part) if chunked else part)
                await writer.drain()
        answers[await answer] += 1
        writer.transport.abort()

    async with asking(running.url, CLIENTS, forecast()) as outcomes:
        for first in range(0, OVERSIZE, 50):
            await asyncio.gather(*(go(first + number) for number in range(50)))
    return f"{_counts(answers)}; memory {before:.0f} → {running.memory_mb():.0f} MB", outcomes


async def _outage(running: Running, folder: Path) -> FaultResult:
    stored = {name: value for name, value in forecast().items() if name != "candles"}
    async with asking(running.url, CLIENTS, forecast(), stored) as outcomes:
        await asyncio.sleep(SECONDS / 4)
        await asyncio.to_thread(embedded.stop, folder)
        await asyncio.sleep(SECONDS / 2)
        await asyncio.to_thread(embedded.start, folder)
        await asyncio.sleep(SECONDS / 4)
        async with httpx.AsyncClient(base_url=running.url, timeout=600, headers=HEADERS) as client:
            after = outcome(await client.post("/predict", content=encoded(stored)))
    return f"after it: {after}", outcomes


async def _reload(running: Running) -> FaultResult:
    answers: Counter[str] = Counter()
    key = {"Authorization": f"Bearer {servers.ADMIN_KEY}"}
    async with (
        asking(running.url, CLIENTS, forecast()) as outcomes,
        httpx.AsyncClient(base_url=running.url, timeout=600, headers=key) as client,
    ):
        for _ in range(RELOADS):
            answers[outcome(await client.post("/admin/reload"))] += 1
    return _counts(answers), outcomes


async def _terminate(running: Running) -> FaultResult:
    async with asking(running.url, CLIENTS, forecast(LONG)) as outcomes:
        await asyncio.sleep(SECONDS / 4)
        running.process.send_signal(signal.SIGTERM)
        code = await asyncio.to_thread(running.process.wait)
    return f"exit code {code}", outcomes


async def _connected(running: Running) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    address = httpx.URL(running.url)
    return await asyncio.open_connection(address.host, address.port)


def _head(length: int | None) -> bytes:
    size = "Transfer-Encoding: chunked" if length is None else f"Content-Length: {length}"
    return f"POST /predict HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n{size}\r\n\r\n".encode()


async def _status(reader: asyncio.StreamReader) -> str:
    """The status of the answer, read while the request is still being written."""
    try:
        answer = await asyncio.wait_for(reader.read(1000), 60)
    except (ConnectionError, TimeoutError):
        answer = b""
    return answer[9:12].decode() or "no answer"


def _in_use(running: Running) -> str:
    """Slots, cache bytes and jobs in use; waits up to `RELEASED_WITHIN_S` until there are none."""
    if running.process.poll() is not None:
        return "–"
    names = ("kronos_slots_used", "kronos_cache_used_bytes", "kronos_queue_jobs")
    held: list[float] = []
    for _ in range(int(RELEASED_WITHIN_S)):
        held = [running.figure(name) for name in names]
        if not any(held):
            return "nothing"
        asyncio.run(asyncio.sleep(1))
    return ", ".join(f"{name} {value:.0f}" for name, value in zip(names, held, strict=True))


def _counts(counts: Counter[str]) -> str:
    return ", ".join(f"{count} × {name}" for name, count in sorted(counts.items())) or "none"


def _shown(outcomes: dict[str, Counter[str]]) -> str:
    if len(outcomes) == 1:
        return _counts(*outcomes.values())
    return "; ".join(f"{kind}: {_counts(counts)}" for kind, counts in outcomes.items())
