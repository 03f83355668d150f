"""Log lines as JSON with the request's id, in tasks and threads too."""

import asyncio
import contextvars
import io
import json
import logging
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stderr
from typing import Any

from inference_server.logs import configure_logs, request_id

log = logging.getLogger("some.part")


@contextmanager
def written() -> Iterator[list[dict[str, Any]]]:
    """The lines that the configured logs wrote, complete once the block has ended."""
    root = logging.getLogger()
    before, level = root.handlers[:], root.level
    root.handlers = []
    lines: list[dict[str, Any]] = []
    with redirect_stderr(io.StringIO()) as stream:
        configure_logs()
        try:
            yield lines
        finally:
            root.handlers = before
            root.setLevel(level)
    lines += [json.loads(line) for line in stream.getvalue().splitlines()]


def test_a_line_is_one_object_whatever_it_holds() -> None:
    with written() as lines:
        log.info("said %s\nin two lines", "ü", extra={"path": "/predict", "ms": 1.5})
        try:
            raise RuntimeError("inside")
        except RuntimeError:
            log.exception("failed")
        log.debug("not shown")
    said, failed = lines
    assert said.pop("time").endswith("+00:00")
    assert said == {
        "level": "info",
        "logger": "some.part",
        "message": "said ü\nin two lines",
        "path": "/predict",
        "ms": 1.5,
    }
    assert "RuntimeError: inside" in failed["exc_info"]


def test_tasks_and_threads_of_a_request_carry_its_id() -> None:
    async def request(name: str) -> None:
        request_id.set(name)
        await asyncio.create_task(asyncio.to_thread(log.warning, "read"))

    async def scene() -> None:
        await asyncio.gather(request("a"), request("b"))
        log.warning("no request")

    with written() as seen:
        contextvars.copy_context().run(asyncio.run, scene())
    assert sorted(one["request_id"] for one in seen[:2]) == ["a", "b"]
    assert "request_id" not in seen[2]
