"""How long requests, statements and runs may take: every limit ends before the one around it.

A run ends before the next one of its schedule is due (`SHORT_RUN_S`, `HOURLY_RUN_S`, `DAILY_RUN_S`:
Prefect's ``timeout_seconds`` of the flow). Its last `CLOSING_S` are for what has been answered, so that no
request lasts into them (`request_limit_s`); its last `SUMMARY_S` are for the summary, so that no statement
lasts into those (`statement_limit_s`); a shorter run keeps the same parts of its time. Prefect does not
enforce a timeout of a task that runs in a thread, as those do that wait for the server: the client and the
database keep to these limits.
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

from prefect.context import FlowRunContext

from flows.runtime.settings import FlowSettings

HOURLY_RUN_S: Final = 55 * 60.0
"""An hourly run: five minutes before the next one is due."""

DAILY_RUN_S: Final = 22 * 3600.0
"""A daily run: two hours before the next one is due."""

SHORT_RUN_S: Final[Mapping[str, float]] = {"1m": 50.0, "5m": 270.0, "15m": 810.0, "30m": 1620.0}
"""Runs of timeframes shorter than an hour, by timeframe: a tenth of the candle before the next one is due."""

CLOSING_S: Final = 360.0
"""The end of a run in which no request is under way any more: for storing what was answered."""

SUMMARY_S: Final = 60.0
"""The end of a run in which no statement is under way any more: for the summary."""

MODEL_S: Final = 120.0
"""The most that a run waits for the server to say which model it serves; loading one takes less."""


class OutOfTime(RuntimeError):
    """The run's time is nearly over, so that nothing new is begun."""


@dataclass(frozen=True)
class RunTime:
    """When a run began, and the seconds in which it has to end."""

    began: datetime
    run_s: float

    def left_s(self, kept_s: float) -> float:
        """Return the seconds that are left, without those kept for the end of the run.

        Raises
        ------
        OutOfTime
            Nothing is left.
        """
        elapsed_s = (datetime.now(UTC) - self.began).total_seconds()
        # A run shorter than the seconds kept, as in a trial, keeps the same part of its time.
        left_s = self.run_s - min(kept_s, self.run_s * kept_s / HOURLY_RUN_S) - elapsed_s
        if left_s <= 0:
            raise OutOfTime(
                f"the run has taken {elapsed_s:,.0f} s of the {self.run_s:,.0f} s in which it has to end, "
                "and begins nothing new; the next run makes what is missing, and fewer symbols or paths take "
                "less time"
            )
        return left_s


_of_another_process: ContextVar[RunTime | None] = ContextVar("time of a run of another process", default=None)


def time_of_run() -> RunTime | None:
    """Return the time of the run that this is a part of; None outside of runs, and where a run has no end."""
    given = _of_another_process.get()
    if given is not None:
        return given
    context = FlowRunContext.get()
    if context is None or context.flow is None or context.flow.timeout_seconds is None:
        return None
    return RunTime(context.start_time, context.flow.timeout_seconds)


@contextmanager
def within_run_of_another_process(run_time: RunTime | None) -> Iterator[None]:
    """Keep to the time of a run whose flow is in another process: Prefect does not pass on when it began."""
    token = _of_another_process.set(run_time)
    try:
        yield
    finally:
        _of_another_process.reset(token)


def request_limit_s(longest_s: float | None = None) -> float:
    """Return the seconds that a request begun now may take, waits for a busy server included.

    Parameters
    ----------
    longest_s
        The most that it may take; ``KRONOS_TIMEOUT_S`` unless less is given.

    Raises
    ------
    OutOfTime
        The run has to end before.
    """
    timeout_s = FlowSettings.from_env().timeout_s
    return _within_run(timeout_s if longest_s is None else min(longest_s, timeout_s), CLOSING_S)


def statement_limit_s() -> float:
    """Return the seconds that each statement of a transaction begun now may take.

    Raises
    ------
    OutOfTime
        The run has to end before.
    """
    return _within_run(FlowSettings.from_env().statement_timeout_s, SUMMARY_S)


def waiting_limit_s(longest_s: float) -> float:
    """Return for how many seconds a run may wait for something that it can do without, at most `longest_s`.

    Time for one more request is left after it.

    Raises
    ------
    OutOfTime
        The run has to end before.
    """
    return _within_run(longest_s, CLOSING_S + FlowSettings.from_env().timeout_s)


def _within_run(limit_s: float, kept_s: float) -> float:
    """Return a limit, or what is left of the run without the seconds kept for its end where that is less."""
    run_time = time_of_run()
    return limit_s if run_time is None else min(limit_s, run_time.left_s(kept_s))
