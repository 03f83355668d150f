"""Collects what a run's summary has to say beside the outcomes of its symbols."""

import threading
from collections import defaultdict

from prefect.logging import get_run_logger
from prefect.runtime import flow_run

_lock = threading.Lock()
_notices: defaultdict[str | None, dict[str, None]] = defaultdict(dict)  # by flow run, in order


def add_notice(text: str) -> None:
    """Log a warning, and keep it for the summary of the flow run; a repeated one is logged once.

    Tasks that run in another process than their flow only log it.
    """
    run = flow_run.id
    with _lock:
        repeated = text in _notices[run]
        _notices[run][text] = None
    if not repeated:
        get_run_logger().warning(text)


def take_notices() -> list[str]:
    """Return the notices of the flow run in their order, and forget them."""
    with _lock:
        return list(_notices.pop(flow_run.id, ()))
