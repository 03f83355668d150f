"""Emits Prefect events about what a run found, from which automations notify an operator."""

from collections.abc import Iterable
from hashlib import blake2b
from typing import Final

from prefect.events import emit_event

WITHOUT_EVENTS: Final = "kronos.forecasts.without-events"
"""Event of a run that made forecasts without the calendar, though it should have used it."""

STALE_SYMBOLS: Final = "kronos.symbols.stale"
"""Event of a run that left symbols out because their newest candles are too old."""

LOW_SPACE: Final = "kronos.disk.nearly-full"
"""Event of a run on a machine whose disk is nearly full."""


def emit_remark(event: str, timeframe: str, subjects: Iterable[str], message: str) -> None:
    """Emit an event of a run; where Prefect can't take it, the run goes on.

    Parameters
    ----------
    event
        `WITHOUT_EVENTS`, `STALE_SYMBOLS` or `LOW_SPACE`.
    subjects
        What the event is about, such as the stale symbols. The event's resource has a hash of them: an
        automation that fires once for each resource fires again when they change.
    message
        A sentence for the notification.
    """
    listed = sorted(subjects)
    digest = blake2b("\n".join(listed).encode(), digest_size=8).hexdigest()
    emit_event(
        event,
        resource={
            "prefect.resource.id": f"{event}.{timeframe}.{digest}",
            "prefect.resource.name": f"{timeframe} forecasts",
        },
        payload={"message": message, "timeframe": timeframe},
    )
