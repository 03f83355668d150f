"""Continuous batching: jobs come in at any time, one quantum of work is done at a time, paths come out.

A quantum is the encoding of one history, one prefill, one step of all rows that step together, one
refill of a full context, or the decoding of a few finished paths. Between two quanta jobs may be
added or cancelled. Three lanes share the time fairly:

- the *batch*: rows of many jobs in slots of one cache (`slots.py`), and what brings them there;
- *refills* of rows whose context is full, so that a sliding job holds nobody up;
- *many paths*: jobs that share one cache of their history (`shared_paths.py`), one job at a time, since
  one alone fills the machine.
"""

import itertools
import time
from collections import deque
from collections.abc import Callable
from typing import Protocol

from inference_server.engine.decoder import Decoder
from inference_server.engine.fairness import FairShare, Lane
from inference_server.engine.jobs import ForecastJob, History, Path, Request, Ticket, paths_of
from inference_server.engine.shared_prefix import SharedPaths, shares_history
from inference_server.engine.slots import Slots
from inference_server.engine.step_loop import Buckets
from market.types import Float32Array


class Model(Protocol):
    """What the batch needs of an engine."""

    decoder: Decoder
    max_context: int
    slot_count: int
    shared_tokens: int
    buckets: Buckets | None

    def encode(self, job: ForecastJob) -> History:
        """Turn a job's history into tokens."""
        ...

    def decode(self, ticket: Ticket, first: int, count: int) -> Float32Array:
        """Turn generated tokens into candles (count, pred_len, 6)."""
        ...


class Observer:
    """Who is told what was done; this one doesn't listen."""

    def begun(self, waited: float) -> None:
        """A job that had waited so many seconds is being encoded."""

    def prefilled(self, seconds: float, tokens: int) -> None:
        """A history of so many tokens was prefilled, or a context refilled."""

    def stepped(self, seconds: float, rows: int) -> None:
        """So many rows advanced by one token."""


SILENT = Observer()


class Batching:
    """Jobs in, finished jobs out, one quantum at a time; belongs to one thread."""

    def __init__(
        self, model: Model, observer: Observer = SILENT, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._model, self._observer, self._clock = model, observer, clock
        self._order = itertools.count()
        self._slots = Slots(model.decoder, model.slot_count, model.max_context, model.buckets)
        self._waiting: list[Ticket] = []
        self._waiting_shared: list[Ticket] = []
        self._shared: SharedPaths | None = None
        self._decoding: deque[Ticket] = deque()
        self._decoding_shared: deque[Ticket] = deque()
        self._finished: list[Ticket] = []
        self._admitted = False
        self._share = FairShare(
            [
                Lane(self._batch_waits, self._advance_batch),
                Lane(lambda: bool(self._slots.parked), self._refill),
                Lane(self._shared_waits, self._advance_shared),
            ],
            clock,
        )

    def submit(self, job: ForecastJob, request: Request | None = None) -> Ticket:
        """Queue a job; those of one `request` count as one caller's."""
        ticket = Ticket(job, request or Request(), next(self._order), self._clock())
        shared = self._model.shared_tokens and shares_history(job, self._model.max_context)
        (self._waiting_shared if shared else self._waiting).append(ticket)
        return ticket

    def cancel(self, ticket: Ticket) -> None:
        """Drop a job wherever it is, and free what it holds."""
        for queue in (self._waiting, self._waiting_shared, self._decoding, self._decoding_shared):
            if ticket in queue:
                queue.remove(ticket)
        self._slots.remove(ticket)
        if self._shared is not None and self._shared.ticket is ticket:
            self._shared = None

    def advance(self) -> list[Ticket]:
        """Do one quantum of work; the jobs that it finished."""
        self._share.advance()
        finished, self._finished = self._finished, []
        for ticket in finished:
            ticket.finished = self._clock()
        return finished

    @property
    def idle(self) -> bool:
        """Whether there is nothing to do."""
        return not (self._batch_waits() or self._slots.parked or self._shared_waits())

    @property
    def rows(self) -> int:
        """Slots that are taken."""
        return self._slots.count - self._slots.free

    @property
    def most_rows(self) -> int:
        """Slots there are; a job with many paths runs beside them."""
        return self._slots.count

    @property
    def cached_tokens(self) -> int:
        """Tokens of cache in use."""
        return self._slots.tokens + (self._shared.tokens if self._shared else 0)

    # --- the batch -------------------------------------------------------------------------------

    def _batch_waits(self) -> bool:
        return bool(self._decoding or self._slots.stepping or self._next_to_admit() is not None)

    def _advance_batch(self) -> list[Ticket]:
        if self._decoding:
            return self._decode(self._decoding)
        admissible = self._next_to_admit()
        # After an admission one step: a stream of new jobs must not stop those that run.
        if admissible is not None and not (self._admitted and self._slots.stepping):
            return self._admit(*admissible)
        self._admitted = False
        return self._step()

    def _next_to_admit(self) -> tuple[Ticket, int] | None:
        """The first waiting job that may have slots, and how many; None while it must wait.

        A job may hold half of the slots: one with a thousand paths leaves room for others.
        """
        most = max(1, self._slots.count // 2)
        for ticket in self._waiting:
            held = ticket.paths_begun - ticket.paths_done
            wanted = min(ticket.job.sample_count - ticket.paths_begun, most - held)
            if wanted > 0:
                return (ticket, wanted) if wanted <= self._slots.free else None
        return None

    def _admit(self, ticket: Ticket, count: int) -> list[Ticket]:
        """Encode a job's history or, once that is done, prefill it and let `count` of its paths join."""
        if ticket.history is None:
            self._encode(ticket)
            return [ticket]
        begun = self._clock()
        self._slots.join(paths_of(ticket, ticket.paths_begun, count))
        self._observer.prefilled(self._clock() - begun, len(ticket.history))
        ticket.paths_begun += count
        if ticket.paths_begun == ticket.job.sample_count:
            self._waiting.remove(ticket)
        self._admitted = True
        return [ticket]

    def _step(self) -> list[Ticket]:
        rows = list(self._slots.stepping)
        begun = self._clock()
        left, steps = self._slots.step(alone=self._next_to_admit() is None)
        self._arrived(left)
        took = self._clock() - begun
        for _ in range(steps):
            self._observer.stepped(took / steps, len(rows))
        for path in rows:
            path.ticket.most_rows = max(path.ticket.most_rows, len(rows))
        return [path.ticket for path in rows]

    def _refill(self) -> list[Ticket]:
        ticket = self._slots.parked[0].ticket
        begun = self._clock()
        self._arrived(self._slots.refill())
        self._observer.prefilled(
            self._clock() - begun, self._model.max_context + 1 - ticket.job.context_stride
        )
        return [ticket]

    def _arrived(self, paths: list[Path]) -> None:
        for path in paths:
            path.ticket.paths_done += 1
            if path.ticket.paths_done == path.ticket.job.sample_count:
                self._decoding.append(path.ticket)

    # --- jobs with many paths --------------------------------------------------------------------

    def _shared_waits(self) -> bool:
        return bool(self._decoding_shared or self._shared is not None or self._waiting_shared)

    def _advance_shared(self) -> list[Ticket]:
        if self._decoding_shared:
            return self._decode(self._decoding_shared)
        if self._shared is None:
            return [self._begin_shared()]
        shared, begun = self._shared, self._clock()
        rows = shared.advance()
        if rows:
            self._observer.stepped(self._clock() - begun, rows)
            shared.ticket.most_rows = max(shared.ticket.most_rows, rows)
        else:
            self._observer.prefilled(self._clock() - begun, shared.prefix_length)
        if shared.finished:
            self._decoding_shared.append(shared.ticket)
            self._shared = None
        return [shared.ticket]

    def _begin_shared(self) -> Ticket:
        """Encode the job whose caller has had least: a batch of symbols takes turns with single requests."""
        ticket = min(self._waiting_shared, key=lambda t: (t.request.served, t.order))
        self._waiting_shared.remove(ticket)
        self._encode(ticket)
        model = self._model
        self._shared = SharedPaths(
            model.decoder, ticket, model.slot_count * model.max_context, model.shared_tokens
        )
        return ticket

    # --- both ------------------------------------------------------------------------------------

    def _encode(self, ticket: Ticket) -> None:
        ticket.started = self._clock()
        self._observer.begun(ticket.started - ticket.submitted)
        ticket.history = self._model.encode(ticket.job)

    def _decode(self, queue: deque[Ticket]) -> list[Ticket]:
        ticket = queue[0]
        first = sum(len(part) for part in ticket.candles)
        ticket.candles.append(self._model.decode(ticket, first, self._model.decoder.device.work.decode_rows))
        if first + len(ticket.candles[-1]) == ticket.job.sample_count:
            self._finished.append(queue.popleft())
        return [ticket]
