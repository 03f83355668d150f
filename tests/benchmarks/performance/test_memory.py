"""A server's memory is read after each request."""

from benchmarks.load import servers
from benchmarks.performance import memory


def test_memory_is_read_after_each_request(tiny_server: servers.Running) -> None:
    rows = list(memory.after_each(tiny_server, [(1, 4), (256, 4)]))
    assert [row["after"] for row in rows] == ["ready", "1 × 4", "256 × 4"]
    assert [row["status"] for row in rows[1:]] == [200, 200]
    assert rows[2]["together"] == 256
    assert all(0 < row["rss_mb"] <= row["peak_mb"] for row in rows)
    assert [row["peak_mb"] for row in rows] == sorted(row["peak_mb"] for row in rows)


def test_a_refused_request_is_a_row_too(tiny_server: servers.Running) -> None:
    *_, refused = memory.after_each(tiny_server, [(100_000, 4)])
    assert (refused["status"], refused["together"]) == (422, 0)
