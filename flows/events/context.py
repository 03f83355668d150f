"""Describes the events around a forecast, for the column ``event_context`` of ``ml_predictions``."""

from datetime import timedelta
from typing import Any, Final

import numpy as np

from flows.events.config import KINDS
from flows.events.releases import Releases
from flows.events.window import EventWindow
from market.timeframes import INTRADAY
from market.types import BoolArray, Int64Array

AHEAD_INTRADAY: Final = np.timedelta64(24, "h").astype("timedelta64[us]")
_DAY: Final = np.timedelta64(1, "D").astype("timedelta64[us]")
_TICK: Final = np.timedelta64(1, "us")
_WORDS: Final = {  # for a surprise below and above the forecast
    "fomc": ("dovish", "hawkish"),
    "cpi": ("cool", "hot"),
    "pce": ("cool", "hot"),
    "nfp": ("weak", "strong"),
    "gdp": ("weak", "strong"),
}


def event_context(window: EventWindow, releases: Releases, release_rows: Int64Array) -> dict[str, Any] | None:
    """Describe the events around the point in time t of a window.

    Parameters
    ----------
    window
        The symbol's candles.
    releases
        Those that concern the symbol, n of them, oldest first.
    release_rows : (n,)
        The row of each release, as `EventWindow.row_of` gives it.

    Returns
    -------
    dict or None
        None if no event is active, else

        - ``events_active``: the kinds of release, in the order of `KINDS`, that fall on the last candle used,
          within 24 hours after it or, for 1d and 1w, within the next candle. A release of which only the date
          is known is active in the 24 hours before that date and on it.
        - ``surprise_directions``: hawkish or dovish (fomc), hot or cool (cpi, pce), strong or weak (nfp, gdp)
          for releases on the last candle whose figures were public by t and differ from the forecast.
        - ``upcoming``: the next scheduled release of each kind, soonest first, with ``event``, ``time`` (UTC;
          a date if only that is known) and ``hours_ahead``, counted from t.
    """
    on_last = release_rows == window.history - 1
    active = (on_last | _are_near(window, releases)) & releases.known_at(window.now)
    if not active.any():
        return None
    kinds = [KINDS[kind] for kind in np.unique(releases.kind[active])]
    known = releases.take(on_last & active & (releases.public_at < window.now))
    directions = ((kind, _direction(known, kind)) for kind in kinds if kind in _WORDS)
    return {
        "events_active": kinds,
        "surprise_directions": {kind: word for kind, word in directions if word is not None},
        "upcoming": _upcoming(window, releases),
    }


def _are_near(window: EventWindow, releases: Releases) -> BoolArray:
    """Tell which releases, (n,), are ahead and near, or on a date that has not ended."""
    # The close of a daily or weekly candle belongs to the candle after it.
    horizon = window.now + AHEAD_INTRADAY if window.timeframe in INTRADAY else window.next_close() - _TICK
    on_date = ~releases.timed & (releases.times + _DAY > window.now)
    return np.asarray(((releases.times >= window.now) | on_date) & (releases.times <= horizon))


def _direction(known: Releases, kind: str) -> str | None:
    signs = known.direction[known.kind == KINDS.index(kind)]
    signs = signs[np.isfinite(signs) & (signs != 0)]
    return _WORDS[kind][int(signs[-1] > 0)] if signs.size else None


def _upcoming(window: EventWindow, releases: Releases) -> list[dict[str, Any]]:
    start = int(releases.times.searchsorted(window.now))
    ahead = zip(releases.kind[start:].tolist(), releases.scheduled[start:].tolist(), strict=True)
    next_of: dict[int, int] = {}  # position of the next release, by kind
    for index, (kind, scheduled) in enumerate(ahead, start):
        if scheduled:
            next_of.setdefault(kind, index)
    return [_entry(window, KINDS[kind], releases, index) for kind, index in next_of.items()]


def _entry(window: EventWindow, event: str, releases: Releases, index: int) -> dict[str, Any]:
    time: Any = releases.times[index].item()  # a datetime; NumPy types it as Any
    text = f"{time.isoformat(timespec='minutes')}Z" if releases.timed[index] else time.date().isoformat()
    return {
        "event": event,
        "time": text,
        "hours_ahead": round((time - window.now.item()) / timedelta(hours=1), 2),
    }
