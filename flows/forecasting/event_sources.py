"""Reads the tables of the event arrays once for all blocks of a run."""

from collections.abc import Sequence
from typing import Any

import psycopg

from flows.events.build import reach_of
from flows.events.config import EventConfig
from flows.events.request import EventRequest
from flows.events.source import EventSources, Span, read_sources, span_of
from flows.events.window import Reach


class SourcesOfRun:
    """The tables that the event arrays of a run are built from.

    What was read stays in its process: the blocks of one process share it, and a copy that is sent to another
    process reads the tables there.

    Attributes
    ----------
    reach
        Of the windows of all requests that were included; None if none of them can be placed.
    """

    def __init__(self) -> None:
        self.reach: Reach | None = None
        self._span: Span | None = None
        self._read: tuple[Span, EventSources] | None = None

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_read": None}

    def include(self, requests: Sequence[EventRequest]) -> None:
        """Extend the span by some requests; if it grows, the tables are read again."""
        if not requests:
            return
        span, reach = span_of(requests), reach_of(requests)
        self._span = span if self._span is None else self._span.union(span)
        if reach is not None:
            self.reach = reach if self.reach is None else self.reach.union(reach)

    def read(self, connection: psycopg.Connection[Any], config: EventConfig) -> EventSources:
        """Return what `read_sources` returns for all requests that were included, at least one.

        Raises
        ------
        ValueError
            No requests were included.
        psycopg.Error
            A table can't be read.
        """
        if self._span is None:
            raise ValueError("no requests were included, so the span to read is unknown")
        if self._read is None or self._read[0] != self._span:
            self._read = self._span, read_sources(connection, self._span, config)
        return self._read[1]
