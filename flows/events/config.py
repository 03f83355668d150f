"""Reads the configuration of the event channels: ``events.toml`` or the user's own copy of it.

Three terms are used throughout this package:

- A *family* is one of the five releases of the United States that have a flag of their own: `FAMILIES`.
- A *kind* is a family, a rate decision of any tracked central bank, or earnings: `KINDS`.
- A *series* holds the rows of one repeated release. Each family has one, named like it; so has each central
  bank (`RATE` and its currency or name) and each symbol with earnings (`EARNINGS` and the symbol). Series
  are numbered: first those of the configuration, the families before all others.
"""

import os
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from importlib.resources import files
from pathlib import Path
from typing import Any, Final

import numpy as np

from flows.events.titles import normal_title
from market.instruments import Instrument
from market.times import instants
from market.types import DatetimeArray

FAMILIES: Final = ("fomc", "cpi", "nfp", "gdp", "pce")
LEADERS: Final = ("btc", "spy", "dxy", "vix")
KINDS: Final = (*FAMILIES, "rate_decision", "earnings")
RATE: Final = "rate_decision "  # and the currency or the bank: the name of a series
EARNINGS: Final = "earnings "  # and the symbol: the name of a series


class EventError(ValueError):
    """Event arrays cannot be built; the message says what was passed, what is expected and what to do."""


@dataclass(frozen=True)
class ReleaseTitles:
    """Titles of the calendar rows that belong to one family.

    Attributes
    ----------
    currency
        Of the rows.
    titles
        Rows that set the flag and the countdown.
    surprise
        Rows whose actual and forecast are the family's figures.
    dates
        Rows of other providers that set the flag and the countdown, but have other figures or none.
    """

    currency: str
    titles: tuple[str, ...]
    surprise: tuple[str, ...]
    dates: tuple[str, ...] = ()


@dataclass(frozen=True)
class Membership:
    """How the rows of one title belong to a series.

    Attributes
    ----------
    series
        Number of the series.
    rank
        Of the title within the series, from 0: of several rows of one release the lowest rank with a figure
        provides it.
    gives_figures
        Whether actual and forecast of the rows are the series' figures.
    """

    series: int
    rank: int
    gives_figures: bool


@dataclass(frozen=True)
class EventConfig:
    """Titles, leaders and unscheduled decisions from which the event channels are built.

    Attributes
    ----------
    releases
        By family, all of `FAMILIES`.
    rate_decisions
        Titles of the tracked central banks' decisions, by currency.
    leaders
        By role, all of `LEADERS`.
    unscheduled
        (n,) datetime64[us] UTC, sorted: times of central banks' unscheduled decisions, for calendars that
        don't mark them.
    aliases
        Other providers' titles of the same rows, by currency and title.
    """

    releases: Mapping[str, ReleaseTitles]
    rate_decisions: Mapping[str, tuple[str, ...]]
    leaders: Mapping[str, Instrument]
    unscheduled: DatetimeArray
    aliases: Mapping[str, Mapping[str, tuple[str, ...]]] = field(default_factory=dict)

    @cached_property
    def series(self) -> dict[str, int]:
        """Number of each series of the configuration, by name: the families, then the central banks."""
        names = *self.releases, *(RATE + currency for currency in self.rate_decisions)
        return {name: number for number, name in enumerate(names)}

    def names_of(self, currency: str, title: str) -> tuple[str, ...]:
        """Return a title, then other providers' titles of the same row."""
        return title, *self.aliases.get(currency, {}).get(title, ())

    @cached_property
    def memberships(self) -> dict[tuple[str, str], list[Membership]]:
        """The series that rows belong to, by currency and by title as `normal_title` returns it."""
        memberships: dict[tuple[str, str], list[Membership]] = {}
        for family, rows in self.releases.items():
            with_figures = set(self._names(rows.currency, rows.surprise))
            titles = self._names(rows.currency, (*rows.surprise, *rows.titles, *rows.dates))
            for rank, title in enumerate(titles):
                membership = Membership(self.series[family], rank, title in with_figures)
                memberships.setdefault((rows.currency, title), []).append(membership)
        for currency, decisions in self.rate_decisions.items():
            for rank, title in enumerate(self._names(currency, decisions)):
                membership = Membership(self.series[RATE + currency], rank, gives_figures=False)
                memberships.setdefault((currency, title), []).append(membership)
        return memberships

    def _names(self, currency: str, titles: tuple[str, ...]) -> list[str]:
        """Return the normal forms of titles, each followed by its aliases, without repetitions."""
        names = (normal_title(name) for title in titles for name in self.names_of(currency, title))
        return list(dict.fromkeys(names))

    @cached_property
    def titles(self) -> frozenset[str]:
        """Normal forms of all titles of all series."""
        return frozenset(title for _, title in self.memberships)


def load_config(path: Path | None = None) -> EventConfig:
    """Read a configuration: `path`, else the file that ``KRONOS_EVENTS_CONFIG`` names, else ``events.toml``.

    Raises
    ------
    EventError
        The file is missing, isn't TOML, or lacks one of the entries that ``events.toml`` has.
    """
    variable = os.environ.get("KRONOS_EVENTS_CONFIG")
    file = path or (Path(variable) if variable else files("flows.events").joinpath("events.toml"))
    try:
        text = file.read_text(encoding="utf-8")
        return _parse(tomllib.loads(text))
    except (OSError, tomllib.TOMLDecodeError, KeyError, TypeError, AttributeError) as error:
        raise EventError(
            f"event configuration {file}: {type(error).__name__}: {error}; "
            "expected a TOML file with every entry of flows/events/events.toml"
        ) from error


def _parse(content: dict[str, Any]) -> EventConfig:
    releases = {
        family: ReleaseTitles(
            entry["currency"],
            tuple(entry["titles"]),
            tuple(entry["surprise"]),
            tuple(entry.get("dates", ())),
        )
        for family, entry in ((family, content["releases"][family]) for family in FAMILIES)
    }
    leaders = {
        role: Instrument(entry["symbol"], "index", entry["calendar"])
        for role, entry in ((role, content["leaders"][role]) for role in LEADERS)
    }
    decisions = {currency: tuple(titles) for currency, titles in content["rate_decisions"].items()}
    unscheduled = np.sort(instants(content["unscheduled"]["decisions"]))
    aliases = {
        currency: {title: tuple(names) for title, names in entry.items()}
        for currency, entry in content.get("aliases", {}).items()
    }
    return EventConfig(releases, decisions, leaders, unscheduled, aliases)
