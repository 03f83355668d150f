"""Many sample paths of one job over one cache of its history."""

import numpy as np

from inference_server.engine.decoder import Decoder, Tokens
from inference_server.engine.jobs import ForecastJob, Ticket, paths_of
from inference_server.engine.slots import gates_of, prefill_history, sampling_of
from inference_server.engine.step_loop import Caches, StepLoop

# Paths from which on one product over a shared history beats reading a copy of it per path.
SHARED_PATHS = 8


def is_exact(length: int, pred_len: int, max_context: int) -> bool:
    """Whether the cache reproduces upstream: the context never slides."""
    return min(length, max_context) + pred_len <= max_context + 1


def shares_history(job: ForecastJob, max_context: int) -> bool:
    """Whether a job's paths read their history's cache from one place instead of a copy each.

    A property of the job alone, so that its result is too: which of the two graphs runs may show in
    the last bits.
    """
    length = len(job.candles)
    return (
        job.sample_count >= SHARED_PATHS
        and is_exact(length, job.pred_len, max_context)
        and length <= max_context
    )


class SharedPaths:
    """One job's paths: prefill its history, then step all paths at once, in parts where they don't fit."""

    def __init__(self, decoder: Decoder, ticket: Ticket, first_token: int, tokens: int) -> None:
        """Take tokens first_token … first_token + tokens - 1 of the cache for a job."""
        self.decoder, self.ticket, self.first_token = decoder, ticket, first_token
        self.prefix_length = len(ticket.encoded) - 1
        self.most = (tokens - self.prefix_length) // ticket.job.pred_len
        self._prefilled = False
        self._loop: StepLoop | None = None
        self._first = 0

    @property
    def rows(self) -> int:
        """Paths that step now."""
        return self._loop.rows if self._loop is not None else 0

    @property
    def tokens(self) -> int:
        """Tokens of cache in use."""
        stepped = self._loop.done * self._loop.rows if self._loop is not None else 0
        return self._prefilled * self.prefix_length + stepped

    @property
    def finished(self) -> bool:
        """Whether every path has reached the horizon."""
        return self._first == self.ticket.job.sample_count

    def advance(self) -> int:
        """Prefill, or advance all paths of a part by one token; how many paths that was, 0 for a prefill."""
        if not self._prefilled:
            history = self.ticket.encoded
            prefill_history(self.decoder, history, self.prefix_length, self.prefix_length, self.first_token)
            self._prefilled = True
            return 0
        if self._loop is None:
            self._loop = self._prepare()
        loop = self._loop
        loop.step()
        if loop.done == loop.steps:
            part = slice(self._first, self._first + loop.rows)
            self.ticket.s1[part], self.ticket.s2[part] = loop.generated()
            self._first, self._loop = part.stop, None
        return loop.rows

    def _prepare(self) -> StepLoop:
        ticket, steps = self.ticket, self.ticket.job.pred_len
        count = min(self.most, ticket.job.sample_count - self._first)
        paths = paths_of(ticket, self._first, count)
        s1, s2 = paths[0].latest()
        return StepLoop(
            self.decoder,
            Caches(steps, self.first_token, self.prefix_length),
            np.zeros(count, np.int64),
            Tokens(
                np.full((count, 1), s1),
                np.full((count, 1), s2),
                np.tile(np.arange(steps), (count, 1)),
                ticket.encoded.conditioning_from(0, steps),
                gates_of(paths),
            ),
            sampling_of(paths),
            np.stack([path.draws for path in paths]),
        )
