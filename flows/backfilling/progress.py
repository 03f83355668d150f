"""Counts what a backfill has done, and shows it as a progress artifact of the run."""

import time
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any, Final, cast
from uuid import UUID

from prefect.artifacts import create_progress_artifact, update_progress_artifact
from prefect.logging import get_run_logger

from flows.backfilling.missing import Missing

SHOWN_EVERY_S: Final = 5.0
"""Seconds between two updates of the artifact at least: each is a call of Prefect's API."""


@dataclass
class SymbolCount:
    """What was done for one symbol.

    Attributes
    ----------
    made
        Forecasts that were made and stored.
    stored, left_to_live
        Forecasts that were stored before, or by a live run meanwhile; and those that are not earlier than the
        newest live forecast, which a live run makes.
    left_out, failed
        Candles without a forecast: those that can't be forecast from, and those whose forecast failed.
    reason
        Why, of the last of these.
    without_events, in_training_span
        Forecasts among `made` that have no events, and those of candles that the model was trained on.
    """

    made: int = 0
    stored: int = 0
    left_to_live: int = 0
    left_out: int = 0
    failed: int = 0
    reason: str | None = None
    without_events: int = 0
    in_training_span: int = 0


@dataclass
class BackfillCount:
    """What a run has done so far.

    Attributes
    ----------
    total
        Forecasts that were missing when the run began.
    symbols
        By symbol.
    without_events
        Why the last forecast without events has none.
    settled
        Forecasts of `total` that are made, left out, failed, or were stored by a live run meanwhile.
    """

    total: int
    symbols: dict[str, SymbolCount] = field(default_factory=dict)
    without_events: str | None = None
    settled: int = 0

    def of(self, symbol: str) -> SymbolCount:
        """Return the count of a symbol."""
        return self.symbols.setdefault(symbol, SymbolCount())

    def add_plan(self, missing: Missing) -> None:
        """Count what is missing, stored and left to live runs in a block."""
        self.total += len(missing)
        for symbol, number in missing.stored.items():
            self.of(symbol).stored += number
        for symbol, number in missing.left_to_live.items():
            self.of(symbol).left_to_live += number
        for symbol, reason in missing.unusable.items():
            self.of(symbol).reason = reason

    def add_forecast(
        self, symbol: str, without_events: str | None, *, made: bool, in_training_span: bool
    ) -> None:
        """Count a forecast that is stored.

        Parameters
        ----------
        without_events
            Why it was made without events; None where it has them.
        made
            Whether this run stored it, rather than a live run meanwhile.
        """
        count = self.of(symbol)
        self.settled += 1
        if not made:
            count.stored += 1
            return
        count.made += 1
        count.in_training_span += in_training_span
        if without_events is not None:
            count.without_events += 1
            self.without_events = without_events

    def add_without_forecast(self, symbol: str, reason: str, *, failed: bool) -> None:
        """Count a missing forecast that failed or can't be made."""
        count = self.of(symbol)
        self.settled += 1
        if failed:
            count.failed += 1
        else:
            count.left_out += 1
        count.reason = reason

    def add_symbol_without_forecasts(self, symbol: str, reason: str, *, failed: bool = False) -> None:
        """Note a symbol of which nothing is made, and why; `failed` where that is a failure."""
        self.of(symbol).reason = reason
        self.of(symbol).failed += failed

    def sum_of(self, name: str) -> int:
        """Return the sum of an attribute of `SymbolCount` over all symbols."""
        return sum(getattr(count, name) for count in self.symbols.values())


class ProgressArtifact:
    """Shows percent, speed and the time left of a run.

    Parameters
    ----------
    key
        Of the artifact: lower-case letters, digits and dashes.
    """

    def __init__(self, key: str, count: BackfillCount) -> None:
        self._key = key
        self._count = count
        self._began = self._shown = time.monotonic()
        self._artifact: UUID | None = None

    def show(self, *, at_once: bool = False) -> None:
        """Update the artifact unless that was done just before; a failure is a line of the log.

        Parameters
        ----------
        at_once
            Whether it is updated in any case.
        """
        now = time.monotonic()
        if not at_once and now - self._shown < SHOWN_EVERY_S:
            return
        self._shown = now
        percent, text = progress_of(self._count, now - self._began)
        try:
            if self._artifact is None:
                self._artifact = cast("UUID", create_progress_artifact(percent, self._key, text))
            else:
                update_progress_artifact(self._artifact, percent, text)
        except Exception as error:  # the forecasts matter, not how far they are
            get_run_logger().warning("the progress artifact can't be written: %s", error)
        get_run_logger().info(text)


def progress_of(count: BackfillCount, seconds: float) -> tuple[float, str]:
    """Return the percentage of a run, and a sentence with its speed and the time left."""
    done, total = min(count.settled, count.total), count.total
    percent = 100.0 if not total else min(100.0, 100.0 * done / total)
    speed = done / seconds if seconds > 0 else 0.0
    text = f"{done:,} of {total:,} missing forecasts, {percent:.1f} %, {speed:.1f} forecasts/s"
    if 0 < done < total and speed > 0:
        text += f", {timedelta(seconds=round((total - done) / speed))} left"
    return percent, text


def count_table(count: BackfillCount) -> list[dict[str, Any]]:
    """Return a row for each symbol."""
    return [
        {
            "symbol": symbol,
            "made": each.made,
            "stored before": each.stored,
            "left to live runs": each.left_to_live,
            "left out": each.left_out,
            "failed": each.failed,
            "without events": each.without_events,
            "in training span": each.in_training_span,
            "reason": each.reason or "",
        }
        for symbol, each in sorted(count.symbols.items())
    ]
