"""Learns calibrations from scored forecasts, stores them with their instant, and reads them for new ones."""

from bisect import bisect_right
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from operator import itemgetter
from typing import Any, Final

import numpy as np
import psycopg

from flows.scoring.calibration import Calibration, learn
from flows.scoring.steps import numbers
from flows.scoring.store import batches, sample_threshold
from market.instruments import Instrument
from market.types import Float64Array
from sql.loading import load

LEARNED_FROM: Final = {
    "1m": timedelta(days=7),
    "5m": timedelta(days=14),
    "15m": timedelta(days=30),
    "30m": timedelta(days=45),
    "1h": timedelta(days=60),
    "2h": timedelta(days=120),
    "4h": timedelta(days=240),
    "1d": timedelta(days=1095),
    "1w": timedelta(days=3650),
}
"""How far back forecasts that are learned from may have matured: enough of them, in a similar market."""

PARTS: Final = {
    "1m": timedelta(hours=1),
    "5m": timedelta(hours=4),
    "15m": timedelta(hours=8),
    "30m": timedelta(hours=12),
    "1h": timedelta(days=1),
    "2h": timedelta(days=2),
    "4h": timedelta(days=4),
    "1d": timedelta(days=30),
    "1w": timedelta(days=210),
}
"""The part of that time which one statement reads."""

MOST_FORECASTS: Final = 10_000
"""Forecasts of a model and asset class from which a calibration is learned: 29 MB with 120 steps.

The share of closes beyond p10 is then known to 0.3 percentage points, if forecasts are independent.
"""


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
        asset_class: _calibration(*values)
        for asset_class, _, *values in connection.execute(load("calibrations"), model)
    }


class CalibrationHistory:
    """The calibrations of a model that were learned in the course of time.

    Parameters
    ----------
    learned
        By asset class, the instants and what was learned then, oldest first.
    """

    def __init__(self, learned: Mapping[str, Sequence[tuple[datetime, Calibration]]]) -> None:
        self._learned = learned

    def at(self, asset_class: str, as_of: datetime) -> Calibration | None:
        """Return the newest calibration that a forecast made at an instant may use, or None."""
        learned = self._learned.get(asset_class, ())
        position = bisect_right(learned, as_of, key=itemgetter(0))
        return learned[position - 1][1] if position else None


def read_calibration_history(
    connection: psycopg.Connection[Any],
    timeframe: str,
    model_name: str,
    model_version: str,
    first: datetime,
    last: datetime,
) -> CalibrationHistory:
    """Read the calibrations that forecasts made in a span may use."""
    parameters = {
        "timeframe": timeframe, "model_name": model_name, "model_version": model_version,
        "first": first, "last": last,
    }  # fmt: skip
    learned: dict[str, list[tuple[datetime, Calibration]]] = defaultdict(list)
    for asset_class, *found in connection.execute(load("calibration_history"), parameters):
        learned[asset_class].append((found[0], _calibration(*found[1:])))
    return CalibrationHistory(learned)


def learn_calibrations(
    connection: psycopg.Connection[Any],
    timeframe: str,
    as_of: datetime,
    instruments: Mapping[str, Instrument],
) -> list[LearnedCalibration]:
    """Learn and store a calibration of every model and asset class, unless one was learned that UTC day.

    Only forecasts that had matured by `as_of` count, and a forecast made from then on is later than the
    horizon of each of them: the split in time leaves a gap of at least the horizon. At most `MOST_FORECASTS`
    of a model and asset class are read, a sample of all symbols and instants. The transaction is that of the
    caller.
    """
    learned = []
    for name, version in _models_to_learn(connection, timeframe, as_of):
        model = {"timeframe": timeframe, "model_name": name, "model_version": version}
        thresholds = _thresholds(connection, model, as_of, instruments)
        groups = _envelopes(connection, model, as_of, instruments, thresholds)
        for asset_class in sorted(groups):
            calibration = learn(*_matrices(groups.pop(asset_class)))
            if not np.isfinite(calibration.low).any():
                continue
            connection.execute(
                load("upsert_calibration"),
                model
                | {
                    "as_of": as_of,
                    "asset_class": asset_class,
                    "low": numbers(calibration.low),
                    "high": numbers(calibration.high),
                    "counts": calibration.counts.tolist(),
                },
            )
            learned.append(LearnedCalibration(name, asset_class, calibration))
    return learned


def _models_to_learn(
    connection: psycopg.Connection[Any], timeframe: str, as_of: datetime
) -> list[tuple[str, str]]:
    """Return the models that have matured forecasts and were not learned that UTC day.

    Once a model was learned on a day, later runs of the day look only at forecasts that matured in the last
    part of the span, as reading all of it every hour takes long.
    """
    midnight = as_of.replace(hour=0, minute=0, second=0, microsecond=0)
    today = {"timeframe": timeframe, "first": midnight, "last": as_of}
    done = set(connection.execute(load("models_learned"), today).fetchall())
    back = 2 * PARTS[timeframe] if done else LEARNED_FROM[timeframe]
    span = {"timeframe": timeframe, "matured_after": as_of - back, "matured_by": as_of}
    return [
        model for model in connection.execute(load("scored_models"), span).fetchall() if model not in done
    ]


def _parts(timeframe: str, as_of: datetime) -> Iterator[dict[str, datetime]]:
    """Yield the parts of the span that is learned from, so that no statement takes long."""
    first, length = as_of - LEARNED_FROM[timeframe], PARTS[timeframe]
    while first < as_of:
        yield {"matured_after": first, "matured_by": min(first + length, as_of)}
        first += length


def _thresholds(
    connection: psycopg.Connection[Any],
    model: Mapping[str, Any],
    as_of: datetime,
    instruments: Mapping[str, Instrument],
) -> dict[str, int]:
    """Return for each symbol with forecasts the share of them to read, of 2^20."""
    counts: Counter[str] = Counter()
    for part in _parts(model["timeframe"], as_of):
        counts.update(dict(connection.execute(load("scored_counts"), {**model, **part}).fetchall()))
    of_class: Counter[str] = Counter()
    for symbol, count in counts.items():
        if symbol in instruments:
            of_class[instruments[symbol].asset_class] += count
    return {
        symbol: sample_threshold(of_class[instruments[symbol].asset_class], MOST_FORECASTS)
        for symbol in counts
        if symbol in instruments
    }


def _envelopes(
    connection: psycopg.Connection[Any],
    model: Mapping[str, Any],
    as_of: datetime,
    instruments: Mapping[str, Instrument],
    thresholds: Mapping[str, int],
) -> dict[str, list[Float64Array]]:
    """Return by asset class the p10, p90 and closes of matured forecasts, (3, pred_len) each."""
    groups: dict[str, list[Float64Array]] = defaultdict(list)
    sample = {"symbols": list(thresholds), "thresholds": list(thresholds.values())}
    for part in _parts(model["timeframe"], as_of):
        with connection.cursor(binary=True) as cursor:
            cursor.execute(load("matured_envelopes"), {**model, **part, **sample})
            for rows in batches(cursor):
                for symbol, *arrays in rows:
                    groups[instruments[symbol].asset_class].append(np.array(arrays, dtype=np.float64))
    return groups


def _matrices(rows: list[Float64Array]) -> Float64Array:
    """Return (3, n, steps), NaN beyond the end of shorter forecasts."""
    padded = np.full((3, len(rows), max(row.shape[1] for row in rows)), np.nan)
    for number, row in enumerate(rows):
        padded[:, number, : row.shape[1]] = row
    return padded


def _calibration(low: list[float | None], high: list[float | None], counts: list[int]) -> Calibration:
    return Calibration(_floats(low), _floats(high), np.array(counts, dtype=np.int64))


def _floats(values: list[float | None]) -> Float64Array:
    return np.array(values, dtype=np.float64)
