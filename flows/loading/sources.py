"""Finds the files and addresses that a feed consists of, and reads each unless it is unchanged."""

import hashlib
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote

import polars as pl

from flows.files.contents import read_content
from flows.files.errors import TableError, hiding
from flows.files.market_folder import data_file
from flows.loading.addresses import SourceError, check_web_address, is_web_address, placeholders, shown
from flows.loading.credentials import Credentials
from flows.loading.download import DownloadLimits, Request, SourceUnavailable, download

ENDINGS: Final = (".csv", ".parquet", ".json", ".jsonl", ".ndjson")
_FILLED: Final = frozenset({"symbol", "key", "from", "to", "from_s", "to_s"})


@dataclass(frozen=True)
class Span:
    """The days that an address asks for, where it has the placeholders ``{from}`` and ``{to}``."""

    days_back: int
    days_ahead: int

    def values(self, now: datetime) -> dict[str, str]:
        """Return the placeholders' values: dates, and Unix times in seconds (``{from_s}``, ``{to_s}``)."""
        start, end = now - timedelta(days=self.days_back), now + timedelta(days=self.days_ahead)
        return {
            "from": f"{start:%Y-%m-%d}",
            "to": f"{end:%Y-%m-%d}",
            "from_s": f"{start.timestamp():.0f}",
            "to_s": f"{end.timestamp():.0f}",
        }


@dataclass(frozen=True)
class Item:
    """One file or address of a feed.

    Attributes
    ----------
    name
        In messages; without secrets.
    source
        What it is remembered under.
    path, url
        One of the two. `url` lacks only the key.
    symbol
        Whose candles it has, where it has no column that says so.
    """

    name: str
    source: str
    path: Path | None = None
    url: str | None = field(default=None, repr=False)
    symbol: str | None = None


@dataclass(frozen=True)
class Content:
    """The rows of an item.

    Attributes
    ----------
    version
        By which the unchanged item is recognised next time.
    written_at
        The latest instant at which its rows can have been written.
    described
        Format, encoding and separator, for a user.
    notes
        Sentences about what the file does not say itself.
    """

    frame: pl.DataFrame
    version: Mapping[str, Any]
    written_at: datetime
    described: str = ""
    notes: tuple[str, ...] = ()


def single_item(location: str, span: Span, credentials: Credentials) -> Item:
    """Return the one file or address at a location.

    Raises
    ------
    SourceError
        There is no such file, or the address can't be used.
    """
    _refuse_blank(location)
    if is_web_address(location):
        _check_template(location, credentials, {"symbol"})
        return _web_item(location, span.values(datetime.now(UTC)))
    path = Path(location)
    if not path.is_file():
        raise SourceError(
            f"there is no file {location!r} on the machine of this run; expected the path of a file or a web "
            "address"
        )
    return _file_item(path)


def candle_items(
    location: str,
    timeframe: str,
    symbols: Sequence[str],
    span: Span,
    credentials: Credentials,
    aliases: Mapping[str, str],
) -> list[Item]:
    """Return the files or addresses with the candles at a location.

    Parameters
    ----------
    location
        A file, a folder with a file for each symbol, a folder with ``candles_1h`` or ``candles_1d``, or an
        address; one with ``{symbol}`` is requested for each symbol.
    symbols
        Those to request.
    aliases
        The provider's names, by symbol.

    Raises
    ------
    SourceError
        There is no such file or folder, it has no file, or the address can't be used.
    """
    _refuse_blank(location)
    if is_web_address(location) and "symbol" in placeholders(location):
        _check_template(location, credentials, set())
        values = span.values(datetime.now(UTC))
        return [
            _web_item(location, {**values, "symbol": quote(aliases.get(symbol, symbol), safe="")}, symbol)
            for symbol in symbols
        ]
    folder = Path(location)
    if is_web_address(location) or not folder.is_dir():
        return [single_item(location, span, credentials)]
    whole = data_file(folder, f"candles_{timeframe}")
    if whole is not None:
        return [_file_item(whole)]
    files = sorted(
        file
        for file in folder.iterdir()
        if file.suffix.lower() in ENDINGS and not file.name.startswith(".") and file.is_file()
    )
    if not files:
        raise SourceError(
            f"the folder {location!r} has no file that ends in {', '.join(ENDINGS)}; expected one for each "
            f"symbol, such as SPY.csv, or candles_{timeframe}.parquet"
        )
    names = {name: symbol for symbol, name in aliases.items()}
    return [_file_item(file, names.get(file.stem, file.stem)) for file in files]


def read_item(
    item: Item,
    credentials: Credentials,
    limits: DownloadLimits,
    known: Mapping[str, Any],
    read_as: Mapping[str, Any],
) -> Content | None:
    """Read an item, unless it is the one whose version is known.

    Parameters
    ----------
    known
        The `version` of the `Content` that was loaded last.
    read_as
        Settings that the rows are read with, as JSON has them: with others an unchanged item is read again.

    Raises
    ------
    SourceUnavailable
        It can't be read now; another try may succeed.
    TableError
        It is something else than a table with rows, or beyond the limits.
    """
    file = known.get("file", {}) if known.get("read_as") == read_as else {}
    with hiding(credentials.secrets):
        content = (
            _read_file(item.path, file)
            if item.path is not None
            else _read_web(item, credentials, limits, file)
        )
    if content is None:
        return None
    return replace(content, version={"file": content.version, "read_as": read_as})


def named(error: TableError, item: Item) -> TableError:
    """Return an error whose message begins with the item that it is about, as a `SourceError` does."""
    return error if isinstance(error, SourceError) else TableError(f"{item.name}: {error}")


def _refuse_blank(location: str) -> None:
    if not location.strip():
        raise SourceError(
            "location is empty; give the path of a file or folder, or a web address (docs/feeds.md)"
        )


def _check_template(location: str, credentials: Credentials, refused: set[str]) -> None:
    names = placeholders(location)
    unknown = names - (_FILLED - refused)
    if unknown:
        raise SourceError(
            f"{shown(location)} has the placeholder {{{min(unknown)}}}; expected "
            f"{', '.join(f'{{{name}}}' for name in sorted(_FILLED - refused))}"
        )
    if ("key" in names) != (credentials.key is not None):
        raise SourceError(
            f"{shown(location)}: the placeholder {{key}} and the name of the secret for it belong together; "
            "one of them is missing"
        )
    check_web_address(location)


def _web_item(template: str, values: Mapping[str, str], symbol: str | None = None) -> Item:
    url = template
    for name, value in values.items():
        url = url.replace(f"{{{name}}}", value)
    # Two addresses may differ in what is not shown, such as ?country=US and ?country=DE.
    source = f"{shown(template)} {hashlib.sha256(template.encode()).hexdigest()[:12]}"
    return Item(shown(url), source, url=url, symbol=symbol)


def _file_item(path: Path, symbol: str | None = None) -> Item:
    return Item(path.name, str(path.resolve()), path=path, symbol=symbol)


def _read_file(path: Path, known: Mapping[str, Any]) -> Content | None:
    try:
        before = path.stat()
        version = {"mtime_ns": before.st_mtime_ns, "size": before.st_size}
        if version == known:
            return None
        table = read_content(path)
        after = path.stat()
    except OSError as error:
        raise SourceUnavailable(f"{path} can't be read: {error.strerror or error}") from None
    if (after.st_mtime_ns, after.st_size) != (before.st_mtime_ns, before.st_size):
        raise SourceUnavailable(f"{path} was written while it was read")
    written_at = min(datetime.fromtimestamp(before.st_mtime, UTC), datetime.now(UTC))
    return Content(table.frame, version, written_at, table.described, table.notes)


def _read_web(
    item: Item, credentials: Credentials, limits: DownloadLimits, known: Mapping[str, Any]
) -> Content | None:
    assert item.url is not None
    address = hashlib.sha256(item.url.encode()).hexdigest()
    same_address = known.get("address") == address
    validators = known.get("validators", {}) if same_address else {}
    request = Request(credentials.filled(item.url), credentials.headers, validators)
    requested_at = datetime.now(UTC)
    with tempfile.TemporaryDirectory(prefix="kronos-feed-") as folder:
        received = download(request, Path(folder), limits)
        if received is None:
            return None
        with received.path.open("rb") as file:
            sha256 = hashlib.file_digest(file, "sha256").hexdigest()
        if same_address and known.get("sha256") == sha256:
            return None
        table = read_content(received.path, complete=received.complete, size_limit_bytes=limits.size_bytes)
    version = {"address": address, "sha256": sha256, "validators": dict(received.validators)}
    return Content(table.frame, version, requested_at, table.described, table.notes)
