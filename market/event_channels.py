"""Names the 20 event channels of schema version 1, and aligns their rows with the model's tokens."""

from typing import Final, Literal

import numpy as np

from market.types import Float32Array

Alignment = Literal["same", "next"]

EVENT_SCHEMA: Final = 1
EVENT_CHANNELS: Final = (
    "is_fomc",
    "is_cpi",
    "is_nfp",
    "is_gdp",
    "is_pce",
    "cpi_surprise_z",
    "fomc_hawkish_score",
    "nfp_surprise_z",
    "is_earnings",
    "is_rate_decision",
    "days_to_fomc_sin",
    "days_to_fomc_cos",
    "days_to_cpi_sin",
    "days_to_cpi_cos",
    "btc_log_return",
    "spy_log_return",
    "dxy_log_return",
    "vix_level_z",
    "reserved_18",
    "reserved_19",
)


def channels(*names: str) -> tuple[int, ...]:
    """Return the columns of channels in an event array, in the order of the names."""
    return tuple(EVENT_CHANNELS.index(name) for name in names)


FAMILY_FLAGS: Final = channels("is_fomc", "is_cpi", "is_nfp", "is_gdp", "is_pce")
FLAGS: Final = (*FAMILY_FLAGS, *channels("is_earnings", "is_rate_decision"))
SURPRISES: Final = channels("cpi_surprise_z", "fomc_hawkish_score", "nfp_surprise_z")
FOMC_COUNTDOWN: Final = channels("days_to_fomc_sin", "days_to_fomc_cos")
CPI_COUNTDOWN: Final = channels("days_to_cpi_sin", "days_to_cpi_cos")
LEADERS: Final = channels("btc_log_return", "spy_log_return", "dxy_log_return", "vix_level_z")
SCHEDULE_CHANNELS: Final = (*FLAGS, *FOMC_COUNTDOWN, *CPI_COUNTDOWN)
"""Known ahead from the schedule, so that rows of the prediction window may have them."""

KNOWLEDGE_CHANNELS: Final = (*SURPRISES, *LEADERS)
"""Known only after the fact, so that they are 0 in the prediction window."""


def align_events(events: Float32Array, alignment: Alignment) -> Float32Array:
    """Turn rows by candle into rows by token.

    The token of candle i predicts candle i + 1, so a flag in row i cannot act on candle i itself.

    Parameters
    ----------
    events : (rows, 20) float32
        Row i belongs to candle i; history first, then the prediction window.
    alignment : {"same", "next"}
        ``same`` puts row i on token i. ``next`` gives token i the schedule channels of row i + 1 (zeros for
        the last token) and the other channels of its own row.

    Returns
    -------
    (rows, 20) float32
        Row i belongs to token i; the input itself for ``same``, else a new C-contiguous array.

    Raises
    ------
    ValueError
        The alignment is neither of the two.
    """
    if alignment == "same":
        return events
    if alignment != "next":
        raise ValueError(f"unknown event alignment {alignment!r}; expected 'same' or 'next'")
    aligned = np.array(events, dtype=np.float32, order="C")
    schedule = list(SCHEDULE_CHANNELS)
    aligned[:-1, schedule] = events[1:, schedule]
    aligned[-1:, schedule] = 0.0
    return aligned
