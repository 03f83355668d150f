"""Writes logs as one JSON object per line to standard error, with the id of the request."""

import logging
from contextvars import ContextVar
from datetime import UTC, datetime
from typing import Any

from pythonjsonlogger.json import JsonFormatter

request_id: ContextVar[str | None] = ContextVar("request_id", default=None)
"""The id of the current request; its tasks and threads inherit it."""


class _Formatter(JsonFormatter):
    """Writes time, level, logger, message, the request's id, the fields of `extra`, and a traceback if
    any."""

    def add_fields(
        self, log_data: dict[str, Any], record: logging.LogRecord, message_dict: dict[str, Any]
    ) -> None:
        """Add the fields of a log record, those common to all records first."""
        log_data["time"] = datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds")
        log_data["level"] = record.levelname.lower()
        log_data["logger"] = record.name
        super().add_fields(log_data, record, message_dict)
        if (current := request_id.get()) is not None:
            log_data["request_id"] = current


def configure_logs(level: int = logging.INFO) -> None:
    """Send the records of every logger to standard error as JSON; those of uvicorn from WARNING on.

    Nothing is filtered here: callers must not log bodies, candles, keys or database addresses.
    """
    handler = logging.StreamHandler()
    handler.setFormatter(_Formatter("%(message)s", json_ensure_ascii=False))
    logging.basicConfig(level=level, handlers=[handler], force=True)
    logging.getLogger("uvicorn").setLevel(logging.WARNING)
