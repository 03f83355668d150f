"""The Grafana dashboard: every metric and label that it queries is one that the server has."""

import json
import re
from pathlib import Path
from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families

from inference_server.metrics import Metrics

DASHBOARD = json.loads((Path(__file__).parents[2] / "docs" / "grafana.json").read_text(encoding="utf-8"))
# What Prometheus itself adds to a series, and what PromQL's histograms are grouped by.
GIVEN_BY_PROMETHEUS = {"instance", "le"}


def labels_of_metrics() -> dict[str, set[str]]:
    """Every series of a server to which everything has happened, with its labels."""
    metrics = Metrics()
    metrics.answered("/predict", "200", 0.1)
    metrics.refused("queue-full")
    metrics.bundle("base", "1", "fp32", "cpu", "CPU")
    with metrics.database_read():
        pass
    found: dict[str, set[str]] = {}
    for family in text_string_to_metric_families(metrics.exposition().decode()):
        for sample in family.samples:
            found.setdefault(sample.name, set()).update(sample.labels)
    return found


def queries() -> list[Any]:
    panels = DASHBOARD["panels"]
    return [
        pytest.param(target["expr"], target["legendFormat"], id=f"{panel['title']}-{target['refId']}")
        for panel in panels
        for target in panel["targets"]
    ]


@pytest.mark.parametrize(("query", "legend"), queries())
def test_a_query_asks_for_what_there_is(query: str, legend: str) -> None:
    known = labels_of_metrics()
    selected = re.findall(r"(\w+)\{([^}]*)\}", query)
    assert selected
    labels = GIVEN_BY_PROMETHEUS.union(*(known[name] for name, _ in selected))
    for _, matchers in selected:
        assert set(re.findall(r"(\w+)(?:=~|!=|=)", matchers)) <= labels
    for grouped in re.findall(r"by \(([^)]*)\)", query):
        assert set(grouped.split(", ")) <= labels
    assert set(re.findall(r"{{(\w+)}}", legend)) <= labels


def test_everything_that_the_server_measures_is_shown() -> None:
    asked = json.dumps(DASHBOARD["panels"])
    families = {name for name in labels_of_metrics() if name.startswith("kronos_")}
    stems = {re.sub(r"_(bucket|sum|count|created|total|info)$", "", name) for name in families}
    assert {stem for stem in stems if stem not in asked} == set()


def test_panels_do_not_overlap_and_have_ids_of_their_own() -> None:
    panels = DASHBOARD["panels"]
    assert len({panel["id"] for panel in panels}) == len(panels)
    cells = [
        (x, y)
        for place in (panel["gridPos"] for panel in panels)
        for x in range(place["x"], place["x"] + place["w"])
        for y in range(place["y"], place["y"] + place["h"])
    ]
    assert len(set(cells)) == len(cells)
    assert max(x for x, _ in cells) < 24
