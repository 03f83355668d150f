"""The 20 event channels, schema version 1, and how their rows meet the model's tokens."""

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
# Known ahead from the schedule, so they may stand on candles of the prediction window ...
SCHEDULE_CHANNELS: Final = (0, 1, 2, 3, 4, 8, 9, 10, 11, 12, 13)
# ... and known only once it has happened, so they stand on history alone.
KNOWLEDGE_CHANNELS: Final = (5, 6, 7, 14, 15, 16, 17)


def align_events(events: Float32Array, alignment: Alignment) -> Float32Array:
    """Turn rows by candle into rows by token.

    The token of candle i predicts candle i + 1, so a flag on row i can't act on candle i itself.

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
        An alignment that this schema doesn't know.
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
