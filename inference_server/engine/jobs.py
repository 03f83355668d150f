"""A forecast job on its way through the engine: what was asked, its tokens, and how far it has come."""

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from inference_server.engine.draws import path_draws
from market.normalise import Normalised
from market.types import DatetimeArray, Float32Array, Int64Array


@dataclass(frozen=True)
class ForecastJob:
    """One history to continue.

    Attributes
    ----------
    candles
        (T, 6): open, high, low, close, volume, amount in raw units, oldest first.
    timestamps, future_timestamps
        (T,) and (pred_len,), datetime64 in UTC.
    seed
        0 … 2^63 - 1; with the path's index it determines every draw.
    context_stride
        Tokens dropped at once when the context is full; 1 is upstream token for token.
    events
        (T, 20), where nothing is known of the prediction window, or (T + pred_len, 20); None for a
        forecast by the base model.
    time_zone
        IANA name of the model's clock: the wall clock that the five time fields are read from.
    upstream_scale
        Normalise as upstream does where prices hardly spread; see `market.normalise`.
    """

    candles: NDArray[np.floating]
    timestamps: DatetimeArray
    future_timestamps: DatetimeArray
    sample_count: int = 1
    temperature: float = 1.0
    top_k: int = 0
    top_p: float = 0.9
    seed: int = 0
    context_stride: int = 1
    events: Float32Array | None = None
    time_zone: str = "UTC"
    upstream_scale: bool = False

    @property
    def pred_len(self) -> int:
        """Candles to generate."""
        return len(self.future_timestamps)


@dataclass(frozen=True)
class History:
    """A job's history as the decoder sees it.

    s1, s2 are its tokens (T,). `conditioning` (T + pred_len, d_model) is what time and, with `has_events`,
    events add to their embeddings, and goes on over the prediction window. `scale` turns generated candles
    back into raw units.
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
class Request:
    """What one caller asked for: its jobs share the machine with those of other callers fairly.

    `served` is the engine time, in seconds, that its jobs have had.
    """

    served: float = 0.0


@dataclass(eq=False)
class Ticket:
    """One job in the engine: its place in the queue, its tokens so far, its outcome."""

    job: ForecastJob
    request: Request
    order: int
    submitted: float
    s1: Int64Array = field(init=False)
    s2: Int64Array = field(init=False)
    history: History | None = None
    started: float | None = None
    finished: float | None = None
    paths_begun: int = 0
    paths_done: int = 0
    most_rows: int = 0
    candles: list[Float32Array] = field(default_factory=list)

    def __post_init__(self) -> None:
        shape = (self.job.sample_count, self.job.pred_len)
        self.s1, self.s2 = np.zeros(shape, np.int64), np.zeros(shape, np.int64)

    @property
    def encoded(self) -> History:
        """The history's tokens, once it has been encoded."""
        assert self.history is not None
        return self.history

    @property
    def paths(self) -> Float32Array:
        """The finished sample paths, (sample_count, pred_len, 6) in raw units."""
        return np.concatenate(self.candles)


@dataclass(eq=False)
class Path:
    """One sample path as a row of a batch.

    `done` of its tokens exist in the ticket's arrays; `cached` tokens lie in the row's own cache.
    """

    ticket: Ticket
    index: int
    draws: Float32Array
    done: int = 0
    cached: int = 0

    @property
    def finished(self) -> bool:
        """Whether the horizon is reached."""
        return self.done == self.ticket.job.pred_len

    def latest(self) -> tuple[int, int]:
        """The newest token pair."""
        t = self.ticket
        if self.done:
            return int(t.s1[self.index, self.done - 1]), int(t.s2[self.index, self.done - 1])
        return int(t.encoded.s1[-1]), int(t.encoded.s2[-1])


def paths_of(ticket: Ticket, first: int, count: int) -> list[Path]:
    """Rows for sample paths first … first + count - 1 of a job."""
    job = ticket.job
    return [Path(ticket, i, path_draws(job.seed, i, job.pred_len)) for i in range(first, first + count)]
