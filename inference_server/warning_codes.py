"""The code that begins every warning: a stable word for programs, listed in docs/warnings.md.

A warning reads ``code: sentence``. Codes never change their meaning; sentences may be reworded.
"""

from enum import StrEnum


class WarningCode(StrEnum):
    """What a warning is about; docs/warnings.md says what each means and what to do."""

    SLIDING_CONTEXT = "sliding-context"
    """The context is full before the horizon, which takes longer or drops many tokens at once."""
    EVENTS_NOT_USED = "events-not-used"
    """Events were given, and the forecast was made without them."""
    CANDLES_NOT_CLOSED = "candles-not-closed"
    """Candles that had not closed by as_of were left out."""
    TIMEFRAME_NOT_USED = "timeframe-not-used"
    """The candles are spaced otherwise than `timeframe` says, and the future timestamps go on as they do."""
    FUTURE_SPACING = "future-spacing"
    """The future timestamps are closer together than the candles of the timeframe."""
    DAILY_STAMPS = "daily-stamps"
    """Daily candles are not stamped with their session date at 00:00 UTC."""
    NONPOSITIVE_PRICES = "nonpositive-prices"
    """Candles have a price of zero or below, which the instrument cannot have."""
    IMPOSSIBLE_CANDLES = "impossible-candles"
    """High, low, open, close, volume or amount of candles contradict each other."""
    VOLUME_UNKNOWN = "volume-unknown"
    """Volume or amount of some candles is unknown, and the forecast is made without it."""
    MISSING_CANDLES = "missing-candles"
    """Candles of the instrument's grid are missing in the window."""
    JUMP_TO_FUTURE = "jump-to-future"
    """Candles of the instrument's grid lie between the last candle and the first future one."""
    SHORTER_HISTORY = "shorter-history"
    """Candles before a hole in the feed are left out."""
    STALE_CANDLES = "stale-candles"
    """The newest stored candle is far behind as_of."""
    SPLIT = "split"
    """A step in the window looks like a split that the candles before it are not adjusted for."""
    HOLIDAYS_UNPUBLISHED = "holidays-unpublished"
    """The forecast reaches beyond the holidays that the exchange has published."""
    FEW_PATHS = "few-paths"
    """One to eight sample paths make no envelope of 80 %."""
    CUT_TAILS = "cut-tails"
    """A top_p below 1 or a top_k narrows the envelope."""
    PRICES_SCALED = "prices-scaled"
    """Prices that hardly spread were multiplied by a power of two for the model, and divided again."""
    CLIPPED_CANDLES = "clipped-candles"
    """The last closes lie beyond 5 standard deviations of the window: the model sees other ones."""
    SHORTER_LOOKBACK = "shorter-lookback"
    """The flow used fewer candles than asked for, so that the last close isn't clipped."""
    MODEL_CLOCK = "model-clock"
    """The time fields are read on another clock than the checkpoint was trained with."""
    ENVELOPE_FLOOR = "envelope-floor"
    """Quantiles below zero of a price that can't be were raised to zero."""

    CALENDAR_DATES = "calendar-dates"
    """Rows of the calendar that claim midnight as their time were read as dates."""
    TWO_RELEASE_TIMES = "two-release-times"
    """Rows of the calendar give several times for one release; the latest counts."""
    CONTRADICTING_FIGURES = "contradicting-figures"
    """Rows of the calendar give one release different figures; it counts as a release without figures."""
    UNUSUAL_RELEASE_TIME = "unusual-release-time"
    """A release stands at an hour or on a weekday at which it never comes: a time zone is wrong."""
    RELEASES_TOO_FREQUENT = "releases-too-frequent"
    """A family of releases comes more often than it can: old schedules or rows that are no releases."""
    RELEASE_NEVER_CAME = "release-never-came"
    """A past release without figures counts as none, because a later one of its series has figures."""
    MISSING_RELEASES = "missing-releases"
    """The calendar has no release of a tracked family where there must be one; its channels are 0."""
    MISSING_SURPRISES = "missing-surprises"
    """No release of a tracked family in reach has the figures of a surprise; its channel is 0."""
    CALENDAR_ROWS_LEFT_OUT = "calendar-rows-left-out"
    """The loader left rows of a calendar out that contradict each other."""
    NOTHING_WITHDRAWN = "nothing-withdrawn"
    """The loader withdrew no release though rows of the table are missing from the file."""


def warning(code: WarningCode, sentence: str) -> str:
    """Return a warning as answers, rows and logs carry it."""
    return f"{code}: {sentence}"


def code_of(text: str) -> str:
    """Return the code that a warning begins with."""
    return text.partition(":")[0]
