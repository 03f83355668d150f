"""Connecting to a Dask cluster: what is missing is named, and parts keep every thread busy."""

import sys
from types import SimpleNamespace
from typing import Any

import pytest

from flows.runtime import dask_cluster
from flows.runtime.dask_cluster import (
    DaskError,
    check_environment,
    dask_runner,
    part_size,
    watch_for_release,
)
from flows.runtime.local_server import free_port


def test_a_missing_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "prefect_dask", None)
    expected = r"tcp://h:1' and prefect-dask is not installed.*kronos-events\[dask\]"
    with pytest.raises(DaskError, match=expected), dask_runner("tcp://h:1"):
        pass


def test_a_scheduler_that_does_not_answer_is_named() -> None:
    dask = pytest.importorskip("dask")
    pytest.importorskip("prefect_dask")
    address = f"tcp://127.0.0.1:{free_port()}"
    expected = f"no Dask scheduler answers at {address} .*start one with dask scheduler"
    quickly = dask.config.set({"distributed.comm.timeouts.connect": "200ms"})
    with quickly, pytest.raises(DaskError, match=expected), dask_runner(address):
        pass


def test_a_cluster_without_workers_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    distributed = pytest.importorskip("distributed")
    monkeypatch.setattr(dask_cluster, "WAIT_FOR_WORKERS_S", 0.2)
    with distributed.LocalCluster(n_workers=0, host="127.0.0.1", dashboard_address="127.0.0.1:0") as cluster:
        expected = r"the Dask scheduler at \S+ \(KRONOS_DASK_ADDRESS\) had no worker for 0.2 s; start some"
        with pytest.raises(DaskError, match=expected), dask_runner(cluster.scheduler_address):
            pass


@pytest.mark.parametrize(
    ("symbols", "threads", "size"),
    [(25, 2, 25), (60, 2, 25), (1000, 2, 125), (1000, 8, 32), (10_000, 8, 250), (10_000, 40, 63)],
)
def test_parts_keep_every_thread_busy_and_are_neither_small_nor_large(
    symbols: int, threads: int, size: int
) -> None:
    client = SimpleNamespace(nthreads=lambda: {f"worker {number}": 1 for number in range(threads)})
    runner: Any = SimpleNamespace(client=client)
    assert part_size(runner, symbols, 250) == size


@pytest.mark.parametrize(
    ("detached", "variables", "refused"),
    [
        (False, {}, False),
        (True, {"DATABASE_URL": "postgresql://h/d"}, False),
        (True, {"KRONOS_DATA_DIR": "/data"}, False),
        (True, {"DATABASE_URL": ""}, True),
        (True, {}, True),
    ],
)
def test_a_worker_without_a_database_of_its_own_is_named(
    monkeypatch: pytest.MonkeyPatch, detached: bool, variables: dict[str, str], refused: bool
) -> None:
    context = SimpleNamespace(detached=detached)
    monkeypatch.setattr(dask_cluster, "FlowRunContext", SimpleNamespace(get=lambda: context))
    for name in ("DATABASE_URL", "KRONOS_DATA_DIR"):
        monkeypatch.delenv(name, raising=False)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    if refused:
        with pytest.raises(DaskError, match=r"the Dask worker with process id \d+ on .* has no DATABASE_URL"):
            check_environment()
    else:
        check_environment()


def test_a_task_in_the_process_of_its_flow_is_never_released() -> None:
    assert not watch_for_release()()
