"""Types of the flows' parameters, with limits: Prefect makes a form of them, and refuses what is beyond them.

The limits are those of any model and server; the limits of the server at hand may be lower.
"""

from datetime import datetime
from typing import Annotated, Any

from pydantic import BeforeValidator, Field

from flows.runtime.time_limits import DAILY_RUN_S
from market.timeframes import Timeframe, normalised

LARGEST_CONTEXT = 2048
"""Candles that the largest context of a Kronos model has."""


def parameter(description: str, **limits: Any) -> Any:
    """Return the field of a parameter with a text for the form, which does not show the limits by itself.

    The text is an extra of the JSON schema: Prefect replaces a field's own description by that of the flow's
    docstring, which it can read in Google style alone.
    """
    if "ge" in limits and "le" in limits:
        description += f" {limits['ge']:,} to {limits['le']:,}."
    return Field(json_schema_extra={"description": description}, **limits)


Name = Annotated[str, Field(min_length=1)]
TimeframeParameter = Annotated[Timeframe, BeforeValidator(normalised), parameter("Length of the candles.")]
Symbols = Annotated[
    list[Name] | None, parameter("Names of instruments. None: all that are active and have candles.")
]
AsOf = Annotated[
    datetime | None,
    parameter("Only candles that had closed by then are used. UTC unless it has a time zone. None: now."),
]

PredLen = Annotated[int, parameter("Number of future candles.", ge=1, le=LARGEST_CONTEXT)]
SampleCount = Annotated[
    int, parameter("Number of sample paths that p10, p50 and p90 are taken over.", ge=1, le=10_000)
]
TopP = Annotated[
    float, parameter("Probability that is sampled from, up to 1. Less than 1 narrows p10 to p90.", gt=0, le=1)
]
Temperature = Annotated[
    float, parameter("Above 1 the sample paths spread wider, below 1 less wide.", ge=0.001, le=1000)
]
TopK = Annotated[
    int, parameter("Most likely tokens that are sampled from. 0: all, by top_p.", ge=0, lt=2**31)
]
Lookback = Annotated[
    Annotated[int, Field(ge=1, le=100_000)] | None,
    parameter("Past candles. None: the most that do not slide the model's context, at most 512."),
]
WithEvents = Annotated[
    bool, parameter("Whether the calendar is used. Turn it off for a bundle that takes no events.")
]
Seed = Annotated[
    Annotated[int, Field(ge=0, lt=2**63)] | None,
    parameter("Seed of every symbol. None: a hash of symbol, timeframe, last candle and model."),
]
StoreSamples = Annotated[
    bool, parameter("Whether the close of every sample path is stored too, for the CRPS.")
]
StaleAfter = Annotated[
    Annotated[int, Field(ge=0, le=100_000)] | None,
    parameter(
        "Closed candles that may be missing at the end before a symbol is left out. None: 24 hourly or 5 "
        "daily ones."
    ),
]
Force = Annotated[
    bool, parameter("Whether forecasts are made again that are stored already from the same data.")
]
WaitForCandles = Annotated[
    Annotated[float, Field(ge=0, le=DAILY_RUN_S)] | None,
    parameter(
        "Seconds from the beginning within which the run waits for newest candles that are not in the "
        "database yet. None: KRONOS_WAIT_FOR_CANDLES_S."
    ),
]
Quantiles = Annotated[
    list[Annotated[float, Field(gt=0, lt=1)]] | None,
    parameter("Levels of the quantiles of open, high, low and close in the column statistics."),
]
Moves = Annotated[
    list[Annotated[float, Field(gt=-1, allow_inf_nan=False)]] | None,
    parameter(
        "Changes of the last close to prices whose probabilities are in the column statistics: 0.02 is two "
        "per cent up."
    ),
]
RealisedVolatility = Annotated[
    bool, parameter("Whether quantiles of realised volatility are in the column statistics.")
]

DAYS: dict[str, Any] = {"ge": 0, "le": 36_500}
RecheckDays = Annotated[
    int, parameter("Corrected candles count for forecasts whose horizon passed within so many days.", **DAYS)
]
SummaryDays = Annotated[
    int, parameter("Table and picture show forecasts whose horizon passed within so many days.", **DAYS)
]
KeepSamplesDays = Annotated[
    Annotated[int, Field(**DAYS)] | None,
    parameter(
        "Sample paths of scored forecasts are deleted so many days after the horizon. None: the flow "
        "retention deletes them."
    ),
]
ScoreAll = Annotated[bool, parameter("Whether every forecast is scored again.")]
