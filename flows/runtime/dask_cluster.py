"""Runs tasks of a flow on the workers of a Dask cluster."""

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from math import ceil
from socket import gethostname
from typing import TYPE_CHECKING, Final

from prefect import Flow
from prefect.context import FlowRunContext

if TYPE_CHECKING:
    from prefect_dask import DaskTaskRunner

WAIT_FOR_WORKERS_S: Final = 60.0
"""The longest wait for the first worker: one that was started together with the run is ready by then."""

PARTS_EACH: Final = 4
"""Parts for each thread of the cluster, so that those that are done first take what is left."""

SMALLEST_PART: Final = 25
"""Symbols below which a part costs more than it brings: its tables are read for it alone."""


class DaskError(RuntimeError):
    """There is no Dask cluster to run on."""


@contextmanager
def dask_runner(address: str) -> "Iterator[DaskTaskRunner]":
    """Connect to a Dask cluster that has at least one worker.

    When the block ends, tasks that have not begun are dropped, and those that have are released
    (`watch_for_release`).

    Parameters
    ----------
    address
        Of the scheduler, such as ``tcp://127.0.0.1:8786``.

    Raises
    ------
    DaskError
        prefect-dask is not installed, the scheduler does not answer, or it has no worker.
    """
    try:
        from prefect_dask import DaskTaskRunner
    except ImportError as error:
        raise DaskError(
            f"KRONOS_DASK_ADDRESS is {address!r} and prefect-dask is not installed: install the extra dask "
            "(pip install 'kronos-events[dask]'), or unset the variable"
        ) from error
    with DaskTaskRunner(address=address) as runner:
        try:
            client = runner.client
        except OSError as error:
            raise DaskError(
                f"no Dask scheduler answers at {address} (KRONOS_DASK_ADDRESS): {error}; start one with "
                "dask scheduler, or unset the variable to forecast in the process of the run"
            ) from error
        try:
            client.wait_for_workers(1, timeout=WAIT_FOR_WORKERS_S)
        except TimeoutError as error:
            raise DaskError(
                f"the Dask scheduler at {address} (KRONOS_DASK_ADDRESS) had no worker for "
                f"{WAIT_FOR_WORKERS_S:g} s; start some with dask worker {address} --nthreads 1"
            ) from error
        yield runner


@contextmanager
def loadable_flow() -> Iterator[None]:
    """Let the tasks that are submitted within the block carry a flow that every worker can load.

    Prefect sends the flow of a run with each task. A flow that a deployment loads by its file belongs to a
    module that is named by the file alone, which no other process finds.
    """
    context = FlowRunContext.get()
    if context is None or context.flow is None:
        yield
        return
    with context.model_copy(update={"flow": Flow(_nothing, name=context.flow.name)}):
        yield


def _nothing() -> None:
    """Stand for the function of a flow, which its tasks don't call."""


def part_size(runner: "DaskTaskRunner", count: int, largest: int) -> int:
    """Return the size of the parts of `count` things that keep all threads of a cluster busy."""
    threads: int = sum(runner.client.nthreads().values())
    return max(SMALLEST_PART, min(largest, ceil(count / (PARTS_EACH * threads))))


def is_on_worker() -> bool:
    """Return whether this is a task in another process than its flow's."""
    context = FlowRunContext.get()
    return context is not None and context.detached


def check_environment() -> None:
    """Check that a worker has a database to read from, so that it does not begin an empty one of its own.

    Raises
    ------
    DaskError
        Neither ``DATABASE_URL`` nor ``KRONOS_DATA_DIR`` is set.
    """
    if is_on_worker() and not (os.environ.get("DATABASE_URL") or os.environ.get("KRONOS_DATA_DIR")):
        raise DaskError(
            f"the Dask worker with process id {os.getpid()} on {gethostname()} has no DATABASE_URL; start it "
            "with the variables of the flow's own process"
        )


def watch_for_release() -> Callable[[], bool]:
    """Return a function that says whether the task that calls this has been released by its flow.

    A Dask worker goes on with a task whose flow was cancelled or whose flow's process ended, though the
    result has no use. In the flow's own process the function returns False.
    """
    if not is_on_worker():
        return lambda: False
    from distributed import get_worker
    from distributed.worker import thread_state

    tasks, key = get_worker().state.tasks, thread_state.key
    return lambda: key not in tasks or tasks[key].state == "cancelled"
