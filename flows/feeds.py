"""The flows load-calendar and load-candles: load files, folders and web addresses on a schedule."""

from collections.abc import Sequence
from typing import Any, Final

import psycopg
from prefect import State, flow, task
from prefect.artifacts import create_table_artifact
from prefect.blocks.system import Secret
from prefect.client.schemas.objects import TaskRun
from prefect.logging import get_run_logger
from prefect.states import Completed, Failed
from prefect.task_runners import ThreadPoolTaskRunner

from flows.files.errors import TableError
from flows.files.options import ReadOptions
from flows.forecasting.answers import quoted
from flows.forecasting.universe import read_universe
from flows.loading import parameters
from flows.loading.calendar_feed import CalendarFeed, load_calendar_item
from flows.loading.candle_feed import CandleFeed, CandleOutcome, load_candle_item
from flows.loading.candle_report import candle_table, failure_message, with_absent
from flows.loading.credentials import Credentials, read_credentials
from flows.loading.download import DownloadLimits, SourceUnavailable
from flows.loading.rows import Loaded
from flows.loading.sources import Item, Span, candle_items, single_item
from flows.runtime.instruments import known_instruments
from flows.runtime.parameters import TimeframeParameter
from flows.runtime.retries import RETRIED, worth_another_try
from flows.runtime.run_database import RunDatabase
from flows.runtime.run_records import RECORDED
from flows.runtime.time_limits import HOURLY_RUN_S
from market.aliases import symbol_of_aliases
from market.timeframes import CANDLE_TABLE, Timeframe
from sql.errors import DatabaseError, one_line

LEAST_SHARE: Final = 0.9
"""Share of the rows before that a feed must give again: a tenth may go, as with `--replace`."""

AT_ONCE: Final = 4
"""Files or addresses that are read at once."""

CALENDAR_RUN_S: Final = 25 * 60.0
"""A load of the calendar: five minutes before the next one is due."""


def feed_worth_another_try(_task: Any, run: TaskRun, state: State[Any]) -> bool:
    """Return whether a task failed because a feed or the database was unavailable; refusals are final."""
    failure = state.result(raise_on_failure=False)
    return isinstance(failure, SourceUnavailable) or worth_another_try(_task, run, state)


FEED_RETRIED: Final[dict[str, Any]] = {**RETRIED, "retry_condition_fn": feed_worth_another_try}


@task(name="load calendar", **FEED_RETRIED)
def load_calendar_task(item: Item, feed: CalendarFeed, credentials: Credentials) -> Loaded | None:
    """Read the calendar and store it; None where it is unchanged."""
    with RunDatabase() as database:
        return load_calendar_item(database, item, feed, credentials)


@task(name="load candles", task_run_name="load candles {item.name}", **FEED_RETRIED)
def load_candles_task(item: Item, feed: CandleFeed, credentials: Credentials) -> list[CandleOutcome]:
    """Read the candles of a file or an address and store them, symbol by symbol."""
    with RunDatabase() as database:
        return load_candle_item(database, item, feed, credentials)


@task(name="read the symbols of the run", **RETRIED)
def read_symbols(symbols: list[str] | None) -> dict[str, str]:
    """Return the names requested, else the active instruments, and the symbol that each name stands for."""
    with RunDatabase() as database, database.connection() as connection:
        if symbols is None:
            return {symbol: symbol for symbol in read_universe(connection, None).instruments}
        aliases = symbol_of_aliases(known_instruments(connection))
        return {name: aliases.get(name, name) for name in symbols}


@flow(name="load-calendar", timeout_seconds=CALENDAR_RUN_S, **RECORDED)
def load_calendar_feed(
    location: parameters.Location,
    headers: parameters.Headers = None,
    key: parameters.Key = None,
    timezone: parameters.Timezone = None,
    source: parameters.Source = None,
    replace_schedule: parameters.ReplaceSchedule = True,
    days_back: parameters.DaysBack = 7,
    days_ahead: parameters.DaysAhead = 60,
    least_share: parameters.LeastShare = LEAST_SHARE,
    size_limit_mb: parameters.SizeLimit = 100.0,
    time_limit_s: parameters.TimeLimit = 120.0,
    force: parameters.ForceLoad = False,
    preset: parameters.Preset = None,
    columns: parameters.Columns = None,
    date_order: parameters.Order = None,
    decimal: parameters.DecimalSign = None,
) -> Loaded | State[Any]:
    """Load the economic calendar from a file or a web address; a run that fails changes nothing.

    Parameters
    ----------
    location
        Path of a file on the worker's machine, or an address (http, https) that may have the placeholders
        ``{from}``, ``{to}`` (dates), ``{from_s}``, ``{to_s}`` (Unix times) and ``{key}``.
    headers
        Headers of the request: by header, the *name* of the environment variable or Prefect Secret block with
        its value, such as ``{"X-Finnhub-Token": "FINNHUB_KEY"}``.
    key
        Name of the environment variable or Prefect Secret block whose value replaces ``{key}``.
    timezone
        Zone of times without one, such as America/New_York; None for UTC.
    source
        Value of the column `source` where the feed has none; None for the host of the address.
    replace_schedule
        Whether releases without figures that the feed lacks are withdrawn, by the rules of ``--replace``.
    days_back, days_ahead
        Days before and after today that ``{from}`` and ``{to}`` stand for.
    least_share
        Share of the rows that the feed gave before in the same span that it must give again; 0 accepts any.
    size_limit_mb, time_limit_s
        The most that is downloaded, once inflated, and the most time that it may take.
    force
        Whether the feed is loaded although it is unchanged.
    preset, columns, date_order, decimal
        How the feed is read where it leaves that open, see `flows.files.options.ReadOptions`.

    Returns
    -------
    Loaded or State
        Numbers of rows; a state named Unchanged; or a failed state that says why nothing was loaded.
    """
    try:
        credentials = read_credentials(headers, key, secret_block)
        item = single_item(location.strip(), Span(days_back, days_ahead), credentials)
        feed = CalendarFeed(
            timezone,
            source,
            replace_schedule,
            least_share,
            _limits(size_limit_mb, time_limit_s),
            force,
            ReadOptions(columns or {}, None, date_order, decimal, preset),
        )
        loaded = load_calendar_task(quoted(item), feed, quoted(credentials))
    except (TableError, DatabaseError, psycopg.Error) as error:
        return Failed(message=f"nothing was loaded: {_sentence(error)}")
    if loaded is None:
        return Completed(name="Unchanged", message=f"{item.name} is unchanged since its last load")
    for note in loaded.notes:
        get_run_logger().warning(note)
    create_table_artifact(
        key="load-calendar",
        table=[{"rows": name, "number": getattr(loaded, name)} for name in ("new", "changed", "unchanged")],
        description="\n\n".join([f"{item.name} into economic_calendar", *loaded.notes]),
    )
    return loaded


@flow(
    name="load-candles",
    timeout_seconds=HOURLY_RUN_S,
    task_runner=ThreadPoolTaskRunner(max_workers=AT_ONCE),  # type: ignore[arg-type]  # Prefect's own does not fit
    **RECORDED,
)
def load_candles_feed(
    location: parameters.Location,
    timeframe: TimeframeParameter = "1h",
    symbols: parameters.FeedSymbols = None,
    aliases: parameters.Aliases = None,
    headers: parameters.Headers = None,
    key: parameters.Key = None,
    days_back: parameters.DaysBack = 7,
    least_share: parameters.LeastShare = LEAST_SHARE,
    size_limit_mb: parameters.SizeLimit = 500.0,
    time_limit_s: parameters.TimeLimit = 120.0,
    force: parameters.ForceLoad = False,
    timezone: parameters.Timezone = None,
    preset: parameters.Preset = None,
    columns: parameters.Columns = None,
    date_order: parameters.Order = None,
    decimal: parameters.DecimalSign = None,
) -> list[CandleOutcome] | State[Any]:
    """Load candles from a file, a folder or a web address; a symbol that fails stops no other.

    Parameters
    ----------
    location
        Path on the worker's machine of a file, of a folder with a file for each symbol, or of one with
        ``candles_1h`` or ``candles_1d``; or an address (http, https), which is requested for each symbol if
        it has ``{symbol}``. See `load_calendar_feed` for its other placeholders.
    symbols
        Load only these; None for all that a file or folder has, and for the active instruments of an address
        with ``{symbol}``.
    aliases
        The provider's names, by symbol: ``{"BTC-USD": "BTCUSDT"}``.
    headers, key, size_limit_mb, time_limit_s
        As in `load_calendar_feed`; the limits are those of one download.
    days_back
        Days before today that ``{from}`` stands for; ``{to}`` is today.
    least_share
        As in `load_calendar_feed`, for each symbol.
    force
        Whether files are loaded although they are unchanged.
    timezone, preset, columns, date_order, decimal
        As in `load_calendar_feed`.

    Returns
    -------
    list of CandleOutcome or State
        An outcome for each symbol; a state named Unchanged; or a failed state, named PartiallyFailed if any
        symbol was loaded, that names the symbols that failed.
    """
    names = aliases or {}
    try:
        credentials = read_credentials(headers, key, secret_block)
        requested = read_symbols(symbols) if symbols is not None or "{symbol}" in location else {}
        span = Span(days_back, 0)
        items = candle_items(location.strip(), timeframe, list(requested), span, credentials, names)
    except (TableError, LookupError, DatabaseError, psycopg.Error) as error:
        return Failed(message=f"nothing was loaded: {_sentence(error)}")
    feed = CandleFeed(
        timeframe,
        None if symbols is None else frozenset(requested.values()),
        names,
        least_share,
        _limits(size_limit_mb, time_limit_s),
        force,
        ReadOptions(columns or {}, timezone, date_order, decimal, preset),
    )
    futures = [(item, load_candles_task.submit(quoted(item), feed, quoted(credentials))) for item in items]
    outcomes: list[CandleOutcome] = []
    for item, future in futures:
        try:
            outcomes += future.result()
        except Exception as error:  # a failure of one file, of any kind, must not stop the others
            outcomes.append(CandleOutcome(item.symbol or item.name, error=_sentence(error)))
    wanted = None if symbols is None else requested.values()
    return _conclude(with_absent(outcomes, wanted, items), timeframe)


def _conclude(outcomes: Sequence[CandleOutcome], timeframe: Timeframe) -> list[CandleOutcome] | State[Any]:
    """Publish the summary of a load of candles, and return its state."""
    for outcome in outcomes:
        for note in () if outcome.loaded is None else outcome.loaded.notes:
            get_run_logger().warning(note if outcome.symbol in note else f"{outcome.symbol}: {note}")
    failure = failure_message(outcomes)
    heading = f"{timeframe} candles into {CANDLE_TABLE[timeframe]}"
    create_table_artifact(
        key=f"load-candles-{timeframe}",
        table=candle_table(outcomes),
        description="\n\n".join([heading, *([] if failure is None else [failure])]),
    )
    loaded = any(outcome.error is None for outcome in outcomes)
    if failure is not None:
        return Failed(message=failure, name="PartiallyFailed" if loaded else "Failed")
    if all(outcome.loaded is None for outcome in outcomes):
        return Completed(name="Unchanged", message="every file is unchanged since its last load")
    return list(outcomes)


def secret_block(name: str) -> str:
    """Return the value of a Prefect Secret block.

    Raises
    ------
    ValueError
        There is none of that name.
    """
    block: Any = Secret.load(name)
    return str(block.get())


def _limits(size_limit_mb: float, time_limit_s: float) -> DownloadLimits:
    return DownloadLimits(round(size_limit_mb * 1e6), time_limit_s)


def _sentence(error: Exception) -> str:
    if isinstance(error, TableError | LookupError | DatabaseError):
        return str(error)
    return one_line(error) if isinstance(error, psycopg.Error) else f"{type(error).__name__}: {error}"
