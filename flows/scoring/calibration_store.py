"""Learns calibrations from scored forecasts, stores them with their instant, and reads them for new ones."""

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final

import numpy as np
import psycopg

from flows.scoring.calibration import Calibration, learn
from flows.scoring.steps import numbers
from flows.scoring.store import batches
from market.instruments import Instrument
from market.types import Float64Array
from sql.loading import load

LEARNED_FROM: Final = {"1h": timedelta(days=60), "1d": timedelta(days=1095)}
"""How far back forecasts that are learned from may have matured: enough of them, in a similar market."""


@dataclass(frozen=True)
class LearnedCalibration:
    """The calibration that a run learned for one model and asset class."""

    model_name: str
    asset_class: str
    calibration: Calibration


def read_calibrations(
    connection: psycopg.Connection[Any], timeframe: str, model_name: str, model_version: str, as_of: datetime
) -> dict[str, Calibration]:
    """Read, by asset class, the newest calibration that a forecast made at an instant may use."""
    model = {
        "timeframe": timeframe, "model_name": model_name, "model_version": model_version, "as_of": as_of,
    }  # fmt: skip
    return {
        asset_class: Calibration(_floats(low), _floats(high), np.array(counts, dtype=np.int64))
        for asset_class, _, low, high, counts in connection.execute(load("calibrations"), model)
    }


def learn_calibrations(
    connection: psycopg.Connection[Any],
    timeframe: str,
    as_of: datetime,
    instruments: Mapping[str, Instrument],
) -> list[LearnedCalibration]:
    """Learn and store a calibration of every model and asset class, unless one was learned that UTC day.

    Only forecasts that had matured by `as_of` count, and a forecast made from then on is later than the
    horizon of each of them: the split in time leaves a gap of at least the horizon. The transaction is the
    caller's.
    """
    span = {"timeframe": timeframe, "matured_after": as_of - LEARNED_FROM[timeframe], "matured_by": as_of}
    today = as_of.replace(hour=0, minute=0, second=0, microsecond=0)
    learned = []
    for name, version in connection.execute(load("scored_models"), span).fetchall():
        model = {"timeframe": timeframe, "model_name": name, "model_version": version, "as_of": as_of}
        if any(row[1] >= today for row in connection.execute(load("calibrations"), model)):
            continue
        groups = _envelopes(connection, model | span, instruments)
        for asset_class, rows in sorted(groups.items()):
            calibration = learn(*_matrices(rows))
            if not np.isfinite(calibration.low).any():
                continue
            connection.execute(
                load("upsert_calibration"),
                model
                | {
                    "asset_class": asset_class,
                    "low": numbers(calibration.low),
                    "high": numbers(calibration.high),
                    "counts": calibration.counts.tolist(),
                },
            )
            learned.append(LearnedCalibration(name, asset_class, calibration))
    return learned


def _envelopes(
    connection: psycopg.Connection[Any], model: Mapping[str, Any], instruments: Mapping[str, Instrument]
) -> dict[str, list[Float64Array]]:
    """Return by asset class the p10, p90 and closes of each matured forecast, (3, pred_len)."""
    groups: dict[str, list[Float64Array]] = defaultdict(list)
    with connection.cursor(binary=True) as cursor:
        cursor.execute(load("matured_envelopes"), model)
        for rows in batches(cursor):
            for symbol, *arrays in rows:
                if symbol in instruments:
                    groups[instruments[symbol].asset_class].append(np.array(arrays, dtype=np.float64))
    return groups


def _matrices(rows: list[Float64Array]) -> Float64Array:
    """Return (3, n, steps), NaN beyond the end of shorter forecasts."""
    padded = np.full((3, len(rows), max(row.shape[1] for row in rows)), np.nan)
    for number, row in enumerate(rows):
        padded[:, number, : row.shape[1]] = row
    return padded


def _floats(values: list[float | None]) -> Float64Array:
    return np.array(values, dtype=np.float64)
