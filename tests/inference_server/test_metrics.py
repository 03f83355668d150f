"""What Prometheus reads: every method's figures, and a registry for each server."""

import pytest
from prometheus_client.parser import text_string_to_metric_families

from inference_server.metrics import Metrics


def figures(metrics: Metrics) -> dict[tuple[str, ...], float]:
    """Every sample by its name and its labels' values, in the order of their names."""
    return figures_of(metrics.exposition().decode())


def figures_of(exposition: str) -> dict[tuple[str, ...], float]:
    families = text_string_to_metric_families(exposition)
    return {(one.name, *one.labels.values()): one.value for family in families for one in family.samples}


def test_tokens_a_second_and_the_batch_size_follow_from_the_steps() -> None:
    metrics = Metrics()
    metrics.prefilled(0.5, 392)
    for rows in (1, 20, 21):
        metrics.stepped(0.01, rows)
    seen = figures(metrics)
    assert (seen["kronos_step_rows_sum",], seen["kronos_step_rows_count",]) == (42, 3)
    assert seen["kronos_step_seconds_sum",] == pytest.approx(0.03)
    assert (seen["kronos_prefill_tokens_total",], seen["kronos_prefill_seconds_sum",]) == (392, 0.5)


def test_the_gauges_hold_the_last_state() -> None:
    metrics = Metrics()
    for used in (3, 1):
        metrics.queue_depth(used)
        metrics.slots(used, 8)
        metrics.cache_bytes(used * 100, 800)
        metrics.bundle("base", f"v{used}", "fp16", "cuda", "H100")
        metrics.device(used == 1, used, used << 20)
    metrics.queued(0.2)
    seen = figures(metrics)
    assert (seen["kronos_queue_jobs",], seen["kronos_queue_seconds_count",]) == (1, 1)
    assert (seen["kronos_slots_used",], seen["kronos_slots",]) == (1, 8)
    assert (seen["kronos_cache_used_bytes",], seen["kronos_cache_bytes",]) == (100, 800)
    assert [labels for name, *labels in seen if name == "kronos_bundle_info"] == [
        ["cuda", "H100", "base", "fp16", "v1"]
    ]
    assert (seen["kronos_device_fallback",], seen["kronos_cuda_graphs",]) == (1, 1)
    assert seen["kronos_cuda_graphs_bytes",] == 1 << 20


def test_requests_refusals_and_reads_are_counted_by_what_became_of_them() -> None:
    metrics = Metrics()
    metrics.answered("/predict", "200", 0.1)
    metrics.answered("/predict", "gone", 0.1)
    metrics.refused("queue-full")
    with metrics.database_read():
        pass
    with pytest.raises(OSError, match="gone"), metrics.database_read():
        raise OSError("gone")
    seen = figures(metrics)
    assert seen["kronos_requests_total", "200", "/predict"] == 1
    assert seen["kronos_requests_total", "gone", "/predict"] == 1
    assert seen["kronos_request_seconds_count", "/predict"] == 2
    assert seen["kronos_refusals_total", "queue-full"] == 1
    assert seen["kronos_database_seconds_count", "ok"] == 1
    assert seen["kronos_database_seconds_count", "failed"] == 1


def test_two_servers_in_one_process_count_apart() -> None:
    first, second = Metrics(), Metrics()
    first.refused("draining")
    assert ("kronos_refusals_total", "draining") not in figures(second)
    assert figures(second)["process_resident_memory_bytes",] > 0
