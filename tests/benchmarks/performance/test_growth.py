"""Requests along an axis are timed, on an engine and over HTTP."""

from pathlib import Path

import pytest

from benchmarks.load import servers
from benchmarks.performance import growth


def test_every_value_of_an_axis_is_timed(tiny_bundle: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(growth, "bundle", lambda *_: tiny_bundle)
    monkeypatch.setattr(growth, "PRECISIONS", ("fp32",))
    monkeypatch.setattr(growth, "_SHORT_S", 0.0)  # each value once
    rows = growth.measure("lookback")
    assert [row["value"] for row in rows] == list(growth.AXES["lookback"].values)
    assert all(row["seconds"] > 0 and row["precision"] == "fp32" for row in rows)


def test_clients_send_one_request_after_the_other(tiny_server: servers.Running) -> None:
    waits, took = growth.clients(tiny_server.url, 2, 0.5)
    assert len(waits) >= 2
    assert 0 < max(waits) <= took
    assert sum(waits) <= 2 * took
