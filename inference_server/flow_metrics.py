"""Serves the metrics of the scheduled flows, which the flows record in the database, for Prometheus."""

import asyncio
import time
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from datetime import UTC, datetime
from typing import Final

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

from inference_server.flow_state import CandlesBehind, FlowState, NewestCandle, read_flow_state
from inference_server.forecast.candle_store import CandleStore

KEPT_S: Final = 15.0
"""Seconds for which an answer is kept, so that frequent scrapes do not become frequent queries."""

_RUN = ("deployment", "flow", "timeframe")
_SYMBOL = ("timeframe", "asset_class", "symbol")
_GROUP = ("timeframe", "asset_class")
_COVERAGE = ("timeframe", "asset_class", "model", "envelope")


class FlowMetrics:
    """The metrics of the flows, read from the database when they are asked for.

    Parameters
    ----------
    store
        The pool of the database.
    symbols
        The most symbols of a timeframe that have series of their own.
    """

    def __init__(self, store: CandleStore, symbols: int) -> None:
        self._store = store
        self._symbols = symbols
        self._reading = asyncio.Lock()
        self._exposition = b""
        self._due = 0.0

    async def exposition(self) -> bytes:
        """Return the metrics in Prometheus' text format, at most `KEPT_S` old."""
        async with self._reading:
            if time.monotonic() >= self._due:
                state = await read_flow_state(self._store)
                # Formatting the series of 1,000 symbols takes longer than the event loop should be blocked.
                self._exposition = await asyncio.to_thread(
                    flow_exposition, state, self._symbols, datetime.now(UTC)
                )
                self._due = time.monotonic() + KEPT_S
            return self._exposition


def flow_exposition(state: FlowState, symbols: int, now: datetime) -> bytes:
    """Return the metrics of a state in Prometheus' text format.

    Parameters
    ----------
    symbols
        The most symbols of a timeframe that have series of their own; of more only those of their asset
        classes are shown.
    now
        Instant by which the candles count as closed.
    """
    registry = CollectorRegistry(auto_describe=False)
    registry.register(_Families(families(state, symbols, now)))
    return generate_latest(registry)


class _Families(Collector):
    def __init__(self, made: Iterable[GaugeMetricFamily]) -> None:
        self._families = list(made)

    def collect(self) -> Iterable[GaugeMetricFamily]:
        return self._families


def families(state: FlowState, symbols: int, now: datetime) -> Iterator[GaugeMetricFamily]:
    """Yield every metric of a state; the parameters are those of `flow_exposition`."""
    yield GaugeMetricFamily(
        "kronos_flow_metrics_up",
        "1 where the metrics of the flows could be read from the database",
        value=float(state.complete),
    )
    yield from _run_families(state)
    by_timeframe: dict[str, list[NewestCandle]] = defaultdict(list)
    for candle in state.candles:
        by_timeframe[candle.timeframe].append(candle)
    detailed = [candle for each in by_timeframe.values() if len(each) <= symbols for candle in each]
    behind = CandlesBehind(now)
    yield from _symbol_families(state, detailed, behind)
    yield from _group_families(state, behind)
    yield from _coverage_families(state)


def _run_families(state: FlowState) -> Iterator[GaugeMetricFamily]:
    started = _gauge("kronos_flow_last_start_timestamp_seconds", "Start of the last run", _RUN)
    ended = _gauge("kronos_flow_last_end_timestamp_seconds", "End of the last run", _RUN)
    succeeded = _gauge(
        "kronos_flow_last_success_timestamp_seconds", "End of the last run that completed", _RUN
    )
    states = _gauge("kronos_flow_last_run_state", "1 with the state of the last run", (*_RUN, "state"))
    outcomes = _gauge(
        "kronos_flow_last_run_outcomes",
        "Symbols (predict-batch) or forecasts (score-forecasts) of the last run by outcome",
        (*_RUN, "outcome"),
    )
    without_events = _gauge(
        "kronos_flow_last_run_without_events_ratio",
        "Share of the last run's forecasts that were made without events",
        _RUN,
    )
    for run in state.runs:
        labels = (run.deployment, run.flow, run.timeframe)
        started.add_metric(labels, run.started_at.timestamp())
        ended.add_metric(labels, run.ended_at.timestamp())
        if run.succeeded_at is not None:
            succeeded.add_metric(labels, run.succeeded_at.timestamp())
        states.add_metric((*labels, run.state), 1)
        for outcome, count in run.counts.items():
            outcomes.add_metric((*labels, outcome), count)
        forecasts = run.counts.get("stored", 0) + run.counts.get("unchanged", 0)
        if run.without_events is not None and forecasts:
            without_events.add_metric(labels, run.without_events / forecasts)
    yield from (started, ended, succeeded, states, outcomes, without_events)


def _symbol_families(
    state: FlowState, candles: Iterable[NewestCandle], behind: CandlesBehind
) -> Iterator[GaugeMetricFamily]:
    succeeded = _gauge(
        "kronos_symbol_last_success_timestamp_seconds",
        "End of the last run that stored the symbol's forecast or left it unchanged",
        _SYMBOL,
    )
    newest = _gauge(
        "kronos_symbol_newest_candle_timestamp_seconds", "Open of the symbol's newest candle", _SYMBOL
    )
    missing = _gauge(
        "kronos_symbol_candles_behind",
        "Candles that have closed by the trading calendar since the symbol's newest one",
        _SYMBOL,
    )
    for candle in candles:
        labels = (candle.timeframe, candle.asset_class, candle.symbol)
        run = state.symbol_runs.get((candle.timeframe, candle.symbol))
        if run is not None:
            succeeded.add_metric(labels, run.succeeded_at.timestamp())
        newest.add_metric(labels, candle.opened_at.timestamp())
        count = behind.count(candle)
        if count is not None:
            missing.add_metric(labels, count)
    yield from (succeeded, newest, missing)


def _group_families(state: FlowState, behind: CandlesBehind) -> Iterator[GaugeMetricFamily]:
    number = _gauge("kronos_symbols", "Active symbols that have candles", _GROUP)
    oldest = _gauge(
        "kronos_symbols_oldest_success_timestamp_seconds",
        "Of the symbols' last successful runs the oldest; symbols that were never forecast do not count",
        _GROUP,
    )
    without_events = _gauge(
        "kronos_symbols_without_events", "Symbols whose last forecast was made without events", _GROUP
    )
    most_behind = _gauge(
        "kronos_symbols_candles_behind_max",
        "Candles that have closed by the trading calendar since the newest one of the symbol that lacks most",
        _GROUP,
    )
    for group, candles in _groups(state.candles).items():
        number.add_metric(group, len(candles))
        keys = [(candle.timeframe, candle.symbol) for candle in candles]
        runs = [state.symbol_runs[key] for key in keys if key in state.symbol_runs]
        if runs:
            oldest.add_metric(group, min(run.succeeded_at.timestamp() for run in runs))
            without_events.add_metric(group, sum(not run.with_events for run in runs))
        counts = [count for candle in candles if (count := behind.count(candle)) is not None]
        if counts:
            most_behind.add_metric(group, max(counts))
    yield from (number, oldest, without_events, most_behind)


def _groups(candles: Iterable[NewestCandle]) -> Mapping[tuple[str, str], list[NewestCandle]]:
    groups: dict[tuple[str, str], list[NewestCandle]] = defaultdict(list)
    for candle in candles:
        groups[candle.timeframe, candle.asset_class].append(candle)
    return groups


def _coverage_families(state: FlowState) -> Iterator[GaugeMetricFamily]:
    ratio = _gauge(
        "kronos_recent_coverage_ratio",
        "Share of the closes within p10 to p90, of the forecasts that matured in the last week; 0.8 is right",
        _COVERAGE,
    )
    number = _gauge("kronos_recent_coverage_closes", "Known closes of these forecasts", _COVERAGE)
    for row in state.coverage:
        group = (row.timeframe, row.asset_class, row.model_name)
        for envelope, closes, covered in (
            ("raw", row.closes, row.covered),
            ("calibrated", row.closes_calibrated, row.covered_calibrated),
        ):
            if closes:
                ratio.add_metric((*group, envelope), covered / closes)
                number.add_metric((*group, envelope), closes)
    yield from (ratio, number)


def _gauge(name: str, documentation: str, labels: Iterable[str]) -> GaugeMetricFamily:
    return GaugeMetricFamily(name, documentation, labels=list(labels))
