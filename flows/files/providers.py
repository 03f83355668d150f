"""Gives the rows of data providers the names of our columns: calendars of four providers, candles of many."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

import polars as pl

from flows.events.config import FAMILIES, RATE, EventConfig, EventError, load_config
from flows.events.titles import currency_of, normal_title
from flows.files.errors import TableError
from flows.files.figures import with_figures

_FIGURES: Final = ("actual", "forecast", "previous")
_IMPACTS: Final = {"1": "low", "2": "medium", "3": "high"}
_SHOWN: Final = 5  # unreadable figures that a note lists


@dataclass(frozen=True)
class CalendarProvider:
    """How a provider names the columns of its calendar.

    Attributes
    ----------
    name
        What the column `source` is set to.
    columns
        Our names, by the provider's; its other columns are dropped.
    marks
        Columns by which its rows are recognised.
    all_day
        Column that is 1 where only the date of an event is known.
    """

    name: str
    columns: Mapping[str, str]
    marks: frozenset[str]
    all_day: str | None = None


_COMMON: Final = {"country": "country", "impact": "impact", "actual": "actual", "previous": "previous"}
CALENDARS: Final = (
    CalendarProvider(
        "finnhub",
        {**_COMMON, "time": "event_time", "event": "title", "estimate": "forecast", "prev": "previous"},
        frozenset({"time", "event", "country"}),
    ),
    CalendarProvider(
        "fmp",
        {**_COMMON, "date": "event_time", "event": "title", "currency": "currency", "estimate": "forecast"},
        frozenset({"date", "event", "country"}),
    ),
    CalendarProvider(
        "tradingeconomics",
        {
            "Date": "event_time",
            "Event": "title",
            "Country": "country",
            "Importance": "impact",
            "Actual": "actual",
            "Forecast": "forecast",
            "Previous": "previous",
        },
        frozenset({"Date", "Event", "Country"}),
        all_day="DateSpan",
    ),
    CalendarProvider(  # its column country holds the currency
        "forexfactory",
        {**_COMMON, "country": "currency", "date": "event_time", "title": "title", "forecast": "forecast"},
        frozenset({"date", "title", "country"}),
    ),
)

_CANDLE_NAMES: Final[Mapping[str, tuple[str, ...]]] = {
    "symbol": ("symbol", "ticker"),
    "ts": ("ts", "timestamp", "timestamps", "time", "datetime", "date", "t", "open_time", "opentime"),
    "open": ("open", "o"),
    "high": ("high", "h"),
    "low": ("low", "l"),
    "close": ("close", "c"),
    "volume": ("volume", "v", "vol"),
    "amount": ("amount", "turnover", "quote_volume"),
}


def calendar_provider(frame: pl.DataFrame) -> CalendarProvider | None:
    """Return the provider whose columns a calendar has; None for our own columns and unknown ones."""
    if "event_time" in frame.columns:
        return None
    present = set(frame.columns)
    return next((provider for provider in CALENDARS if provider.marks <= present), None)


def provider_calendar(frame: pl.DataFrame, provider: CalendarProvider) -> tuple[pl.DataFrame, list[str]]:
    """Return a provider's calendar with our columns, and notes on figures that could not be read.

    A row without a currency gets that of its country. The type of an event follows from currency and title,
    as the event configuration lists them: a family, ``rate_decision``, else ``other``.

    Raises
    ------
    TableError
        The event configuration can't be read.
    """
    known = {theirs: ours for theirs, ours in provider.columns.items() if theirs in frame.columns}
    rows = frame.select(list(known)).rename(known)
    if provider.all_day in frame.columns:
        date_only = frame[provider.all_day].cast(pl.String) == "1"
        rows = rows.with_columns(time_known=pl.when(date_only).then(pl.lit(False)))
    rows, unreadable = with_figures(rows, _FIGURES)
    if "currency" not in rows.columns:
        rows = rows.with_columns(currency=pl.lit(None, pl.String))
    currencies = [
        currency_of(currency, None if country is None else str(country))
        for currency, country in zip(
            rows["currency"].to_list(),
            rows["country"].to_list() if "country" in rows.columns else [None] * rows.height,
            strict=True,
        )
    ]
    types = event_types(currencies, rows["title"].to_list())
    rows = rows.with_columns(
        currency=pl.Series(currencies, dtype=pl.String),
        event_type=pl.Series(types, dtype=pl.String),
        source=pl.lit(provider.name),
    )
    if "impact" in rows.columns:
        impact = pl.col("impact").cast(pl.String).str.to_lowercase()
        rows = rows.with_columns(impact=impact.replace(_IMPACTS))
    notes = []
    if unreadable:
        shown = ", ".join(repr(text) for text in unreadable[:_SHOWN])
        more = f" and {len(unreadable) - _SHOWN} more" if len(unreadable) > _SHOWN else ""
        notes = [f"figures that are no numbers are left out: {shown}{more}"]
    return rows, notes


def event_types(currencies: list[str | None], titles: list[str | None]) -> list[str]:
    """Return the type of each event: its family, ``rate_decision``, or ``other``.

    Raises
    ------
    TableError
        The event configuration can't be read.
    """
    try:
        config = load_config()
    except EventError as error:
        raise TableError(str(error)) from None
    names = list(config.series)
    return [
        _event_type(config, names, currency, title)
        for currency, title in zip(currencies, titles, strict=True)
    ]


def _event_type(config: EventConfig, names: list[str], currency: str | None, title: str | None) -> str:
    memberships = config.memberships.get((currency or "", normal_title(title or "")), [])
    series = [names[membership.series] for membership in memberships]
    family = next((name for name in series if name in FAMILIES), None)
    if family is not None:
        return family
    return "rate_decision" if any(name.startswith(RATE) for name in series) else "other"


def provider_candles(frame: pl.DataFrame) -> pl.DataFrame:
    """Return candles whose columns have another provider's names with ours; other columns are dropped.

    Names are compared without regard to case: ``Datetime``, ``t`` and ``open_time`` are times, ``o`` is an
    open. A frame that has our own names, or lacks one of the five that a candle needs, is returned unchanged.
    """
    present = set(frame.columns)
    if {"open", "high", "low", "close"} <= present and present & {"ts", "timestamp"}:
        return frame
    by_lower = {name.lower(): name for name in reversed(frame.columns)}
    found = {
        ours: by_lower[theirs]
        for ours, names in _CANDLE_NAMES.items()
        if (theirs := next((name for name in names if name in by_lower), None)) is not None
    }
    if not {"ts", "open", "high", "low", "close"} <= set(found):
        return frame
    return frame.select(pl.col(theirs).alias(ours) for ours, theirs in found.items())
