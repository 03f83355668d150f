"""Installs the work pool, the deployments of prefect.yaml and the automations on a Prefect server.

It may run as often as wanted: what is as it should be is left alone.
"""

import argparse
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Final

import httpx
from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.exceptions import PrefectHTTPStatusError
from prefect.settings import PREFECT_API_URL, PREFECT_UI_URL, get_current_settings
from pydantic import AnyHttpUrl, TypeAdapter, ValidationError

from flows.deployment.automations import NOTIFY_PREFIX, crash_automations, notifications
from flows.deployment.installing import (
    WORK_POOL,
    DeployError,
    install_automations,
    install_webhook,
    install_work_pool,
    remove_automations,
)
from flows.deployment.server_settings import missing_settings

ROOT: Final = Path(__file__).resolve().parents[1]
"""The checkout, in which ``prefect.yaml`` lies."""

NO_NOTIFICATIONS: Final = "none"
"""``KRONOS_NOTIFY_URL`` with which notifications that were installed before are removed."""


def deploy(report: Callable[[str], object] = print) -> None:
    """Install the work pool, the deployments and the automations on the server of ``PREFECT_API_URL``.

    ``KRONOS_NOTIFY_URL`` is a webhook that is notified of failed, crashed and late runs, of forecasts without
    events and of stale symbols. Where it is not set, notifications stay as they are.

    Parameters
    ----------
    report
        Takes a sentence about each step.

    Raises
    ------
    DeployError
        No server is configured, it does not answer or refuses, or a deployment is refused.
    """
    notify_url = _notify_url()
    url = PREFECT_API_URL.value()
    if not url:
        raise DeployError(
            "PREFECT_API_URL is not set; start a server with `prefect server start`, and set the address of "
            "its API, such as PREFECT_API_URL=http://127.0.0.1:4200/api"
        )
    try:
        with get_client(sync_client=True) as client:
            created = install_work_pool(client)
            report(f"work pool {WORK_POOL}: {'created' if created else 'exists'}")
            report(f"deployments: {', '.join(_deploy_all())}")
            _install_automations(client, notify_url, report)
            for setting in missing_settings(client.request("GET", "/admin/settings").json()):
                report(f"start the Prefect server with {setting}, or dead runs may hold their slots for ever")
    except PrefectHTTPStatusError as error:
        raise DeployError(_refusal(url, error)) from error
    except (httpx.HTTPError, RuntimeError) as error:
        raise DeployError(
            f"the Prefect API at {url} does not answer: {error or type(error).__name__}; start it with "
            "`prefect server start`, or set PREFECT_API_URL to its address"
        ) from error


def _notify_url() -> str | None:
    """Return the value of ``KRONOS_NOTIFY_URL``, or None without one."""
    text = os.environ.get("KRONOS_NOTIFY_URL", "").strip()
    if not text or text == NO_NOTIFICATIONS:
        return text or None
    try:
        return str(TypeAdapter(AnyHttpUrl).validate_python(text))
    except ValidationError:
        raise DeployError(
            "KRONOS_NOTIFY_URL is not the address of a webhook; expected one such as "
            "https://hooks.example.com/services/…, or none to remove the notifications"
        ) from None  # which would show the address, a secret


def _deploy_all() -> list[str]:
    """Create or update every deployment of ``prefect.yaml`` with Prefect's own command; return their names.

    Raises
    ------
    DeployError
        There is no ``prefect.yaml``, or the command failed.
    """
    if not (ROOT / "prefect.yaml").is_file():
        raise DeployError(f"{ROOT} has no prefect.yaml; run this command in a checkout of the repository")
    environment = {**os.environ, **get_current_settings().to_environment_variables(exclude_unset=True)}
    result = subprocess.run(
        [sys.executable, "-m", "prefect", "--no-prompt", "deploy", "--all"],
        cwd=ROOT,
        env={**environment, "COLUMNS": "200", "NO_COLOR": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    if result.returncode != 0:
        raise DeployError(f"`prefect deploy --all` failed:\n{(result.stdout + result.stderr).strip()}")
    return [line.split("'")[1] for line in result.stdout.splitlines() if "successfully created" in line]


def _install_automations(
    client: SyncPrefectClient, notify_url: str | None, report: Callable[[str], object]
) -> None:
    automations = crash_automations()
    if notify_url == NO_NOTIFICATIONS:
        removed = remove_automations(client, NOTIFY_PREFIX)
        report(f"notifications: {f'{len(removed)} removed' if removed else 'none'}")
    elif notify_url is not None:
        automations += notifications(install_webhook(notify_url), PREFECT_UI_URL.value())
        report("notifications: to the webhook of KRONOS_NOTIFY_URL")
    else:
        report("notifications: unchanged, as KRONOS_NOTIFY_URL is not set")
    changed = install_automations(client, automations)
    report(f"automations: {', '.join(changed) or 'as they should be'}")


def _refusal(url: str, error: PrefectHTTPStatusError) -> str:
    if error.response.status_code in (401, 403):
        return (
            f"the Prefect API at {url} requires a password ({error.response.status_code}); set "
            "PREFECT_API_AUTH_STRING to user:password, as for the server"
        )
    return f"the Prefect API at {url} refuses a step: {error}"


def main(arguments: list[str] | None = None, prog: str = "python -m flows.deploy") -> int:
    """Run the deploy step; the exit status is 1 where it failed."""
    argparse.ArgumentParser(prog=prog, description=__doc__).parse_args(arguments)
    try:
        deploy()
    except DeployError as error:
        print(f"{prog}: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
