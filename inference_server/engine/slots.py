"""The running batch: rows of many jobs that step together, each in a slot of the cache."""

from collections import deque
from collections.abc import Callable, Sequence

import numpy as np

from inference_server.engine.decoder import Decoder, Sampling, Tokens
from inference_server.engine.jobs import History, Path, Ticket
from inference_server.engine.step_loop import Buckets, Caches, StepLoop
from market.types import Float32Array, Int64Array

# Steps that are prepared at once; a burst ends early where a row joins or leaves.
BURST = 32


class Slots:
    """Rows in slots of max_context tokens: the first ones step, the others wait for a refill.

    A row whose context is full is *parked*: its cache is worthless, because dropping its oldest tokens
    changes every hidden state, so it keeps only the claim on a slot until it has been filled anew.
    """

    def __init__(
        self, decoder: Decoder, count: int, max_context: int, buckets: Buckets | None = None
    ) -> None:
        self.decoder, self.count, self.max_context = decoder, count, max_context
        self._buckets = buckets
        self.stepping: list[Path] = []
        self.parked: deque[Path] = deque()
        self._loop: StepLoop | None = None

    @property
    def free(self) -> int:
        """Slots that nobody has a claim on."""
        return self.count - len(self.stepping) - len(self.parked)

    @property
    def tokens(self) -> int:
        """Tokens of cache in use."""
        return sum(path.cached for path in self.stepping)

    def join(self, paths: Sequence[Path]) -> None:
        """Prefill the history of one job's paths, once for all of them, and let them step."""
        self._pause()
        history, row = paths[0].ticket.encoded, len(self.stepping)
        cached = min(len(history), self.max_context) - 1
        prefill_history(self.decoder, history, cached, self.max_context, row * self.max_context)
        self.decoder.pool.copy(self.max_context, row, row + 1, len(paths) - 1, cached)
        for path in paths:
            path.cached = cached
        self.stepping.extend(paths)

    def step(self, *, alone: bool = True) -> tuple[list[Path], int]:
        """Advance every stepping row by a token or, on a GPU, by a few; rows at their horizon leave.

        Parameters
        ----------
        alone
            Whether nothing waits to join: then many steps are prepared at once.

        Returns
        -------
        left, steps
            The rows that left, and how many tokens each row got.
        """
        if self._loop is None or self._loop.done == self._loop.steps:
            self._pause()
            self._loop = self._prepare(BURST if alone else 1)
        steps = min(self.decoder.device.work.steps, self._loop.steps - self._loop.done)
        for _ in range(steps):
            self._loop.step()
        # Whoever measures this quantum, or takes the next, shall not meet work that was only begun.
        self.decoder.device.wait()
        if self._loop.done < self._loop.steps:
            return [], steps
        self._pause()
        return self._leave(lambda path: path.finished or self._is_full(path)), steps

    def refill(self) -> list[Path]:
        """Fill the caches of parked rows that slide alike, draw one token each, and let them step on.

        Rows whose horizon that token reaches leave.
        """
        self._pause()
        rows = self._next_to_refill()
        window = self.max_context + 1 - rows[0].ticket.job.context_stride
        first_slot = len(self.stepping)
        s1, s2 = self.decoder.prefill(
            _windows(rows, window),
            self.max_context,
            first_slot * self.max_context,
            sampling_of(rows),
            np.array([path.draws[path.done] for path in rows]),
        )
        for path, a, b in zip(rows, s1, s2, strict=True):
            path.ticket.s1[path.index, path.done] = a
            path.ticket.s2[path.index, path.done] = b
            path.done, path.cached = path.done + 1, window
        self.stepping.extend(rows)
        return self._leave(lambda path: path.finished or self._is_full(path))

    def remove(self, ticket: Ticket) -> None:
        """Let a job's rows go, wherever they are."""
        self._pause()
        self._leave(lambda path: path.ticket is ticket, park=False)
        self.parked = deque(path for path in self.parked if path.ticket is not ticket)

    def _is_full(self, path: Path) -> bool:
        return path.cached == self.max_context and not path.finished

    def _prepare(self, most: int) -> StepLoop:
        rows = self.stepping
        # The shortest way to a row's horizon or to the end of its context, for all rows alike.
        steps = min(
            most,
            *(p.ticket.job.pred_len - p.done for p in rows),
            *(self.max_context - p.cached for p in rows),
        )
        pairs = np.array([path.latest() for path in rows])
        # Paths of one job that have come equally far share their rows of conditioning.
        places: dict[tuple[Ticket, int], int] = {}
        for path in rows:
            places.setdefault((path.ticket, path.done), len(places))
        first = steps * np.array([places[path.ticket, path.done] for path in rows])
        tokens = Tokens(
            pairs[:, :1],
            pairs[:, 1:],
            first[:, None] + np.arange(steps),
            np.concatenate([t.encoded.conditioning_from(done, steps) for t, done in places]),
            gates_of(rows),
        )
        return StepLoop(
            self.decoder,
            Caches(self.max_context),
            np.array([path.cached for path in rows]),
            tokens,
            sampling_of(rows),
            np.stack([path.draws[path.done : path.done + steps] for path in rows]),
            None if self._buckets is None else self._buckets.of(len(rows)),
        )

    def _pause(self) -> None:
        """Hand the tokens drawn so far to their jobs, so that rows may come and go."""
        if self._loop is None:
            return
        done, (s1, s2) = self._loop.done, self._loop.generated()
        for path, a, b in zip(self.stepping, s1, s2, strict=True):
            drawn = slice(path.done, path.done + done)
            path.ticket.s1[path.index, drawn] = a
            path.ticket.s2[path.index, drawn] = b
            path.done, path.cached = path.done + done, path.cached + done
        self._loop = None

    def _leave(self, goes: Callable[[Path], bool], park: bool = True) -> list[Path]:
        """Take rows out of the stepping ones; those with a full context are parked, the others returned.

        The last row moves into the gap, so that the stepping rows stay one block.
        """
        left: list[Path] = []
        for slot in reversed(range(len(self.stepping))):
            if not goes(self.stepping[slot]):
                continue
            path, last = self.stepping[slot], self.stepping.pop()
            if last is not path:
                self.decoder.pool.copy(self.max_context, len(self.stepping), slot, 1, last.cached)
                self.stepping[slot] = last
            if park and self._is_full(path):
                self.parked.append(path)
            else:
                left.append(path)
        return left

    def _next_to_refill(self) -> list[Path]:
        """Parked rows of the job that has waited longest, as many as one refill runs."""
        first = self.parked[0]
        window = self.max_context + 1 - first.ticket.job.context_stride
        most = max(1, self.decoder.device.work.refill_tokens // window)
        rows = [path for path in self.parked if path.ticket is first.ticket and path.done == first.done]
        rows = rows[:most]
        for path in rows:
            self.parked.remove(path)
        return rows


def prefill_history(decoder: Decoder, history: History, count: int, capacity: int, first_token: int) -> None:
    """Cache the `count` tokens before a history's last one: the first step takes that one in."""
    end = len(history) - 1
    at = slice(end - count, end)
    tokens = Tokens(
        history.s1[None, at],
        history.s2[None, at],
        np.arange(count)[None],
        history.conditioning[at],
        np.full(1, history.has_events, np.float32),
    )
    decoder.prefill(tokens, capacity, first_token)


def gates_of(rows: Sequence[Path]) -> Float32Array:
    """1 for each row that has events, else 0."""
    return np.array([path.ticket.encoded.has_events for path in rows], np.float32)


def sampling_of(rows: Sequence[Path]) -> Sampling:
    """How each row draws."""
    jobs = [path.ticket.job for path in rows]
    return Sampling(
        np.array([job.temperature for job in jobs], np.float32),
        np.array([job.top_k for job in jobs], np.int64),
        np.array([job.top_p for job in jobs], np.float32),
    )


def _windows(rows: Sequence[Path], window: int) -> Tokens:
    """The last `window` tokens of paths of one job that have come equally far."""
    ticket, done = rows[0].ticket, rows[0].done
    history = ticket.encoded
    index = [path.index for path in rows]

    def last(past: Int64Array, drawn: Int64Array) -> Int64Array:
        return np.concatenate([np.tile(past, (len(rows), 1)), drawn[index, :done]], axis=1)[:, -window:]

    end = len(history) + done
    return Tokens(
        last(history.s1, ticket.s1),
        last(history.s2, ticket.s2),
        np.tile(np.arange(window), (len(rows), 1)),
        history.conditioning[end - window : end],
        gates_of(rows),
    )
