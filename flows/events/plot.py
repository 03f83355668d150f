"""Draws an event array: the candles of its window with the 20 channels below them."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from flows.events.build import EventResult
from flows.events.request import EventRequest
from market.event_channels import EVENT_CHANNELS, FAMILY_FLAGS, FLAGS, SURPRISES
from market.timeframes import INTRADAY
from market.types import DatetimeArray, Float32Array, Float64Array

UP, DOWN, LINE, AHEAD = "#1a7f5a", "#b3382c", "#23527c", "#f2f0e6"
_LEVEL_ROOM = 0.16  # of a channel's strip, above and below its curve
_FEW_EVENTS = 24
# Of FOMC, CPI, NFP, GDP and PCE.
_EVENT_COLOURS = dict(zip(FAMILY_FLAGS, ("#7b3294", "#c05a00", "#1b6ca8", "#5a7a1e", "#a0306a"), strict=True))


def plot_events(
    request: EventRequest, columns: Mapping[str, Float64Array], result: EventResult, out: Path
) -> None:
    """Draw candles and channels over the same time axis and write the picture to a file.

    All candles have the same width, so nights and weekends take no room. The prediction window is
    shaded. Each channel has a strip, with its smallest and largest value on the right.

    Parameters
    ----------
    request
        The request that the array was built for.
    columns
        open, high, low and close of the candles used, (T,) each.
    result
        The event array of the request.
    out
        A file name whose ending determines the format, such as ``.png``.

    Raises
    ------
    ValueError
        There is no array, with the reason; or the format is unknown.
    """
    if result.array is None:
        raise ValueError(f"{request.symbol}: no event array: {result.error}")
    stamps = np.concatenate([request.timestamps, request.future_timestamps])
    figure = Figure(figsize=(15, 12), dpi=110, layout="constrained")
    grid = figure.add_gridspec(2, 1, height_ratios=[1, 1.55], hspace=0.0)
    prices, channels = figure.add_subplot(grid[0]), figure.add_subplot(grid[1])
    channels.sharex(prices)
    for axes in (prices, channels):
        axes.axvspan(len(request.timestamps) - 0.5, len(stamps) - 0.5, color=AHEAD, zorder=0)
        axes.spines[["top", "right"]].set_visible(False)
        axes.set_xlim(-1, len(stamps))
    _draw_candles(prices, columns)
    _mark_events(prices, result.array)
    _draw_channels(channels, result.array)
    _label_time(channels, stamps, request.timeframe)
    prices.tick_params(labelbottom=False)
    prices.set_title(_title(request, result), loc="left", fontsize=12)
    figure.savefig(out)


def _title(request: EventRequest, result: EventResult) -> str:
    active = ", ".join(result.context["events_active"]) if result.context else "none"
    last = np.datetime_as_string(request.timestamps[-1], unit="m").replace("T", " ")
    return (
        f"{request.symbol} {request.timeframe}: {len(request.timestamps)} candles up to {last} UTC, "
        f"{len(request.future_timestamps)} ahead (shaded) · active events: {active}"
    )


def _draw_candles(axes: Axes, columns: Mapping[str, Float64Array]) -> None:
    opens, high, low, close = (columns[name] for name in ("open", "high", "low", "close"))
    x = np.arange(len(close))
    colours = np.where(close >= opens, UP, DOWN).tolist()
    axes.vlines(x, low, high, colors=colours, linewidth=0.7)
    axes.bar(x, np.abs(close - opens), bottom=np.minimum(opens, close), color=colours, width=0.75)
    axes.set_ylabel("price")


def _mark_events(axes: Axes, array: Float32Array) -> None:
    """Draw a named line at each release of a family; if there are many, at the FOMC decisions alone."""
    shown = FAMILY_FLAGS if np.count_nonzero(array[:, FAMILY_FLAGS]) <= _FEW_EVENTS else FAMILY_FLAGS[:1]
    for channel in shown:
        for row in np.flatnonzero(array[:, channel]).tolist():
            axes.axvline(row, color=_EVENT_COLOURS[channel], linewidth=0.8, alpha=0.6, zorder=0.5)
            axes.annotate(
                EVENT_CHANNELS[channel].removeprefix("is_").upper(),
                (row, 1.0),
                xycoords=("data", "axes fraction"),
                xytext=(2, -2),
                textcoords="offset points",
                rotation=90,
                va="top",
                fontsize=7,
                color=_EVENT_COLOURS[channel],
            )


def _draw_channels(axes: Axes, array: Float32Array) -> None:
    x = np.arange(len(array))
    count = len(EVENT_CHANNELS)
    for channel in range(count):
        base = count - 1 - channel  # the first channel at the top
        values = array[:, channel]
        axes.axhline(base, color="#dddddd", linewidth=0.6, zorder=0.5)
        colour = _EVENT_COLOURS.get(channel, LINE)
        rows = np.flatnonzero(values)
        if channel in FLAGS:
            axes.vlines(rows, base, base + 1 - _LEVEL_ROOM, colors=colour, linewidth=1.6)
        elif channel in SURPRISES:
            axes.axhline(base + 0.5, color="#bbbbbb", linewidth=0.6)
            heights = 0.5 + (0.5 - _LEVEL_ROOM) * values[rows] / max(np.abs(values).max(), 1e-9)
            axes.vlines(rows, base + 0.5, base + heights, colors=colour, linewidth=1.6)
        else:
            axes.plot(x, base + _scaled(values), color=LINE, linewidth=0.9)
        axes.annotate(
            _range(values, channel),
            (1.0, base + 0.5),
            xycoords=("axes fraction", "data"),
            xytext=(6, 0),
            textcoords="offset points",
            va="center",
            fontsize=7.5,
            color="#666666",
        )
    axes.set_ylim(0, count)
    axes.set_yticks(np.arange(count)[::-1] + 0.5, [f"{name}  {i}" for i, name in enumerate(EVENT_CHANNELS)])
    axes.tick_params(axis="y", length=0, labelsize=8.5)


def _scaled(values: Float32Array) -> Float64Array:
    """Return values scaled into a strip of height 1; zero is in the middle if any value is negative."""
    top = float(np.abs(values).max()) or 1.0
    unit = values / top
    unit = (unit + 1) / 2 if values.min() < 0 else unit
    return np.asarray(_LEVEL_ROOM + unit * (1 - 2 * _LEVEL_ROOM), dtype=np.float64)


def _range(values: Float32Array, channel: int) -> str:
    if channel in FLAGS:
        return f"{int(values.sum())} ×"
    return f"{values.min():.3g} … {values.max():.3g}" if values.any() else "0"


def _label_time(axes: Axes, stamps: DatetimeArray, timeframe: str) -> None:
    marks = np.unique(np.linspace(0, len(stamps) - 1, 12).astype(int))
    unit: Any = "m" if timeframe in INTRADAY else "D"
    texts = [np.datetime_as_string(stamps[row], unit=unit).replace("T", "\n") for row in marks]
    axes.set_xticks(marks, texts, fontsize=8.5)
    axes.set_xlabel("candle (UTC)")
