"""python -m flows.evaluate: against a real server from files and from the database, and what it shows."""

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import polars as pl
import psycopg
import pytest
from rich.console import Console

from flows import evaluate as module
from flows.backtest.baselines import RANDOM_WALK
from flows.backtest.distributions import scores_of_paths
from flows.backtest.history import HistoryError, Period, history_from_files
from flows.backtest.scored import Scored
from flows.backtest.tables import calibrate_later_half, comparison_table, coverage_table, frame_of
from flows.backtest.walk_forward import WalkResult
from flows.evaluate import main
from flows.generated.market import END, generate_market
from flows.load import load_calendar, load_candles
from flows.runtime.local_server import local_server
from flows.scoring.metrics import score_steps

START = datetime(2024, 1, 1, tzinfo=UTC)


def forecasts(count: int, *, width: float, model: str = "m", seed: int = 4) -> list[Scored]:
    """Forecasts of a random walk's next three closes, `width` times as wide as they should be."""
    rng = np.random.default_rng(seed)
    found = []
    for number in range(count):
        made = START + timedelta(hours=3 * number)
        spread = 1.2816 * np.sqrt(np.arange(1, 4)) * width
        quantiles = 100 + np.array([-1.0, 0.0, 1.0])[:, None] * spread
        actual = 100 + np.cumsum(rng.normal(size=3))
        stamps = np.datetime64(made.replace(tzinfo=None), "us") + np.arange(3) * np.timedelta64(1, "h")
        last, end = made - timedelta(hours=1), made + timedelta(hours=3)
        found.append(
            Scored(
                model, "BTC-USD", "crypto", last, made, end, stamps,
                quantiles, 100.0, score_steps(quantiles, actual, 100.0),
                scores_of_paths(quantiles, actual, 100.0), None, [], 0.01,
            )
        )  # fmt: skip
    return found


def shown(table: Any) -> str:
    console = Console(width=80, record=True, file=open("/dev/null", "w"))  # noqa: SIM115, PTH123
    console.print(table)
    return console.export_text()


def test_coverage_before_and_after_calibration_on_the_later_half() -> None:
    mine = forecasts(2000, width=0.35)
    calibrated = calibrate_later_half(mine)
    assert calibrated.learned_by == mine[1000].made_at
    assert (calibrated.learned, calibrated.tested) == (1000, 1000)
    steps = frame_of(mine + forecasts(2000, width=1.0, model=RANDOM_WALK), calibrated)
    later = steps.filter(model="m").filter(pl.col("as_of") >= mine[1000].as_of)
    assert 0.25 <= later["covered"].mean() <= 0.5  # type: ignore[operator]
    assert later["covered_calibrated"].mean() == pytest.approx(0.8, abs=0.03)
    assert steps["covered_calibrated"].count() == 3000  # neither the earlier half nor the random walk
    text = shown(coverage_table(steps.filter(model="m"), {"BTC-USD": "crypto"}, "title"))
    assert "crypto all" in text
    assert "3,000" in text


def test_only_what_had_matured_by_the_middle_is_learned_from() -> None:
    mine = forecasts(200, width=0.35)
    late = [replace(each, matured_at=each.matured_at + timedelta(hours=30)) for each in mine]
    assert calibrate_later_half(late).learned == 90
    assert (
        calibrate_later_half([replace(each, matured_at=START + timedelta(days=999)) for each in mine]).tested
        == 0
    )


def test_the_comparison_fits_a_terminal() -> None:
    steps = frame_of(forecasts(50, width=0.5) + forecasts(50, width=1.0, model=RANDOM_WALK))
    text = shown(comparison_table(steps, "m", "title"))
    assert "…" not in text
    assert "symbol BTC-USD" in text
    assert "step 3" in text


@pytest.fixture(scope="module")
def market_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("market")
    generate_market(days=60, hours=400).write(folder)
    return folder


@pytest.fixture(scope="module")
def server(tiny_bundle: Path, tmp_path_factory: pytest.TempPathFactory) -> Any:
    with local_server(tiny_bundle, tmp_path_factory.mktemp("server") / "log") as address:
        yield address


def arguments(out: Path, *more: str) -> list[str]:
    start, end = END - timedelta(days=2), END - timedelta(days=1)
    span = ["--start", start.isoformat(), "--end", end.isoformat(), "--out", str(out)]
    return [
        *span,
        "--symbols",
        "BTC-USD,EURUSD",
        "--pred-len",
        "4",
        "--samples",
        "3",
        "--lookback",
        "40",
        "--every",
        "8",
        *more,
    ]


def test_files_and_database_give_the_same_figures(
    market_folder: Path,
    server: str,
    database: psycopg.Connection[Any],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(module, "console", Console(record=True, width=80, file=open("/dev/null", "w")))  # noqa: SIM115, PTH123
    assert main(arguments(tmp_path / "files.parquet", "--data", str(market_folder), "--server", server)) == 0
    text = module.console.export_text()
    assert "tiny beside a random walk" in text
    first, second = (text.index(words) for words in ("Better than the baselines", "Do events help?"))
    assert first < second < text.index("tiny beside a random walk")
    assert "tiny does not say on which candles it was trained" in text
    assert "No calibration: too few" in text
    market = generate_market(days=60, hours=400)
    load_candles(database, market.candles_1h, "1h")
    load_candles(database, market.candles_1d, "1d")
    load_calendar(database, market.calendar)
    monkeypatch.setenv("KRONOS_SERVER", server)
    figures = tmp_path / "figures.json"
    assert main(arguments(tmp_path / "database.parquet", "--json", str(figures), "--cost-bp", "2")) == 0
    written = msgspec.json.decode(figures.read_bytes())
    assert written["settings"]["cost_bp"] == 2
    assert written["windows"] == 2 * 4
    assert {effect["group"] for effect in written["event_effects"]} >= {"all"}
    for name in ("files", "database"):
        assert "Better than the baselines" in (tmp_path / f"{name}.html").read_text()
    files, stored = (pl.read_parquet(tmp_path / f"{name}.parquet") for name in ("files", "database"))
    assert files.height == 5 * 2 * 4 * 4  # models, symbols, instants, steps
    assert files.equals(stored)
    assert files["crps"].null_count() == 0
    assert files.select("ts", "as_of").null_count().row(0) == (0, 0)


def test_a_spread_is_evaluated_by_its_differences_beside_another_market(
    market_folder: Path, server: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    prices = ("open", "high", "low", "close")
    candles = pl.read_parquet(market_folder / "candles_1h.parquet")
    spread = candles.filter(symbol="EURUSD").with_columns(pl.lit("EUR-SPREAD").alias("symbol"))
    middle = spread["close"].mean()
    lowered = spread.with_columns(pl.col(name) - middle for name in prices)
    pl.concat([candles.filter(symbol="BTC-USD"), lowered]).write_parquet(tmp_path / "candles_1h.parquet")
    (tmp_path / "instruments.csv").write_text(
        "symbol,asset_class,calendar,allow_nonpositive,tick_size\nEUR-SPREAD,fx,FX,true,0.0001\n"
    )
    monkeypatch.setattr(module, "console", Console(record=True, width=80, file=open("/dev/null", "w")))  # noqa: SIM115, PTH123
    figures = tmp_path / "figures.json"
    more = ["--data", str(tmp_path), "--server", server, "--json", str(figures)]
    assert main(arguments(tmp_path / "out.parquet", *more, "--symbols", "BTC-USD,EUR-SPREAD")) == 0
    text = " ".join(module.console.export_text().split())
    assert "Prices of EUR-SPREAD may be zero or negative: their moves are price differences" in text
    assert "vol: volatilities" in text
    written = msgspec.json.decode(figures.read_bytes())
    assert (written["unit"], written["price_differences"]) == ("volatility", ["EUR-SPREAD"])
    assert (written["windows"], written["left_out"]["windows"]) == (2 * 4, {})
    assert all(each["overall_crps"]["value"] > 0 for each in written["comparisons"])
    assert "vol" in (tmp_path / "out.html").read_text()
    steps = pl.read_parquet(tmp_path / "out.parquet").filter(symbol="EUR-SPREAD")
    assert steps.select(pl.col("p10").min() < 0, pl.col("unit").max() < 0.01, pl.col("crps").count() > 0).row(
        0
    ) == (True, True, True)


@pytest.mark.parametrize(
    ("more", "words"),
    [
        (["--data", "nowhere"], "nowhere has no candles_1h.parquet or .csv"),
        (["--server", "http://127.0.0.1:1"], "no answer from http://127.0.0.1:1"),
        (["--symbols", "NO-SUCH"], "has no 1h candles of NO-SUCH"),
        (["--pred-len", "9999", "--lookback", "5"], "at least 32 candles"),
        (["--json", "no-such-folder/figures.json"], "there is no folder no-such-folder; make it first"),
        (["--start", "2999-01-01"], "--start 2999-01-01 00:00 is after --end 20"),
    ],
)
def test_what_cannot_be_done_is_one_line(
    market_folder: Path,
    server: str,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    more: list[str],
    words: str,
) -> None:
    given = arguments(tmp_path / "out.parquet", "--data", str(market_folder), "--server", server, *more)
    assert main(given) == 1
    assert words in capsys.readouterr().err


def test_sigterm_stops_the_started_server(monkeypatch: pytest.MonkeyPatch) -> None:
    stopped: list[Path] = []

    @contextmanager
    def serving(bundle: Path, log: Path) -> Iterator[str]:
        try:
            yield "http://127.0.0.1:1"
        finally:
            stopped.append(bundle)

    monkeypatch.setattr(module, "local_server", serving)
    before = signal.getsignal(signal.SIGTERM)
    try:
        with pytest.raises(SystemExit, match="143"), module.server(Path("bundle"), None):
            signal.raise_signal(signal.SIGTERM)
    finally:
        signal.signal(signal.SIGTERM, before)
    assert stopped == [Path("bundle")]


def test_a_folder_without_a_manifest_is_no_bundle(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(arguments(tmp_path / "out.parquet", "--bundle", str(tmp_path))) == 1
    assert "manifest.json; make a bundle with python -m export" in capsys.readouterr().err


@pytest.mark.parametrize(
    "option",
    [
        ["--pred-len", "0"],
        ["--start", "yesterday"],
        ["--samples", "some"],
        ["--cost-bp", "-1"],
        ["--cost-bp", "nan"],
        ["--seed", "x"],
    ],
)
def test_unusable_options_are_refused(tmp_path: Path, option: list[str]) -> None:
    with pytest.raises(SystemExit, match="2"):
        main(arguments(tmp_path / "out.parquet", *option))


def test_a_symbol_without_a_forecast_is_named_with_the_reason(market_folder: Path) -> None:
    period = Period("1h", ["BTC-USD", "SPY"], END - timedelta(days=2), END - timedelta(days=1), 40, 4)
    history = history_from_files(market_folder, period)
    result = WalkResult(scored=forecasts(1, width=1.0))
    result.left_out["SPY", "the feed had stopped"] = 2
    result.left_out["BTC-USD", "too few candles before it"] = 1
    found = module.left_out(result, history)
    assert found.symbols == {"SPY": "2 windows: the feed had stopped"}
    assert found.windows == {"the feed had stopped": 2, "too few candles before it": 1}
    assert (
        module.counted(result.skipped)
        == "2 windows: the feed had stopped; 1 window: too few candles before it"
    )


def test_a_period_without_candles_is_said(market_folder: Path) -> None:
    period = Period("1h", None, START, START + timedelta(days=1), 40, 4)
    with pytest.raises(HistoryError, match="no 1h candles of any symbol from"):
        history_from_files(market_folder, period)
