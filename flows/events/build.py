"""Event arrays of all symbols of a run: what they share is prepared once, then each symbol's rows are set.

Symbols whose candles have the same times share their rows too: only earnings are a symbol's own.
"""

from collections import Counter
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from typing import Any, Final, NamedTuple

import numpy as np
import polars as pl

from flows.events.config import EventConfig, EventError
from flows.events.context import event_context
from flows.events.leaders import Leaders, Signal, is_known, leader_signals
from flows.events.placing import Window, event_rows, window_of
from flows.events.releases import Calendar, parse_calendar
from flows.events.remarks import calendar_remarks
from market.instruments import Instrument
from market.time_grid import TimeGridError
from market.types import DatetimeArray, Float32Array
from market.warning_codes import WarningCode, warning

_QUIET: Final = np.timedelta64(7, "D").astype("timedelta64[us]")  # no whole calendar is silent for longer


@dataclass(frozen=True)
class EventRequest:
    """The candles that one symbol's event array belongs to.

    Attributes
    ----------
    symbol, instrument, timeframe
        Whose candles; ``1h`` or ``1d``.
    timestamps : (T,) datetime64
        Of the candles used, as stored, UTC, increasing.
    future_timestamps : (pred_len,) datetime64
        Of the prediction window; empty for an array of the history alone.
    as_of
        Instant of the forecast, UTC: every candle must have closed by then. The point in time of the array is
        the close of the last candle, even where `as_of` is later.
    """

    symbol: str
    instrument: Instrument
    timeframe: str
    timestamps: DatetimeArray
    future_timestamps: DatetimeArray
    as_of: np.datetime64


@dataclass(frozen=True)
class EventResult:
    """One symbol's events, or why there are none.

    Attributes
    ----------
    array : (T + pred_len, 20) float32 or None
        C-contiguous and finite; channels as `market.event_channels.EVENT_CHANNELS`.
    context
        See `flows.events.context.event_context`; None where no event is active. Shared by symbols whose
        candles have the same times: it is there to be read.
    error
        Why there is no array, else None.
    warnings
        What is missing from the array, such as a leader without candles.
    """

    array: Float32Array | None = None
    context: dict[str, Any] | None = None
    error: str | None = None
    warnings: tuple[str, ...] = field(default=())


class Reach(NamedTuple):
    """First instant of a run's windows, its point in time, and the last instant of its prediction windows."""

    first: np.datetime64
    now: np.datetime64
    last: np.datetime64

    def with_(self, other: "Reach") -> "Reach":
        """Return the reach of both."""
        return Reach(min(self.first, other.first), max(self.now, other.now), max(self.last, other.last))


def reach_of(requests: Sequence[EventRequest]) -> Reach | None:
    """Return how far the windows of some requests reach; None where none of them can be placed."""
    grids: dict[_Grid, Window] = {}
    for request in requests:
        with suppress(EventError, TimeGridError):
            _closed_window(request, grids)
    return _reach(list(grids.values())) if grids else None


def _reach(windows: Sequence[Window]) -> Reach:
    return Reach(
        min(window.opens[1] for window in windows),
        max(window.now for window in windows),
        max(window.closes[-1] for window in windows),
    )


def build_event_arrays(
    requests: Sequence[EventRequest],
    calendar: pl.DataFrame,
    leaders: Leaders,
    config: EventConfig,
    rates: pl.DataFrame | None = None,
    reach: Reach | None = None,
) -> dict[str, EventResult]:
    """Build the event arrays of a run. The rules are in `releases`, `placing`, `leaders` and `figures`.

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
        Of the whole run where the requests are a block of it, so that the remarks on the calendar are the
        same for all blocks. Unless given, that of the requests.

    Returns
    -------
    dict
        A result for every symbol asked; one symbol's failure is its own `error`.

    Raises
    ------
    EventError
        No array can be built for anybody: the calendar has no rows within a week of the window or none with a
        configured title, or a symbol was asked twice.
    """
    symbols = [request.symbol for request in requests]
    twice = sorted(symbol for symbol, times in Counter(symbols).items() if times > 1)
    if twice:
        raise EventError(f"asked more than once: {', '.join(twice)}; expected each symbol once in a run")
    windows: dict[str, Window] = {}
    grids: dict[_Grid, Window] = {}
    results: dict[str, EventResult] = {}
    for request in requests:
        try:
            windows[request.symbol] = _closed_window(request, grids)
        except (EventError, TimeGridError) as error:
            results[request.symbol] = EventResult(error=str(error))
    if not windows:
        return results
    first, now, last = reach or _reach(list(windows.values()))
    parsed = parse_calendar(calendar, rates, windows, config)
    _check_coverage(parsed, first, last)
    asked = [request for request in requests if request.symbol in windows]
    try:
        signals = {
            frame: leader_signals(leaders, frame, config) for frame in {each.timeframe for each in asked}
        }
    except TimeGridError as error:
        raise EventError(f"a leader of the event configuration has no bounds: {error}") from error
    as_of = max(request.as_of for request in asked)
    remarks = calendar_remarks(parsed, config, (first, now, last), as_of)
    built: dict[_Grid, EventResult] = {}
    for request in asked:
        arguments = request, windows[request.symbol], parsed, signals[request.timeframe], remarks
        if request.symbol in parsed.with_earnings:
            results[request.symbol] = _built(*arguments)
            continue
        grid = _grid(request)
        if grid in built:
            results[request.symbol] = _copy(built[grid])
        else:
            results[request.symbol] = built[grid] = _built(*arguments)
    return {symbol: results[symbol] for symbol in symbols}


_Grid = tuple[str, str, bytes, bytes, np.datetime64]


def _grid(request: EventRequest) -> _Grid:
    """Return what rows follow from: equal for symbols whose candles open and close together."""
    stamps = (request.timestamps, request.future_timestamps)
    first, second = (each.astype("datetime64[us]", copy=False).tobytes() for each in stamps)
    return request.instrument.calendar, request.timeframe, first, second, request.as_of


def _copy(result: EventResult) -> EventResult:
    """Return a result with an array of its own: what one caller does to it is no other's concern."""
    return result if result.array is None else replace(result, array=result.array.copy())


def _closed_window(request: EventRequest, grids: dict[_Grid, Window]) -> Window:
    grid = _grid(request)
    window = grids.get(grid)
    if window is None:
        window = window_of(
            request.instrument, request.timeframe, request.timestamps, request.future_timestamps
        )
        if window.now <= request.as_of:
            grids[grid] = window
    if window.now > request.as_of:
        raise EventError(
            f"the last candle closes at {window.now}, after as_of {request.as_of}; give only closed candles"
        )
    return window


def _built(
    request: EventRequest,
    window: Window,
    calendar: Calendar,
    signals: Sequence[Signal],
    remarks: tuple[str, ...],
) -> EventResult:
    try:
        _check_coverage(calendar, window.opens[1], window.closes[-1])
        calendar = calendar.seen_at(window.now, request.as_of)
        releases = calendar.of(request.symbol)
        array = event_rows(window, calendar, releases, signals)
        context = event_context(window, releases, request.instrument, request.timeframe)
    except Exception as error:  # whatever is wrong with one symbol must not take the others' events away
        return EventResult(error=f"{type(error).__name__}: {error}")
    return EventResult(array, context, warnings=(*_warnings(window, calendar, signals), *remarks))


def _check_coverage(calendar: Calendar, first: np.datetime64, last: np.datetime64) -> None:
    # As integers: NumPy searches them several times faster than instants.
    span = np.array([first - _QUIET, last + _QUIET]).view(np.int64)
    start, end = calendar.rows.view(np.int64).searchsorted(span)
    if start == end:
        raise EventError(
            f"no calendar rows between {first} and {last}; load them with python -m flows.load calendar FILE"
        )


def _warnings(window: Window, calendar: Calendar, signals: Sequence[Signal]) -> list[str]:
    first, last = window.opens[0], window.opens[window.history]
    found = [signal.warning for signal in signals if not is_known(signal, first, last)]
    if calendar.rows[-1] < window.closes[-1]:
        found.append(
            warning(
                WarningCode.CALENDAR_ENDS,
                f"the calendar ends at {calendar.rows[-1]}: the prediction window goes on without a schedule",
            )
        )
    return found
