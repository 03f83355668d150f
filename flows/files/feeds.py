"""Checks frames read from files and gives them the columns of the database's tables."""

import logging
from collections.abc import Mapping, Sequence

import numpy as np
import polars as pl

from flows.files.calendar_files import calendar, mark_unscheduled
from flows.files.calendar_times import with_known_times
from flows.files.candle_files import NONE_KNOWN, read_candles
from flows.files.frames import TableError, conform, refuse
from flows.files.options import DEFAULT, ReadOptions
from flows.runtime.table_columns import CENTRAL_BANK_RATES, ECONOMIC_INDICATORS, INSTRUMENTS
from market.instruments import ASSET_CLASSES, STAMPS, Instrument
from market.time_features import known_time_zones
from market.time_grid import TimeGridError, candle_bounds
from market.timeframes import UnknownTimeframe, parse_timeframe

__all__ = ["calendar", "candles", "indicators", "instruments", "rates"]


def candles(
    frame: pl.DataFrame,
    timeframe: str,
    symbols: Sequence[str] | None = None,
    instruments: Mapping[str, Instrument] = NONE_KNOWN,
    options: ReadOptions = DEFAULT,
) -> pl.DataFrame:
    """Return the rows of `flows.files.candle_files.read_candles`, and log its notes."""
    file = read_candles(frame, timeframe, symbols, instruments, options)
    for note in file.notes:
        logging.getLogger(__name__).warning("%s", note)
    return file.rows


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
        For missing values, an unknown asset class, calendar, time zone, anchor, timeframe or stamp, and
        contradictory rows.
    """
    frame = conform(frame, INSTRUMENTS, ["symbol", "asset_class", "calendar"], ["symbol"])
    refuse(
        frame.filter(~pl.col("asset_class").is_in(list(ASSET_CLASSES))),
        ["symbol", "asset_class"],
        f"asset_class is none of {', '.join(ASSET_CLASSES)}",
    )
    refuse(
        frame.filter(~pl.col("stamp").is_in(STAMPS)),
        ["symbol", "stamp"],
        f"stamp is none of {', '.join(STAMPS)}",
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
