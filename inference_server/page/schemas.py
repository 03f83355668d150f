"""Defines the answers of the page's routes."""

from datetime import datetime
from typing import Annotated, Any

from msgspec import Meta, Struct

from inference_server.schemas import EncodedArray
from market.timeframes import Timeframe


class TimeframeInfo(Struct, kw_only=True):
    """The last candle and forecast of a symbol in one timeframe."""

    timeframe: Timeframe
    last_candle: datetime
    last_forecast: Annotated[datetime | None, Meta(description="as_of of the newest stored forecast")]


class SymbolInfo(Struct, kw_only=True):
    """A symbol that has candles."""

    symbol: str
    asset_class: str
    currency: Annotated[str | None, Meta(description="in which prices are given; null: unknown")]
    tick_size: Annotated[float | None, Meta(description="smallest step of a price; null: unknown")]
    aliases: Annotated[list[str], Meta(description="other names that requests may use")]
    timeframes: list[TimeframeInfo]


class Symbols(Struct, kw_only=True):
    """Every symbol that has candles, by name."""

    symbols: list[SymbolInfo]


class StoredCandles(Struct, kw_only=True):
    """Stored candles as columns of equal length, oldest first; null where a value is missing."""

    symbol: str
    timeframe: Timeframe
    timestamp: list[datetime]
    open: list[float | None]
    high: list[float | None]
    low: list[float | None]
    close: list[float | None]
    volume: list[float | None]


class CalendarEvent(Struct, kw_only=True):
    """A release, a decision of a central bank, or earnings; the figures are in the unit of its title."""

    event_time: datetime
    time_known: Annotated[bool, Meta(description="false: only the date is known")]
    scheduled: bool
    currency: str | None
    event_type: str
    title: str
    impact: str | None
    actual: float | None
    forecast: float | None
    previous: float | None


class Calendar(Struct, kw_only=True):
    """Events that concern a symbol, oldest first."""

    currencies: Annotated[list[str], Meta(description="whose releases are listed")]
    events: list[CalendarEvent]


class StoredPrediction(Struct, kw_only=True):
    """One row of ml_predictions, column by column."""

    symbol: str
    timeframe: str
    as_of: Annotated[datetime, Meta(description="open of the last candle used")]
    model_name: str
    model_version: str | None
    pred_len: int
    timestamps: list[datetime]
    p10: list[float | None]
    p50: list[float | None]
    p90: list[float | None]
    seed: int | None
    created_at: datetime
    updated_at: Annotated[datetime | None, Meta(description="when the row was last written")]
    event_context: dict[str, Any] | None
    p10_calibrated: Annotated[
        list[float | None] | None, Meta(description="after calibration; null until one is learned")
    ]
    p90_calibrated: list[float | None] | None
    warnings: Annotated[
        list[str] | None,
        Meta(description="what was reported of the forecast, each beginning with its code; null: nothing"),
    ]
    statistics: Annotated[
        dict[str, Any] | None,
        Meta(description="as /predict answers them (Statistics); null: none were stored"),
    ]
    backfilled: Annotated[bool, Meta(description="made afterwards, of an instant in the past")]


class PastPrediction(Struct, kw_only=True):
    """A stored forecast in a list, without its values."""

    as_of: datetime
    model_name: str
    model_version: str | None
    pred_len: int
    created_at: datetime
    updated_at: datetime | None
    event_context: dict[str, Any] | None
    has_inputs: Annotated[bool, Meta(description="whether …/inputs has its inputs")]
    backfilled: Annotated[bool, Meta(description="made afterwards, of an instant in the past")]


class PredictionHistory(Struct, kw_only=True):
    """The stored forecasts of a symbol, newest first."""

    predictions: list[PastPrediction]


class PredictionInputs(Struct, kw_only=True):
    """The inputs of a stored forecast; with its first future timestamp as `as_of` they reproduce it."""

    lookback: int
    sample_count: int
    temperature: float
    top_k: int
    top_p: float
    event_schema: int | None
    events: Annotated[
        EncodedArray | None, Meta(description="as /predict takes it; null: the forecast was made without")
    ]
