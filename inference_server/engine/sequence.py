"""The state of a forecast job in the engine: its status, its tokens, its sample paths."""

from dataclasses import dataclass, field
from enum import Enum

import numpy as np
from numpy.typing import NDArray

from inference_server.engine.draws import path_draws
from inference_server.engine.jobs import ForecastJob
from market.normalise import Normalised
from market.types import Float32Array, Int64Array


class Status(Enum):
    """How far a group of sequences has come."""

    WAITING = "waiting"
    """Queued; nothing was computed."""
    PREFILL = "prefill"
    """Its history is encoded; paths are left whose history is not in a cache yet."""
    RUNNING = "running"
    """Every path has been prefilled, and some lack tokens."""
    DETOKENISING = "detokenising"
    """All tokens were drawn; some are not candles yet."""
    FINISHED = "finished"
    """All candles were made."""


@dataclass(frozen=True)
class EncodedHistory:
    """A job's history as the decoder sees it.

    s1, s2 are its tokens (T,). `conditioning` (T + pred_len, d_model) is what time and, with `has_events`,
    events add to their embeddings, for the prediction window too. `scale` turns generated candles back into
    raw units.
    """

    s1: Int64Array
    s2: Int64Array
    conditioning: NDArray[np.floating]
    has_events: bool
    scale: Normalised

    def __len__(self) -> int:
        return len(self.s1)

    def conditioning_from(self, done: int, count: int) -> NDArray[np.floating]:
        """Rows (count, d_model) of the newest token and of those after it, once `done` have been drawn."""
        first = len(self) + done - 1
        return self.conditioning[first : first + count]


@dataclass(eq=False)
class Caller:
    """Whoever sent one or several jobs: callers share the engine's time fairly.

    `engine_s` is the engine time, in seconds, that the caller's jobs have had.
    """

    engine_s: float = 0.0


@dataclass(eq=False)
class SequenceGroup:
    """The sample paths of one job: sequences of tokens that continue one history.

    Attributes
    ----------
    order
        Groups are served in this order where nothing else decides.
    s1, s2
        Tokens drawn so far, (sample_count, pred_len).
    submitted_at, started_at, finished_at
        Seconds on the engine's clock; None until then.
    paths_begun, paths_done
        Paths that were prefilled, and paths all of whose tokens were drawn.
    largest_batch
        The most rows that stepped together with one of its paths.
    candles
        Finished paths, in parts of (n, pred_len, 6), raw units.
    """

    job: ForecastJob
    caller: Caller
    order: int
    submitted_at: float
    status: Status = Status.WAITING
    s1: Int64Array = field(init=False)
    s2: Int64Array = field(init=False)
    encoded: EncodedHistory | None = None
    started_at: float | None = None
    finished_at: float | None = None
    paths_begun: int = 0
    paths_done: int = 0
    largest_batch: int = 0
    candles: list[Float32Array] = field(default_factory=list)

    def __post_init__(self) -> None:
        shape = (self.job.sample_count, self.job.pred_len)
        self.s1, self.s2 = np.zeros(shape, np.int64), np.zeros(shape, np.int64)

    @property
    def history(self) -> EncodedHistory:
        """The encoded history; there is one from the status PREFILL on."""
        assert self.encoded is not None
        return self.encoded

    @property
    def paths(self) -> Float32Array:
        """The finished sample paths, (sample_count, pred_len, 6) in raw units."""
        return np.concatenate(self.candles)

    @property
    def paths_detokenised(self) -> int:
        """Paths whose candles were made."""
        return sum(len(part) for part in self.candles)

    def new_paths(self, count: int) -> list["SamplePath"]:
        """Return rows for the next `count` paths that have not begun."""
        job, first = self.job, self.paths_begun
        self.paths_begun += count
        indices = range(first, first + count)
        return [SamplePath(self, index, path_draws(job.seed, index, job.pred_len)) for index in indices]


@dataclass(eq=False)
class SamplePath:
    """One sample path as a row of a batch.

    `done` of its tokens were drawn; `cached` tokens lie in the row's own cache.
    """

    group: SequenceGroup
    index: int
    draws: Float32Array
    done: int = 0
    cached: int = 0

    @property
    def finished(self) -> bool:
        """Whether the horizon is reached."""
        return self.done == self.group.job.pred_len

    def latest(self) -> tuple[int, int]:
        """Return the newest token pair."""
        group = self.group
        if self.done:
            return int(group.s1[self.index, self.done - 1]), int(group.s2[self.index, self.done - 1])
        return int(group.history.s1[-1]), int(group.history.s2[-1])
