"""Creates or updates what the deploy step owns on a Prefect server, and keeps what an operator made."""

from collections.abc import Iterable, Sequence
from typing import Any, Final
from uuid import UUID

from prefect.blocks.notifications import CustomWebhookNotificationBlock
from prefect.client.orchestration import SyncPrefectClient
from prefect.client.schemas.actions import WorkPoolCreate
from prefect.events.schemas.automations import Automation, AutomationCore
from prefect.exceptions import ObjectNotFound
from prefect.types import SecretDict

WORK_POOL: Final = "local"
"""The work pool that ``prefect.yaml`` names."""

_POOL_TYPE: Final = "process"

NOTIFY_BLOCK: Final = "kronos-notify"
"""Name of the block that holds the webhook's URL, which Prefect encrypts."""


class DeployError(Exception):
    """Something on the Prefect server is not as the deploy step needs it; the message says what to do."""


def install_work_pool(client: SyncPrefectClient) -> bool:
    """Create the work pool if there is none; one that exists keeps its settings.

    Returns
    -------
    bool
        Whether it was created.

    Raises
    ------
    DeployError
        There is a work pool of this name whose workers do not run processes.
    """
    try:
        pool = client.read_work_pool(WORK_POOL)
    except ObjectNotFound:
        client.create_work_pool(WorkPoolCreate(name=WORK_POOL, type=_POOL_TYPE))
        return True
    if pool.type != _POOL_TYPE:
        raise DeployError(
            f"the work pool {WORK_POOL} has the type {pool.type}; expected {_POOL_TYPE}: delete it with "
            f"`prefect work-pool delete {WORK_POOL}`, or name another pool in prefect.yaml and deploy that "
            "with `prefect deploy --all`"
        )
    return False


def install_webhook(url: str) -> UUID:
    """Store the webhook's URL in a block, and return the block's id.

    The body of a call is ``{"text": …}``, which Slack, Mattermost, Rocket.Chat and Microsoft Teams show as a
    message.
    """
    block = CustomWebhookNotificationBlock(
        name=NOTIFY_BLOCK,
        url="{{ url }}",
        secrets=SecretDict({"url": url}),
        headers=None,
        cookies=None,
        json_data={"text": "{{ subject }}\n{{ body }}"},
    )
    return UUID(str(block.save(NOTIFY_BLOCK, overwrite=True)))


def install_automations(client: SyncPrefectClient, automations: Iterable[AutomationCore]) -> list[str]:
    """Create the automations that are missing and update those that differ, by name.

    An automation that is as it should be is left alone: an update would make the server forget which runs it
    is watching. An operator's switch, enabled or not, stays. Of several with one name, all but one are
    deleted.

    Returns
    -------
    list of str
        Names of the automations that were created or updated.
    """
    stored: dict[str, list[Automation]] = {}
    for found in client.read_automations():
        stored.setdefault(found.name, []).append(found)
    changed = []
    for wanted in automations:
        existing = stored.get(wanted.name, [])
        for surplus in existing[1:]:
            client.delete_automation(surplus.id)
        if not existing:
            client.create_automation(wanted)
            changed.append(wanted.name)
            continue
        wanted.enabled = existing[0].enabled
        if _content(existing[0]) != _content(wanted):
            client.update_automation(existing[0].id, wanted)
            changed.append(wanted.name)
    return changed


def remove_automations(client: SyncPrefectClient, prefix: str) -> list[str]:
    """Delete the automations whose names begin with a prefix, and return their names."""
    removed = [found for found in client.read_automations() if found.name.startswith(prefix)]
    for automation in removed:
        client.delete_automation(automation.id)
    return [automation.name for automation in removed]


def _content(automation: AutomationCore) -> dict[str, Any]:
    """Return what an automation does as plain values that can be compared."""
    fields = {"description", "enabled", "trigger", "actions"}
    content: dict[str, Any] = _sorted(automation.model_dump(mode="json", include=fields))
    return content


def _sorted(value: Any) -> Any:
    """Return values with the lists of texts sorted, which stand for sets."""
    if isinstance(value, dict):
        return {key: _sorted(part) for key, part in value.items() if key != "id"}
    if isinstance(value, Sequence) and not isinstance(value, str):
        parts = [_sorted(part) for part in value]
        return sorted(parts) if all(isinstance(part, str) for part in parts) else parts
    return value
