"""Keeps the coverage of the forecasts that matured in the last week in the table recent_coverage.

The server's metrics show it. A run of score-forecasts computes it, because counting the closes of a week
takes too long for each scrape where there are many symbols.
"""

from datetime import datetime, timedelta
from typing import Final

import psycopg
from prefect.logging import get_run_logger

from flows.runtime.database import database
from flows.runtime.time_limits import OutOfTime
from market.instruments import default_instruments
from sql.errors import DatabaseError
from sql.loading import load

RECENT: Final = timedelta(days=7)


def refresh_recent_coverage(timeframe: str, as_of: datetime) -> None:
    """Count the closes of the forecasts that matured in the week before an instant; warn if that fails."""
    packaged = default_instruments()
    try:
        with database() as connection:
            connection.execute(load("forget_recent_coverage"), {"timeframe": timeframe})
            connection.execute(
                load("compute_recent_coverage"),
                {
                    "timeframe": timeframe,
                    "matured_after": as_of - RECENT,
                    "matured_by": as_of,
                    "symbols": list(packaged),
                    "asset_classes": [instrument.asset_class for instrument in packaged.values()],
                },
            )
    except (DatabaseError, OutOfTime, psycopg.Error) as error:
        get_run_logger().warning("the metrics of the flows keep the coverage of an earlier run: %s", error)
