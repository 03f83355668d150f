"""What a forecast's events amount to, as stored beside it in ``ml_predictions.event_context``."""

from datetime import timedelta
from typing import Any, Final

import numpy as np

from flows.events.placing import Window
from flows.events.releases import KINDS, Releases
from market.instruments import Instrument
from market.time_grid import candle_bounds, future_timestamps
from market.types import BoolArray

AHEAD_1H: Final = np.timedelta64(24, "h").astype("timedelta64[us]")
_DAY: Final = np.timedelta64(1, "D").astype("timedelta64[us]")
_WORDS: Final = {  # of a surprise below and above what was forecast
    "fomc": ("dovish", "hawkish"),
    "cpi": ("cool", "hot"),
    "pce": ("cool", "hot"),
    "nfp": ("weak", "strong"),
    "gdp": ("weak", "strong"),
}


def event_context(
    window: Window, releases: Releases, instrument: Instrument, timeframe: str
) -> dict[str, Any] | None:
    """Describe the events around the point in time t of a window.

    Returns
    -------
    dict or None
        None where nothing is active, else

        - ``events_active``: those of fomc, cpi, nfp, gdp, pce, rate_decision, earnings whose release falls on
          the last candle used, within 24 hours after it (1h) or within the next candle (1d). A release of
          which only the date is known is active in the 24 hours before that date and while it lasts.
        - ``surprise_directions``: hawkish or dovish (fomc), hot or cool (cpi, pce), strong or weak (nfp, gdp)
          for releases on the last candle whose figures were public by t and differ from what was forecast.
        - ``upcoming``: the next scheduled release of each kind, soonest first, with ``event``, ``time`` (UTC;
          a date where only that is known) and ``hours_ahead``, counted from t.
    """
    on_last = window.row_of(releases.times) == window.history - 1
    active = (
        on_last | _is_near(window, releases, _horizon(window, instrument, timeframe))
    ) & releases.known_at(window.now)
    if not active.any():
        return None
    kinds = [KINDS[number] for number in np.unique(releases.kind[active])]
    known = releases.take(on_last & active & (releases.public_at < window.now))
    directions = ((kind, _direction(known, kind)) for kind in kinds if kind in _WORDS)
    return {
        "events_active": kinds,
        "surprise_directions": {kind: word for kind, word in directions if word is not None},
        "upcoming": _upcoming(window, releases),
    }


def _horizon(window: Window, instrument: Instrument, timeframe: str) -> np.datetime64:
    """Return the last instant that counts as near: 24 hours after t, or the last of the next daily candle."""
    if timeframe == "1h":
        later: np.datetime64 = window.now + AHEAD_1H
        return later
    following = window.stamps[window.history + 1 :][:1]
    if not following.size:
        following = future_timestamps(instrument, timeframe, window.stamps[-1], 1)
    close: np.datetime64 = candle_bounds(instrument, timeframe, following)[1][0]
    return close - np.timedelta64(1, "us")


def _is_near(window: Window, releases: Releases, horizon: np.datetime64) -> BoolArray:
    lasting = ~releases.timed & (releases.times + _DAY > window.now)
    return np.asarray(((releases.times >= window.now) | lasting) & (releases.times <= horizon))


def _direction(known: Releases, kind: str) -> str | None:
    ways = known.direction[known.kind == KINDS.index(kind)]
    ways = ways[np.isfinite(ways) & (ways != 0)]
    return _WORDS[kind][int(ways[-1] > 0)] if ways.size else None


def _upcoming(window: Window, releases: Releases) -> list[dict[str, Any]]:
    start = int(releases.times.searchsorted(window.now))
    ahead = zip(releases.kind[start:].tolist(), releases.scheduled[start:].tolist(), strict=True)
    first: dict[int, int] = {}
    for index, (kind, scheduled) in enumerate(ahead, start):
        if scheduled and kind not in first:
            first[kind] = index
    return [_entry(window, KINDS[kind], releases, index) for kind, index in first.items()]


def _entry(window: Window, event: str, releases: Releases, index: int) -> dict[str, Any]:
    time: Any = releases.times[index].item()  # a datetime, which NumPy's types don't know
    text = f"{time.isoformat(timespec='minutes')}Z" if releases.timed[index] else time.date().isoformat()
    return {
        "event": event,
        "time": text,
        "hours_ahead": round((time - window.now.item()) / timedelta(hours=1), 2),
    }
