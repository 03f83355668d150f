"""``python -m benchmarks.schedule [--minutes 60]``: a five-minute schedule in real time; writes SCHEDULE.md.

The exit status is 1 if a run was late.
"""

import argparse
import tempfile
from datetime import UTC, datetime, timedelta
from pathlib import Path

from benchmarks.machine import ROOT, this_machine
from benchmarks.schedule.installation import Installation, deploy, everything_up
from benchmarks.schedule.market import (
    HISTORY,
    STEP,
    TIMEFRAME,
    Feed,
    add_market,
    five_minute_candles,
    last_close,
)
from benchmarks.schedule.page import page
from benchmarks.schedule.runs import faults, read_runs
from benchmarks.schedule.watch import Watch
from flows.supervision.prefect_api import prefect_client
from sql.connect import connect
from sql.embedded import server as embedded
from sql.migrate import migrate

START_UP = timedelta(minutes=15)
"""Longest time until everything is up, the demo model is exported and the past forecasts are made."""

HORIZON = 24
"""Candles that predict-5m forecasts."""

MATURED, SPAN = HORIZON * STEP + timedelta(minutes=5), timedelta(minutes=45)
"""Age of the newest of the forecasts for score-5m to score, and their span."""


def measure(minutes: int) -> tuple[str, bool]:
    """Run the schedule for some minutes; return the page, and whether every run was in time."""
    with tempfile.TemporaryDirectory(prefix="kronos-schedule-") as name:
        folder = Path(name)
        folder.chmod(0o711)  # for root, the account that runs Postgres has to enter
        database = folder / "postgres"
        url = embedded.start(database)
        try:
            now = datetime.now(UTC)
            stored_until = last_close(now)
            later = (START_UP + timedelta(minutes=minutes)) // STEP
            candles = five_minute_candles(stored_until - HISTORY * STEP, HISTORY + later)
            past = candles["timestamp"] < stored_until
            with connect(url, autocommit=True) as connection:
                migrate(connection)
                add_market(connection, candles.filter(past), now)
            with Feed(url, candles.filter(~past)), everything_up(folder, database) as installation:
                make_forecasts_to_score(installation)
                deploy(installation)
                watch = Watch(url, minutes)
                watch.run()
                with prefect_client(installation.secrets) as client:
                    runs = read_runs(client, watch)
        finally:
            embedded.stop(database)
    wrong = faults(runs, watch.first, watch.end)
    return page(minutes, runs, wrong, watch, this_machine()), not wrong


def make_forecasts_to_score(installation: Installation) -> None:
    """Forecast once, which a backfill requires, and make forecasts of the past whose horizon has passed."""
    installation.run("flows.predict", "--timeframe", TIMEFRAME)
    end = datetime.now(UTC) - MATURED
    span = ("--start", f"{end - SPAN:%Y-%m-%dT%H:%MZ}", "--end", f"{end:%Y-%m-%dT%H:%MZ}")
    installation.run("flows.backfill", "--timeframe", TIMEFRAME, "--pred-len", str(HORIZON), *span)


def main() -> int:
    """Run the schedule and write the page."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.schedule", description=__doc__)
    parser.add_argument("--minutes", type=int, default=60, help="a multiple of 5 (default 60)")
    args = parser.parse_args()
    if args.minutes <= 0 or args.minutes % 5:
        parser.error(f"--minutes is {args.minutes}; expected a multiple of 5")
    text, in_time = measure(args.minutes)
    print(text)
    (ROOT / "benchmarks" / "SCHEDULE.md").write_text(text)
    return 0 if in_time else 1


if __name__ == "__main__":
    raise SystemExit(main())
