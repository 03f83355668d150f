"""Shows what runs on this machine, the last and the next run of each deployment, and what is wrong."""

import argparse
import sys
from datetime import UTC, datetime

from rich.console import Console

from flows.supervision.errors import UpError
from flows.supervision.folder import UpFolder
from flows.supervision.health import machine_health
from flows.supervision.report import report
from flows.supervision.settings import saved_running


def main(arguments: list[str] | None = None, prog: str = "python -m flows.status") -> int:
    """Print the tables; the exit status is 0 if nothing is wrong."""
    argparse.ArgumentParser(prog=prog, description=__doc__).parse_args(arguments)
    folder = UpFolder.here()
    console = Console(highlight=False)
    try:
        settings = saved_running(folder)
        if settings is None:
            console.print(
                f"nothing was ever started from {folder.path}: kronos up starts everything", soft_wrap=True
            )
            return 1
        health = machine_health(folder, settings)
    except (UpError, ValueError) as error:
        console.print(f"error: {error}", style="red", markup=False, soft_wrap=True)
        return 1
    for part in report(health, datetime.now(UTC)):
        console.print(part, markup=False, soft_wrap=True)
    return 1 if health.problems or health.deployments is None else 0


if __name__ == "__main__":
    sys.exit(main())
