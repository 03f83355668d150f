"""The calendar from real files and a real server into a real database: whole, or not at all."""

import gzip
import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import psycopg
import pytest

from flows.files.errors import TableError
from flows.loading.calendar_feed import CalendarFeed, load_calendar_item
from flows.loading.credentials import Credentials
from flows.loading.download import DownloadLimits, SourceUnavailable
from flows.loading.rows import Loaded
from flows.loading.sources import Span, single_item
from flows.runtime.run_database import RunDatabase
from tests.helpers.feed_server import Answer, Feeds, feed_server

START = datetime(2030, 1, 7, 13, 30, tzinfo=UTC)
FEED = CalendarFeed(None, None, True, 0.9, DownloadLimits(1_000_000, 20.0), False)


@pytest.fixture(scope="module")
def server() -> Iterator[Feeds]:
    with feed_server() as feeds:
        yield feeds


def finnhub(count: int, **changes: Any) -> list[dict[str, Any]]:
    """Weekly releases of the future; changes are those of the first one."""
    rows = [
        {
            "time": f"{START + timedelta(weeks=week):%Y-%m-%d %H:%M:%S}",
            "event": "Initial Jobless Claims",
            "country": "US",
            "impact": "medium",
            "actual": None,
            "estimate": 220.0 + week,
            "prev": 219.0,
            "unit": "",
        }
        for week in range(count)
    ]
    return [{**rows[0], **changes}, *rows[1:]]


def answer(rows: list[dict[str, Any]], **headers: str) -> Answer:
    return Answer(json.dumps({"economicCalendar": rows}).encode(), headers=headers)


def load(location: str, feed: CalendarFeed = FEED, credentials: Credentials = Credentials()) -> Loaded | None:  # noqa: B008
    item = single_item(location, Span(7, 60), credentials)
    with RunDatabase() as database:
        return load_calendar_item(database, item, feed, credentials)


def stored(database: psycopg.Connection[Any]) -> list[tuple[Any, ...]]:
    return database.execute(
        "SELECT event_time, actual, forecast, source, withdrawn_at IS NULL FROM economic_calendar ORDER BY 1"
    ).fetchall()


def test_a_feed_is_loaded_and_an_unchanged_one_is_not_read_again(
    database: psycopg.Connection[Any], server: Feeds
) -> None:
    url = server.serve("/calendar", answer(finnhub(20), ETag='"v1"'), Answer(status=304))
    assert load(url) == Loaded(20, 0, 0)
    assert stored(database)[0] == (START, None, 220.0, "finnhub", True)
    server.requests.clear()
    assert load(url) is None
    assert server.requests[0][1]["If-None-Match"] == '"v1"'
    url = server.serve("/same", answer(finnhub(20)))
    assert load(url) == Loaded(0, 0, 20)
    assert load(url) is None  # the same bytes, although the server knows no ETag


def test_moved_releases_are_withdrawn_and_published_figures_stored(
    database: psycopg.Connection[Any], server: Feeds
) -> None:
    url = server.serve("/calendar", answer(finnhub(20)))
    load(url)
    rows = finnhub(20, actual=230.0)
    rows[5]["time"] = f"{START + timedelta(weeks=5, days=1):%Y-%m-%d %H:%M:%S}"
    server.serve("/calendar", answer(rows))
    loaded = load(url)
    assert loaded == Loaded(1, 1, 18)
    assert loaded is not None
    assert any(note.startswith("withdrawn: 2030-02-11 13:30 UTC USD") for note in loaded.notes)
    events = stored(database)
    assert len(events) == 21
    assert events[0][1] == 230.0
    assert [time for time, *_, valid in events if not valid] == [START + timedelta(weeks=5)]


BAD: dict[str, tuple[Answer, str]] = {
    "empty": (Answer(b""), "it is empty"),
    "no events": (answer([]), 'its JSON has no rows; it begins with \'{"economicCalendar": '),
    "an HTML page": (
        Answer(b"<html><title>Log in</title></html>"),
        "an HTML or XML page with the title 'Log in'",
    ),
    "an error as JSON": (Answer(b'{"error": "Invalid key of-the-feed"}'), "Invalid key …"),
    "other columns": (answer([{"a": 1, "b": 2}]), "missing columns: event_time, title"),
    "a heading alone": (
        Answer(b"event_time,event_type,title\n"),
        "it has no rows; it begins with 'event_time",
    ),
    "a cut line": (
        Answer(b"event_time,event_type,title,actual\n2030-01-07T13:30Z,other,Claims,23", with_length=False),
        "it ends within a line",
    ),
    "cut JSON": (Answer(answer(finnhub(20)).body[:-40], with_length=False), "it is not whole JSON"),
    "fewer rows": (answer(finnhub(20)[::2] + finnhub(20)[-1:]), "10 rows, less than 90% of the 19"),
    "an earlier end": (answer(finnhub(18)), "it ends on 2030-05-06, and had 2 later rows before"),
    "one row of no time": (answer(finnhub(20, time="soon")), "event_time is not a time"),
    "not found": (Answer(b"gone", 404), "answers 404 Not Found"),
    "a gzip bomb": (
        Answer(gzip.compress(bytes(50_000_000)), headers={"Content-Encoding": "gzip"}),
        r"larger than 1\.0 MB",
    ),
}


@pytest.mark.parametrize("case", BAD)
def test_another_answer_changes_nothing(database: psycopg.Connection[Any], server: Feeds, case: str) -> None:
    bad, message = BAD[case]
    credentials = Credentials({"X-Token": "of-the-feed"})
    url = server.serve("/calendar", answer(finnhub(20)))
    load(url, credentials=credentials)
    before = stored(database), database.execute("SELECT * FROM feed_loads").fetchall()
    server.serve("/calendar", bad)
    with pytest.raises(TableError, match=message) as refusal:
        load(f"{url}", credentials=credentials)
    assert str(refusal.value).startswith(url)
    assert "of-the-feed" not in str(refusal.value)
    assert (stored(database), database.execute("SELECT * FROM feed_loads").fetchall()) == before


@pytest.mark.parametrize(
    "bad", [Answer(b'{"error": "Invalid: ' + b"k" * 300 + b'"}'), Answer(b"not " + b"k" * 300, 401)]
)
def test_no_part_of_a_long_secret_is_quoted(
    database: psycopg.Connection[Any], server: Feeds, bad: Answer
) -> None:
    url = server.serve("/calendar", bad)
    with pytest.raises(TableError, match="…") as refusal:
        load(url, credentials=Credentials({"X-Token": "k" * 300}))
    assert "kkk" not in str(refusal.value)


def test_a_shorter_answer_is_taken_where_that_is_said(
    database: psycopg.Connection[Any], server: Feeds
) -> None:
    url = server.serve("/calendar", answer(finnhub(20)), answer(finnhub(18)))
    load(url)
    any_share = CalendarFeed(None, None, True, 0.0, FEED.limits, False)
    assert load(url, any_share) == Loaded(0, 0, 18)
    assert load(url) is None


def test_a_file_is_loaded_again_once_it_changes(database: psycopg.Connection[Any], tmp_path: Path) -> None:
    file = tmp_path / "calendar.json"
    file.write_text(json.dumps(finnhub(20)))
    assert load(str(file)) == Loaded(20, 0, 0)
    assert load(str(file)) is None
    again = CalendarFeed(None, None, True, 0.9, FEED.limits, True)
    assert load(str(file), again) == Loaded(0, 0, 20)
    file.write_text(json.dumps(finnhub(21)))
    assert load(str(file)) == Loaded(1, 0, 20)


def test_an_unchanged_calendar_is_read_again_with_another_time_zone(
    database: psycopg.Connection[Any], tmp_path: Path
) -> None:
    file = tmp_path / "calendar.json"
    file.write_text(json.dumps(finnhub(20)))
    load(str(file))
    new_york = CalendarFeed("America/New_York", None, True, 0.9, FEED.limits, False)
    assert load(str(file), new_york) == Loaded(20, 0, 0)
    assert load(str(file), new_york) is None
    assert stored(database)[1][0] == START + timedelta(hours=5)


def test_rows_without_a_source_get_that_of_the_feed(database: psycopg.Connection[Any], server: Feeds) -> None:
    rows = b"2030-01-07T13:30Z,other,Claims,\n2030-01-08T13:30Z,other,PPI,mine\n"
    csv = b"event_time,event_type,title,source\n" + rows
    url = server.serve("/calendar", Answer(csv))
    load(url)
    assert [source for *_, source, _ in stored(database)] == ["127.0.0.1", "mine"]
    load(url, CalendarFeed(None, "house", True, 0.9, FEED.limits, True))
    assert [source for *_, source, _ in stored(database)] == ["house", "mine"]


def test_a_server_that_fails_may_be_tried_again(database: psycopg.Connection[Any], server: Feeds) -> None:
    url = server.serve("/calendar", Answer(b"down", 500), answer(finnhub(20)))
    with pytest.raises(SourceUnavailable, match="answers 500"):
        load(url)
    assert load(url) == Loaded(20, 0, 0)


@pytest.mark.parametrize(
    ("location", "message"),
    [
        (" ", "location is empty; give the path"),
        ("none.csv", "there is no file 'none.csv' on the machine of this run"),
        ("file:///etc/passwd", "the scheme 'file'; only http and https"),
        (
            "https://example.com/{symbol}",
            r"the placeholder \{symbol\}; expected \{from\}, \{from_s\}, \{key\}",
        ),
        (
            "https://example.com/?k={key}",
            r"the placeholder \{key\} and the name of the secret for it belong together",
        ),
    ],
)
def test_locations_that_are_refused(location: str, message: str) -> None:
    with pytest.raises(TableError, match=message):
        single_item(location, Span(7, 60), Credentials())


def test_placeholders_of_dates_and_the_key(server: Feeds, database: psycopg.Connection[Any]) -> None:
    server.requests.clear()
    url = server.serve("/calendar", answer(finnhub(20)))
    before = datetime.now(UTC)
    load(f"{url}?from={{from}}&to={{to}}&since={{from_s}}&token={{key}}", credentials=Credentials(key="a b"))
    after = datetime.now(UTC)
    ((path, _),) = server.requests
    query = dict(parse_qsl(urlsplit(path).query))
    week, ahead = timedelta(days=7), timedelta(days=60)
    assert query["from"] in {f"{moment - week:%Y-%m-%d}" for moment in (before, after)}
    assert query["to"] in {f"{moment + ahead:%Y-%m-%d}" for moment in (before, after)}
    assert (before - week).timestamp() - 1 <= int(query["since"]) <= (after - week).timestamp() + 1
    assert path.endswith("&token=a%20b")
    assert "a b" not in str(database.execute("SELECT source FROM feed_loads").fetchall())
