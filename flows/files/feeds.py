"""Checks frames read from files and gives them the columns of the database's tables."""

import logging
from collections.abc import Mapping, Sequence

import polars as pl

from flows.files.calendar_files import calendar, mark_unscheduled
from flows.files.calendar_times import with_known_times
from flows.files.candle_files import NONE_KNOWN, read_candles
from flows.files.frames import conform
from flows.files.instruments import instruments
from flows.files.options import DEFAULT, ReadOptions
from flows.runtime.table_columns import CENTRAL_BANK_RATES, ECONOMIC_INDICATORS
from market.instruments import Instrument

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
