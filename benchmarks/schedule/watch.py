"""Watches the stored forecasts while a schedule runs."""

import os
import time
from datetime import UTC, datetime, timedelta
from typing import Final

from benchmarks.schedule.market import STEP, SYMBOLS, TIMEFRAME, last_close
from sql.connect import connect

EVERY_S: Final = 1.0
_LEAD: Final = timedelta(seconds=45)
"""Time before the first run in which Prefect's scheduler takes up a new deployment."""

_LAST_RUN: Final = timedelta(seconds=15)
"""Time from a candle's close until the run is due, by the cron of predict-5m."""

_ROWS: Final = """
SELECT as_of, count(*) FROM ml_predictions WHERE timeframe = %s AND as_of >= %s GROUP BY as_of
"""


class Watch:
    """Counts the forecasts of each candle that closes in a span of time.

    Attributes
    ----------
    first, end
        Closes of the first candle that counts, and of the first one after the span.
    rows
        Number of stored forecasts by the close of their last candle.
    rows_at
        When all of them were first seen, at most `EVERY_S` late.
    loads
        Load averages of the machine.
    """

    def __init__(self, url: str, minutes: int) -> None:
        self.first = last_close(datetime.now(UTC) + _LEAD) + STEP
        self.end = self.first + timedelta(minutes=minutes)
        self.rows: dict[datetime, int] = {}
        self.rows_at: dict[datetime, datetime] = {}
        self.loads: list[float] = []
        self._url = url

    def run(self) -> None:
        """Watch until the run after the last one is due."""
        with connect(self._url, autocommit=True) as connection:
            while (now := datetime.now(UTC)) < self.end + _LAST_RUN:
                for as_of, count in connection.execute(_ROWS, (TIMEFRAME, self.first - STEP)):
                    close = as_of + STEP
                    self.rows[close] = count
                    if count == len(SYMBOLS) and close not in self.rows_at:
                        self.rows_at[close] = now
                        seconds = (now - close).total_seconds()
                        print(f"{close:%H:%M}: all forecasts after {seconds:.1f} s", flush=True)
                self.loads.append(os.getloadavg()[0])
                time.sleep(EVERY_S)
