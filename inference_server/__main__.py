"""`python -m inference_server`: serves the bundle in KRONOS_BUNDLE until SIGTERM or SIGINT."""

import argparse
import signal
import sys
from types import FrameType

import uvicorn

from inference_server.app import create_app
from inference_server.engine.bundle import BundleError, load_manifest
from inference_server.http.draining import Server
from inference_server.huge_pages import restart_with_huge_pages
from inference_server.logs import configure_logs
from inference_server.settings import Settings, SettingsError

UNUSABLE = 2
FAILED = 1
WRITE_S = 5
"""Seconds to send the last answers in after draining."""


def main(arguments: list[str] | None = None, prog: str = "python -m inference_server") -> int:
    """Serve; return the exit code: 0 after a signal, 2 for unusable settings or bundle, 1 for a failure."""
    description = "Serve the bundle in KRONOS_BUNDLE until SIGTERM or SIGINT."
    epilog = "All settings are environment variables: docs/operations.md lists them."
    argparse.ArgumentParser(prog=prog, description=description, epilog=epilog).parse_args(arguments)
    # After its shutdown uvicorn raises the signal again, which would otherwise set the exit code.
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, _exit)
    configure_logs()
    try:
        settings = Settings.from_environment()
        load_manifest(settings.bundle, verify=False)  # an unusable bundle is reported before the port opens
    except (SettingsError, BundleError) as error:
        print(f"inference server: {error}", file=sys.stderr)
        return UNUSABLE
    restart_with_huge_pages()
    failures: list[bool] = []

    def stop() -> None:
        failures.append(True)
        server.should_exit = True

    app = create_app(settings, on_failure=stop)
    server = Server(
        uvicorn.Config(
            app,
            host=settings.host,
            port=settings.port,
            log_config=None,
            access_log=False,
            timeout_graceful_shutdown=WRITE_S,
        ),
        app.state.drain,
    )
    server.run()
    return FAILED if failures else 0


def _exit(number: int, frame: FrameType | None) -> None:
    raise SystemExit(0)


if __name__ == "__main__":
    sys.exit(main())
