"""What a stored forecast follows from: every part of it, and nothing of when the run took place."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from flows.forecasting.fingerprint import fingerprint, with_fingerprint
from flows.forecasting.forecasts import Order
from flows.forecasting.path_statistics import WantedStatistics
from flows.scoring.calibration import Calibration
from tests.flows.forecasting.test_forecasts import ORDER, WINDOW

CALIBRATION = Calibration(np.array([0.5, 1.0]), np.array([0.25, np.nan]), np.array([99, 99]))


def copy(order: Order) -> Order:
    """The same order from arrays of its own."""
    columns = {name: values.copy() for name, values in order.window.columns.items()}
    window = replace(order.window, columns=columns, timestamps=order.window.timestamps.copy())
    assert order.events is not None
    return replace(order, window=window, events=order.events.copy(), calibration=CALIBRATION)


BASE = copy(replace(ORDER, calibration=CALIBRATION))


def changed_events() -> np.ndarray:
    assert ORDER.events is not None
    events = ORDER.events.copy()
    events[35, 10] = 0.5
    return events


def test_the_same_order_has_the_same_fingerprint() -> None:
    assert fingerprint(BASE) == fingerprint(copy(ORDER))
    assert len(fingerprint(BASE)) == 32


def test_rows_of_earlier_releases_keep_their_fingerprints() -> None:
    assert fingerprint(ORDER) == "4555f8c5dea8f1923e471a7b7779d6d2"
    with_paths = replace(ORDER, store_samples=True, statistics=WantedStatistics(quantiles=(0.25,)))
    assert fingerprint(with_paths) == "53a9e8c768e9b609b75b9cf8502497a3"
    oil = replace(WINDOW, instrument=replace(WINDOW.instrument, allow_nonpositive=True))
    assert fingerprint(replace(ORDER, window=oil)) == "2810fe619e4e5ff4eb786c9a3399cbb6"


def test_a_candle_that_came_too_late_to_be_used_changes_nothing() -> None:
    assert fingerprint(replace(BASE, window=replace(BASE.window, late=True))) == fingerprint(BASE)


CHANGES: dict[str, dict[str, Any]] = {
    "close": {"window": replace(WINDOW, columns={**WINDOW.columns, "close": np.arange(34.0) + 1e-9})},
    "volume": {"window": replace(WINDOW, columns={**WINDOW.columns, "volume": np.zeros(34)})},
    "times": {"window": replace(WINDOW, timestamps=WINDOW.timestamps + np.timedelta64(1, "s"))},
    "future": {
        "window": replace(WINDOW, future_timestamps=WINDOW.future_timestamps + np.timedelta64(1, "s")),
    },
    "instrument": {
        "window": replace(WINDOW, instrument=replace(WINDOW.instrument, calendar="XNYS")),
    },
    "one event": {"events": changed_events()},
    "no events": {"events": None},
    "context": {"event_context": None},
    "calibration": {"calibration": replace(CALIBRATION, low=np.array([0.5, 1.1]))},
    "no calibration": {"calibration": None},
    "samples": {"store_samples": True},
    "quantiles": {"statistics": WantedStatistics(quantiles=(0.25,))},
    "other quantiles": {"statistics": WantedStatistics(quantiles=(0.75,))},
    "P(up)": {"statistics": WantedStatistics(moves=())},
    "moves": {"statistics": WantedStatistics(moves=(0.02,))},
    "volatility": {"statistics": WantedStatistics(realised_volatility=True)},
    "warnings": {"warnings": ("split: a step of 2:1",)},
    "version": {"model_version": "abd"},
    "timeframe": {"sampling": replace(ORDER.sampling, timeframe="1d")},
    "pred_len": {"sampling": replace(ORDER.sampling, pred_len=3)},
    "sample_count": {"sampling": replace(ORDER.sampling, sample_count=4)},
    "top_p": {"sampling": replace(ORDER.sampling, top_p=0.9)},
    "temperature": {"sampling": replace(ORDER.sampling, temperature=1.0)},
    "top_k": {"sampling": replace(ORDER.sampling, top_k=5)},
    "seed": {"sampling": replace(ORDER.sampling, seed=1)},
}  # fmt: skip


@pytest.mark.parametrize("changes", CHANGES.values(), ids=CHANGES.keys())
def test_every_part_counts(changes: dict[str, Any]) -> None:
    assert fingerprint(replace(BASE, **changes)) != fingerprint(BASE)


def test_no_two_changes_are_alike() -> None:
    found = [fingerprint(replace(BASE, **changes)) for changes in CHANGES.values()]
    assert len(set(found)) == len(found)


def test_an_order_that_lacks_what_a_later_run_may_find_has_none() -> None:
    assert with_fingerprint(BASE, settled=True).fingerprint == fingerprint(BASE)
    assert with_fingerprint(BASE, settled=False).fingerprint is None
