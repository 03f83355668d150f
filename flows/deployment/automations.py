"""Defines the automations of the Prefect server: some mark dead runs as crashed, some notify a webhook.

Every automation looks only at runs with the tag `TAG`, which all deployments of ``prefect.yaml`` have: runs
of other projects on the same server may send heartbeats less often, and would be taken for dead.
"""

from collections.abc import Iterable
from datetime import timedelta
from typing import Final
from uuid import UUID

from prefect.client.schemas.objects import StateType
from prefect.events.actions import ChangeFlowRunState, SendNotification
from prefect.events.schemas.automations import AutomationCore, EventTrigger, Posture
from prefect.events.schemas.events import ResourceSpecification

from flows.runtime.run_events import LOW_SPACE, STALE_SYMBOLS, WITHOUT_EVENTS
from flows.runtime.state_names import COMPLETED_WITHOUT_EVENTS, PARTIALLY_FAILED

TAG: Final = "kronos"
"""Tag of the deployments in ``prefect.yaml``, which their runs inherit."""

PREFIX: Final = "kronos: "
"""Beginning of the name of each automation that the deploy step owns."""

NOTIFY_PREFIX: Final = f"{PREFIX}notify "
"""Beginning of the name of each automation that notifies the webhook."""

HEARTBEAT_S: Final = 30
"""Seconds between the heartbeats of a run, the fewest that Prefect allows; ``prefect.yaml`` sets it."""

SILENCE: Final = timedelta(seconds=100)
"""A run is dead whose last heartbeat is older than this.

Three heartbeats and ten seconds: a machine that is overloaded for a minute does not lose its runs. The server
looks every 5 s, so that a run is marked as crashed 70 to 105 s after its process died.
"""

START: Final = timedelta(seconds=105)
"""A run that a worker took is dead if it has not begun after this.

On two idle cores a run begins 5 to 10 s after the worker took it, with twenty processes on them after 22 s.
Prefect ends a run that begins later: it has lost its concurrency slot.
"""

OVERDUE: Final = timedelta(minutes=2)
"""The webhook is notified of a run that is late and that no worker takes within this."""

REPEATED: Final = timedelta(hours=24)
"""Symbols that stay stale, or without events for the same reason, are notified once in this time."""

LONGEST_TEXT: Final = 1500
"""Characters of a run's message in a notification; chat services refuse or cut long ones."""

_STARTING: Final = ("Pending", "Submitting", "InfrastructurePending")
_STOPPED: Final = (
    *("Completed", COMPLETED_WITHOUT_EVENTS, PARTIALLY_FAILED, "Failed", "TimedOut", "Crashed"),
    *("Cancelled", "Paused", "Suspended", "Scheduled", "AwaitingRetry", "AwaitingConcurrencySlot", "Late"),
)
_HEARTBEAT: Final = "prefect.flow-run.heartbeat"
_RUN: Final[dict[str, str | list[str]]] = {"prefect.resource.id": "prefect.flow-run.*"}
_OUR_RUNS: Final = ResourceSpecification(
    {"prefect.resource.role": "tag", "prefect.resource.id": f"prefect.tag.{TAG}"}
)


def crash_automations() -> list[AutomationCore]:
    """Return the automations that mark dead runs as crashed, which frees their concurrency slots."""
    return [
        AutomationCore(
            name=f"{PREFIX}mark a run as crashed whose heartbeats stopped",
            description=f"A run sends a heartbeat every {HEARTBEAT_S} s. One that sends none for "
            f"{SILENCE.seconds} s has lost its process: it is marked as crashed, and its slot is free.",
            trigger=_absence({_HEARTBEAT}, {_HEARTBEAT, *_states(_STOPPED)}, SILENCE),
            actions=[
                _crash(
                    f"the process of this run sent no heartbeat for {SILENCE.seconds} s: it was killed, or "
                    "its machine is down; the next run of the schedule makes what is missing"
                )
            ],
        ),
        AutomationCore(
            name=f"{PREFIX}mark a run as crashed that never began",
            description=f"A run that a worker took and that has not begun {START.seconds} s later has lost "
            "its worker: it is marked as crashed, and its slot is free.",
            trigger=_absence(
                _states(_STARTING), {_HEARTBEAT, *_states((*_STOPPED, "Running", "Cancelling"))}, START
            ),
            actions=[
                _crash(
                    f"a worker took this run and did not begin it within {START.seconds} s: the worker was "
                    "killed, or its machine is overloaded; the next run of the schedule makes what is missing"
                )
            ],
        ),
    ]


def notifications(block_id: UUID, ui_url: str | None) -> list[AutomationCore]:
    """Return the automations that notify a webhook of what an operator should look at.

    Parameters
    ----------
    block_id
        Prefect's notification block that calls the webhook.
    ui_url
        Address of the Prefect UI, for the links; None for texts without a link.
    """
    link = "" if ui_url is None else f"\n{ui_url.rstrip('/')}/runs/flow-run/{{{{ flow_run.id }}}}"
    message = f"{{{{ (flow_run.state.message or 'no message') | truncate({LONGEST_TEXT}) }}}}{link}"
    remark = f"{{{{ event.payload.message | truncate({LONGEST_TEXT}) }}}}{link}"

    def notify(name: str, trigger: EventTrigger, subject: str, body: str) -> AutomationCore:
        return AutomationCore(
            name=NOTIFY_PREFIX + name,
            description="Calls the webhook of KRONOS_NOTIFY_URL.",
            trigger=trigger,
            actions=[SendNotification(block_document_id=block_id, subject=subject, body=body)],
        )

    run = "{{ deployment.name }}"
    taken = _states((*_STARTING, "Running", "Cancelled", "Crashed", "Failed"))
    return [
        notify("failed", _state_type(StateType.FAILED), f"{run}: {{{{ flow_run.state.name }}}}", message),
        notify("crashed", _state_type(StateType.CRASHED), f"{run}: Crashed", message),
        notify(
            "late",
            _absence(_states(("Late",)), taken, OVERDUE),
            f"{run}: Late",
            "no worker took the run that was due at {{ flow_run.expected_start_time }}; does a worker run "
            f"for the work pool?{link}",
        ),
        notify("without events", _remark(WITHOUT_EVENTS), f"{run}: WITHOUT EVENTS", remark),
        notify("stale", _remark(STALE_SYMBOLS), f"{run}: STALE", remark),
        notify("disk nearly full", _remark(LOW_SPACE), f"{run}: DISK NEARLY FULL", remark),
    ]


def _states(names: Iterable[str]) -> set[str]:
    """Return the events that Prefect emits when a run enters the states of these names."""
    return {f"prefect.flow-run.{name}" for name in names}


def _crash(message: str) -> ChangeFlowRunState:
    return ChangeFlowRunState(state=StateType.CRASHED, name="Crashed", message=message, force=False)


def _absence(after: set[str], expected: set[str], within: timedelta) -> EventTrigger:
    """Return a trigger for each run of which, after one of some events, none of the expected is seen."""
    return EventTrigger(
        match=ResourceSpecification(_RUN),
        match_related=_OUR_RUNS,
        for_each={"prefect.resource.id"},
        after=after,
        expect=expected,
        posture=Posture.Proactive,
        threshold=1,
        within=within,
    )


def _state_type(kind: StateType) -> EventTrigger:
    """Return a trigger for each run that enters a state of a type, whatever its name."""
    return EventTrigger(
        match=ResourceSpecification({**_RUN, "prefect.state-type": kind.value}),
        match_related=_OUR_RUNS,
        expect={"prefect.flow-run.*"},
        posture=Posture.Reactive,
        threshold=1,
    )


def _remark(event: str) -> EventTrigger:
    """Return a trigger for an event of the flows, which fires once a day for what stays the same."""
    return EventTrigger(
        match_related=_OUR_RUNS,
        for_each={"prefect.resource.id"},
        expect={event},
        posture=Posture.Reactive,
        threshold=1,
        within=REPEATED,
    )
