"""Dashboard and alerts: every metric and label that they query is one that the server has."""

import json
import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from prometheus_client.parser import text_string_to_metric_families

from inference_server.flow_metrics import flow_exposition
from inference_server.metrics import Metrics
from tests.inference_server.test_flow_metrics import NOW, STATE

ROOT = Path(__file__).resolve().parents[2]
DASHBOARD = json.loads((ROOT / "docs" / "grafana.json").read_text(encoding="utf-8"))
ALERTS = ROOT / "deploy" / "prometheus" / "alerts.yaml"
# What Prometheus itself adds to a series, and what PromQL's histograms are grouped by.
GIVEN_BY_PROMETHEUS = {"instance", "job", "le"}


def labels_of_metrics() -> dict[str, set[str]]:
    """Every series of a server to which everything has happened, with its labels."""
    metrics = Metrics()
    metrics.answered("/predict", "200", 0.1)
    metrics.refused("queue-full")
    metrics.bundle("base", "1", "fp32", "cpu", "CPU")
    with metrics.database_read():
        pass
    text = metrics.exposition().decode() + flow_exposition(STATE, 1000, NOW).decode()
    found: dict[str, set[str]] = {}
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            found.setdefault(sample.name, set()).update(sample.labels)
    return found


def queries() -> list[Any]:
    panels = DASHBOARD["panels"]
    return [
        pytest.param(target["expr"], target["legendFormat"], id=f"{panel['title']}-{target['refId']}")
        for panel in panels
        for target in panel.get("targets", [])  # a row has none
    ]


def alerts() -> list[Any]:
    groups = yaml.safe_load(ALERTS.read_text(encoding="utf-8"))["groups"]
    return [pytest.param(rule, id=rule["alert"]) for group in groups for rule in group["rules"]]


@pytest.mark.parametrize(("query", "legend"), queries())
def test_a_query_asks_for_what_there_is(query: str, legend: str) -> None:
    assert set(re.findall(r"{{(\w+)}}", legend)) <= checked_labels(query)


def checked_labels(query: str) -> set[str]:
    """The labels of the metrics of a query, which has no other metric and no other label."""
    known = labels_of_metrics()
    names = re.findall(r"\b(?:kronos|process)_\w+|\bup\b", query)
    assert names
    labels = GIVEN_BY_PROMETHEUS.union(*(known[name] for name in names if name != "up"))
    for matchers in re.findall(r"\w\{([^}]*)\}", query):
        assert set(re.findall(r"(\w+)(?:=~|!=|=)", matchers)) <= labels
    for grouped in re.findall(r"(?:by|on) \(([^)]*)\)", query):
        assert set(grouped.split(", ")) <= labels
    return labels


@pytest.mark.parametrize("rule", alerts())
def test_an_alert_asks_for_what_there_is_and_says_what_to_do(rule: dict[str, Any]) -> None:
    labels = checked_labels(rule["expr"])
    assert rule["labels"]["severity"] in ("critical", "warning")
    assert set(rule["annotations"]) == {"summary", "description"}
    for text in rule["annotations"].values():
        assert set(re.findall(r"\$labels\.(\w+)", text)) <= labels


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
