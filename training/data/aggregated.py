"""Adds timeframes to training data whose candles are aggregated from those of finer ones."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace

import polars as pl

from flows.runtime.aggregated_candles import as_frame
from flows.runtime.table_columns import CANDLES
from market.aggregation import aggregate
from market.aggregation_sources import finer_timeframes
from market.candles import FEATURES
from market.instruments import Instrument
from training.data.stretches import Material


def with_timeframes(material: Material, timeframes: Sequence[str] | None) -> Material:
    """Return the candle tables of some timeframes; None for those that are stored.

    A symbol that has no usable candles of a timeframe gets those that `market.aggregation` makes of the
    coarsest finer timeframe it has, feed by feed: a segment's aggregated candles are a segment with the same
    licence, and no candle has parts from two of them.
    """
    if timeframes is None:
        return material
    usable = material.permitted()
    tables, segments = {}, []
    for timeframe in timeframes:
        stored = usable.get(timeframe, pl.DataFrame(schema=CANDLES)).select(CANDLES.keys())
        own = set(stored["symbol"])
        parts = [stored]
        lacking = {name: known for name, known in material.instruments.items() if name not in own}
        for part, segment in _aggregated(material, lacking, timeframe, usable):
            parts.append(part)
            segments.append(segment)
        tables[timeframe] = pl.concat(parts).sort("symbol", "ts")
    if material.segments is None:
        return replace(material, candles=tables)
    made = pl.DataFrame(segments, schema=material.segments.schema)
    return replace(material, candles=tables, segments=pl.concat([material.segments, made]))


def _aggregated(
    material: Material, lacking: Mapping[str, Instrument], timeframe: str, usable: Mapping[str, pl.DataFrame]
) -> Iterator[tuple[pl.DataFrame, dict[str, object]]]:
    """Yield the aggregated candles of each feed of the symbols that lack a timeframe, and their segment."""
    for symbol, instrument in lacking.items():
        for source in finer_timeframes(instrument, timeframe):
            finer = usable.get(source, pl.DataFrame(schema=CANDLES)).filter(pl.col("symbol") == symbol)
            if finer.is_empty():
                continue
            for rows, segment in _feeds(material.segments, symbol, source, finer):
                part = _coarse(instrument, timeframe, source, rows)
                if not part.is_empty():
                    span = {"timeframe": timeframe, "start": part["ts"].min(), "end": part["ts"].max()}
                    yield part, segment | span
            break


def _feeds(
    segments: pl.DataFrame | None, symbol: str, timeframe: str, rows: pl.DataFrame
) -> Iterable[tuple[pl.DataFrame, dict[str, object]]]:
    """Return the rows of each segment of a symbol, and the segment; all rows where there are none."""
    if segments is None:
        return [(rows, {})]
    own = segments.filter((pl.col("symbol") == symbol) & (pl.col("timeframe") == timeframe))
    return [
        (rows.filter(pl.col("ts").is_between(segment["start"], segment["end"])), segment)
        for segment in own.sort("start").to_dicts()
    ]


def _coarse(instrument: Instrument, timeframe: str, source: str, rows: pl.DataFrame) -> pl.DataFrame:
    """Return the coarse candles of the rows of one feed, with the columns of the candle tables."""
    rows = rows.sort("ts")
    stamps = rows["ts"].dt.replace_time_zone(None).to_numpy().astype("datetime64[us]")
    features = rows.select(pl.col(name).cast(pl.Float64) for name in FEATURES).to_numpy()
    coarse = aggregate(instrument, timeframe, source, stamps, features)
    return as_frame({instrument.symbol: coarse}).select(CANDLES.keys())
