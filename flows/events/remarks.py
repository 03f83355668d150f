"""Collects the warnings about a run's calendar, which are the same for all symbols."""

import numpy as np

from flows.events import checks
from flows.events.config import RATE, EventConfig
from flows.events.coverage import missing_data, missing_decisions
from flows.events.releases import EconomicCalendar
from flows.events.window import Reach


def calendar_remarks(
    calendar: EconomicCalendar, config: EventConfig, reach: Reach, as_of: np.datetime64
) -> tuple[str, ...]:
    """Return warnings about impossible, doubtful or missing releases in the reach of a run's windows.

    Parameters
    ----------
    calendar, config
        The releases, and the titles that they were read by.
    reach
        Of the windows of the run.
    as_of
        Instant of the forecast: releases that were withdrawn later are still valid.
    """
    first, now, last = reach
    source, merged = calendar.source, calendar.source.merged
    rows = merged.rows
    valid = (merged.never_came >= now) & (rows.withdrawn_at > as_of)
    known = valid & (rows.scheduled | (rows.times <= now))
    covered = Reach(first, now, min(last, calendar.rows[-1]))
    names = source.series_rows.names
    # Decisions of central_bank_rates name a bank and no currency, so it is unknown which are missing.
    has_bank_table = any(name.startswith(RATE) for name in list(names)[len(config.series) :])
    return (
        *checks.dated_rows(source.series_rows.dated),
        *checks.doubtful_releases(merged, names, first, last, now),
        *checks.impossible_releases(merged, first, last),
        *checks.weekend_decisions(merged, names, first, last),
        *checks.left_out(source.too_frequent),
        *missing_data(source.frame, merged, known, covered, config),
        *(() if has_bank_table else missing_decisions(source.frame, merged, known, covered, config)),
    )
