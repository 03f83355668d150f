"""Which calendar rows, leaders and exceptions the channels are made from: ``events.toml`` or one like it."""

import os
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import cached_property
from importlib.resources import files
from pathlib import Path
from typing import Any, Final

import numpy as np

from flows.events.titles import normal_title
from market.instruments import Instrument
from market.types import DatetimeArray

FAMILIES: Final = ("fomc", "cpi", "nfp", "gdp", "pce")
LEADERS: Final = ("btc", "spy", "dxy", "vix")
RATE: Final = "rate_decision "  # with the currency or bank: the series of one central bank's decisions


class EventError(ValueError):
    """Event arrays cannot be built: what was given, what is expected, what to do."""


@dataclass(frozen=True)
class ReleaseTitles:
    """How one family of releases is found.

    Attributes
    ----------
    titles
        Rows that set flag and countdown.
    surprise
        Rows whose actual and forecast are the family's figures.
    dates
        Other providers' rows that say when and not what: they set flag and countdown too.
    """

    currency: str
    titles: tuple[str, ...]
    surprise: tuple[str, ...]
    dates: tuple[str, ...] = ()


@dataclass(frozen=True)
class Place:
    """Where a row belongs.

    Attributes
    ----------
    series
        Number of its series.
    rank
        Of its title within the series: among rows of one release the figures of the lowest count.
    carries
        Its actual and forecast are the series' figures.
    """

    series: int
    rank: int
    carries: bool


@dataclass(frozen=True)
class EventConfig:
    """What the event channels are made from.

    Attributes
    ----------
    releases
        By family, all of `FAMILIES`.
    rate_decisions
        Titles of the tracked central banks' decisions, by currency.
    leaders
        By role, all of `LEADERS`.
    unscheduled
        (n,) datetime64[us] UTC, sorted: decisions of central banks that nobody expected. They count as
        unscheduled whatever the calendar says.
    aliases
        By currency and title, what other providers call the same row.
    """

    releases: Mapping[str, ReleaseTitles]
    rate_decisions: Mapping[str, tuple[str, ...]]
    leaders: Mapping[str, Instrument]
    unscheduled: DatetimeArray
    aliases: Mapping[str, Mapping[str, tuple[str, ...]]] = field(default_factory=dict)

    @cached_property
    def series(self) -> dict[str, int]:
        """Number of each series of releases: those of `releases`, then `RATE` with a currency."""
        names = *self.releases, *(RATE + currency for currency in self.rate_decisions)
        return {name: number for number, name in enumerate(names)}

    def names_of(self, currency: str, title: str) -> tuple[str, ...]:
        """Return a title and what other providers call the same row."""
        return title, *self.aliases.get(currency, {}).get(title, ())

    @cached_property
    def places(self) -> dict[tuple[str, str], list[Place]]:
        """Where a row belongs, by its currency and its title as `normal_title` gives it."""
        places: dict[tuple[str, str], list[Place]] = {}
        for family, found in self.releases.items():
            carrying = set(self._names(found.currency, found.surprise))
            every = self._names(found.currency, (*found.surprise, *found.titles, *found.dates))
            for rank, title in enumerate(every):
                place = Place(self.series[family], rank, title in carrying)
                places.setdefault((found.currency, title), []).append(place)
        for currency, titles in self.rate_decisions.items():
            for rank, title in enumerate(self._names(currency, titles)):
                place = Place(self.series[RATE + currency], rank, False)
                places.setdefault((currency, title), []).append(place)
        return places

    def _names(self, currency: str, titles: tuple[str, ...]) -> list[str]:
        """Return titles, each before its aliases, in their normal form and each once."""
        names = (normal_title(name) for title in titles for name in self.names_of(currency, title))
        return list(dict.fromkeys(names))

    @cached_property
    def titles(self) -> frozenset[str]:
        """Every title that is the key of a place."""
        return frozenset(title for _, title in self.places)


def load_config(path: Path | None = None) -> EventConfig:
    """Read a configuration: `path`, else the file named in ``KRONOS_EVENTS_CONFIG``, else the packaged one.

    Raises
    ------
    EventError
        The file is missing, isn't TOML, or lacks one of the entries that ``events.toml`` has.
    """
    named = os.environ.get("KRONOS_EVENTS_CONFIG")
    given = path or (Path(named) if named else files("flows.events").joinpath("events.toml"))
    try:
        text = given.read_text(encoding="utf-8")
        return _parse(tomllib.loads(text))
    except (OSError, tomllib.TOMLDecodeError, KeyError, TypeError, AttributeError) as error:
        raise EventError(
            f"event configuration {given}: {type(error).__name__}: {error}; "
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
    unscheduled = sorted(_utc(moment) for moment in content["unscheduled"]["decisions"])
    aliases = {
        currency: {title: tuple(names) for title, names in entry.items()}
        for currency, entry in content.get("aliases", {}).items()
    }
    return EventConfig(releases, decisions, leaders, np.array(unscheduled, dtype="datetime64[us]"), aliases)


def _utc(moment: datetime) -> datetime:
    return moment.astimezone(UTC).replace(tzinfo=None) if moment.tzinfo else moment
