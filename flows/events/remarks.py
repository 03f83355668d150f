"""What there is to say of a run's calendar: one list of warnings, the same for all its symbols."""

import numpy as np

from flows.events import checks
from flows.events.config import RATE, EventConfig
from flows.events.coverage import missing_data, missing_decisions
from flows.events.releases import Calendar


def calendar_remarks(
    calendar: Calendar,
    config: EventConfig,
    span: tuple[np.datetime64, np.datetime64, np.datetime64],
    as_of: np.datetime64,
) -> tuple[str, ...]:
    """Return what is wrong with, or missing from, the part of a calendar that a run's windows reach.

    Parameters
    ----------
    span
        First instant of the windows, point in time, and last instant of the prediction windows.
    as_of
        Instant of the forecast, which releases that were withdrawn later still stand at.
    """
    first, now, last = span
    source, merged = calendar.source, calendar.source.merged
    rows = merged.rows
    known = (merged.never_came >= now) & (rows.withdrawn_at > as_of) & (rows.scheduled | (rows.times <= now))
    end = min(last, calendar.rows[-1])
    names = source.found.names
    # Decisions of central_bank_rates name a bank and no currency: nobody can say which are missing.
    banks = any(name.startswith(RATE) for name in list(names)[len(config.series) :])
    return (
        *checks.dated_rows(source.found.dated),
        *checks.doubtful_releases(merged, names, first, last, now),
        *checks.impossible_releases(merged, first, last),
        *checks.weekend_decisions(merged, names, first, last),
        *checks.left_out(source.frequent),
        *missing_data(source.frame, merged, known, (first, now, end), config),
        *(() if banks else missing_decisions(source.frame, merged, known, now, end, config)),
    )
