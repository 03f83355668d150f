"""Names of the states that runs end in beside Prefect's own; each says what is wrong."""

from typing import Final

COMPLETED_WITHOUT_EVENTS: Final = "CompletedWithoutEvents"
"""A completed state: forecasts or scores were made without the calendar, though it should be used."""

PARTIALLY_FAILED: Final = "PartiallyFailed"
"""A failed state: some symbols failed, and the forecasts of the others are stored."""
