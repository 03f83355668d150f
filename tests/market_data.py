"""Where real candles and a calendar lie, for tests and benchmarks; the product itself never looks there."""

import os
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
FILES = ("candles_1h.parquet", "candles_1d.parquet", "economic_calendar.parquet")


def market_folder() -> Path:
    """KRONOS_DATA, else ../shared/data beside the repository; it need not exist."""
    return Path(os.environ.get("KRONOS_DATA") or ROOT.parent / "shared" / "data")


def missing(*more: str) -> list[str]:
    """Return which of `FILES`, and of more files, the folder lacks."""
    return [name for name in (*FILES, *more) if not (market_folder() / name).is_file()]
