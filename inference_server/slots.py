"""The running batch: rows of many jobs that step together, each in a slot of the cache."""

from collections import deque
from collections.abc import Callable, Sequence

import numpy as np

from inference_server.decoder import Decoder, Float32Array, Int64Array, Sampling, Tokens
from inference_server.jobs import History, Path, Ticket
from inference_server.step_loop import StepLoop

# Steps that are prepared at once; a burst ends early where a row joins or leaves.
BURST = 32
# Tokens that one refill runs at most, beyond one row: bounds how long the others wait for it.
REFILL_TOKENS = 1024


class Slots:
    """Rows in slots of max_context tokens: the first ones step, the others wait for a refill.

    A row whose context is full is *parked*: its cache is worthless, because dropping its oldest tokens
    changes every hidden state, so it keeps only the claim on a slot until it has been filled anew.
    """

    def __init__(self, decoder: Decoder, count: int, max_context: int) -> None:
        self.decoder, self.count, self.max_context = decoder, count, max_context
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

    def step(self) -> list[Path]:
        """Advance every stepping row by one token; the rows that reached their horizon leave."""
        if self._loop is None or self._loop.done == self._loop.steps:
            self._pause()
            self._loop = self._prepare()
        self._loop.step()
        if self._loop.done < self._loop.steps:
            return []
        self._pause()
        return self._leave(lambda path: path.finished or self._is_full(path))

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

    def _prepare(self) -> StepLoop:
        rows = self.stepping
        # The shortest way to a row's horizon or to the end of its context, for all rows alike.
        steps = min(
            BURST,
            *(p.ticket.job.pred_len - p.done for p in rows),
            *(self.max_context - p.cached for p in rows),
        )
        pairs = np.array([path.latest() for path in rows])
        inputs = [path.inputs(steps) for path in rows]
        with_events = np.array([embedding is not None for _, embedding in inputs])
        events = gate = None
        if with_events.any():
            events = np.zeros((len(rows), steps, self.decoder.width), np.float32)
            for i, (_, embedding) in enumerate(inputs):
                if embedding is not None:
                    events[i] = embedding
            gate = with_events.astype(np.float32)
        return StepLoop(
            self.decoder,
            self.max_context,
            0,
            np.array([path.cached for path in rows]),
            Tokens(pairs[:, :1], pairs[:, 1:], np.stack([stamp for stamp, _ in inputs]), events, gate),
            sampling_of(rows),
            np.stack([path.draws[path.done : path.done + steps] for path in rows]),
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
        most = max(1, REFILL_TOKENS // window)
        rows = [path for path in self.parked if path.ticket is first.ticket and path.done == first.done]
        rows = rows[:most]
        for path in rows:
            self.parked.remove(path)
        return rows


def prefill_history(decoder: Decoder, history: History, count: int, capacity: int, first_token: int) -> None:
    """Cache the `count` tokens before a history's last one: the first step takes that one in."""
    end = len(history) - 1
    at = slice(end - count, end)
    embedding = history.event_embedding
    tokens = Tokens(
        history.s1[None, at],
        history.s2[None, at],
        history.stamp[None, at],
        None if embedding is None else embedding[None, at],
        None if embedding is None else np.ones(1, np.float32),
    )
    decoder.prefill(tokens, capacity, first_token)


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
    at = slice(end - window, end)
    embedding: Float32Array | None = None
    if history.event_embedding is not None:
        embedding = np.tile(history.event_embedding[at], (len(rows), 1, 1))
    return Tokens(
        last(history.s1, ticket.s1),
        last(history.s2, ticket.s2),
        np.tile(history.stamp[at], (len(rows), 1, 1)),
        embedding,
        None if embedding is None else np.ones(len(rows), np.float32),
    )
