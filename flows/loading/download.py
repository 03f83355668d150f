"""Downloads a file over HTTP within limits of size and time, following only redirects that are safe."""

import asyncio
import logging
import tempfile
import zlib
from collections.abc import AsyncIterator, Iterator, Mapping
from contextvars import ContextVar
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final
from urllib.parse import urljoin, urlsplit

import httpx

from flows.files.errors import excerpt
from flows.loading.addresses import SourceError, check_redirect, check_web_address, shown

_CONNECT_S: Final = 10.0
_SILENCE_S: Final = 30.0  # without a byte
_SHORTEST_WAIT_S: Final = 0.5  # before a busy server is asked again
_REDIRECTS: Final = 5
_PIECE: Final = 1 << 20  # bytes that are inflated at once
_ERROR_BYTES: Final = 2048  # of an error's body that are read for the message
_REDIRECTED: Final = frozenset({301, 302, 303, 307, 308})
_RETRIED: Final = frozenset({408, 425, 429, 500, 502, 503, 504})


class SourceUnavailable(SourceError):
    """A feed does not answer, or answers that it can't now; another try may succeed.

    Attributes
    ----------
    retry_after_s
        Seconds after which it asks to be tried again.
    """

    def __init__(self, message: str, retry_after_s: float | None = None) -> None:
        super().__init__(message)
        self.retry_after_s = retry_after_s


@dataclass(frozen=True)
class DownloadLimits:
    """The most bytes of a file, once inflated, and the most seconds until it has been read whole."""

    size_bytes: int
    total_s: float


@dataclass(frozen=True)
class Request:
    """What is requested.

    Attributes
    ----------
    url, headers
        With their secrets.
    validators
        ``If-None-Match`` and ``If-Modified-Since`` of the file that is known already.
    """

    url: str = field(repr=False)
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    validators: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Download:
    """A file as it was received.

    Attributes
    ----------
    complete
        Whether the server said how long the body is, so that it is known to be whole.
    validators
        What to send with the next request for it, as in `Request`; empty where the server gave none.
    """

    path: Path
    complete: bool
    validators: Mapping[str, str]


def download(request: Request, folder: Path, limits: DownloadLimits) -> Download | None:
    """Download a file.

    A server that is busy and says for how long (``Retry-After``) is asked again then, within `limits`.

    Parameters
    ----------
    folder
        Where the file is written, under a name of its own.

    Returns
    -------
    Download or None
        None where the file is unchanged (304).

    Raises
    ------
    SourceUnavailable
        The server can't be reached, breaks off, is busy or fails.
    SourceError
        The address or a redirect is refused, the answer is an error, too large, or too slow. The message
        shows the answer's beginning, which may repeat a secret of the request.
    """
    downloading = _DOWNLOADING.set(True)
    try:
        return asyncio.run(_within_limits(request, folder, limits))
    finally:
        _DOWNLOADING.reset(downloading)


async def _within_limits(request: Request, folder: Path, limits: DownloadLimits) -> Download | None:
    check_web_address(request.url)
    try:
        async with asyncio.timeout(limits.total_s) as deadline:
            ends = deadline.when() or 0.0
            while True:
                try:
                    return await _follow(request, folder, limits)
                except SourceUnavailable as busy:
                    if busy.retry_after_s is None:
                        raise
                    wait_s = max(busy.retry_after_s, _SHORTEST_WAIT_S)
                    if asyncio.get_running_loop().time() + wait_s >= ends:
                        raise
                    await asyncio.sleep(wait_s)
    except TimeoutError:
        raise SourceError(
            f"{shown(request.url)} was not received whole within {limits.total_s:g} s; raise the time limit "
            "if it is that slow"
        ) from None


async def _follow(request: Request, folder: Path, limits: DownloadLimits) -> Download | None:
    """Request a file, and follow its redirects."""
    url, headers = request.url, {**request.headers}
    timeout = httpx.Timeout(_SILENCE_S, connect=_CONNECT_S)
    async with httpx.AsyncClient(timeout=timeout, follow_redirects=False) as client:
        for _ in range(_REDIRECTS + 1):
            sent = {
                "Accept": "application/json, text/csv, application/vnd.apache.parquet, */*;q=0.5",
                "Accept-Encoding": "gzip",
                "User-Agent": "kronos-events",
                **request.validators,
                **headers,
            }
            try:
                async with client.stream("GET", url, headers=sent) as response:
                    if response.status_code not in _REDIRECTED:
                        return await _answer(response, url, folder, limits)
                    target = urljoin(url, response.headers.get("location", ""))
            except httpx.HTTPError as error:
                raise SourceUnavailable(f"no whole answer from {shown(url)}: {_words(error)}") from None
            await asyncio.to_thread(check_redirect, url, target)
            if not _same_origin(url, target):
                headers = {}  # secrets go to the host that they were given for, and to no other
            url = target
    where = f"{shown(request.url)} redirects more than {_REDIRECTS} times"
    raise SourceError(f"{where}, the last time to {shown(url)}")


def _words(error: httpx.HTTPError) -> str:
    return f"{type(error).__name__}: {error}" if str(error) else type(error).__name__


def _same_origin(url: str, target: str) -> bool:
    before, after = urlsplit(url), urlsplit(target)
    return (before.scheme, before.hostname, before.port) == (after.scheme, after.hostname, after.port)


async def _answer(
    response: httpx.Response, url: str, folder: Path, limits: DownloadLimits
) -> Download | None:
    status = response.status_code
    if status == 304:
        return None
    if status != 200:
        body = b""
        async for piece in _inflated(response, url):
            body += piece
            if len(body) >= _ERROR_BYTES:
                break
        message = f"{shown(url)} answers {status} {response.reason_phrase}: {excerpt(body)}"
        if status in _RETRIED:
            raise SourceUnavailable(message, _retry_after_s(response))
        raise SourceError(message)
    length = response.headers.get("content-length")
    if length is not None and length.isdigit() and int(length) > limits.size_bytes:
        raise _too_large(url, limits)
    with tempfile.NamedTemporaryFile(dir=folder, delete=False) as file:
        size = 0
        async for piece in _inflated(response, url):
            size += len(piece)
            if size > limits.size_bytes:
                raise _too_large(url, limits)
            file.write(piece)
    chunked = "chunked" in response.headers.get("transfer-encoding", "").lower()
    return Download(Path(file.name), length is not None or chunked, _validators(response))


def _too_large(url: str, limits: DownloadLimits) -> SourceError:
    return SourceError(
        f"{shown(url)} is larger than {limits.size_bytes / 1e6:,.1f} MB; raise the size limit if it is that "
        "large"
    )


async def _inflated(response: httpx.Response, url: str) -> AsyncIterator[bytes]:
    """Yield the body in pieces of bounded size, inflated if it is sent compressed.

    httpx would inflate all that one packet holds at once, a thousand times its size.
    """
    encoding = response.headers.get("content-encoding", "identity").strip().lower()
    if encoding in ("", "identity"):
        async for data in response.aiter_raw():
            yield data
        return
    if encoding not in ("gzip", "x-gzip"):
        raise SourceError(f"{shown(url)} is sent with the encoding {encoding!r}, although gzip was requested")
    inflater = _Inflater()
    try:
        async for data in response.aiter_raw():
            for piece in inflater.pieces(data):
                yield piece
    except zlib.error as error:
        raise SourceError(f"{shown(url)} is not the gzip that it is sent as: {error}") from None
    if not inflater.finished:
        raise SourceUnavailable(f"no whole answer from {shown(url)}: its gzip is cut off")


class _Inflater:
    """Inflates gzip data, one member after the other, in pieces of at most `_PIECE` bytes."""

    def __init__(self) -> None:
        self._member = zlib.decompressobj(wbits=31)
        self.finished = False

    def pieces(self, data: bytes) -> Iterator[bytes]:
        while data:
            if self._member.eof:
                self._member = zlib.decompressobj(wbits=31)
            piece = self._member.decompress(data, _PIECE)
            while piece:
                yield piece
                piece = self._member.decompress(self._member.unconsumed_tail, _PIECE)
            data = self._member.unused_data
            self.finished = self._member.eof


def _retry_after_s(response: httpx.Response) -> float | None:
    text = response.headers.get("retry-after", "").strip()
    return float(text) if text.isdigit() else None


def _validators(response: httpx.Response) -> dict[str, str]:
    pairs = ("If-None-Match", "etag"), ("If-Modified-Since", "last-modified")
    return {sent: response.headers[given] for sent, given in pairs if given in response.headers}


def _unless_downloading(_: logging.LogRecord) -> bool:
    return not _DOWNLOADING.get()


# httpx logs the address of every request, and that of a feed may have a key in it.
_DOWNLOADING: Final = ContextVar("downloading", default=False)
logging.getLogger("httpx").addFilter(_unless_downloading)
