"""What the blocks of a run have in common, and the blocks: small enough to be sent to other processes."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import NamedTuple

from flows.forecasting.event_sources import SourcesOfRun
from flows.forecasting.forecasts import SamplingSettings
from flows.forecasting.path_statistics import WantedStatistics
from flows.forecasting.run_summary import SymbolOutcome
from flows.forecasting.training_span import TrainingSpan
from flows.forecasting.window_times import WindowCut
from flows.runtime.time_limits import RunTime
from flows.scoring.calibration import Calibration
from inference_server.schemas import ModelInfo
from market.instruments import Instrument


@dataclass(frozen=True)
class RunSettings:
    """The settings of a run, the same for every symbol; `flows.predict.predict_batch` describes them."""

    sampling: SamplingSettings
    as_of: datetime
    lookback: int | None
    with_events: bool
    store_samples: bool
    stale_after: int | None
    force: bool
    statistics: WantedStatistics
    wait_for_candles_s: float = 0.0


@dataclass(frozen=True)
class RunPlan:
    """The model and the data that the blocks of a run have in common.

    Attributes
    ----------
    model
        That every row is made with, without its manifest.
    calibrations
        By asset class.
    warnings
        Warnings of every row: that no calibration could be read.
    sources
        The calendar and the leaders, for the windows of all blocks.
    training_span
        The candles that the model was trained on; None where its bundle does not name them.
    time
        Of the run, where its blocks are in other processes than its flow; None in the flow's own.
    """

    model: ModelInfo
    settings: RunSettings
    lookback: int
    calibrations: Mapping[str, Calibration]
    warnings: tuple[str, ...]
    sources: SourcesOfRun
    training_span: TrainingSpan | None = None
    time: RunTime | None = None

    @property
    def cut(self) -> WindowCut:
        """How the windows are cut."""
        return window_cut(self.model, self.settings, self.lookback)


@dataclass(frozen=True)
class Block:
    """Symbols that are forecast together, with their instruments."""

    instruments: Mapping[str, Instrument]

    def __str__(self) -> str:
        names = list(self.instruments)
        return ", ".join(names) if len(names) <= 3 else f"{len(names)} symbols, {names[0]} to {names[-1]}"


class BlockOutcome(NamedTuple):
    """Outcomes of the symbols of a block, and the symbols that are to be forecast again.

    Attributes
    ----------
    superseded
        Symbols that another model than the plan's answered or would answer. Nothing of these is stored, since
        seed, lookback, events and calibration of their rows would be those of the plan's model.
    notices
        What a block in another process has to say in the summary of the run, beside the outcomes.
    """

    outcomes: list[SymbolOutcome]
    superseded: list[str]
    notices: tuple[str, ...] = ()


def window_cut(model: ModelInfo, settings: RunSettings, lookback: int) -> WindowCut:
    """Return how the windows of a run are cut."""
    return WindowCut(
        settings.sampling.timeframe,
        settings.as_of,
        lookback,
        settings.sampling.pred_len,
        model.limits.min_candles,
        settings.stale_after,
    )


def blocks_of(instruments: Mapping[str, Instrument], size: int) -> list[Block]:
    """Return the blocks of at most `size` symbols, in the order given."""
    return [
        Block({symbol: instruments[symbol] for symbol in part}) for part in parts_of(list(instruments), size)
    ]


def parts_of(symbols: Sequence[str], size: int) -> Iterator[Sequence[str]]:
    """Yield at most `size` symbols at a time."""
    for start in range(0, len(symbols), size):
        yield symbols[start : start + size]
