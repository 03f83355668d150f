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


def warning(code: WarningCode, sentence: str) -> str:
    """Return a warning as answers, rows and logs carry it."""
    return f"{code}: {sentence}"


def code_of(text: str) -> str:
    """Return the code that a warning begins with."""
    return text.partition(":")[0]
