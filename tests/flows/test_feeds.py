"""The flows load-calendar and load-candles on a real Postgres, a real Prefect and a real HTTP server."""

import json
import logging
from collections.abc import Callable, Coroutine, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import psycopg
import pytest
import yaml
from prefect import Flow, State
from prefect.artifacts import Artifact
from prefect.blocks.system import Secret
from prefect.client.orchestration import get_client
from prefect.events import Event
from prefect.events.clients import AssertingEventsClient
from prefect.events.worker import EventsWorker
from prefect.exceptions import ParameterTypeError
from prefect.flows import load_flow_from_entrypoint
from pydantic import SecretStr

from flows import feeds
from flows.feeds import load_calendar_feed, load_candles_feed
from flows.loading.rows import Loaded
from market.instruments import default_instruments
from sql.loading import load
from tests.helpers.feed_server import Answer, Feeds, feed_server

ROOT = Path(__file__).resolve().parents[2]
HOUR = timedelta(hours=1)
EVENTS = [{"time": f"2030-01-0{day} 13:30:00", "event": "Claims", "country": "US"} for day in range(1, 8)]
CALENDAR = Answer(json.dumps({"economicCalendar": EVENTS}).encode())

pytestmark = pytest.mark.usefixtures("prefect_server")


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Feeds]:
    """A server of feeds, and retries without the waits between them."""
    for task in (feeds.load_calendar_task, feeds.load_candles_task):
        monkeypatch.setattr(task, "retry_delay_seconds", [0.0] * (task.retries or 0))
    with feed_server() as served:
        yield served


@pytest.fixture
def sent_events() -> Iterator[Callable[[], list[Event]]]:
    """A function that returns what was sent about tasks, of which a Prefect server makes their records."""
    AssertingEventsClient.reset()
    EventsWorker.set_client_override(AssertingEventsClient)

    def sent() -> list[Event]:
        EventsWorker.instance().drain()
        return [event for client in AssertingEventsClient.all for event in client.events]

    yield sent
    EventsWorker.set_client_override(None)
    AssertingEventsClient.reset()


def load_calendar(**parameters: Any) -> State[Any]:
    return load_calendar_feed(**parameters, return_state=True)


def load_candles(**parameters: Any) -> State[Any]:
    return load_candles_feed(**parameters, return_state=True)


def candles(count: int = 40) -> Answer:
    now = datetime.now(UTC).replace(minute=0, second=0, microsecond=0)
    rows = [
        {"timestamp": (now - HOUR * n).isoformat(), "open": 1.0, "high": 2.0, "low": 0.5, "close": 1.5}
        for n in range(count, 0, -1)
    ]
    return Answer(json.dumps(rows).encode())


def artifact(key: str) -> Any:
    found = Artifact.get(key)
    assert found is not None
    assert not isinstance(found, Coroutine)
    return found


def test_a_calendar_behind_a_key_after_a_failure_of_its_server(
    database: psycopg.Connection[Any],
    server: Feeds,
    sent_events: Callable[[], list[Event]],
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.setenv("FEED_TOKEN", "secret-of-the-environment")
    Secret(value=SecretStr("secret-of-the-block")).save("feed-key", overwrite=True)
    url = server.serve("/calendar", Answer(b"secret-of-the-block", 500), CALENDAR)
    parameters = {
        "location": f"{url}?token={{key}}",
        "headers": {"X-Token": "FEED_TOKEN"},
        "key": "feed-key",
    }
    with caplog.at_level(logging.DEBUG):
        state = load_calendar(**parameters)
    assert state.is_completed()
    assert state.result() == Loaded(7, 0, 0)
    assert [path for path, _ in server.requests] == ["/calendar?token=secret-of-the-block"] * 2
    assert [headers["X-Token"] for _, headers in server.requests] == ["secret-of-the-environment"] * 2
    assert "answers 500" in caplog.text
    with get_client(sync_client=True) as client:
        run_id = state.state_details.flow_run_id
        assert run_id is not None
        run = client.read_flow_run(run_id)
    events = sent_events()
    assert any(event.resource.id.startswith("prefect.task-run.") for event in events)
    recorded = " ".join(record.model_dump_json() for record in (run, *events))
    assert "FEED_TOKEN" in recorded
    for text in (recorded, caplog.text, artifact("load-calendar").model_dump_json()):
        assert "secret-of-the" not in text
    assert load_calendar(**parameters).name == "Unchanged"
    assert load_calendar(**parameters, force=True).result() == Loaded(0, 0, 7)


def test_a_page_in_place_of_the_calendar_fails_the_run(
    database: psycopg.Connection[Any], server: Feeds
) -> None:
    url = server.serve("/calendar", Answer(b"<html><title>Log in</title></html>"))
    state = load_calendar(location=url)
    assert state.is_failed()
    message = f"nothing was loaded: {url}: it is an HTML or XML page with the title 'Log in', not a table"
    assert str(state.message).startswith(message)
    assert len(server.requests) == 1  # not tried again
    assert database.execute("SELECT count(*) FROM economic_calendar").fetchone() == (0,)


@pytest.mark.parametrize("name", ["no-such-block", "NO_SUCH_VARIABLE", "3f/9a the secret itself"])
def test_a_secret_that_is_nowhere_fails_the_run(server: Feeds, name: str) -> None:
    url = server.serve("/calendar", CALENDAR)
    state = load_calendar(location=f"{url}?k={{key}}", key=name)
    assert state.is_failed()
    message = (
        "nothing was loaded: the environment variable or Prefect Secret block named for {key} is missing"
    )
    assert str(state.message).startswith(message)
    assert name not in str(state.message)
    assert server.requests == []


@pytest.mark.parametrize("parameters", [{"least_share": 2}, {"days_back": -1}, {"size_limit_mb": 0}])
def test_parameters_have_limits(parameters: dict[str, Any]) -> None:
    with pytest.raises(ParameterTypeError):
        load_calendar_feed.validate_parameters({"location": "calendar.csv", **parameters})


def test_one_symbol_that_fails_stops_no_other(database: psycopg.Connection[Any], server: Feeds) -> None:
    for symbol in ("BTC-USD", "ETH-USD", "SOL-USD"):
        database.execute(load("upsert_instruments"), {**vars(default_instruments()[symbol]), "active": True})
    server.serve("/BTC-USD", candles())
    server.serve("/ETHUSDT", Answer(b"busy", 503), candles())
    state = load_candles(location=f"{server.address}/{{symbol}}", aliases={"ETH-USD": "ETHUSDT"})
    assert (state.is_failed(), state.name) == (True, "PartiallyFailed")
    message = f"1 of 3 symbols failed, 2 loaded. SOL-USD: {server.address}/SOL-USD answers 404 Not Found"
    assert str(state.message).startswith(message)
    counts = database.execute("SELECT symbol, count(*) FROM ohlcv_1h GROUP BY 1 ORDER BY 1").fetchall()
    assert counts == [("BTC-USD", 40), ("ETH-USD", 40)]
    rows = {row["symbol"]: row["result"] for row in json.loads(artifact("load-candles-1h").data)}
    assert rows["BTC-USD"] == "loaded"
    assert rows["SOL-USD"].startswith("FAILED: ")


def test_a_folder_whose_files_are_unchanged(database: psycopg.Connection[Any], tmp_path: Path) -> None:
    (tmp_path / "BTC-USD.json").write_bytes(candles().body)
    assert load_candles(location=str(tmp_path)).is_completed()
    state = load_candles(location=str(tmp_path))
    assert (state.is_completed(), state.name) == (True, "Unchanged")
    state = load_candles(location=str(tmp_path), symbols=["BTC-USD", "ETH-USD"])
    assert state.name == "PartiallyFailed"
    absent = "ETH-USD: the feed has no candles of it"
    assert state.message == f"1 of 2 symbols failed, 1 loaded. {absent}"


@pytest.mark.parametrize("run", [load_calendar, load_candles])
def test_an_empty_location_is_named(run: Any) -> None:
    state = run(location=" ")
    assert state.is_failed()
    assert str(state.message).startswith("nothing was loaded: location is empty; give the path of a file")


@pytest.mark.parametrize("name", ["load-calendar", "load-candles-1h", "load-candles-1d"])
def test_deployments_wait_for_a_location(name: str) -> None:
    content = yaml.safe_load((ROOT / "prefect.yaml").read_text())
    (deployment,) = [each for each in content["deployments"] if each["name"] == name]
    flow: Flow[..., Any] = load_flow_from_entrypoint(str(ROOT / deployment["entrypoint"]))
    assert name.startswith(flow.name)
    flow.validate_parameters(deployment["parameters"])
    assert deployment["parameters"]["location"] == ""
    assert [schedule["active"] for schedule in deployment["schedules"]] == [False]
    assert deployment["concurrency_limit"] == {"limit": 1, "collision_strategy": "CANCEL_NEW"}
