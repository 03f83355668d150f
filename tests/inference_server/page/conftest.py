"""A watched tab, a filled database and the server, for tests that use the page as a person would."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from flows.runtime.local_server import local_server
from inference_server.client import Client
from inference_server.schemas import PredictRequest
from sql.connect import connect
from tests.helpers import databases as fixtures_database
from tests.helpers.stored import (
    HOUR,
    NOW,
    add_candles,
    add_event,
    add_symbol,
    row_of,
    store_inputs,
    store_row,
)

PRED_LEN = 12
LOOKBACK = 40
SLASHED = "XBT/USDT:USDT"
ALIAS = "XBTUSDTM"


@dataclass
class Watched:
    """A tab, and everything that a user of it must not have to see."""

    tab: Any
    console: list[str] = field(default_factory=list)
    addresses: list[str] = field(default_factory=list)

    def shown(self, what: str) -> None:
        """Wait until the page has drawn what is named."""
        self.tab.locator(f'body[data-shown*="{what}"]').wait_for(timeout=20_000)


@pytest.fixture
def watched(chromium: Any) -> Iterator[Watched]:
    """A fresh tab with an eye on its console and its requests."""
    with chromium.new_context(viewport={"width": 1280, "height": 900}) as context:
        seen = Watched(context.new_page())
        seen.tab.on("console", lambda message: seen.console.append(f"{message.type}: {message.text}"))
        seen.tab.on("pageerror", lambda error: seen.console.append(f"uncaught: {error}"))
        context.on("request", lambda request: seen.addresses.append(request.url))
        yield seen


@contextmanager
def serving(bundle: Path, folder: Path, **environment: str) -> Iterator[str]:
    """A server as a process of its own; gives its address."""
    with pytest.MonkeyPatch.context() as patch:
        for name, value in environment.items():
            patch.setenv(name, value)
        with local_server(bundle, folder / "log") as address:
            yield address


@pytest.fixture(scope="package")
def page(
    tiny_bundle: Path,
    postgres_url: str,
    migrated_template: str,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[str]:
    """A server with three symbols, releases and forecasts of EURUSD made by itself; gives its address."""
    url = fixtures_database.copy_database(postgres_url, migrated_template)
    with (
        serving(tiny_bundle, tmp_path_factory.mktemp("page"), DATABASE_URL=url) as address,
        connect(url, autocommit=True) as connection,
    ):
        add_symbol(connection, SLASHED)
        connection.execute(
            "UPDATE instruments SET aliases = %s, tick_size = 0.125 WHERE symbol = %s", ([ALIAS], SLASHED)
        )
        add_candles(connection, "EURUSD", "1h", 120)
        add_candles(connection, "EURUSD", "1d", 60)
        add_candles(connection, "SPY", "1d", 80)
        add_event(connection, NOW + 5 * HOUR, "Federal Funds Rate", actual=4.5, forecast=4.5, previous=4.75)
        add_event(connection, NOW - 9 * HOUR, "CPI m/m", event_type="cpi", actual=0.3, forecast=0.2)
        with Client(address) as client:
            for hours in (0, 5):
                store_forecast(connection, client, hours)
        yield address


def store_forecast(connection: Any, client: Client, hours: int) -> None:
    """Store a forecast with events, made so many hours before `NOW`."""
    asked = PredictRequest(
        symbol="EURUSD", timeframe="1h", pred_len=PRED_LEN, sample_count=4, top_p=1.0, lookback=LOOKBACK,
        as_of=(NOW - hours * HOUR).isoformat(), seed=hours + 1,
    )  # fmt: skip
    events = np.random.default_rng(hours).normal(size=(LOOKBACK + PRED_LEN, 20)).astype(np.float32)
    told = ["candles-late: newer candles had closed"] if hours else None
    row = row_of(client.predict(asked, events), warnings=told)
    store_row(connection, row)
    store_inputs(connection, row, events)
