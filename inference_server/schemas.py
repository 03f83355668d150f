"""Defines the bodies of requests and answers."""

from datetime import datetime
from typing import Annotated, Any, Literal

from msgspec import UNSET, Meta, Struct, UnsetType

from market.timeframes import Timeframe

Instant = str | int
"""ISO 8601 text (without a zone it is UTC; a date alone is its midnight) or a Unix time: seconds,
milliseconds, microseconds or nanoseconds, distinguished by their size."""

PositiveInt = Annotated[int, Meta(ge=1)]


class Candles(Struct, kw_only=True):
    """Past candles as columns of equal length, oldest first; without volume, volume and amount are zero.

    An unknown volume or amount is null: the forecast is then made without that column. No price may be
    missing.
    """

    timestamp: list[Instant]
    open: list[float]
    high: list[float]
    low: list[float]
    close: list[float]
    volume: list[float | None] | None = None
    amount: list[float | None] | None = None


class EncodedArray(Struct, kw_only=True):
    """A float32 array in little-endian bytes, base64 in JSON: an eighth of the parse time of nested lists."""

    shape: tuple[int, int]
    data: bytes


EventArray = list[list[float]] | EncodedArray


class ProbabilityRequest(Struct, kw_only=True, omit_defaults=True):
    """Prices whose probabilities are computed, in any order; P(up) is always included."""

    close_above: Annotated[
        list[float],
        Meta(description="prices x: how likely the close of a candle is above x", examples=[[101.5, 98.0]]),
    ] = []
    touch: Annotated[
        list[float],
        Meta(description="prices x: how likely x is reached in any candle so far", examples=[[105.0, 95.0]]),
    ] = []


class ForecastSettings(Struct, kw_only=True):
    """The settings that /predict and /predict-batch share."""

    timeframe: Timeframe = "1d"
    pred_len: Annotated[int, Meta(ge=1, description="number of future candles")] = 120
    temperature: Annotated[float, Meta(ge=0.001, le=1000)] = 1.0
    top_k: Annotated[int, Meta(ge=0, le=2**31 - 1, description="0: off; above 0 top_p is ignored")] = 0
    top_p: Annotated[float, Meta(gt=0, le=1, description="use 1.0 for an envelope; less narrows it")] = 0.9
    sample_count: Annotated[int, Meta(ge=1, description="number of sample paths")] = 1
    lookback: Annotated[int, Meta(ge=1, description="number of past candles")] = 512
    as_of: Annotated[
        Instant | None, Meta(description="only candles closed by this instant are used; null is now")
    ] = None
    seed: Annotated[int, Meta(ge=0, le=2**63 - 1)] | None = None
    context_stride: Annotated[
        int,
        Meta(ge=1, description="oldest tokens dropped at once when the context is full; 1 is upstream's way"),
    ] = 1
    return_samples: Annotated[
        bool | Literal["full"], Meta(description='true: the close of every path; "full": all six features')
    ] = False
    repair: Annotated[
        bool, Meta(description="make each generated candle consistent: volume ≥ 0, low ≤ open, close ≤ high")
    ] = False
    event_schema: Annotated[
        int | None, Meta(description="version of the event channels; must be the bundle's where given")
    ] = None
    time_zone: Annotated[
        Annotated[str, Meta(max_length=64)] | None,
        Meta(
            description="IANA name of the model's clock, from which its five time fields are read; null: the "
            "instrument's, UTC unless set. Instants stay what they are",
        ),
    ] = None
    upstream_scale: Annotated[
        bool,
        Meta(description="normalise as upstream does where the prices' standard deviation is below 1e-4"),
    ] = False
    allow_nonpositive: Annotated[
        bool | UnsetType,
        Meta(
            description="whether the price can be zero or below, so that no quantile is raised to 0; unless "
            "given, what the instrument says"
        ),
    ] = UNSET
    quantiles: Annotated[
        list[float] | UnsetType | None,
        Meta(
            description="levels strictly between 0 and 1, none twice: the answer's `statistics` has these "
            "quantiles of open, high, low and close",
            examples=[[0.05, 0.25, 0.75, 0.95]],
        ),
    ] = UNSET
    realised_volatility: Annotated[
        bool | UnsetType,
        Meta(
            description="quantiles of the realised volatility of the paths in the answer's `statistics`, at "
            "the levels of `quantiles`, else 0.1, 0.5 and 0.9"
        ),
    ] = UNSET


class PredictRequest(ForecastSettings, kw_only=True):
    """A forecast for one symbol, from the candles given or from those in the database."""

    symbol: Annotated[str, Meta(min_length=1, max_length=64)]
    candles: Candles | None = None
    future_timestamps: list[Instant] | None = None
    events: EventArray | None = None
    probabilities: Annotated[
        ProbabilityRequest | UnsetType | None,
        Meta(
            description="the answer's `statistics` has probabilities of these prices",
            examples=[{"close_above": [101.5, 98.0], "touch": [105.0, 95.0]}],
        ),
    ] = UNSET


class PredictBatchRequest(ForecastSettings, kw_only=True):
    """Forecasts for several symbols with the same settings; candles, times, events, prices by symbol."""

    symbols: list[Annotated[str, Meta(min_length=1, max_length=64)]]
    candles: dict[str, Candles] | None = None
    future_timestamps: dict[str, list[Instant]] | None = None
    events: dict[str, EventArray] | None = None
    probabilities: Annotated[
        dict[str, ProbabilityRequest] | UnsetType | None,
        Meta(
            description="by symbol, prices whose probabilities its answer's `statistics` has",
            examples=[{"BTC-USD": {"close_above": [68000.0], "touch": [70000.0, 60000.0]}}],
        ),
    ] = UNSET


class FeatureColumns(Struct, kw_only=True):
    """Future candles as columns of pred_len values each; their times are the answer's `timestamps`."""

    open: list[float]
    high: list[float]
    low: list[float]
    close: list[float]
    volume: list[float]
    amount: list[float]


class ModelName(Struct, kw_only=True):
    """The bundle that made a forecast."""

    name: str
    version: str


class QuantileTable(Struct, kw_only=True):
    """Quantiles over the sample paths: for each of `levels` one list of pred_len values, price units."""

    levels: Annotated[list[float], Meta(examples=[[0.05, 0.95]])]
    open: list[list[float]]
    high: list[list[float]]
    low: list[list[float]]
    close: list[list[float]]


class PriceProbability(Struct, kw_only=True):
    """A price and the share of the sample paths that meet it, one for each of the pred_len steps."""

    price: float
    probability: list[float]


class Probabilities(Struct, kw_only=True, omit_defaults=True):
    """Shares of the sample paths, one for each step, the prices in the order of the request."""

    up: Annotated[list[float], Meta(description="the close of step k is above the last close")]
    close_above: Annotated[
        list[PriceProbability], Meta(description="the close of step k is above the price")
    ] = []
    touch: Annotated[
        list[PriceProbability],
        Meta(
            description="the high of any candle up to step k is at or above a price that is not below the "
            "last close; the low at or below one that is"
        ),
    ] = []


class RealisedVolatility(Struct, kw_only=True):
    """Quantiles over the paths of √(Σ squared log returns of close) from the last close through each step.

    Over k candles and not annualised: for a year of n candles multiply the value of step k by √(n / k).
    """

    levels: list[float]
    values: Annotated[
        list[list[float | None]],
        Meta(
            description="[level][step]; null from the step on at which a path's close is zero or below",
            examples=[[[0.004, 0.007], [0.012, 0.017]]],
        ),
    ]


class Statistics(Struct, kw_only=True, omit_defaults=True):
    """The selected statistics of the sample paths beyond p10, p50 and p90."""

    paths: Annotated[int, Meta(description="number of sample paths")]
    calibrated: Annotated[
        bool,
        Meta(description="false: shares and quantiles of the paths, not corrected by scores"),
    ]
    last_close: Annotated[float, Meta(description="close of the last candle used")]
    quantiles: QuantileTable | UnsetType = UNSET
    probabilities: Probabilities | UnsetType = UNSET
    realised_volatility: RealisedVolatility | UnsetType = UNSET


class PredictAnswer(Struct, kw_only=True):
    """A forecast: p10, p50, p90 of close over the sample paths, the mean path, the settings and the model."""

    symbol: str
    timeframe: Timeframe
    as_of: Annotated[datetime, Meta(description="open of the last candle used")]
    timestamps: list[datetime]
    p10: list[float]
    p50: list[float]
    p90: list[float]
    mean: FeatureColumns
    samples: Annotated[
        list[list[float | list[float]]] | None,
        Meta(description='[sample_count][pred_len] of close, [sample_count][pred_len][6] with "full"'),
    ] = None
    seed: int
    sample_count: int
    lookback_used: int
    model: ModelName
    events_used: bool
    warnings: list[str]
    statistics: Annotated[
        Statistics | UnsetType,
        Meta(description="present if the request has quantiles, probabilities or realised_volatility"),
    ] = UNSET


class Problem(Struct, kw_only=True, omit_defaults=True):
    """An error as RFC 9457 problem details (application/problem+json)."""

    type: str = "about:blank"
    title: str
    status: int
    detail: str
    instance: str | None = None
    given: Any = None
    expected: Any = None


class BatchItem(Struct, kw_only=True):
    """The result or the error of one symbol of a batch."""

    symbol: str
    result: PredictAnswer | None = None
    error: Problem | None = None


class PredictBatchAnswer(Struct, kw_only=True):
    """One item per symbol, in the order of the request."""

    results: list[BatchItem]
    warnings: list[str]


class Limits(Struct, kw_only=True, frozen=True):
    """The limits of a request on this server."""

    min_candles: int
    max_pred_len: int
    max_sample_count: int
    max_lookback: int
    max_batch_symbols: int
    max_body_bytes: int
    max_answer_values: Annotated[
        int | None, Meta(description="numbers in one answer; absent from servers of before")
    ] = None


class Health(Struct, kw_only=True, omit_defaults=True):
    """The state of the server."""

    status: Literal["live", "ready"]
    fallback: Annotated[
        bool, Meta(description="true where the CPU serves a bundle that a GPU should; absent otherwise")
    ] = False


class DeviceInfo(Struct, kw_only=True):
    """The device that runs the model."""

    kind: Literal["cpu", "cuda"]
    name: Annotated[str, Meta(description="of a GPU, the card's name")]
    fallback: Annotated[bool, Meta(description="whether the CPU replaces a GPU; the log says why")]
    compiled_operators: Annotated[
        str | None,
        Meta(description="amx, avx512_vnni, avx512, avx2 or portable: what they use; null without them"),
    ] = None


class ModelInfo(Struct, kw_only=True):
    """The bundle being served, with the limits of a request and the manifest."""

    name: str
    version: str
    precision: str
    max_context: int
    has_events: bool
    event_schema: int
    event_alignment: str
    event_channels: list[str]
    limits: Limits
    manifest: dict[str, Any]
    device: Annotated[DeviceInfo | None, Meta(description="absent from servers of before")] = None
