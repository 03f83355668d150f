"""Generates a market of 25 symbols with candles and releases, for demos and benchmarks without real data.

Prices are random walks with the features of real ones: sessions, volatility clusters, busy hours, a common
factor, and wider hours at dollar releases. ``python -m flows.generate`` writes such a market to files.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import polars as pl

from flows.generated.releases import generated_releases
from market.instruments import Instrument, default_instruments
from market.time_grid import candle_bounds, closed_by, past_timestamps
from market.times import instant
from market.types import DatetimeArray, Float64Array

END = datetime(2025, 6, 18, 12, tzinfo=UTC)
"""Default end of the market: six hours before an FOMC decision, so that events are active."""


@dataclass(frozen=True)
class Character:
    """Parameters of one symbol's random walk.

    Attributes
    ----------
    price
        First open.
    daily_volatility
        Standard deviation of a day's log return.
    factor
        Correlation with the common factor of all symbols, −1 … 1.
    hourly_volume
        Median volume of an hour; 0 for an index without volume.
    decimals
        Digits after the decimal point of its prices.
    reversion
        Share of the distance to the mean by which the price returns in an hour; 0 is a random walk.
    """

    price: float
    daily_volatility: float
    factor: float
    hourly_volume: float
    decimals: int
    reversion: float = 0.0


CHARACTERS: Mapping[str, Character] = {
    "BTC-USD": Character(96_000, 0.026, 0.45, 700, 2),
    "ETH-USD": Character(3_300, 0.033, 0.45, 9_000, 2),
    "SOL-USD": Character(190, 0.042, 0.40, 160_000, 2),
    "XRP-USD": Character(2.2, 0.045, 0.35, 9e6, 4),
    "EURUSD": Character(1.06, 0.0045, 0.30, 5_200, 5),
    "GBPUSD": Character(1.26, 0.0050, 0.35, 5_000, 5),
    "USDJPY": Character(152.0, 0.0060, 0.05, 6_500, 3),
    "AUDUSD": Character(0.645, 0.0058, 0.45, 4_100, 5),
    "USDCAD": Character(1.39, 0.0040, -0.40, 3_900, 5),
    "USDCHF": Character(0.88, 0.0047, -0.15, 3_300, 5),
    "NZDUSD": Character(0.595, 0.0060, 0.45, 2_700, 5),
    "XAUUSD": Character(2_640, 0.0095, 0.10, 7_800, 2),
    "XAGUSD": Character(31.0, 0.0180, 0.25, 4_400, 3),
    "SPY": Character(590, 0.0085, 0.90, 7e6, 2),
    "QQQ": Character(510, 0.0115, 0.88, 5e6, 2),
    "AAPL": Character(235, 0.0150, 0.65, 6e6, 2),
    "MSFT": Character(430, 0.0140, 0.65, 2.6e6, 2),
    "NVDA": Character(138, 0.0290, 0.65, 3e7, 2),
    "AMZN": Character(210, 0.0190, 0.60, 4.5e6, 2),
    "GOOGL": Character(178, 0.0175, 0.60, 3.4e6, 2),
    "META": Character(585, 0.0210, 0.60, 1.6e6, 2),
    "TSLA": Character(345, 0.0370, 0.50, 1.1e7, 2),
    "JPM": Character(242, 0.0130, 0.55, 1.1e6, 2),
    "DXY": Character(106.5, 0.0040, -0.35, 0, 3),
    "VIX": Character(17.0, 0.0650, -0.75, 0, 2, reversion=0.004),
}

SEED = 7
"""Default seed of every random number."""

RELEASE_WIDTH = 3.0
"""Factor on the width of an hour with a high-impact dollar release: between EURUSD's for CPI and for FOMC."""


@dataclass(frozen=True)
class Market:
    """Candles of both timeframes and the releases around them, as `flows.load` takes them.

    Attributes
    ----------
    candles_1h, candles_1d
        symbol, timestamp (UTC), open, high, low, close, volume; one symbol after another, oldest first.
    calendar
        The columns of the table ``economic_calendar``; goes on for 200 days after the last candle.
    """

    candles_1h: pl.DataFrame
    candles_1d: pl.DataFrame
    calendar: pl.DataFrame

    def frames(self) -> dict[str, pl.DataFrame]:
        """Return the frames by the names of `flows.files.market_folder.FILES`."""
        return {
            "candles_1h": self.candles_1h, "candles_1d": self.candles_1d, "economic_calendar": self.calendar,
        }  # fmt: skip

    def write(self, folder: Path) -> None:
        """Write ``candles_1h.parquet``, ``candles_1d.parquet`` and ``economic_calendar.parquet``."""
        folder.mkdir(parents=True, exist_ok=True)
        for name, frame in self.frames().items():
            frame.write_parquet(folder / f"{name}.parquet")


def generate_market(*, seed: int = SEED, end: datetime = END, days: int = 600, hours: int = 1500) -> Market:
    """Generate a market; the same arguments give the same candles.

    Parameters
    ----------
    seed
        Seed of every random number.
    end
        Aware instant; every candle has closed by then.
    days, hours
        Most daily and hourly candles per symbol; the hourly ones are the last of the same days.
    """
    instruments = default_instruments()
    until = instant(end)
    start = end - timedelta(days=days * 1.5 + 20)  # holds this many sessions, with holidays
    calendar = generated_releases(start, end + timedelta(days=200), now=end, seed=seed)
    releases = widening_releases(calendar)
    first_hour = instant(start).astype("datetime64[h]")
    common = np.random.default_rng(seed).standard_normal(int((end - start) / timedelta(hours=1)) + 2)
    hourly, daily = [], []
    for number, (symbol, character) in enumerate(CHARACTERS.items(), start=1):
        rng = np.random.default_rng([seed, number])
        instrument = instruments[symbol]
        day_labels = _closed_grid(instrument, "1d", until, days)
        labels = _closed_grid(instrument, "1h", until, 24 * days)
        labels = labels[labels >= candle_bounds(instrument, "1d", day_labels[:1])[0]]
        common_steps = common[(labels.astype("datetime64[h]") - first_hour).astype(int)]
        candles = _hourly_candles(instrument, character, labels, common_steps, releases, rng)
        hourly.append(_with_symbol(symbol, candles.tail(hours)))
        daily.append(_with_symbol(symbol, days_of(instrument, candles, day_labels)))
    return Market(pl.concat(hourly), pl.concat(daily), calendar)


def widening_releases(calendar: pl.DataFrame) -> DatetimeArray:
    """Return the times, (n,) datetime64[us], of the dollar's important releases, sorted."""
    wide = calendar.filter(currency="USD", impact="high")["event_time"]
    return np.asarray(wide.dt.replace_time_zone(None).to_numpy().astype("datetime64[us]"))


def _closed_grid(instrument: Instrument, timeframe: str, until: np.datetime64, count: int) -> DatetimeArray:
    """Return the labels of the last candles, up to `count`, that have closed by an instant."""
    labels = past_timestamps(instrument, timeframe, until, count)
    return labels[closed_by(instrument, timeframe, labels, until)]


def _with_symbol(symbol: str, candles: pl.DataFrame) -> pl.DataFrame:
    return candles.select(pl.lit(symbol).alias("symbol"), pl.all())


def _hourly_candles(
    instrument: Instrument,
    character: Character,
    labels: DatetimeArray,
    common: Float64Array,
    releases: DatetimeArray,
    rng: np.random.Generator,
) -> pl.DataFrame:
    """Return one symbol's hourly candles: timestamp, open, high, low, close, volume."""
    opens, closes = candle_bounds(instrument, "1h", labels)
    width = _clusters(len(labels), rng) * hourly_widths(character, labels, opens, closes, releases)
    own = rng.standard_normal(len(labels))
    returns = width * (character.factor * common + np.sqrt(1 - character.factor**2) * own)
    log_price = np.log(character.price) + _accumulate(returns, character.reversion)
    close = np.exp(log_price)
    gap = np.where(opens[1:] > closes[:-1], 0.5, 0.02) * width[1:] * rng.standard_normal(len(labels) - 1)
    open_ = np.concatenate([[character.price], close[:-1] * np.exp(gap)])
    high = np.maximum(open_, close) * np.exp(np.abs(rng.normal(0, 0.5, len(labels))) * width)
    low = np.minimum(open_, close) * np.exp(-np.abs(rng.normal(0, 0.5, len(labels))) * width)
    busy = character.hourly_volume * (width / np.median(width)) * np.exp(rng.normal(0, 0.35, len(labels)))
    prices = {"open": open_, "high": high, "low": low, "close": close}
    rounded = {name: np.round(values, character.decimals) for name, values in prices.items()}
    return pl.DataFrame({"timestamp": labels, **rounded, "volume": np.round(busy)}).with_columns(
        pl.col("timestamp").dt.replace_time_zone("UTC")
    )


def hourly_widths(
    character: Character,
    labels: DatetimeArray,
    opens: DatetimeArray,
    closes: DatetimeArray,
    releases: DatetimeArray,
    bars_per_day: float | None = None,
) -> Float64Array:
    """Return the standard deviation of each hour's log return, (n,): higher in busy hours and at releases.

    Parameters
    ----------
    labels, opens, closes
        (n,) datetime64[us] UTC, of one symbol's hourly candles.
    releases
        Times of the releases that widen an hour, sorted.
    bars_per_day
        Hourly candles of a day; the mean of the labels' days unless given.
    """
    if bars_per_day is None:
        bars_per_day = len(labels) / len(np.unique(labels.astype("datetime64[D]")))
    with_release = np.searchsorted(releases, closes) > np.searchsorted(releases, opens)
    volatility = character.daily_volatility / np.sqrt(bars_per_day)
    return np.asarray(volatility * _busy_hours(labels) * np.where(with_release, RELEASE_WIDTH, 1.0))


def _clusters(count: int, rng: np.random.Generator) -> Float64Array:
    """Return positive factors around 1, (count,), that change slowly from quiet to volatile weeks."""
    return np.exp(_accumulate(rng.normal(0, 0.02, count), reversion=0.004) - 0.025)


def _accumulate(steps: Float64Array, reversion: float) -> Float64Array:
    """Return cumulative sums with decay, (n,): x[t] = (1 − reversion)·x[t−1] + steps[t]."""
    if reversion == 0:
        return np.cumsum(steps)
    inputs = np.concatenate([[0.0], steps[1:] / reversion])
    return np.asarray(pl.Series(inputs).ewm_mean(alpha=reversion, adjust=False))


def _busy_hours(labels: DatetimeArray) -> Float64Array:
    """Return a volatility factor per candle, (n,): highest at 14:00 UTC, in London's and New York's hours."""
    hour = (labels.astype("datetime64[h]") - labels.astype("datetime64[D]")).astype(int)
    return np.asarray(0.8 + 0.5 * np.exp(-(((hour - 14.0) / 4.0) ** 2)))


def days_of(instrument: Instrument, hourly: pl.DataFrame, labels: DatetimeArray) -> pl.DataFrame:
    """Return the daily candles with the given labels, aggregated from hourly ones."""
    opens, closes = candle_bounds(instrument, "1d", labels)
    times = hourly["timestamp"].dt.replace_time_zone(None).to_numpy().astype("datetime64[us]")
    day = np.searchsorted(opens, times, side="right") - 1
    inside = (day >= 0) & (times < closes[day])
    stamps = pl.Series("timestamp", labels[day[inside]]).dt.replace_time_zone("UTC")
    return (
        hourly.filter(pl.Series(inside))
        .with_columns(stamps)
        .group_by("timestamp", maintain_order=True)
        .agg(
            pl.col("open").first(),
            pl.col("high").max(),
            pl.col("low").min(),
            pl.col("close").last(),
            pl.col("volume").sum(),
        )
    )
