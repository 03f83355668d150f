"""From a request to the engine's job: limits, usable candles, event arrays, all of it pure."""

import secrets
from collections.abc import Collection, Iterable
from dataclasses import dataclass

import numpy as np
from msgspec import UNSET

from inference_server.engine.jobs import ForecastJob
from inference_server.errors import BeyondLimit, InvalidCandles, InvalidEvents, InvalidRequest, TooFewCandles
from inference_server.forecast.instants import iso, parse_instants
from inference_server.schemas import (
    Candles,
    EncodedArray,
    EventArray,
    ForecastSettings,
    Limits,
    PredictRequest,
)
from market.candles import FEATURES, candle_columns, candle_features
from market.closed_candles import last_closed
from market.event_channels import EVENT_CHANNELS
from market.feed_grid import feed_grid
from market.instruments import Instrument
from market.similar_symbols import did_you_mean
from market.spacing import continues, contradiction, other_spacing, spacing_text
from market.time_features import known_time_zones
from market.timeframes import CANDLE_LENGTH
from market.types import DatetimeArray, Float32Array, Float64Array, Int64Array


@dataclass(frozen=True)
class Window:
    """Candles of one symbol, oldest first: `features` (T, 6) in raw units, `timestamps` (T,) in UTC."""

    features: Float64Array
    timestamps: DatetimeArray

    def __len__(self) -> int:
        return len(self.timestamps)

    def keep(self, rows: Int64Array) -> "Window":
        """Return the window with the candles at some positions only."""
        return Window(np.ascontiguousarray(self.features[rows]), self.timestamps[rows])


def check_limits(asked: ForecastSettings, limits: Limits, max_context: int) -> None:
    """Refuse settings that are larger or smaller than this server and its bundle take.

    Raises
    ------
    BeyondLimit
        With the field, its value and the range.
    """
    longest = min(limits.max_pred_len, max_context)
    ranges = {
        "pred_len": (1, longest, "KRONOS_MAX_PRED_LEN and the bundle's max_context"),
        "sample_count": (1, limits.max_sample_count, "KRONOS_MAX_SAMPLE_COUNT"),
        "lookback": (limits.min_candles, limits.max_lookback, "KRONOS_MAX_LOOKBACK"),
        "context_stride": (1, max_context - 1, "the bundle's max_context"),
    }
    for field, (low, high, source) in ranges.items():
        value = getattr(asked, field)
        if not low <= value <= high:
            raise BeyondLimit(
                f"{field} is {value}; expected {low} … {high}",
                given=value,
                expected=f"{low} … {high} (limited by {source})",
            )


def inline_window(candles: Candles) -> Window:
    """Return candles given inline as a window; NaN where volume or amount is unknown.

    Raises
    ------
    InvalidRequest, CandleError
        If timestamps are unreadable or not increasing, a column differs in length, a price is missing, or a
        value is out of range.
    """
    timestamps = parse_instants(candles.timestamp, "candles.timestamp")
    features = candle_columns({name: getattr(candles, name) for name in FEATURES})
    if len(features) != len(timestamps):
        raise InvalidCandles(
            f"candles.timestamp has {len(timestamps)} values and candles.open has {len(features)}",
            given=[len(timestamps), len(features)],
            expected="columns of equal length",
        )
    return Window(features, timestamps)


def usable(
    window: Window, asked: PredictRequest, instrument: Instrument | None, as_of: np.datetime64, limits: Limits
) -> Window:
    """Return the last `lookback` candles that had closed by an instant.

    Candles that are spaced otherwise than `timeframe` says are taken where the caller's own future timestamps
    go on as they do; each then lasts until the next one.

    Parameters
    ----------
    instrument
        None for a symbol that nobody registered: its candles then last an hour or a day around the clock.
    as_of
        The instant asked for.

    Raises
    ------
    TooFewCandles
        If fewer than `limits.min_candles` remain; the error says how many there are.
    InvalidRequest
        If the candles are not those of `timeframe` and no future timestamps go on as they do, or a timestamp
        is none that the instrument's trading calendar covers.
    """
    spacing = own_spacing(window, asked)
    try:
        rows = last_closed(window.timestamps, asked.timeframe, as_of, asked.lookback, instrument, spacing)
    except ValueError as error:
        raise InvalidCandles(f"candles of {asked.symbol}: {error}") from error
    kept = window.keep(rows)
    if len(kept) < limits.min_candles:
        raise TooFewCandles(
            f"{asked.symbol} has {len(kept)} candles of {asked.timeframe} closed by {iso(as_of)}; "
            f"expected at least {limits.min_candles}",
            given=len(kept),
            expected=f"at least {limits.min_candles}",
        )
    return kept


def own_spacing(window: Window, asked: PredictRequest) -> np.timedelta64 | None:
    """Return the spacing of candles that are not those of `timeframe`, or None where they are.

    Raises
    ------
    InvalidCandles
        If they are not, and no future timestamps of the caller's go on as they do.
    """
    stamps = window.timestamps[-asked.lookback :]
    spacing = other_spacing(stamps, asked.timeframe)
    if spacing is None:
        return None
    fault = contradiction(asked.symbol, spacing, asked.timeframe)
    if asked.future_timestamps is not None:
        future = parse_instants(asked.future_timestamps, "future_timestamps")
        if continues(future[future > stamps[-1]], stamps[-1], spacing):
            return spacing
        fault += ", and future_timestamps do not go on as the candles do"
    raise InvalidCandles(
        f"{fault}: give candles of {asked.timeframe}, or future_timestamps {spacing_text(spacing)} apart",
        given=spacing_text(spacing),
        expected=f"candles {spacing_text(CANDLE_LENGTH[asked.timeframe])} apart",
    )


def without_gaps(window: Window) -> Window:
    """Return candles with missing volume or amount filled as if the whole column were missing.

    Raises
    ------
    InvalidCandles, CandleError
        If a price is missing or not finite.
    """
    opens, highs, lows, closes, volume, amount = window.features.T
    broken = ~np.isfinite(window.features[:, :4]).all(axis=1)
    if broken.any():
        when = iso(window.timestamps[int(np.argmax(broken))])
        raise InvalidCandles(
            f"the stored candle of {when} lacks a price: correct it in the database", given=when
        )
    features = candle_features(
        opens,
        highs,
        lows,
        closes,
        volume if np.isfinite(volume).all() else None,
        amount if np.isfinite(amount).all() else None,
    )
    return Window(features, window.timestamps)


def future_of(
    asked: PredictRequest, window: Window, instrument: Instrument | None, registered: Collection[str] = ()
) -> DatetimeArray:
    """Return the timestamps of the candles to generate: those given, else those that follow.

    What follows is on the grid that the candles stand on: the trading calendar's, or the feed's own.

    Parameters
    ----------
    registered
        Symbols that a refusal may name in place of one that nobody registered.

    Raises
    ------
    InvalidRequest
        If they are not pred_len strictly increasing instants after the last candle, or neither they nor a
        calendar are known.
    """
    last = window.timestamps[-1]
    if asked.future_timestamps is None:
        if instrument is None:
            raise InvalidRequest(
                f"{asked.symbol} is no registered symbol, so its trading calendar is unknown: "
                "send future_timestamps with the candles, or register it in the table instruments"
                + did_you_mean(asked.symbol, registered),
                expected=f"future_timestamps with {asked.pred_len} instants",
            )
        try:
            grid = feed_grid(instrument, asked.timeframe, window.timestamps)
            return grid.after(last, asked.pred_len)
        except ValueError as error:
            raise InvalidRequest(f"future timestamps of {asked.symbol}: {error}") from error
    future = parse_instants(asked.future_timestamps, "future_timestamps")
    if len(future) != asked.pred_len:
        raise InvalidRequest(
            f"future_timestamps holds {len(future)} instants and pred_len is {asked.pred_len}",
            given=len(future),
            expected=f"{asked.pred_len} instants",
        )
    if future[0] <= last:
        raise InvalidRequest(
            f"future_timestamps begin at {iso(future[0])}, not after the last candle used ({iso(last)})",
            given=iso(future[0]),
            expected=f"instants after {iso(last)}",
        )
    return future


def event_array(events: EventArray, rows: int, pred_len: int) -> Float32Array:
    """Return an event array as float32 of shape (rows, 20) or (rows + pred_len, 20), C-contiguous.

    Parameters
    ----------
    events
        Nested lists, or a shape with little-endian float32 bytes.
    rows
        T, the number of candles really used.

    Raises
    ------
    InvalidEvents
        If the shape is another, or a value is NaN or infinite in float32; the error names row and channel.
    """
    array = _decoded(events) if isinstance(events, EncodedArray) else nested_events(events)
    channels = len(EVENT_CHANNELS)
    shapes = [[rows, channels], [rows + pred_len, channels]]
    if list(array.shape) not in shapes:
        raise InvalidEvents(
            f"events have shape {list(array.shape)}; expected {shapes[0]} or {shapes[1]}, "
            f"for {rows} candles used and pred_len {pred_len}",
            given=list(array.shape),
            expected=shapes,
        )
    finite = np.isfinite(array)
    if not finite.all():
        row, channel = (int(index) for index in np.argwhere(~finite)[0])
        raise InvalidEvents(
            f"events[{row}][{channel}] ({EVENT_CHANNELS[channel]}) is {array[row, channel]}",
            given=str(array[row, channel]),
            expected="finite numbers that float32 can hold",
        )
    return array


def check_event_schema(asked: ForecastSettings, bundle_schema: int | None) -> None:
    """Refuse events that were built for another version of the channels than the bundle's.

    Raises
    ------
    InvalidEvents
        If both versions are known and differ.
    """
    if asked.event_schema is not None and bundle_schema is not None and asked.event_schema != bundle_schema:
        raise InvalidEvents(
            f"events were built for schema version {asked.event_schema} and this bundle reads version "
            f"{bundle_schema}: build them again, or ask without events",
            given=asked.event_schema,
            expected=bundle_schema,
        )


def new_seed() -> int:
    """Return a random seed that any JSON reader keeps exactly (below 2**53)."""
    return secrets.randbelow(2**53)


def can_be_nonpositive(asked: ForecastSettings, instrument: Instrument | None) -> bool:
    """Return whether the price can be zero or below: as the request says, else the instrument, else not."""
    if asked.allow_nonpositive is not UNSET:
        return asked.allow_nonpositive
    return instrument is not None and instrument.allow_nonpositive


def model_clock(asked: ForecastSettings, instrument: Instrument | None) -> str:
    """Return the zone that the time fields are read in: the one asked for, else the instrument's, else UTC.

    Raises
    ------
    InvalidRequest
        If this machine knows no zone of that name.
    """
    zone = asked.time_zone
    if zone is None:
        zone = "UTC" if instrument is None else instrument.model_time_zone
    if zone not in known_time_zones():
        source = "time_zone" if asked.time_zone is not None else "the instrument's model_time_zone"
        raise InvalidRequest(
            f"{source} is {zone!r}, which is no time zone",
            given=zone,
            expected="an IANA name such as UTC or Asia/Shanghai",
        )
    return zone


def forecast_job(
    asked: PredictRequest,
    window: Window,
    future: DatetimeArray,
    events: Float32Array | None,
    seed: int,
    time_zone: str = "UTC",
) -> ForecastJob:
    """Return the engine's job for a request whose parts have been checked."""
    return ForecastJob(
        candles=window.features,
        timestamps=window.timestamps,
        future_timestamps=future,
        sample_count=asked.sample_count,
        temperature=asked.temperature,
        top_k=asked.top_k,
        top_p=asked.top_p,
        seed=seed,
        context_stride=asked.context_stride,
        events=events,
        time_zone=time_zone,
        upstream_scale=asked.upstream_scale,
    )


def _decoded(events: EncodedArray) -> Float32Array:
    rows, channels = events.shape
    if min(rows, channels) < 0 or rows * channels * 4 != len(events.data):
        raise InvalidEvents(
            f"events.data holds {len(events.data)} bytes and events.shape is {[rows, channels]}",
            given=len(events.data),
            expected="4 bytes (little-endian float32) per element of shape",
        )
    return np.frombuffer(events.data, dtype="<f4").reshape(rows, channels).astype(np.float32)


def same_width(widths: Iterable[int]) -> int:
    """Return the length that all rows of events have, 0 without any.

    Raises
    ------
    InvalidEvents
        If they differ.
    """
    lengths = set(widths)
    if len(lengths) > 1:
        raise InvalidEvents(
            "rows of events differ in length",
            given=sorted(lengths)[:10],
            expected=f"{len(EVENT_CHANNELS)} channels in every row",
        )
    return lengths.pop() if lengths else 0


def nested_events(events: list[list[float]]) -> Float32Array:
    """Return nested lists as an array; what float32 cannot hold becomes infinite.

    Raises
    ------
    InvalidEvents
        If rows differ in length.
    """
    shape = (len(events), same_width(map(len, events)))
    with np.errstate(over="ignore"):
        return np.asarray(events, dtype=np.float64).astype(np.float32).reshape(shape)
