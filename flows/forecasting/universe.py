"""Selects the instruments of a run: the active ones that have candles, or those requested by name."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any

import psycopg

from flows.runtime.instruments import known_instruments
from market.aliases import with_aliases
from market.instruments import Instrument
from market.similar_symbols import did_you_mean
from sql.loading import load


@dataclass(frozen=True)
class Universe:
    """The symbols of a run.

    Attributes
    ----------
    instruments
        Instruments to forecast, by symbol.
    unknown
        Requested symbols that are no known instruments, and what to do about each.
    skipped
        Active instruments without candles of this timeframe, if none were requested by name: an index with
        daily values only is no failure of the hourly run.
    """

    instruments: dict[str, Instrument]
    unknown: dict[str, str]
    skipped: dict[str, str]


def read_universe(connection: psycopg.Connection[Any], symbols: Sequence[str] | None) -> Universe:
    """Read the instruments of a run: the table's, and the packaged ones for names that the table lacks.

    Parameters
    ----------
    symbols
        Requested names, symbols or aliases, active or not; None for every active instrument of the table.

    Raises
    ------
    LookupError
        No symbols were requested and none is active.
    """
    if symbols is not None:
        known = with_aliases(known_instruments(connection))
        missing = "unknown instrument; add it to the table instruments with its asset class and calendar"
        return Universe(
            {known[name].symbol: known[name] for name in symbols if name in known},
            {symbol: missing + did_you_mean(symbol, known) for symbol in symbols if symbol not in known},
            {},
        )
    rows = connection.execute(load("instruments"))
    active = {symbol: Instrument(symbol, *about) for symbol, *about, is_active in rows if is_active}
    if not active:
        raise LookupError(
            "no instrument is active in the table instruments; load candles (python -m flows.load candles), "
            "set some active there, or ask for symbols by name"
        )
    return Universe(active, {}, {})


def skip_without_candles(universe: Universe, present: Collection[str], timeframe: str) -> Universe:
    """Move the instruments that have no candles, those that are not `present`, to `skipped`."""
    reason = f"no {timeframe} candles"
    return Universe(
        {symbol: known for symbol, known in universe.instruments.items() if symbol in present},
        universe.unknown,
        {symbol: reason for symbol in universe.instruments if symbol not in present},
    )
