"""Reads candles and instruments from Postgres, and runs the queries of the page."""

import asyncio
import logging
import sys
import time
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from copy import copy
from typing import Any

import numpy as np
import psycopg
from psycopg.rows import TupleRow
from psycopg_pool import AsyncConnectionPool

from inference_server.errors import DatabaseUnavailable, NoDatabase
from inference_server.forecast.aggregated_windows import aggregated_windows
from inference_server.forecast.windows import Window
from inference_server.metrics import Metrics
from market.aliases import with_aliases, with_packaged
from market.closed_candles import STILL_OPEN
from market.instruments import Instrument, default_instruments
from market.timeframes import CANDLE_TABLE
from market.times import aware, instants
from sql.connect import connection_settings, normalise_url
from sql.errors import DatabaseError, one_line
from sql.loading import load, load_for_table

log = logging.getLogger(__name__)

INSTRUMENTS_KEPT_S = 60.0
FAILURE_KEPT_S = 5.0


class CandleStore:
    """A pool of connections to the database; without a database every read raises `NoDatabase`.

    Parameters
    ----------
    locate
        Returns the database's URL, or None where there is none; may block, and runs in a thread.
    timeout_s
        Seconds after which a connection or a query is abandoned.
    connections
        The most connections held.
    metrics
        Times every read.
    """

    def __init__(
        self, locate: Callable[[], str | None], timeout_s: float, connections: int, metrics: Metrics
    ) -> None:
        self._locate = locate
        self._timeout_s = timeout_s
        self._connections = connections
        self._metrics = metrics
        self._pool: AsyncConnectionPool[psycopg.AsyncConnection[TupleRow]] | None = None
        self._opening = asyncio.Lock()
        self._instruments: dict[str, Instrument] = {}
        self._instruments_due = 0.0
        self._instruments_failure: DatabaseUnavailable | None = None
        self._refreshing: asyncio.Task[None] | None = None

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Open the pool in the background, so that a problem is logged early; close it at the end."""
        opening = asyncio.create_task(self._open_early())
        try:
            yield
        finally:
            opening.cancel()
            if self._refreshing is not None:
                self._refreshing.cancel()
            if self._pool is not None:
                await self._pool.close()

    async def instruments(self) -> dict[str, Instrument]:
        """Return the packaged instruments overridden by those of the table, at most a minute old.

        They are found by symbol and by alias.

        Raises
        ------
        DatabaseUnavailable
            If there is no database, or it does not answer; the error is repeated for some seconds, so that
            requests that do not need the database are not delayed by one timeout each.
        """
        if time.monotonic() < self._instruments_due:
            if self._instruments_failure is not None:
                # The same error, raised again and again, would keep all callers' frames and their requests.
                raise copy(self._instruments_failure)
            return self._instruments
        try:
            rows = await self.rows(load("instruments"), {})
        except DatabaseUnavailable as failure:
            self._instruments_failure = copy(failure)
            self._instruments_due = time.monotonic() + FAILURE_KEPT_S
            raise
        stored = {symbol: Instrument(symbol, *about) for symbol, *about, _ in rows}
        self._instruments = with_aliases(with_packaged(stored))
        self._instruments_failure = None
        self._instruments_due = time.monotonic() + INSTRUMENTS_KEPT_S
        return self._instruments

    def instruments_at_hand(self) -> Mapping[str, Instrument]:
        """Return the instruments that were read last, or the packaged ones, without waiting.

        They are refreshed in the background once they are a minute old. For purposes that must not depend on
        whether the database answers, such as warnings about the candles of a request.
        """
        done = self._refreshing is None or self._refreshing.done()
        if done and time.monotonic() >= self._instruments_due:
            self._refreshing = asyncio.create_task(self._refresh())
        return self._instruments or default_instruments()

    async def latest(
        self, symbols: Sequence[str], timeframe: str, lookback: int, before: np.datetime64
    ) -> dict[str, Window]:
        """Return the last candles of several symbols that began before an instant.

        Those of symbols that the timeframe's table lacks are aggregated from a finer timeframe
        (`market.aggregation`); the others are read in one query.

        Returns
        -------
        dict
            By symbol, up to `lookback` + `STILL_OPEN` candles, NaN where a value is NULL; symbols without
            candles are absent.

        Raises
        ------
        DatabaseUnavailable
            If there is no database, or it does not answer.
        """
        count = lookback + STILL_OPEN
        parameters = {"symbols": list(symbols), "n": count, "before": aware(before)}
        by_symbol: dict[str, list[TupleRow]] = {}
        for row in await self.rows(load_for_table("candles", CANDLE_TABLE[timeframe]), parameters):
            by_symbol.setdefault(row[0], []).append(row)
        lacking = [symbol for symbol in symbols if symbol not in by_symbol]
        aggregated = await self.aggregated(lacking, timeframe, count, before)
        return {symbol: _window(rows) for symbol, rows in by_symbol.items()} | aggregated

    async def aggregated(
        self, symbols: Sequence[str], timeframe: str, count: int, before: np.datetime64
    ) -> dict[str, Window]:
        """Return the last candles of symbols, aggregated from those of a finer timeframe.

        Raises
        ------
        DatabaseUnavailable
            If there is no database, or it does not answer.
        """
        if not symbols:
            return {}
        known = await self.instruments()
        instruments = {symbol: known[symbol] for symbol in symbols if symbol in known}
        return await aggregated_windows(self.rows, instruments, timeframe, count, before)

    async def _refresh(self) -> None:
        with suppress(DatabaseUnavailable):  # logged and stored by `instruments`
            await self.instruments()

    async def _open_early(self) -> None:
        try:
            await self._pool_or_reason()
        except DatabaseUnavailable as error:
            log.warning("only requests with inline candles are answered: %s", error)

    async def _pool_or_reason(self) -> AsyncConnectionPool[psycopg.AsyncConnection[TupleRow]]:
        """Return the pool; locate the database again if there was none, one caller at a time."""
        async with self._opening:
            if self._pool is None:
                url = await self._url()
                # No connections, and no log lines about failing ones, without requests; a later request
                # reconnects at once instead of waiting for a long back-off.
                pool: AsyncConnectionPool[psycopg.AsyncConnection[TupleRow]] = AsyncConnectionPool(
                    url,
                    kwargs=connection_settings(url),
                    min_size=0,
                    max_size=self._connections,
                    timeout=self._timeout_s,
                    reconnect_timeout=self._timeout_s,
                    check=AsyncConnectionPool.check_connection,
                    open=False,
                )
                await pool.open()
                self._pool = pool
            return self._pool

    async def _url(self) -> str:
        try:
            url = await asyncio.to_thread(self._locate)
        except DatabaseError as error:
            log.warning("no database: %s", error)
            raise DatabaseUnavailable(
                "the database's address cannot be used; the server's log tells why"
            ) from error
        if url is None:
            raise NoDatabase(
                "this server has no database: send candles inline, or set DATABASE_URL and restart it"
            )
        return url

    async def rows(self, query: Any, parameters: dict[str, Any]) -> list[TupleRow]:
        """Return the rows of a query; readers of other tables share the pool and its errors.

        Raises
        ------
        DatabaseUnavailable
            If there is no database, it lacks a table or a column, or it does not answer in time.
        """
        try:
            async with asyncio.timeout(self._timeout_s):
                pool = await self._pool_or_reason()
                with self._metrics.database_read():
                    async with pool.connection() as connection, connection.cursor(binary=True) as cursor:
                        await cursor.execute(query, parameters)
                        return await cursor.fetchall()
        except (psycopg.errors.UndefinedTable, psycopg.errors.UndefinedColumn) as error:
            log.error("the database lacks a table or a column: %s", one_line(error))
            raise DatabaseUnavailable(
                "the database lacks its tables or columns; apply the migrations with `python -m sql migrate`"
            ) from error
        except (psycopg.Error, TimeoutError, OSError) as error:
            log.warning("database read failed: %s", one_line(error))
            raise DatabaseUnavailable(
                "the database does not answer; requests with inline candles still work"
            ) from error


def find_database(url: str | None) -> str | None:
    """Return the configured URL, or that of the embedded Postgres if its data folder exists, or None.

    Raises
    ------
    DatabaseError
        If the URL is not a Postgres URL, or the embedded Postgres can't start.
    """
    if url is not None:
        return normalise_url(url)
    if sys.platform == "win32":  # the embedded Postgres needs fcntl
        return None
    from sql.embedded import server as embedded

    return embedded.start() if (embedded.data_folder() / "data").exists() else None


def _window(rows: list[TupleRow]) -> Window:
    """Return one symbol's rows (symbol, ts, six features) as a window; NULL becomes NaN."""
    features = np.array([row[2:8] for row in rows], dtype=np.float64)
    return Window(features, instants(row[1] for row in rows))
