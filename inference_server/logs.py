"""Structured logs: one JSON object a line on standard error, with the id of the request it belongs to."""

import logging
from contextvars import ContextVar
from datetime import UTC, datetime
from typing import Any

from pythonjsonlogger.json import JsonFormatter

request_id: ContextVar[str | None] = ContextVar("request_id", default=None)
"""The id of the request being answered; tasks and threads started for it inherit it."""


class _Formatter(JsonFormatter):
    """Writes time, level, logger, message, the request's id, what `extra` holds, and a traceback if any."""

    def add_fields(
        self, log_data: dict[str, Any], record: logging.LogRecord, message_dict: dict[str, Any]
    ) -> None:
        """Fill a line's object, the fields that all lines share first."""
        log_data["time"] = datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds")
        log_data["level"] = record.levelname.lower()
        log_data["logger"] = record.name
        super().add_fields(log_data, record, message_dict)
        if (current := request_id.get()) is not None:
            log_data["request_id"] = current


def configure_logs(level: int = logging.INFO) -> None:
    """Send every logger's lines to standard error as JSON; uvicorn's from WARNING on.

    What is logged is chosen where it is logged: bodies, candles, keys and database addresses never are.
    """
    handler = logging.StreamHandler()
    handler.setFormatter(_Formatter("%(message)s", json_ensure_ascii=False))
    logging.basicConfig(level=level, handlers=[handler], force=True)
    logging.getLogger("uvicorn").setLevel(logging.WARNING)
