"""Checks frames read from files and gives them the columns of the database's tables."""

from collections.abc import Collection, Sequence
from typing import Final

import numpy as np
import polars as pl

from flows.files.calendar_files import calendar, mark_unscheduled
from flows.files.calendar_times import with_known_times
from flows.files.frames import TableError, conform, refuse
from flows.files.providers import provider_candles
from flows.runtime.table_columns import CANDLES, CENTRAL_BANK_RATES, ECONOMIC_INDICATORS, INSTRUMENTS
from market.candle_checks import impossible
from market.candle_checks import nonpositive as not_above_zero
from market.instruments import ASSET_CLASSES, Instrument
from market.similar_symbols import did_you_mean
from market.spacing import contradiction, other_spacing
from market.time_features import known_time_zones
from market.time_grid import TimeGridError, candle_bounds
from market.timeframes import INTRADAY, UnknownTimeframe, parse_timeframe

__all__ = ["calendar", "candles", "indicators", "instruments", "rates"]


def candles(
    frame: pl.DataFrame,
    timeframe: str,
    symbols: Sequence[str] | None = None,
    nonpositive: Collection[str] = (),
) -> pl.DataFrame:
    """Check candles and give them the columns of the candle tables.

    Parameters
    ----------
    frame
        symbol, timestamp or ts, open, high, low, close; volume and amount are optional. Other providers'
        names are taken too, see `flows.files.providers`.
    timeframe
        Timestamps are bar opens; of "1d" session dates, and of "1w" the dates of Mondays, at 00:00 UTC.
    symbols
        Keep only these. One symbol names the candles of a frame without the column symbol.
    nonpositive
        Symbols whose prices may be zero or below.

    Raises
    ------
    TableError
        For missing values, NaN, a price of zero or below, high below or low above another price, negative
        volume or amount, a daily timestamp that is not a date, two candles at one time, and candles spaced
        for another timeframe; the message names symbol and timestamp.
    """
    frame = provider_candles(frame)
    if "symbol" not in frame.columns and symbols is not None and len(symbols) == 1:
        frame = frame.with_columns(symbol=pl.lit(symbols[0]))
    frame = frame.rename({"timestamp": "ts"}, strict=False) if "ts" not in frame.columns else frame
    if symbols is not None and "symbol" in frame.columns:
        present = set(frame["symbol"].unique())
        absent = sorted(set(symbols) - present)
        if absent:
            near = did_you_mean(absent[0], present)
            raise TableError(f"no candles of {', '.join(absent)} in it{near}")
        frame = frame.filter(pl.col("symbol").is_in(list(symbols)))
    key = ["symbol", "ts"]
    frame = conform(frame, CANDLES, [*key, "open", "high", "low", "close"], key)
    prices = ["open", "high", "low", "close"]
    values = frame.select(*prices, "volume", "amount").to_numpy()
    for problem, rows in impossible(values).items():
        refuse(frame.filter(pl.Series(rows)), [*key, *prices, "volume", "amount"], problem)
    must_be_positive = ~pl.col("symbol").is_in(list(nonpositive))
    refuse(
        frame.filter(pl.Series(not_above_zero(values)) & must_be_positive),
        [*key, *prices],
        "a price is zero or below; where that can be, set allow_nonpositive in the table instruments",
    )
    frame = frame.sort(key)
    check_spacing(frame, timeframe)
    if timeframe not in INTRADAY:
        refuse(
            frame.filter(pl.col("ts").dt.truncate("1d") != pl.col("ts")),
            key,
            _DATED[timeframe],
        )
    return frame


_DATED: Final = {
    "1d": "a daily candle's timestamp must be its session date at 00:00 UTC",
    "1w": "a weekly candle's timestamp must be the date of its Monday at 00:00 UTC",
}


def check_spacing(candles: pl.DataFrame, timeframe: str) -> None:
    """Refuse candles that are spaced for another timeframe.

    Parameters
    ----------
    candles
        symbol and ts, ordered by both.

    Raises
    ------
    TableError
        Names the first such symbol and the spacing of its candles.
    """
    for (symbol,), part in candles.partition_by("symbol", as_dict=True, maintain_order=True).items():
        stamps = part["ts"].dt.replace_time_zone(None).to_numpy().astype("datetime64[us]")
        spacing = other_spacing(stamps, timeframe)
        if spacing is not None:
            raise TableError(contradiction(str(symbol), spacing, timeframe))


def rates(frame: pl.DataFrame) -> pl.DataFrame:
    """Check central bank decisions and give them the columns of ``central_bank_rates``.

    Takes the table's own columns, or those of a list of FOMC decisions: decision_time_utc, target_upper,
    change_bps, forecast_upper (percent and basis points). Dates without a time become midnight UTC with
    `time_known` false, see `flows.files.calendar_times`.

    Raises
    ------
    TableError
        For missing values of bank or decision_time, values of a wrong type and contradictory rows.
    """
    if "target_upper" in frame.columns:
        frame = frame.drop("date", "surprise_bps", strict=False)
        frame = frame.rename({"decision_time_utc": "decision_time", "target_upper": "rate"}, strict=False)
        frame = frame.rename({"forecast_upper": "forecast"}, strict=False).with_columns(bank=pl.lit("FED"))
        if "change_bps" in frame.columns:
            change = pl.col("change_bps").cast(pl.Float64, strict=False) / 100
            frame = frame.with_columns(previous=pl.col("rate").cast(pl.Float64, strict=False) - change)
            frame = frame.drop("change_bps")
    key = ["bank", "decision_time"]
    rows = conform(with_known_times(frame, "decision_time"), CENTRAL_BANK_RATES, key, key)
    return mark_unscheduled(rows, "decision_time", pl.lit(True))


def indicators(frame: pl.DataFrame) -> pl.DataFrame:
    """Check values of economic series and give them the columns of ``economic_indicators``.

    Takes the table's own columns, or a file in FRED's format: observation_date (or DATE) and a column for
    each series, empty or a dot where there is no value.

    Raises
    ------
    TableError
        For missing values of series_id or date, values of a wrong type and contradictory rows.
    """
    dates = next((name for name in ("observation_date", "DATE") if name in frame.columns), None)
    if dates is not None:
        frame = frame.rename({dates: "date"}).unpivot(
            index="date", variable_name="series_id", value_name="value"
        )
        if frame["value"].dtype == pl.String:
            frame = frame.with_columns(pl.col("value").replace(".", None))
    key = ["series_id", "date", "known_on"]
    return conform(frame, ECONOMIC_INDICATORS, key[:2], key).drop_nulls("value")


def instruments(frame: pl.DataFrame) -> pl.DataFrame:
    """Check instruments and give them the columns of the table.

    Raises
    ------
    TableError
        For missing values, an unknown asset class, calendar, time zone, anchor or timeframe, and
        contradictory rows.
    """
    frame = conform(frame, INSTRUMENTS, ["symbol", "asset_class", "calendar"], ["symbol"])
    refuse(
        frame.filter(~pl.col("asset_class").is_in(list(ASSET_CLASSES))),
        ["symbol", "asset_class"],
        f"asset_class is none of {', '.join(ASSET_CLASSES)}",
    )
    refuse(
        frame.filter(~pl.col("model_time_zone").is_in(list(known_time_zones()))),
        ["symbol", "model_time_zone"],
        "model_time_zone is no IANA time zone such as Asia/Shanghai",
    )
    some_day = np.array(["2024-06-03"], dtype="datetime64[us]")
    columns = frame.select("symbol", "asset_class", "calendar", "anchor", "aggregate_from")
    sources = []
    for symbol, asset_class, name, anchor, source in columns.iter_rows():
        try:
            candle_bounds(Instrument(symbol, asset_class, name, anchor=anchor), "4h", some_day)
            sources.append(None if source is None else parse_timeframe(source))
        except (TimeGridError, UnknownTimeframe) as error:
            raise TableError(f"{symbol}: {error}") from None
    return frame.with_columns(aggregate_from=pl.Series(sources, dtype=pl.String()))
