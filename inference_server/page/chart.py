"""Draws a stored forecast as a PNG: candles before and after it, envelope and releases."""

import asyncio
import io
from collections.abc import Sequence
from typing import Any

import numpy as np

from inference_server.page.schemas import CalendarEvent, StoredCandles, StoredPrediction
from inference_server.page.store import PageStore
from market.timeframes import CANDLE_LENGTH, INTRADAY, Timeframe
from market.times import instants
from market.types import DatetimeArray

HISTORY = 120
"""Candles drawn before a forecast begins."""

_UP, _DOWN, _FAN, _INK, _MUTED = "#0b7a5b", "#b3322c", "#1f5fb4", "#1b2430", "#5a6675"
_EVENT = "#7a4bb5"
_NAMES = {"fomc": "FOMC", "cpi": "CPI", "nfp": "NFP", "gdp": "GDP", "pce": "PCE", "rate_decision": "rate"}
_MARKED_AT_MOST = 12
_LABEL_SHARE = 0.03  # of the axis: nearer labels would overlap


class ChartPainter:
    """Draws one chart at a time, because Matplotlib's font caches are not safe for several threads."""

    def __init__(self) -> None:
        self._turn = asyncio.Lock()

    async def paint(self, stored: PageStore, prediction: StoredPrediction, timeframe: Timeframe) -> bytes:
        """Return a PNG of a stored forecast."""
        future = instants(prediction.timestamps)
        limit = HISTORY + len(future)
        candles = await stored.candles(
            prediction.symbol, timeframe, limit, future[-1] + np.timedelta64(1, "us")
        )
        first = instants(candles.timestamp[:1] or [prediction.as_of])[0]
        calendar = await stored.calendar(prediction.symbol, first, future[-1] + CANDLE_LENGTH[timeframe])
        async with self._turn:
            return await asyncio.to_thread(draw, prediction, candles, calendar.events)


def draw(prediction: StoredPrediction, candles: StoredCandles, events: Sequence[CalendarEvent]) -> bytes:
    """Return the PNG.

    Every candle has the same width, so that nights and weekends take no room.

    Parameters
    ----------
    prediction
        The forecast; its envelope begins at the close of the candle `as_of`, if that is among the candles.
    candles
        Before and after `as_of`.
    events
        Events within the span of candles and forecast.
    """
    from matplotlib.figure import Figure  # here, so that a server starts without loading Matplotlib

    stamps = np.union1d(instants(candles.timestamp), instants([prediction.as_of, *prediction.timestamps]))
    now = int(np.searchsorted(stamps, instants([prediction.as_of])[0]))
    stamps, now = stamps[max(0, now - HISTORY) :], min(now, HISTORY)
    figure = Figure(figsize=(11, 5.2), dpi=110, layout="constrained", facecolor="white")
    axes = figure.add_subplot()
    _draw_candles(axes, stamps, candles)
    _draw_envelope(axes, stamps, prediction, candles)
    axes.axvline(now + 0.5, color=_INK, linewidth=0.9, linestyle=(0, (4, 3)))
    _mark_events(axes, stamps, events, CANDLE_LENGTH[candles.timeframe])
    _label(axes, stamps, prediction)
    with io.BytesIO() as out:
        figure.savefig(out, format="png")
        return out.getvalue()


def _draw_candles(axes: Any, stamps: DatetimeArray, candles: StoredCandles) -> None:
    columns = (candles.open, candles.high, candles.low, candles.close)
    values = np.array(columns, dtype=np.float64).reshape(4, -1)
    moments = instants(candles.timestamp)
    shown = np.isin(moments, stamps) & np.isfinite(values).all(axis=0)
    opens, high, low, close = values[:, shown]
    x = np.searchsorted(stamps, moments[shown])
    colours = np.where(close >= opens, _UP, _DOWN).tolist()
    axes.vlines(x, low, high, colors=colours, linewidth=0.8)
    axes.bar(x, np.abs(close - opens), bottom=np.minimum(opens, close), color=colours, width=0.7)


def _draw_envelope(
    axes: Any, stamps: DatetimeArray, prediction: StoredPrediction, candles: StoredCandles
) -> None:
    x = np.searchsorted(stamps, instants(prediction.timestamps))
    levels = np.array([prediction.p10, prediction.p50, prediction.p90], dtype=np.float64)
    if prediction.as_of in candles.timestamp:  # the envelope opens from the last close
        row = candles.timestamp.index(prediction.as_of)
        start = np.full((3, 1), candles.close[row], dtype=np.float64)
        x = np.concatenate([[np.searchsorted(stamps, instants([prediction.as_of])[0])], x])
        levels = np.concatenate([start, levels], axis=1)
    p10, p50, p90 = levels
    axes.fill_between(x, p10, p90, color=_FAN, alpha=0.18, linewidth=0, label="p10 – p90")
    axes.plot(x, p50, color=_FAN, linewidth=1.8, label="median")


def _mark_events(
    axes: Any, stamps: DatetimeArray, events: Sequence[CalendarEvent], unit: np.timedelta64
) -> None:
    """Mark the releases with a channel in the event array; if there are many, only the rate decisions."""
    known = [event for event in events if event.event_type in _NAMES]
    marked = list({(event.event_time, event.event_type): event for event in known}.values())
    if len(marked) > _MARKED_AT_MOST:
        marked = [event for event in marked if event.event_type == "fomc"]
    last = -np.inf
    for event in marked:
        when = instants([event.event_time])[0]
        candle = int(np.searchsorted(stamps, when, side="right")) - 1
        x = candle - 0.5 + min(1.0, float((when - stamps[max(candle, 0)]) / unit))
        if candle < 0 or x - last < _LABEL_SHARE * len(stamps):
            continue
        last = x
        axes.axvline(x, color=_EVENT, linewidth=0.8, linestyle=":")
        axes.annotate(
            _NAMES[event.event_type],
            (x, 1.0),
            xycoords=("data", "axes fraction"),
            xytext=(2, -9),
            textcoords="offset points",
            color=_EVENT,
            fontsize=7.5,
        )


def _label(axes: Any, stamps: DatetimeArray, prediction: StoredPrediction) -> None:
    written = prediction.updated_at or prediction.created_at
    model = f"{prediction.model_name} {(prediction.model_version or '')[:12]}"
    axes.set_title(
        f"{prediction.symbol} {prediction.timeframe}", loc="left", fontsize=13, color=_INK, weight="bold"
    )
    axes.set_title(
        f"forecast from {prediction.as_of:%Y-%m-%d %H:%M} UTC · {model} · run {written:%Y-%m-%d %H:%M} UTC",
        loc="right",
        fontsize=8.5,
        color=_MUTED,
    )
    step = max(1, len(stamps) // 9)
    pattern = "%b %d\n%H:%M" if prediction.timeframe in INTRADAY else "%Y-%m-%d"
    ticks = np.arange(0, len(stamps), step)
    axes.set_xticks(ticks, [stamp.strftime(pattern) for stamp in stamps[ticks].tolist()], fontsize=8.5)
    axes.set_xlim(-1, len(stamps))
    axes.margins(y=0.08)
    axes.yaxis.tick_right()
    axes.tick_params(colors=_MUTED, length=0, labelsize=8.5)
    axes.grid(axis="y", color="#e3e7ec", linewidth=0.7)
    axes.set_axisbelow(True)
    axes.spines[:].set_visible(False)
    axes.ticklabel_format(axis="y", useOffset=False, style="plain")
    axes.legend(loc="lower left", frameon=False, fontsize=8.5)
