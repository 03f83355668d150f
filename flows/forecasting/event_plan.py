"""The event array of each symbol of a run, or the reason why its forecast is made without events."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import psycopg

from flows.events import EventError, EventRequest, EventResult, build_event_arrays, load_config
from flows.forecasting.candles import CandleWindow
from flows.forecasting.event_sources import SourcesOfRun
from flows.forecasting.window_times import WindowCut, window_times
from inference_server.schemas import ModelInfo
from market.event_channels import EVENT_SCHEMA
from market.instruments import Instrument
from market.times import instant
from market.types import DatetimeArray, Float32Array
from sql.errors import one_line


@dataclass(frozen=True)
class EventPlan:
    """What the run knows of events, by symbol.

    Attributes
    ----------
    arrays
        (T + pred_len, 20) float32 each.
    contexts
        What the stored row says of the events; None where none is active.
    reasons
        Why a symbol is forecast without events: never a silent array of zeros.
    warnings
        What the arrays lack, such as a leader without candles, and the symbols it is about.
    settled
        Whether no later run could have events for the symbols without: they are turned off, or the bundle
        takes none.
    """

    arrays: Mapping[str, Float32Array]
    contexts: Mapping[str, dict[str, Any] | None]
    reasons: Mapping[str, str]
    warnings: Mapping[str, list[str]] = field(default_factory=dict)
    settled: bool = False

    @classmethod
    def without(cls, symbols: Iterable[str], reason: str, *, settled: bool = False) -> "EventPlan":
        """Return the plan of a run in which no symbol has events."""
        return cls({}, {}, dict.fromkeys(symbols, reason), settled=settled)

    def warnings_by_symbol(self) -> dict[str, tuple[str, ...]]:
        """Return what each symbol's array lacks, for those that lack anything."""
        warnings: dict[str, tuple[str, ...]] = {}
        for text, symbols in self.warnings.items():
            for symbol in symbols:
                warnings[symbol] = (*warnings.get(symbol, ()), text)
        return warnings


def why_unusable(model: ModelInfo) -> str | None:
    """Return why the served model takes no events of our making, or None where it does."""
    if not model.has_events:
        return f"the bundle {model.name} has no EventEncoder"
    if model.event_schema != EVENT_SCHEMA:
        return (
            f"the bundle {model.name} was made for event schema {model.event_schema} and these flows build "
            f"schema {EVENT_SCHEMA}; export it again, or run the flows of its version"
        )
    return None


def plan_events(
    connection: psycopg.Connection[Any],
    model: ModelInfo,
    windows: Mapping[str, CandleWindow],
    timeframe: str,
    as_of: datetime,
    sources: SourcesOfRun | None = None,
) -> EventPlan:
    """Build the event arrays of some symbols of a run from the database.

    Whatever is missing, the forecasts are made all the same: a calendar that can't be read or that says
    nothing of the windows leaves every symbol without events, a symbol's own trouble leaves that symbol
    without, and the plan says why.

    Parameters
    ----------
    sources
        What was read for other symbols of the run, and serves these too; None for a run of these alone.

    Raises
    ------
    psycopg.OperationalError
        The connection was lost or the query took too long: another try may succeed.
    """

    def build(requests: list[EventRequest]) -> Mapping[str, EventResult]:
        return _results(connection, requests, sources or SourcesOfRun())

    try:
        return plan_with(build, model, windows, timeframe, as_of)
    except psycopg.OperationalError:
        raise
    except psycopg.Error as error:
        return EventPlan.without(windows, unreadable(error))


def plan_with(
    build: Callable[[list[EventRequest]], Mapping[str, EventResult]],
    model: ModelInfo,
    windows: Mapping[str, CandleWindow],
    timeframe: str,
    as_of: datetime,
) -> EventPlan:
    """Return the event arrays of some windows, or the reason why there are none.

    Parameters
    ----------
    build
        Builds the arrays of the requests; where it raises `EventError`, no symbol has events.
    """
    unusable = why_unusable(model)
    if unusable is not None:
        return EventPlan.without(windows, unusable, settled=not model.has_events)
    try:
        return plan_of(build(event_requests(windows, timeframe, as_of)))
    except EventError as error:
        return EventPlan.without(windows, str(error))


def _results(
    connection: psycopg.Connection[Any], requests: Sequence[EventRequest], sources: SourcesOfRun
) -> dict[str, EventResult]:
    """Read the tables and build the event arrays; raises what these two raise."""
    if not requests:
        return {}
    config = load_config()
    sources.include(requests)
    tables = sources.read(connection, config)
    return build_event_arrays(requests, tables.calendar, tables.leaders, config, tables.rates, sources.reach)


def unreadable(error: Exception) -> str:
    """Return the reason that a run without a calendar gives."""
    return f"the calendar can't be read: {one_line(error) if isinstance(error, psycopg.Error) else error}"


def event_requests(
    windows: Mapping[str, CandleWindow], timeframe: str, as_of: datetime
) -> list[EventRequest]:
    """Return what to ask for the event arrays of some windows."""
    now = instant(as_of)
    return [
        EventRequest(symbol, window.instrument, timeframe, window.timestamps, window.future_timestamps, now)
        for symbol, window in windows.items()
    ]


def requests_of_times(
    times: Mapping[str, DatetimeArray], instruments: Mapping[str, Instrument], cut: WindowCut
) -> list[EventRequest]:
    """Return one request for each distinct window among symbols whose candles have some times.

    Parameters
    ----------
    times
        By symbol, what `window_times` takes. A symbol that can't be forecast from its candles has no request.
    """
    now = instant(cut.as_of)
    requests: dict[tuple[str, bytes], EventRequest | None] = {}
    for symbol, timestamps in times.items():
        instrument = instruments[symbol]
        key = instrument.calendar, timestamps.tobytes()
        if key not in requests:
            try:
                window = window_times(timestamps, instrument, cut)
            except ValueError:
                requests[key] = None
                continue
            stamps = timestamps[window.kept]
            requests[key] = EventRequest(
                symbol, instrument, cut.timeframe, stamps, window.future_timestamps, now
            )
    return [request for request in requests.values() if request is not None]


def plan_of(results: Mapping[str, EventResult]) -> EventPlan:
    """Return event arrays as the plan of a run."""
    return EventPlan(
        {symbol: result.array for symbol, result in results.items() if result.array is not None},
        {symbol: result.context for symbol, result in results.items() if result.array is not None},
        {symbol: result.error for symbol, result in results.items() if result.error is not None},
        warnings_by_text(results),
    )


def warnings_by_text(results: Mapping[str, EventResult]) -> dict[str, list[str]]:
    """Gather what is missing from the arrays: each warning once, with the symbols that it is about."""
    gathered: dict[str, list[str]] = {}
    for symbol, result in results.items():
        for warning in result.warnings:
            gathered.setdefault(warning, []).append(symbol)
    return gathered
