"""Measures the effect of a shorter lookback on windows whose last close would be clipped: CRPS and coverage.

``python -m benchmarks.clipped --bundle bundles/demo --data folder`` prints a Markdown table.
"""

import argparse
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from flows.forecasting.lookback import FEWEST, unclipped_length
from inference_server.engine.engine import Engine
from inference_server.engine.jobs import ForecastJob
from market.envelope import envelope
from market.normalise import CLIP, normalise
from training.data.stretches import Stretch, read_folder
from training.evaluation.baselines import crps_samples

LOOKBACK, PRED_LEN, PATHS = 392, 24, 100
STEPS = (1, 6, 24)
CLOSE = 3
# Windows closer together belong to one jump; the interval of a ratio resamples jumps.
APART = {"1h": np.timedelta64(7, "D"), "1d": np.timedelta64(30, "D")}
RESAMPLES = 2_000


@dataclass(frozen=True)
class Pair:
    """One window forecast from all of its candles and from fewer.

    `crps` and `covered` are (2, pred_len), the whole window first, CRPS over the last close.
    """

    stretch: Stretch
    end: int
    length: int
    crps: np.ndarray
    covered: np.ndarray

    @property
    def moment(self) -> np.datetime64:
        return self.stretch.timestamps[self.end - 1]


def clipped_windows(stretch: Stretch) -> list[tuple[int, int]]:
    """Return the end of each window whose last close is clipped, and the longest length without clipping."""
    closes, windows = stretch.candles[:, CLOSE], []
    for end in range(LOOKBACK, len(stretch) - PRED_LEN + 1):
        window = closes[end - LOOKBACK : end]
        if abs(window[-1] - window.mean()) < (CLIP - 0.1) * window.std():
            continue
        clipped = np.abs(normalise(stretch.candles[end - LOOKBACK : end]).values[-1, CLOSE]) >= CLIP
        length = unclipped_length(window, FEWEST) if clipped else None
        if length is not None:
            windows.append((end, length))
    return windows


def forecast_both(engine: Engine, stretch: Stretch, end: int, length: int, seed: int) -> Pair:
    """Forecast a window twice from one seed, without events, and score both against the actual closes."""
    jobs = [
        ForecastJob(
            stretch.candles[end - count : end],
            stretch.timestamps[end - count : end],
            stretch.timestamps[end : end + PRED_LEN],
            sample_count=PATHS,
            top_p=1.0,
            seed=seed,
            time_zone=stretch.instrument.model_time_zone,
        )
        for count in (LOOKBACK, length)
    ]
    actual, last = stretch.candles[end : end + PRED_LEN, CLOSE], stretch.candles[end - 1, CLOSE]
    crps, covered = [], []
    for paths in engine.forecast(jobs):
        closes = paths[..., CLOSE].astype(np.float64)
        low, _, high = envelope(closes)
        crps.append([crps_samples(closes[:, step], actual[step]) / last for step in range(PRED_LEN)])
        covered.append((low <= actual) & (actual <= high))
    return Pair(stretch, end, length, np.array(crps), np.array(covered))


def jumps(pairs: list[Pair], timeframe: str) -> np.ndarray:
    """Return the number of the jump that each window belongs to, (n,)."""
    numbers: dict[tuple[str, np.datetime64], int] = {}
    last: dict[str, np.datetime64] = {}
    count = -1
    for pair in sorted(pairs, key=lambda pair: (pair.stretch.instrument.symbol, pair.moment)):
        symbol = pair.stretch.instrument.symbol
        if symbol not in last or pair.moment - last[symbol] > APART[timeframe]:
            count += 1
        last[symbol] = pair.moment
        numbers[symbol, pair.moment] = count
    return np.array([numbers[pair.stretch.instrument.symbol, pair.moment] for pair in pairs])


def row(name: str, pairs: list[Pair], timeframe: str) -> str:
    """Return one row of the table: per step the ratio of CRPS with its 95 % interval, and both coverages."""
    groups = jumps(pairs, timeframe)
    count = int(groups.max()) + 1
    crps = np.stack([pair.crps for pair in pairs])
    covered = np.stack([pair.covered for pair in pairs]).mean(axis=0)
    rng = np.random.default_rng(0)
    drawn = rng.multinomial(count, np.full(count, 1 / count), RESAMPLES)[:, groups]  # (resamples, n)
    cells = []
    for step in STEPS:
        whole, shorter = crps[:, 0, step - 1], crps[:, 1, step - 1]
        ratios = (drawn @ shorter) / (drawn @ whole)
        low, high = np.percentile(ratios, [2.5, 97.5])
        cells.append(f"{shorter.sum() / whole.sum():.2f} ({low:.2f} to {high:.2f})")
        cells.append(f"{covered[0, step - 1]:.0%} → {covered[1, step - 1]:.0%}")
    return f"| {name} | {len(pairs)} ({count}) | {' | '.join(cells)} |"


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.clipped", description=__doc__)
    parser.add_argument("--bundle", type=Path, required=True)
    parser.add_argument("--data", type=Path, required=True, help="folder as python -m training reads it")
    parser.add_argument("--held-out", type=np.datetime64, default=np.datetime64("2022-01-01"))
    args = parser.parse_args()
    engine = Engine.load(args.bundle)
    pairs = [
        forecast_both(engine, stretch, end, length, seed=end)
        for stretch in read_folder(args.data, [""]).stretches()
        for end, length in clipped_windows(stretch)
    ]
    heads = [f"CRPS ratio, step {step} | covered, step {step}" for step in STEPS]
    print(f"| windows | n (jumps) | {' | '.join(heads)} |")
    print("|---" * (2 + 2 * len(STEPS)) + "|")
    for timeframe in APART:
        for name, held_out in ((f"{timeframe}, held out", True), (f"{timeframe}, before", False)):
            part = [
                pair
                for pair in pairs
                if pair.stretch.timeframe == timeframe and (pair.moment >= args.held_out) == held_out
            ]
            if part:
                print(row(name, part, timeframe))


if __name__ == "__main__":
    main()
