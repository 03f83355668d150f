"""Shows in the Prefect UI how far a run is, as a progress artifact."""

import time
from typing import Final
from uuid import UUID

from prefect.artifacts import create_progress_artifact, update_progress_artifact
from prefect.logging import get_run_logger

PAUSE_S: Final = 5.0
"""Least seconds between two updates: one takes 10 ms of the run and 15 ms of the Prefect server."""


class RunProgress:
    """A progress artifact of a run; where Prefect does not take an update, the run goes on without.

    Parameters
    ----------
    key
        Key of the artifact, of small letters, digits and dashes.
    total
        How many symbols the run has.
    """

    def __init__(self, key: str, total: int) -> None:
        self._total = total
        self._done = 0
        self._shown_at = time.monotonic()
        self._artifact: UUID | None = None
        try:
            self._artifact = UUID(str(create_progress_artifact(0.0, key, self._description())))
        except Exception:  # of any kind: no forecast fails for want of a picture of it
            get_run_logger().warning("the progress of this run is not shown", exc_info=True)

    def advance(self, symbols: int) -> None:
        """Count symbols that are done, and show them where the last update is `PAUSE_S` ago, or all are."""
        self._done += symbols
        now = time.monotonic()
        finished = self._done >= self._total
        if self._artifact is None or symbols == 0 or not (finished or now - self._shown_at >= PAUSE_S):
            return
        self._shown_at = now
        try:
            update_progress_artifact(self._artifact, 100.0 * self._done / self._total, self._description())
        except Exception:
            self._artifact = None
            get_run_logger().warning("the progress of this run is not shown any more", exc_info=True)

    def _description(self) -> str:
        return f"{self._done:,} of {self._total:,} symbols"
