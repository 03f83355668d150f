"""Exports the demo model beside other steps, in a process of its own."""

import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from flows.demonstration.demo_model import export_command
from flows.supervision.errors import UpError
from flows.supervision.folder import UpFolder
from flows.supervision.readiness import log_end


@dataclass(frozen=True)
class DemoExport:
    """An export of the demo model that may still run; nothing is to be done if there is a bundle already."""

    folder: UpFolder
    process: subprocess.Popen[bytes] | None

    def runs(self) -> bool:
        """Return whether the export has not ended yet."""
        return self.process is not None and self.process.poll() is None

    def wait(self) -> None:
        """Wait until the bundle is complete.

        Raises
        ------
        UpError
            The export failed; the message has the end of its log.
        """
        if self.process is None:
            return
        if self.process.wait():
            raise UpError(f"the export of the demo model failed:\n{log_end(self.folder.log('export'))}")


@contextmanager
def demo_export(folder: UpFolder, *, wanted: bool) -> Iterator[DemoExport]:
    """Begin to export the demo model unless its bundle is there; ends the process where the block fails.

    Parameters
    ----------
    wanted
        Whether the demo model is served at all.
    """
    if not wanted or (folder.bundle / "manifest.json").is_file():
        yield DemoExport(folder, None)
        return
    for remains in folder.path.glob(f".{folder.bundle.name}*"):  # of an export that was interrupted
        shutil.rmtree(remains, ignore_errors=True)
    with folder.log("export").open("wb") as log:
        process = subprocess.Popen(
            export_command(folder.bundle), stdout=log, stderr=log, stdin=subprocess.DEVNULL
        )
    try:
        yield DemoExport(folder, process)
    finally:
        if process.poll() is None:
            process.terminate()
            process.wait()
