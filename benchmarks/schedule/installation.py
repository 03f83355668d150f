"""Starts everything with `kronos up` in a folder, on free ports, and adds the deployments of five minutes."""

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from benchmarks.machine import ROOT
from flows.runtime.local_server import free_port
from flows.supervision.folder import FOLDER, UpFolder
from flows.supervision.secrets import read_secrets

DEPLOYMENTS: Final = ("predict-5m", "score-5m")
DOCUMENTATION: Final = ROOT / "docs" / "timeframes.md"


@dataclass(frozen=True)
class Installation:
    """What `kronos up` started.

    Attributes
    ----------
    folder
        In which the commands run.
    environment
        Their variables.
    """

    folder: Path
    environment: dict[str, str]

    @property
    def secrets(self) -> dict[str, str]:
        """Address and password of the Prefect server."""
        return read_secrets(UpFolder(self.folder / FOLDER))

    def run(self, *arguments: str, folder: Path | None = None) -> None:
        """Run a Python module with arguments; its output goes to the terminal.

        Raises
        ------
        subprocess.CalledProcessError
            It failed.
        """
        subprocess.run(
            [sys.executable, "-m", *arguments],
            cwd=folder or self.folder,
            env=self.environment | self.secrets,
            check=True,
        )


@contextmanager
def everything_up(folder: Path, database: Path) -> Iterator[Installation]:
    """Run `kronos up` in a folder, and `kronos down` at the end of the block.

    Parameters
    ----------
    database
        Folder of the embedded Postgres, with the market.
    """
    kept = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("KRONOS_", "PREFECT_")) and name != "DATABASE_URL"
    }
    port = free_port()
    installation = Installation(
        folder,
        kept
        | {
            "PYTHONPATH": str(ROOT),
            "PROJECT_ROOT": str(ROOT),
            "PREFECT_HOME": str(folder / "prefect"),
            "KRONOS_DATA_DIR": str(database),
            "KRONOS_PORT": str(port),
            "KRONOS_SERVER": f"http://127.0.0.1:{port}",
            "KRONOS_PREFECT_PORT": str(free_port()),
        },
    )
    try:
        installation.run("flows.up")
        yield installation
    finally:
        installation.run("flows.down")


def deploy(installation: Installation) -> None:
    """Install the deployments that the documentation shows for five-minute candles."""
    file = installation.folder / "prefect.yaml"
    file.write_text(
        with_documented_deployments((ROOT / "prefect.yaml").read_text(), DOCUMENTATION.read_text())
    )
    names = [word for name in DEPLOYMENTS for word in ("--name", name)]
    installation.run("prefect", "--no-prompt", "deploy", "--prefect-file", str(file), *names, folder=ROOT)


def with_documented_deployments(content: str, documentation: str) -> str:
    """Return the text of a prefect.yaml with the deployments that a page of the documentation shows.

    Parameters
    ----------
    content
        Ends with its list of deployments.
    documentation
        Markdown, with deployments as indented code.
    """
    shown = re.findall(r"(?m)^    - name: .*\n(?:      .*\n)+", documentation)
    lines = "".join(shown).splitlines()
    return "\n".join([content, *(line.removeprefix("  ") for line in lines), ""])
