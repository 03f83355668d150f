"""Downloads from a real server: whole files, and every way in which an answer is not one."""

import gzip
import logging
from collections.abc import Iterator
from pathlib import Path

import pytest

from flows.loading.addresses import SourceError
from flows.loading.download import Download, DownloadLimits, Request, SourceUnavailable, download
from tests.helpers.feed_server import Answer, Feeds, feed_server

CSV = b"a,b\n1,x\n"
LIMITS = DownloadLimits(1_000_000, 30.0)


@pytest.fixture(scope="module")
def server() -> Iterator[Feeds]:
    with feed_server() as feeds:
        yield feeds


@pytest.fixture
def feeds(server: Feeds) -> Feeds:
    server.requests.clear()
    return server


def fetched(url: str, folder: Path, limits: DownloadLimits = LIMITS, **request: dict[str, str]) -> Download:
    received = download(Request(url, **request), folder, limits)
    assert received is not None
    return received


def test_a_file_with_its_validators(feeds: Feeds, tmp_path: Path) -> None:
    dates = {"ETag": '"v1"', "Last-Modified": "Wed, 12 Jun 2024 12:30:00 GMT"}
    url = feeds.serve("/a.csv", Answer(CSV, headers=dates), Answer(status=304))
    received = fetched(url, tmp_path)
    assert received.path.read_bytes() == CSV
    assert received.complete
    assert received.validators == {
        "If-None-Match": '"v1"',
        "If-Modified-Since": "Wed, 12 Jun 2024 12:30:00 GMT",
    }
    assert download(Request(url, validators=received.validators), tmp_path, LIMITS) is None
    _, headers = feeds.requests[1]
    assert headers["If-None-Match"] == '"v1"'


@pytest.mark.parametrize("members", [1, 3])
def test_gzip_is_inflated(feeds: Feeds, tmp_path: Path, members: int) -> None:
    body = b"".join(gzip.compress(CSV) for _ in range(members))
    url = feeds.serve("/a.csv", Answer(body, headers={"Content-Encoding": "gzip"}))
    assert fetched(url, tmp_path).path.read_bytes() == CSV * members


def test_an_answer_whose_length_is_unknown_is_not_known_to_be_whole(feeds: Feeds, tmp_path: Path) -> None:
    received = fetched(feeds.serve("/a.csv", Answer(CSV, with_length=False)), tmp_path)
    assert received.path.read_bytes() == CSV
    assert not received.complete


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        (Answer(CSV, sent=3), "no whole answer from .*RemoteProtocolError"),
        (Answer(gzip.compress(CSV)[:-9], headers={"Content-Encoding": "gzip"}), "its gzip is cut off"),
        (Answer(b"down", 503), "answers 503 Service Unavailable: 'down'"),
        (Answer(b"slow down", 429), "answers 429 Too Many Requests: 'slow down'"),
    ],
)
def test_what_may_succeed_when_tried_again(
    feeds: Feeds, tmp_path: Path, answer: Answer, message: str
) -> None:
    with pytest.raises(SourceUnavailable, match=message):
        fetched(feeds.serve("/a.csv", answer), tmp_path)


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        (Answer(b"no such feed", 404), "answers 404 Not Found: 'no such feed'"),
        (Answer(b"<title>Log in</title>", 401), "answers 401 Unauthorized"),
        (Answer(status=204), "answers 204 No Content"),
        (Answer(CSV, headers={"Content-Encoding": "gzip"}), "is not the gzip that it is sent as"),
        (Answer(CSV, headers={"Content-Encoding": "br"}), "sent with the encoding 'br', although"),
        (Answer(b"x" * 1_000_001), r"is larger than 1\.0 MB; raise the size limit"),
        (Answer(b"x" * 1_000_001, with_length=False), r"is larger than 1\.0 MB"),
        (
            Answer(gzip.compress(bytes(200_000_000), 9), headers={"Content-Encoding": "gzip"}),
            r"is larger than 1\.0 MB",
        ),
    ],
    ids=[
        "missing",
        "unauthorised",
        "no content",
        "no gzip",
        "brotli",
        "large",
        "large without length",
        "gzip bomb",
    ],
)
def test_what_is_refused(feeds: Feeds, tmp_path: Path, answer: Answer, message: str) -> None:
    with pytest.raises(SourceError, match=message) as refusal:
        fetched(feeds.serve("/a.csv", answer), tmp_path)
    assert not isinstance(refusal.value, SourceUnavailable)


@pytest.mark.parametrize("drips", [CSV * 100, gzip.compress(CSV * 100)], ids=["plain", "gzip"])
def test_a_slow_drip_ends_with_the_time_limit(feeds: Feeds, tmp_path: Path, drips: bytes) -> None:
    headers = {"Content-Encoding": "gzip"} if drips[:2] == b"\x1f\x8b" else {}
    url = feeds.serve("/a.csv", Answer(drips, headers=headers, drip_s=0.05))
    with pytest.raises(SourceError, match=r"was not received whole within 0\.4 s"):
        fetched(url, tmp_path, DownloadLimits(1_000_000, 0.4))


def test_a_busy_server_is_asked_again_when_it_says(feeds: Feeds, tmp_path: Path) -> None:
    url = feeds.serve("/a.csv", Answer(b"busy", 429, {"Retry-After": "0"}), Answer(CSV))
    assert fetched(url, tmp_path).path.read_bytes() == CSV
    url = feeds.serve("/a.csv", Answer(b"busy", 429, {"Retry-After": "60"}), Answer(CSV))
    with pytest.raises(SourceUnavailable, match="answers 429") as busy:
        fetched(url, tmp_path)
    assert busy.value.retry_after_s == 60


def test_a_server_that_is_not_there_is_unavailable(tmp_path: Path) -> None:
    with pytest.raises(
        SourceUnavailable, match=r"no whole answer from http://127\.0\.0\.1:1/a: ConnectError"
    ):
        fetched("http://127.0.0.1:1/a", tmp_path)


class TestRedirects:
    def test_they_are_followed_and_secrets_stay_with_their_host(self, feeds: Feeds, tmp_path: Path) -> None:
        with feed_server() as other:
            away = other.serve("/b.csv", Answer(CSV))
            near = feeds.serve("/near.csv", Answer(status=302, headers={"Location": away}))
            url = feeds.serve("/a.csv", Answer(status=301, headers={"Location": "/near.csv"}))
            received = fetched(url, tmp_path, headers={"X-Token": "of-this-host"})
            assert received.path.read_bytes() == CSV
            assert [headers.get("X-Token") for _, headers in feeds.requests] == ["of-this-host"] * 2
            assert near == feeds.address + feeds.requests[1][0]
            ((_, headers),) = other.requests
            assert "X-Token" not in headers

    @pytest.mark.parametrize("target", ["/a.csv", ""])
    def test_a_loop_ends(self, feeds: Feeds, tmp_path: Path, target: str) -> None:
        url = feeds.serve("/a.csv", Answer(status=302, headers={"Location": target}))
        with pytest.raises(SourceError, match="redirects more than 5 times"):
            fetched(url, tmp_path)

    def test_another_scheme_is_refused(self, feeds: Feeds, tmp_path: Path) -> None:
        url = feeds.serve("/a.csv", Answer(status=302, headers={"Location": "file:///etc/passwd"}))
        with pytest.raises(SourceError, match=r"redirects to file:///etc/passwd|the scheme 'file'"):
            fetched(url, tmp_path)

    def test_a_public_host_may_not_redirect_to_this_machine(
        self, feeds: Feeds, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """A proxy answers for the public host, so that nothing leaves this machine."""
        target = feeds.serve("/secret", Answer(CSV))
        with feed_server() as proxy:
            monkeypatch.setenv("http_proxy", proxy.address)
            proxy.serve("http://93.184.215.14/a.csv", Answer(status=302, headers={"Location": target}))
            with pytest.raises(SourceError, match="from a public host into a private network"):
                fetched("http://93.184.215.14/a.csv", tmp_path)
        assert feeds.requests == []


def test_no_log_has_the_address(feeds: Feeds, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    url = feeds.serve("/a.csv", Answer(CSV))
    with caplog.at_level(logging.DEBUG):
        fetched(f"{url}?apikey=SECRET", tmp_path)
    assert "SECRET" not in caplog.text
    assert [path for path, _ in feeds.requests] == ["/a.csv?apikey=SECRET"]
