"""``python -m benchmarks.growth.scoring [SYMBOLS …]``: what a scoring run costs; prints a table.

Forecasts of generated markets in an embedded Postgres are scored once, and then again with no candle
corrected, and with one candle corrected of 1 % and of all symbols. The task of the flow is called as a
function, without a Prefect server.
"""

import argparse
import os
import tempfile
import time
from datetime import timedelta
from typing import Any, Final

import psycopg
from prefect.logging import disable_run_logger

from benchmarks.growth.market import AS_OF, add_market, names
from flows.score import score_due
from sql.connect import connect
from sql.embedded import server as embedded
from sql.migrate import migrate

PRED_LEN: Final = 24
HEADS: Final = ("symbols", "forecasts", "changed", "looked at", "time", "CPU of the flow")

_FORECASTS = """
INSERT INTO ml_predictions (
    symbol, timeframe, as_of, model_name, model_version, pred_len, timestamps, p10, p50, p90, seed
)
SELECT
    start.symbol, '1h', start.ts, 'generated', 'v1', %(pred_len)s, horizon.timestamps,
    array_fill(start.close * 0.99, ARRAY[%(pred_len)s]), array_fill(start.close, ARRAY[%(pred_len)s]),
    array_fill(start.close * 1.01, ARRAY[%(pred_len)s]), 1
FROM (
    SELECT symbol, ts, close, row_number() OVER (PARTITION BY symbol ORDER BY ts DESC) AS age
    FROM ohlcv_1h WHERE symbol = ANY (%(symbols)s)
) AS start
CROSS JOIN LATERAL (
    SELECT array_agg(ts ORDER BY ts) AS timestamps FROM (
        SELECT ts FROM ohlcv_1h AS c WHERE c.symbol = start.symbol AND c.ts > start.ts
        ORDER BY ts LIMIT %(pred_len)s
    ) AS later
) AS horizon
WHERE start.age > %(pred_len)s AND start.age <= %(pred_len)s + %(forecasts)s
"""
_CORRECTION = """
UPDATE ohlcv_1h AS c SET close = close * 1.001
FROM unnest(%(symbols)s::text[]) AS corrected (symbol)
WHERE c.symbol = corrected.symbol
    AND c.ts = (
        SELECT ts FROM ohlcv_1h WHERE symbol = corrected.symbol ORDER BY ts DESC OFFSET %(pred_len)s LIMIT 1
    )
"""


def measure(symbols: int, forecasts: int, *, all_changed: bool) -> list[tuple[str, ...]]:
    """Score the forecasts of a fresh market several times; return the rows of the table."""
    with tempfile.TemporaryDirectory() as folder:
        os.environ["KRONOS_DATA_DIR"] = f"{folder}/postgres"
        os.environ.pop("DATABASE_URL", None)
        try:
            with connect(autocommit=True) as connection:
                migrate(connection)
                add_market(connection, symbols, 2 * PRED_LEN + forecasts)
                _add_forecasts(connection, symbols, forecasts)
                rows = [_run(symbols, symbols * forecasts, "everything is new")]
                rows.append(_run(symbols, symbols * forecasts, "0 %"))
                for label, count in (("1 %", symbols // 100), ("100 %", symbols if all_changed else 0)):
                    if count:
                        corrected = {"symbols": names(count), "pred_len": PRED_LEN}
                        connection.execute(_CORRECTION, corrected)
                        rows.append(_run(symbols, symbols * forecasts, label))
            return rows
        finally:
            embedded.stop()


def _add_forecasts(connection: psycopg.Connection[Any], symbols: int, forecasts: int) -> None:
    """Store the forecasts of the last instants whose horizon has passed, hour by hour."""
    for start in range(0, symbols, 500):
        block = names(symbols)[start : start + 500]
        connection.execute(_FORECASTS, {"symbols": block, "pred_len": PRED_LEN, "forecasts": forecasts})
    connection.execute("VACUUM ANALYZE")


def _run(symbols: int, forecasts: int, changed: str) -> tuple[str, ...]:
    """Run the task once and return its row of the table."""
    start, cpu = time.perf_counter(), time.process_time()
    with disable_run_logger():
        tally = score_due.fn("1h", AS_OF + timedelta(days=3), timedelta(days=30))
    seconds, cpu_s = time.perf_counter() - start, time.process_time() - cpu
    count = tally.new + tally.changed + tally.unchanged
    row = (
        f"{symbols:,}", f"{forecasts:,}", changed, f"{count:,}", f"{seconds:.1f} s", f"{cpu_s:.1f} s",
    )  # fmt: skip
    print(*row, sep=" | ", flush=True)
    return row


def main() -> None:
    """Measure and print the table."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.growth.scoring", description=__doc__)
    parser.add_argument("symbols", nargs="*", type=int, default=[1000])
    parser.add_argument("--forecasts", type=int, default=24, help="forecasts of each symbol (default 24)")
    parser.add_argument("--not-all", action="store_true", help="leave out the correction of all symbols")
    args = parser.parse_args()
    rows = [HEADS, ("---",) * len(HEADS)]
    for symbols in args.symbols:
        rows += measure(symbols, args.forecasts, all_changed=not args.not_all)
    print("\n".join(f"| {' | '.join(row)} |" for row in rows))


if __name__ == "__main__":
    main()
