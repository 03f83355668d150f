"""Runs of the flow score-forecasts over sixty hourly closes."""

import logging
from datetime import timedelta
from typing import Any

import psycopg
import pytest

from flows import score as module
from flows.scoring.tally import Tally
from tests.helpers.forecasts_in_store import START, add_closes, add_instrument, tally_of, walk

CLOSES = walk(60)


@pytest.fixture
def market(database: psycopg.Connection[Any]) -> psycopg.Connection[Any]:
    """Sixty hourly closes of one symbol."""
    add_instrument(database)
    add_closes(database, "BTC-USD", CLOSES)
    return database


@pytest.fixture
def tasks_as_functions(monkeypatch: pytest.MonkeyPatch) -> None:
    """Run the tasks of the flow as plain functions, without a Prefect server."""
    for name in ("score_due", "learn", "forget"):
        monkeypatch.setattr(module, name, getattr(module, name).fn)
    monkeypatch.setattr(module, "publish", lambda *_: None)
    monkeypatch.setattr(module, "get_run_logger", lambda: logging.getLogger("score"))


def run(hour: float, **parameters: Any) -> Tally:
    return tally_of(timeframe="1h", as_of=START + timedelta(hours=hour), **parameters)
