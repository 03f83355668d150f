"""Spreads the calls of a run over several inference servers, and goes on without those that fail."""

import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from types import TracebackType
from typing import Final, Self, TypeVar

from flows.runtime.server_list import CHECK_S, SHORTEST_CALL_S, all_failed, unavailable
from inference_server.addresses import without_credentials
from inference_server.client import Client, PredictionRefused, ServerTimeout, ServerUnavailable
from inference_server.schemas import ModelInfo, PredictAnswer
from market.warning_codes import WarningCode, warning

T = TypeVar("T")

LONGEST_REST_S: Final = 30.0
"""The longest time for which a server that failed is avoided."""


@dataclass(eq=False)
class _Server:
    """A server of the list, and how the calls of this run to it went.

    Attributes
    ----------
    address
        Without user and password, for messages.
    checked
        Whether it holds the run's model, as far as is known since its last failure.
    left_out
        Why it gets no calls of this run; None where it does.
    under_way, failures
        Calls that wait for its answer, and failures since its last answer.
    last_failure
        The newest of these failures.
    avoided_until
        Reading of `time.monotonic` until which other servers are called before it.
    last_call
        Number of the last call that went to it, of all calls of the run.
    checking
        Held while it is asked for its model.
    """

    address: str
    client: Client
    checked: bool = False
    left_out: str | None = None
    under_way: int = 0
    failures: int = 0
    last_failure: ServerUnavailable | None = None
    avoided_until: float = 0.0
    last_call: int = 0
    checking: threading.Lock = field(default_factory=threading.Lock)


class _LeftOut(Exception):
    """A server has another model than the run, so that another server is to be called."""


class ServerPool:
    """The inference servers of a run; a context manager that any number of threads may use.

    A call goes to the server with the fewest calls of this run under way; of equal ones to the one that was
    called the longest ago. A server that fails is avoided for 1, 2, 4 … up to `LONGEST_REST_S` seconds, a
    busy one for as long as it asks: until then it is called only if the others fail too. Where there are
    several, each has to name its model before its first call and after each failure; one with another model
    than the run's is left out for the rest of the run.

    Parameters
    ----------
    clients
        A client for each server, by address, in the order of the list.
    model
        The model that the run forecasts with. If every server has another one, calls go to them all the
        same, so that their answers show it.
    add_notice, report
        Take a warning about a server, where there are several, and a sentence about one that is used again.
    """

    def __init__(
        self,
        clients: Mapping[str, Client],
        model: ModelInfo,
        add_notice: Callable[[str], object],
        report: Callable[[str], object],
    ) -> None:
        self._servers = [_Server(without_credentials(address), client) for address, client in clients.items()]
        self._model = model
        self._add_notice = add_notice
        self._report = report
        self._lock = threading.Lock()  # of what is known of the servers
        self._calls = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for server in self._servers:
            server.client.close()

    def call(self, call: Callable[[Client], T], limit_s: float) -> T:
        """Call a server; where it fails or is busy, call the others in turn, each once.

        Parameters
        ----------
        call
            What to ask a client.
        limit_s
            The seconds for all of it.

        Raises
        ------
        PredictionRefused
            A server refuses the request, as every server with the same model would.
        ServerTimeout
            A server did not answer in time; another one would need as long again.
        ServerUnavailable
            Every server failed or is busy; see `all_failed`.
        """
        ends = time.monotonic() + limit_s
        failures: list[ServerUnavailable] = []
        called: set[_Server] = set()
        while (server := self._next(called)) is not None:
            called.add(server)
            try:
                return self._call(server, call, ends)
            except _LeftOut:
                continue
            except ServerTimeout:
                raise
            except ServerUnavailable as failure:
                failures.append(failure)
                if time.monotonic() > ends:
                    break
        raise all_failed(failures)

    def _next(self, called: set[_Server]) -> _Server | None:
        """Return the server to call now, of those that were not called yet, or None."""
        with self._lock:
            usable = [server for server in self._servers if server.left_out is None] or self._servers
            now = time.monotonic()
            return min(
                (server for server in usable if server not in called),
                key=lambda server: (server.avoided_until > now, server.under_way, server.last_call),
                default=None,
            )

    def _call(self, server: _Server, call: Callable[[Client], T], ends: float) -> T:
        """Call one server; raises `_LeftOut` where it is left out, and another one is left."""
        with self._counted(server):
            self._check(server, ends)
            with self._noting_failures(server):
                answer = call(server.client.within(_left_s(ends)))
        self._note_answer(server)
        if isinstance(answer, PredictAnswer) and answer.model.version != self._model.version:
            reason = f"it has changed its model to {answer.model.name} {answer.model.version}"
            self._leave_out(server, reason)
        return answer

    @contextmanager
    def _counted(self, server: _Server) -> Iterator[None]:
        with self._lock:
            self._calls += 1
            server.last_call = self._calls
            server.under_way += 1
        try:
            yield
        finally:
            with self._lock:
                server.under_way -= 1

    def _check(self, server: _Server, ends: float) -> None:
        """Ask a server for its model, unless that was done since it failed, and leave another one out."""
        failures = server.failures
        with server.checking:
            if server.checked or len(self._servers) == 1:
                return
            if server.failures > failures and server.last_failure is not None:
                raise server.last_failure  # of the thread that checked it meanwhile
            reason = server.left_out
            if reason is None:
                with self._noting_failures(server):
                    reason = self._why_unusable(server, min(CHECK_S, _left_s(ends)))
            if reason is not None:
                self._leave_out(server, reason)
            server.checked = reason is None

    def _why_unusable(self, server: _Server, limit_s: float) -> str | None:
        """Return why a server can't be used in this run, or None if it holds the run's model."""
        try:
            model = server.client.within(limit_s).model()
        except ServerTimeout as silence:  # no forecast was begun: another server can make it
            raise ServerUnavailable(str(silence)) from silence
        except PredictionRefused as refusal:
            return f"it does not name its model: {refusal}"
        if _identity(model) == _identity(self._model):
            return None
        return f"it holds {_identity(model)}, the run forecasts with {_identity(self._model)}"

    def _leave_out(self, server: _Server, reason: str) -> None:
        """Leave a server out and raise `_LeftOut`, unless no other is left: it is called after all then."""
        with self._lock:
            known, server.left_out = server.left_out, reason
            none_left = all(each.left_out is not None for each in self._servers)
        if none_left:
            return
        if known is None:
            text = f"SERVER LEFT OUT: {server.address}: {reason}"
            self._add_notice(warning(WarningCode.SERVER_LEFT_OUT, text))
        raise _LeftOut

    @contextmanager
    def _noting_failures(self, server: _Server) -> Iterator[None]:
        """Avoid a server for some time after it failed or said that it is busy."""
        try:
            yield
        except ServerUnavailable as failure:
            if failure.status != 504:  # a server that says 504 works: this forecast took too long
                self._avoid(server, failure)
            raise

    def _avoid(self, server: _Server, failure: ServerUnavailable) -> None:
        now = time.monotonic()
        with self._lock:
            if failure.retry_after_s is not None:
                server.avoided_until = now + failure.retry_after_s
                return
            server.checked = False  # a server that is started again may hold another model
            server.last_failure = failure
            if server.avoided_until > now:
                return  # calls that were under way when it failed count once
            server.avoided_until = now + min(2.0**server.failures, LONGEST_REST_S)
            server.failures += 1
            first = server.failures == 1 and len(self._servers) > 1
        if first:
            self._add_notice(unavailable(server.address, failure))

    def _note_answer(self, server: _Server) -> None:
        with self._lock:
            back = server.failures > 0
            if back:
                server.failures = 0
                server.avoided_until = 0.0
        if back and len(self._servers) > 1:
            self._report(f"{server.address} answers again, and is used again")


def _identity(model: ModelInfo) -> str:
    return f"{model.name} {model.version} ({model.precision})"


def _left_s(ends: float) -> float:
    return max(ends - time.monotonic(), SHORTEST_CALL_S)
