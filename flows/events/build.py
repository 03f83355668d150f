"""Builds the event arrays of all symbols of a run.

The calendar and the leaders are parsed once for the run. Symbols whose candles have the same times share one
array and context, unless the calendar has earnings of the symbol.
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from typing import Any

import polars as pl

from flows.events.config import EventConfig, EventError
from flows.events.context import event_context
from flows.events.leaders import Leaders, Signal, is_known, leader_signals
from flows.events.placing import event_array
from flows.events.releases import EconomicCalendar, parse_calendar
from flows.events.remarks import calendar_remarks
from flows.events.request import EventRequest, Grid
from flows.events.window import EventWindow, Reach, closed_window
from market.time_grid import TimeGridError
from market.types import Float32Array
from market.warning_codes import WarningCode, warning


@dataclass(frozen=True)
class EventResult:
    """The event array of one symbol, or the reason why there is none.

    Attributes
    ----------
    array : (T + pred_len, 20) float32 or None
        C-contiguous and finite; channels as `market.event_channels.EVENT_CHANNELS`.
    context
        See `flows.events.context.event_context`; None if no event is active. Symbols whose candles have the
        same times share it: treat it as read-only.
    error
        Why there is no array, else None.
    warnings
        What the array lacks, such as a leader without candles.
    """

    array: Float32Array | None = None
    context: dict[str, Any] | None = None
    error: str | None = None
    warnings: tuple[str, ...] = field(default=())

    def copied(self) -> "EventResult":
        """Return the result with a copy of the array."""
        return self if self.array is None else replace(self, array=self.array.copy())


@dataclass(frozen=True)
class _Inputs:
    """What all arrays of a run are built from.

    Attributes
    ----------
    windows
        The candles of each array.
    calendar
        The releases.
    signals
        The leaders' channels, by timeframe.
    remarks
        Warnings about the calendar.
    """

    windows: Mapping[Grid, EventWindow]
    calendar: EconomicCalendar
    signals: Mapping[str, Sequence[Signal]]
    remarks: tuple[str, ...]


def reach_of(requests: Iterable[EventRequest]) -> Reach | None:
    """Return the reach of the windows of some requests; None if none of them can be placed."""
    windows: dict[Grid, EventWindow] = {}
    for request in requests:
        with suppress(EventError, TimeGridError):
            _add_window(windows, request)
    return Reach.of(windows.values()) if windows else None


def build_event_arrays(
    requests: Sequence[EventRequest],
    calendar: pl.DataFrame,
    leaders: Leaders,
    config: EventConfig,
    rates: pl.DataFrame | None = None,
    reach: Reach | None = None,
) -> dict[str, EventResult]:
    """Build the event arrays of a run.

    The rules of the channels are in `releases`, `window`, `placing`, `leaders` and `surprises`.

    Parameters
    ----------
    requests
        At most one per symbol.
    calendar
        Rows of ``economic_calendar``. σ needs the releases of the two years before the first candle, and the
        countdown those of the 45 days after the last.
    leaders
        Candles of the leaders; the VIX needs those of the year before the first candle.
    config
        Titles, leaders and unscheduled decisions, see `load_config`.
    rates
        Rows of ``central_bank_rates`` (bank, decision_time, time_known, scheduled), for is_rate_decision.
    reach
        Of the whole run if the requests are a block of it, so that the warnings about the calendar are the
        same for all blocks. By default that of the requests.

    Returns
    -------
    dict
        A result for every requested symbol; a failure that concerns one symbol is its `error`.

    Raises
    ------
    EventError
        No array can be built at all: the calendar has no rows within a week of the windows or none with a
        configured title, a leader's calendar is unknown, or a symbol is requested twice.
    """
    _check_unique(requests)
    windows: dict[Grid, EventWindow] = {}
    results: dict[str, EventResult] = {}
    placed: list[EventRequest] = []
    for request in requests:
        try:
            _add_window(windows, request)
        except (EventError, TimeGridError) as error:
            results[request.symbol] = EventResult(error=str(error))
        else:
            placed.append(request)
    if placed:
        inputs = _inputs(placed, windows, calendar, leaders, config, rates, reach)
        for group in _groups(placed, inputs.calendar):
            first = _build(group[0], inputs)
            results |= {request.symbol: first.copied() for request in group[1:]}
            results[group[0].symbol] = first
    return {request.symbol: results[request.symbol] for request in requests}


def _check_unique(requests: Sequence[EventRequest]) -> None:
    counts = Counter(request.symbol for request in requests)
    repeated = sorted(symbol for symbol, count in counts.items() if count > 1)
    if repeated:
        raise EventError(
            f"requested more than once: {', '.join(repeated)}; expected each symbol once in a run"
        )


def _add_window(windows: dict[Grid, EventWindow], request: EventRequest) -> None:
    """Add the window of a request; raises what `closed_window` raises."""
    if request.grid not in windows:
        windows[request.grid] = closed_window(request)


def _inputs(
    requests: Sequence[EventRequest],
    windows: Mapping[Grid, EventWindow],
    calendar: pl.DataFrame,
    leaders: Leaders,
    config: EventConfig,
    rates: pl.DataFrame | None,
    reach: Reach | None,
) -> _Inputs:
    """Parse the tables for some requests, at least one; raises what `build_event_arrays` raises."""
    reach = reach or Reach.of(windows.values())
    parsed = parse_calendar(calendar, rates, {request.symbol for request in requests}, config)
    _check_coverage(parsed, reach)
    timeframes = {request.timeframe for request in requests}
    try:
        signals = {timeframe: leader_signals(leaders, timeframe, config) for timeframe in timeframes}
    except TimeGridError as error:
        raise EventError(f"a leader of the event configuration has no bounds: {error}") from error
    as_of = max(request.as_of for request in requests)
    return _Inputs(windows, parsed, signals, calendar_remarks(parsed, config, reach, as_of))


def _groups(requests: Sequence[EventRequest], calendar: EconomicCalendar) -> list[list[EventRequest]]:
    """Group the requests that have equal arrays: those of one grid, each symbol with earnings apart."""
    groups: dict[tuple[Grid, str | None], list[EventRequest]] = {}
    for request in requests:
        earnings_of = request.symbol if request.symbol in calendar.with_earnings else None
        groups.setdefault((request.grid, earnings_of), []).append(request)
    return list(groups.values())


def _build(request: EventRequest, inputs: _Inputs) -> EventResult:
    """Build the array and the context of one symbol; an exception becomes its error."""
    window, signals = inputs.windows[request.grid], inputs.signals[request.timeframe]
    try:
        _check_coverage(inputs.calendar, Reach.of([window]))
        calendar = inputs.calendar.seen_at(window.now, request.as_of)
        releases = calendar.of(request.symbol)
        release_rows = window.row_of(releases.times)
        array = event_array(window, calendar, releases, release_rows, signals)
        context = event_context(window, releases, release_rows)
    except Exception as error:  # the error of one symbol must not cost the others their events
        return EventResult(error=f"{type(error).__name__}: {error}")
    return EventResult(array, context, warnings=(*_warnings(window, calendar, signals), *inputs.remarks))


def _check_coverage(calendar: EconomicCalendar, reach: Reach) -> None:
    if not calendar.covers(reach.first, reach.last):
        raise EventError(
            f"no calendar rows between {reach.first} and {reach.last}; "
            "load them with python -m flows.load calendar FILE"
        )


def _warnings(window: EventWindow, calendar: EconomicCalendar, signals: Sequence[Signal]) -> list[str]:
    first, last = window.opens[0], window.opens[window.history]
    warnings = [signal.warning for signal in signals if not is_known(signal, first, last)]
    if calendar.rows[-1] < window.closes[-1]:
        warnings.append(
            warning(
                WarningCode.CALENDAR_ENDS,
                f"the calendar ends at {calendar.rows[-1]}: the prediction window goes on without a schedule",
            )
        )
    return warnings
