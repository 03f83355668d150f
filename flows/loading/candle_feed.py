"""Loads the candles of a file or an address symbol by symbol: one that is refused stops no other."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

import polars as pl

from flows.files.candle_stamps import stamped_at_close
from flows.files.errors import TableError
from flows.files.named_candles import NamedCandles, named_candles
from flows.files.options import DEFAULT, ReadOptions
from flows.loading.candles import read_candle_file, store_candles
from flows.loading.completeness import days_of, why_shortened
from flows.loading.credentials import Credentials
from flows.loading.download import DownloadLimits
from flows.loading.history import FeedKey, FeedLoad, read_load, write_load
from flows.loading.rows import Loaded
from flows.loading.sources import Content, Item, named, read_item
from flows.runtime.instruments import known_instruments
from flows.runtime.run_database import RunDatabase
from market.aliases import symbol_of_aliases
from market.instruments import Instrument
from market.timeframes import CANDLE_TABLE, Timeframe


@dataclass(frozen=True)
class CandleFeed:
    """How the candles of a feed are read.

    Attributes
    ----------
    symbols
        Only these are loaded; None for all that it has.
    aliases
        The provider's names, by symbol.
    least_share
        See `flows.loading.completeness.why_shortened`.
    limits
        Of each download.
    force
        Whether files are loaded although they are unchanged.
    options
        How files are read where they leave it open.
    """

    timeframe: Timeframe
    symbols: frozenset[str] | None
    aliases: Mapping[str, str]
    least_share: float
    limits: DownloadLimits
    force: bool
    options: ReadOptions = DEFAULT

    @property
    def read_as(self) -> dict[str, Any]:
        """The settings that decide which rows an unchanged feed becomes."""
        return {
            "symbols": None if self.symbols is None else sorted(self.symbols),
            "aliases": dict(self.aliases),
            **self.options.as_json(),
        }


@dataclass(frozen=True)
class CandleOutcome:
    """What a load made of the candles of a symbol: rows, or the reason why there are none.

    Attributes
    ----------
    symbol
        Name of the file or address where it is not known whose candles it has.
    loaded
        None where the file is unchanged, or `error` says why it is refused.
    last
        The open of the newest candle that was loaded, in UTC.
    """

    symbol: str
    loaded: Loaded | None = None
    error: str | None = None
    last: str | None = None


def load_candle_item(
    database: RunDatabase, item: Item, feed: CandleFeed, credentials: Credentials
) -> list[CandleOutcome]:
    """Read candles and store those of each symbol in a transaction of their own.

    Raises
    ------
    TableError
        It is no table, or nothing says whose candles they are; nothing is stored then.
    SourceUnavailable, DatabaseError, psycopg.Error
        The feed or the database can't be reached; another try may succeed.
    """
    with database.connection() as connection:
        known = known_instruments(connection)
        names = symbol_of_aliases(known)
        own_symbol = None if item.symbol is None else names.get(item.symbol, item.symbol)
        key = FeedKey(CANDLE_TABLE[feed.timeframe], item.source, own_symbol or "")
        before = read_load(connection, key)
    try:
        version = {} if feed.force else before.version
        content = read_item(item, credentials, feed.limits, version, _read_as(feed, known))
        if content is None:
            requested = own_symbol is None or feed.symbols is None or own_symbol in feed.symbols
            return [CandleOutcome(own_symbol or item.name)] if requested else []
        candles = _with_symbols(named_candles(content.frame, feed.options), item, feed)
    except TableError as error:
        raise credentials.without_secrets(named(error, item)) from None
    outcomes = [
        _load_symbol(database, item, feed, known, symbol, replace(candles, frame=part), content, own_symbol)
        for symbol, part in _by_symbol(candles.frame, names).items()
        if feed.symbols is None or symbol in feed.symbols
    ]
    stored = {outcome.symbol for outcome in outcomes if outcome.error is None}
    if len(stored) == len(outcomes) and own_symbol not in stored:
        with database.connection() as connection:
            write_load(connection, key, FeedLoad(content.version))
    return [_without_secrets(outcome, credentials) for outcome in outcomes]


def _read_as(feed: CandleFeed, known: Mapping[str, Instrument]) -> dict[str, Any]:
    """Return what decides which rows an unchanged feed becomes: its settings and the instruments'."""
    of_instruments = {
        "stamped_at_close": sorted(stamped_at_close(known)),
        "aliases_of_instruments": symbol_of_aliases(known),
    }
    return feed.read_as | {name: value for name, value in of_instruments.items() if value}


def _without_secrets(outcome: CandleOutcome, credentials: Credentials) -> CandleOutcome:
    if outcome.error is None:
        return outcome
    return replace(outcome, error=str(credentials.without_secrets(TableError(outcome.error))))


def _with_symbols(candles: NamedCandles, item: Item, feed: CandleFeed) -> NamedCandles:
    """Return candles with a column `symbol` that has our names.

    Raises
    ------
    TableError
        Nothing says whose candles they are.
    """
    frame = candles.frame
    if item.url is not None and item.symbol is not None:  # requested for one symbol, by the provider's name
        return replace(candles, frame=frame.with_columns(symbol=pl.lit(item.symbol)))
    if "symbol" not in frame.columns:
        symbol = item.symbol
        if symbol is None and feed.symbols is not None and len(feed.symbols) == 1:
            (symbol,) = feed.symbols
        if symbol is None:
            raise TableError(
                "it has no column symbol; give one symbol, a folder with a file for each, or an address with "
                "{symbol}"
            )
        return replace(candles, frame=frame.with_columns(symbol=pl.lit(symbol)))
    names = {name: symbol for symbol, name in feed.aliases.items()}
    symbols = pl.col("symbol").cast(pl.String).str.strip_chars().replace(names)
    return replace(candles, frame=frame.with_columns(symbols))


def _by_symbol(frame: pl.DataFrame, names: Mapping[str, str]) -> dict[str, pl.DataFrame]:
    """Return candles by symbol, those of an alias among those of the symbol that it stands for."""
    owner = frame["symbol"].cast(pl.String).replace(names).alias("_owner")
    parts = frame.with_columns(owner).partition_by(
        "_owner", as_dict=True, maintain_order=True, include_key=False
    )
    return {str(symbol): part for (symbol,), part in parts.items()}


def _load_symbol(
    database: RunDatabase,
    item: Item,
    feed: CandleFeed,
    known: Mapping[str, Instrument],
    symbol: str,
    candles: NamedCandles,
    content: Content,
    symbol_of_item: str | None,
) -> CandleOutcome:
    key = FeedKey(CANDLE_TABLE[feed.timeframe], item.source, symbol)
    try:
        file = read_candle_file(
            known, candles.frame, feed.timeframe, closed_by=content.written_at, options=candles.options
        )
        file = replace(file, notes=(*content.notes, *file.notes))
        days = days_of(file.rows["ts"])
        with database.connection() as connection:
            shortened = why_shortened(read_load(connection, key).days, days, feed.least_share)
            if shortened is not None:
                raise TableError(shortened)
            loaded = store_candles(connection, file, feed.timeframe, known)
            version = content.version if symbol == symbol_of_item else {}
            write_load(connection, key, FeedLoad(version, days))
    except TableError as error:
        return CandleOutcome(symbol, error=f"{item.name}: {error}")
    last: datetime = file.rows["ts"][-1]
    return CandleOutcome(symbol, loaded, last=f"{last:%Y-%m-%d %H:%M}")
