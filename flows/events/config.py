"""Which calendar rows, leaders and exceptions the channels are made from: ``events.toml`` or one like it."""

import os
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cached_property
from importlib.resources import files
from pathlib import Path
from typing import Any, Final

import numpy as np
import polars as pl

from inference_server.instruments import Instrument
from inference_server.time_grid import DatetimeArray

FAMILIES: Final = ("fomc", "cpi", "nfp", "gdp", "pce")
LEADERS: Final = ("btc", "spy", "dxy", "vix")
RATE: Final = "rate_decision "  # with the currency or bank: the series of one central bank's decisions


class EventError(ValueError):
    """Event arrays cannot be built: what was given, what is expected, what to do."""


@dataclass(frozen=True)
class ReleaseTitles:
    """How one family of releases is found: `titles` set flag and countdown, `surprise` carry the figures."""

    currency: str
    titles: tuple[str, ...]
    surprise: tuple[str, ...]


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
    """

    releases: Mapping[str, ReleaseTitles]
    rate_decisions: Mapping[str, tuple[str, ...]]
    leaders: Mapping[str, Instrument]
    unscheduled: DatetimeArray

    @cached_property
    def series(self) -> dict[str, int]:
        """Number of each series of releases: those of `releases`, then `RATE` with a currency."""
        names = *self.releases, *(RATE + currency for currency in self.rate_decisions)
        return {name: number for number, name in enumerate(names)}

    @cached_property
    def places(self) -> dict[tuple[str, str], list[tuple[int, bool]]]:
        """Numbers of the series of a row by its currency and title, and whether it carries their figures."""
        places: dict[tuple[str, str], list[tuple[int, bool]]] = {}
        for family, found in self.releases.items():
            for title in dict.fromkeys((*found.titles, *found.surprise)):
                place = self.series[family], title in found.surprise
                places.setdefault((found.currency, title), []).append(place)
        for currency, titles in self.rate_decisions.items():
            for title in titles:
                places.setdefault((currency, title), []).append((self.series[RATE + currency], False))
        return places

    @cached_property
    def titles(self) -> pl.Enum:
        """Every title that is the key of a place."""
        return pl.Enum(sorted({title for _, title in self.places}))


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
        family: ReleaseTitles(entry["currency"], tuple(entry["titles"]), tuple(entry["surprise"]))
        for family, entry in ((family, content["releases"][family]) for family in FAMILIES)
    }
    leaders = {
        role: Instrument(entry["symbol"], "index", entry["calendar"])
        for role, entry in ((role, content["leaders"][role]) for role in LEADERS)
    }
    decisions = {currency: tuple(titles) for currency, titles in content["rate_decisions"].items()}
    unscheduled = sorted(_utc(moment) for moment in content["unscheduled"]["decisions"])
    return EventConfig(releases, decisions, leaders, np.array(unscheduled, dtype="datetime64[us]"))


def _utc(moment: datetime) -> datetime:
    return moment.astimezone(UTC).replace(tzinfo=None) if moment.tzinfo else moment
