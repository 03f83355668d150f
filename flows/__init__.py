"""Prefect flows: candles and calendar in, event-conditioned forecasts stored."""

import sys
from pathlib import Path

# Prefect puts the folder of a flow's file first in the search path; flows/market.py would hide the package
# market there.
_FOLDER = Path(__file__).resolve().parent
sys.path[:] = [entry for entry in sys.path if not entry or Path(entry).resolve() != _FOLDER]
