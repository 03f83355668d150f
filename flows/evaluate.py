"""``python -m flows.evaluate``: says whether a bundle is better than simple baselines on a past period."""

import argparse
import signal
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import polars as pl
import psycopg
from rich.console import Console
from rich.progress import Progress

from flows.backtest.history import (
    HistoryError,
    MarketHistory,
    Period,
    history_from_database,
    history_from_files,
)
from flows.backtest.tables import calibrate_later_half, comparison_table, coverage_table, frame_of
from flows.backtest.walk_forward import WalkResult, made_at_instants, walk
from flows.evaluation.command_line import evaluate_parser
from flows.evaluation.evaluation import Evaluation, LeftOut, Settings, evaluation_of
from flows.evaluation.report import write_html, write_json
from flows.evaluation.terminal_tables import answer_lines, baseline_table, event_table, return_table
from flows.events import EventError
from flows.files.frames import TableError
from flows.forecasting.forecasts import Order, SamplingSettings, build_request, usable_lookback
from flows.forecasting.training_span import training_span
from flows.runtime.local_server import ServerError, local_server
from flows.runtime.server_calls import while_busy
from flows.runtime.settings import FlowSettings
from inference_server.client import Client, ClientError
from inference_server.schemas import ModelInfo, PredictAnswer
from sql.connect import connect
from sql.errors import DatabaseError, one_line

console = Console(highlight=False)


def main(arguments: list[str] | None = None, prog: str = "python -m flows.evaluate") -> int:
    """Run the command and return the exit status."""
    args = evaluate_parser(prog).parse_args(arguments)
    try:
        return evaluate(args)
    except psycopg.Error as error:
        message = one_line(error)
    except (
        ClientError,
        ServerError,
        HistoryError,
        TableError,
        EventError,
        DatabaseError,
        ValueError,
    ) as error:
        message = str(error)
    print(f"error: {message}", file=sys.stderr)
    return 1


def evaluate(args: argparse.Namespace) -> int:
    """Run the back-test of a command line.

    Raises
    ------
    HistoryError
        There is no history, no forecast was made, or a part of the command line can't be used.
    """
    check_paths(args)
    if args.start > args.end:
        raise HistoryError(f"--start {args.start:%Y-%m-%d %H:%M} is after --end {args.end:%Y-%m-%d %H:%M}")
    with server(args.bundle, args.server) as address, client_of(address) as client:
        model = client.model()
        lookback = usable_lookback(args.lookback, args.pred_len, model.max_context, model.limits.min_candles)
        period = Period(args.timeframe, args.symbols, args.start, args.end, lookback, args.pred_len)
        history = read_history(args.data, period)
        result = walk_over(client, model, history, period, args)
    if not result.scored:
        reasons = counted(result.skipped) or "stopped before the first one"
        raise HistoryError(f"nothing was forecast: {reasons} (docs/evaluation.md says what is left out)")
    report(result, model, history, period, args)
    return 0


def check_paths(args: argparse.Namespace) -> None:
    """Refuse files that can't be written, and what is no bundle, before hours are spent.

    Raises
    ------
    HistoryError
        The folder of a file, or the manifest of the bundle, does not exist.
    """
    if args.bundle is not None and not (args.bundle / "manifest.json").is_file():
        raise HistoryError(
            f"--bundle {args.bundle}: there is no {args.bundle / 'manifest.json'}; make a bundle with "
            "python -m export"
        )
    for option in ("out", "html", "json"):
        file: Path | None = getattr(args, option)
        if file is not None and not file.parent.is_dir():
            raise HistoryError(f"--{option} {file}: there is no folder {file.parent}; make it first")


@contextmanager
def server(bundle: Path | None, address: str | None) -> Iterator[str]:
    """Yield the address of a server: the running one, or one that serves a bundle until the block ends.

    A started server is stopped on SIGTERM, too, which ends this process with the status 143.
    """
    if bundle is None:
        yield address or FlowSettings.from_env().server_url
        return
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    with tempfile.TemporaryDirectory(prefix="kronos-evaluate-") as folder:
        console.print(f"Serving {bundle} …")
        with local_server(bundle, Path(folder) / "server.log") as started:
            yield started


def client_of(address: str) -> Client:
    """Return a client of a server, with the timeout and the key of the environment."""
    settings = FlowSettings.from_env()
    return Client(address, settings.timeout_s, api_key=settings.api_key)


def read_history(data: Path | None, period: Period) -> MarketHistory:
    """Read candles and calendar from a folder, or from the database for None."""
    if data is not None:
        return history_from_files(data, period)
    with connect() as connection:
        return history_from_database(connection, period)


def walk_over(
    client: Client, model: ModelInfo, history: MarketHistory, period: Period, args: argparse.Namespace
) -> WalkResult:
    """Forecast instant by instant; return the forecasts made until then if the user interrupts."""
    sampling = SamplingSettings(args.timeframe, args.pred_len, args.samples, 1.0, 1.0, 0, None)
    instants = made_at_instants(args.start, args.end, args.timeframe, args.every or args.pred_len)

    timeout_s = FlowSettings.from_env().timeout_s

    def ask(order: Order) -> PredictAnswer:
        request = build_request(order)
        return while_busy(lambda _: client.predict(request, order.events), timeout_s, console.print)

    result = WalkResult()
    steps = walk(
        history,
        model,
        ask,
        sampling,
        period.lookback,
        instants,
        with_events=args.with_events,
        compare_events=args.with_events,
        shorter_lookback=args.timeframe in FlowSettings.from_env().shorter_lookback,
        stale_after=args.stale_after,
    )
    with Progress(console=console, transient=True) as progress:
        try:
            for step in progress.track(steps, total=len(instants), description=f"asking {model.name}"):
                result.add(step)
        except KeyboardInterrupt:
            console.print("stopped: the tables show the forecasts made until now")
    return result


def report(
    result: WalkResult, model: ModelInfo, history: MarketHistory, period: Period, args: argparse.Namespace
) -> None:
    """Print the answers and the tables, and write the files."""
    settings = _settings(model, history, period, args)
    evaluation = evaluation_of(result.scored, settings, left_out(result, history))
    for line in answer_lines(evaluation):
        console.print(line)
    if evaluation.settings.training_span is None:
        console.print(
            f"{model.name} does not say on which candles it was trained: if they include this period, every "
            "figure is too good."
        )
    forecasts = [forecast for forecast in result.scored if forecast.model == model.name]
    calibrated = calibrate_later_half(forecasts)
    steps = frame_of(result.scored, calibrated)
    title = (
        f"{model.name} beside a random walk, {period.start:%Y-%m-%d} to {period.end:%Y-%m-%d}: "
        f"{len(forecasts):,} forecasts of {period.pred_len} {period.timeframe} candles, "
        f"{args.samples} paths, lookback {period.lookback}"
    )
    console.print(comparison_table(steps, model.name, title, evaluation.unit))
    if calibrated.tested:
        title = (
            f"p10–p90 before and after calibration: learned from {calibrated.learned:,} forecasts that had "
            f"matured by {calibrated.learned_by:%Y-%m-%d %H:%M} UTC, tested on {calibrated.tested:,} later"
        )
        classes = {symbol: instrument.asset_class for symbol, instrument in history.instruments.items()}
        own = steps.filter(pl.col("model") == model.name)
        console.print(coverage_table(own, classes, title, evaluation.unit))
    else:
        console.print("No calibration: too few forecasts had matured by the middle of the period.")
    console.print(baseline_table(evaluation))
    if evaluation.event_effects:
        console.print(event_table(evaluation))
    console.print(return_table(evaluation))
    for reason, count in sorted(result.without_events.items()):
        console.print(f"WITHOUT EVENTS: {count:,} forecasts: {reason}")
    if result.skipped:
        console.print(f"Left out: {counted(result.skipped)}")
    write_files(evaluation, steps, args)


def write_files(evaluation: Evaluation, steps: pl.DataFrame, args: argparse.Namespace) -> None:
    """Write the forecasts, the report and, if wanted, the figures."""
    steps.write_parquet(args.out)
    console.print(f"Wrote {args.out}: {steps.height:,} rows, a row per forecast and step.")
    page = args.html or args.out.with_suffix(".html")
    write_html(evaluation, page)
    console.print(f"Wrote {page}: the report, for a browser.")
    if args.json is not None:
        write_json(evaluation, args.json)
        console.print(f"Wrote {args.json}: every figure.")


def _settings(model: ModelInfo, history: MarketHistory, period: Period, args: argparse.Namespace) -> Settings:
    span = training_span(model)
    return Settings(
        model=model.name,
        version=model.version,
        timeframe=period.timeframe,
        start=period.start,
        end=period.end,
        pred_len=period.pred_len,
        lookback=period.lookback,
        samples=args.samples,
        seed=args.seed,
        cost_bp=args.cost_bp,
        training_span=None if span is None else str(span),
        cost_ticks=args.cost_ticks,
        tick_sizes={
            symbol: instrument.tick_size
            for symbol, instrument in history.instruments.items()
            if instrument.tick_size is not None
        },
    )


def left_out(result: WalkResult, history: MarketHistory) -> LeftOut:
    """Return the windows that were left out, and why a symbol has no forecast at all."""
    forecast = {each.symbol for each in result.scored}
    reasons: dict[str, list[str]] = {symbol: [] for symbol in history.instruments if symbol not in forecast}
    for (symbol, reason), count in sorted(result.left_out.items()):
        if symbol in reasons:
            reasons[symbol].append(f"{_windows(count)}: {reason}")
    return LeftOut(
        dict(sorted(result.skipped.items())),
        {symbol: "; ".join(texts) or "no new candle" for symbol, texts in reasons.items()},
        dict(sorted(result.without_events.items())),
    )


def counted(reasons: Counter[str]) -> str:
    """Return the number of windows that were left out for each reason, as text."""
    return "; ".join(f"{_windows(count)}: {reason}" for reason, count in sorted(reasons.items()) if count)


def _windows(count: int) -> str:
    return f"{count:,} window" + ("" if count == 1 else "s")


if __name__ == "__main__":
    sys.exit(main())
