"""Counts what a scoring run did, and gives it the state that it ends in."""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from prefect import State
from prefect.states import Completed

from flows.runtime.run_records import RunFigures
from flows.runtime.sentences import listed
from flows.runtime.state_names import COMPLETED_WITHOUT_EVENTS
from market.warning_codes import WarningCode, warning


@dataclass
class Tally:
    """Counts of the forecasts that a run looked at.

    Attributes
    ----------
    new, changed, unchanged
        Scores by what the table held before.
    unscored
        Forecasts that could not be scored, by reason and symbol.
    without_events
        Why scores are without events; None if they have them.
    """

    new: int = 0
    changed: int = 0
    unchanged: int = 0
    unscored: dict[str, Counter[str]] = field(default_factory=dict)
    without_events: str | None = None

    @property
    def scored(self) -> int:
        """Scores that the run computed."""
        return self.new + self.changed + self.unchanged

    def count_unscored(self, forecasts: Iterable[tuple[str, str]]) -> None:
        """Count forecasts that could not be scored, each by its symbol and the reason."""
        for symbol, reason in forecasts:
            self.unscored.setdefault(reason, Counter())[symbol] += 1

    def counts(self) -> str:
        """Return the numbers of scores in a few words."""
        return f"{self.new} newly scored, {self.changed} changed, {self.unchanged} unchanged."

    def figures(self) -> RunFigures:
        """Return the counts for the record of the run."""
        unscored = sum(symbols.total() for symbols in self.unscored.values())
        return RunFigures(
            {"new": self.new, "changed": self.changed, "unchanged": self.unchanged, "unscored": unscored}
        )

    def remarks(self) -> list[str]:
        """Return what the scores lack, as warnings."""
        remarks = []
        for reason, symbols in self.unscored.items():
            names = listed([f"{symbol} ({count})" for symbol, count in sorted(symbols.items())])
            remarks.append(warning(WarningCode.NOT_SCORED, f"{reason}: {names}"))
        if self.without_events is not None:
            text = f"SCORES WITHOUT EVENTS: {self.without_events}"
            remarks.append(warning(WarningCode.SCORES_WITHOUT_EVENTS, text))
        return remarks


def final_state(tally: Tally) -> State[Any]:
    """Return a completed state with the counts of a run; its name and message say what the scores lack."""
    return Completed(
        name="Completed" if tally.without_events is None else COMPLETED_WITHOUT_EVENTS,
        message=" ".join([tally.counts(), *(f"{remark}." for remark in tally.remarks())]),
        data=tally,
    )
