"""Gives the calendars of four data providers the names of our columns."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

import polars as pl

from flows.events.config import FAMILIES, RATE, EventConfig, EventError, load_config
from flows.events.titles import currency_of, normal_title
from flows.files.errors import TableError
from flows.files.time_columns import holds_dates

_IMPACTS: Final = {"1": "low", "2": "medium", "3": "high"}


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


def calendar_provider(frame: pl.DataFrame) -> CalendarProvider | None:
    """Return the provider whose columns a calendar has; None for our own columns and unknown ones."""
    if "event_time" in frame.columns or (
        {"date", "time"} <= set(frame.columns) and not holds_dates(frame["time"])
    ):
        return None
    present = set(frame.columns)
    return next((provider for provider in CALENDARS if provider.marks <= present), None)


def provider_calendar(frame: pl.DataFrame, provider: CalendarProvider) -> pl.DataFrame:
    """Return a provider's calendar with our columns; figures stay as they are.

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
    return with_event_types(rows).with_columns(source=pl.lit(provider.name))


def with_event_types(rows: pl.DataFrame) -> pl.DataFrame:
    """Complete a calendar that has titles: currencies, types of events, and the importance in words.

    A row without a currency gets that of its country. The type of an event follows from currency and title,
    as the event configuration lists them: a family, ``rate_decision``, else ``other``.

    Raises
    ------
    TableError
        The event configuration can't be read.
    """
    nothing = [None] * rows.height
    columns = [rows[name].to_list() if name in rows.columns else nothing for name in ("currency", "country")]
    currencies = [
        currency_of(currency, None if country is None else str(country))
        for currency, country in zip(*columns, strict=True)
    ]
    types = event_types(currencies, rows["title"].to_list())
    rows = rows.with_columns(
        currency=pl.Series(currencies, dtype=pl.String), event_type=pl.Series(types, dtype=pl.String)
    )
    if "impact" in rows.columns:
        impact = pl.col("impact").cast(pl.String).str.to_lowercase()
        rows = rows.with_columns(impact=impact.replace(_IMPACTS))
    return rows


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
