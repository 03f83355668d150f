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
