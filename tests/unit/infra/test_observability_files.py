"""Dashboards, alerts and the runbook agree with each other and with what services declare."""

from __future__ import annotations

import importlib
import json
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from prometheus_client import REGISTRY

from tests.support.deployment import INFRA, ROOT, rendered, run_tool
from tests.support.promql import grouped_by, selectors

pytestmark = pytest.mark.timeout(600)  # the first test fetches the tools

FILES = INFRA / "observability"
ALERTS = FILES / "alerts.yaml"
RUNBOOK = ROOT / "docs" / "operations.md"

TARGET_LABELS = {"tier", "instance", "job", "namespace", "pod"}
"""Given by Prometheus and not by the services."""


def rules() -> list[dict[str, Any]]:
    document = yaml.safe_load(ALERTS.read_text())
    return [rule for group in document["groups"] for rule in group["rules"]]


def expressions() -> Iterator[tuple[str, str]]:
    """Where each stands, and its text."""
    for path in sorted((FILES / "dashboards").glob("*.json")):
        for panel in json.loads(path.read_text())["panels"]:
            for target in panel["targets"]:
                yield f"{path.name}: {panel['title']}", target["expr"]
    for rule in rules():
        yield rule["alert"], rule["expr"]
    for resource in rendered("values-cluster-32-gpu.yaml"):
        if resource["kind"] == "ScaledObject":
            for trigger in resource["spec"]["triggers"]:
                if trigger["type"] == "prometheus":
                    yield f"scaling of {resource['metadata']['name']}", trigger["metadata"]["query"]


@pytest.fixture(scope="module")
def declared() -> dict[str, set[str]]:
    """Every metric of ours and its labels."""
    for path in sorted((ROOT / "services").glob("*/rstar_*/**/*.py")):
        if "from prometheus_client import" in path.read_text():
            parts = path.relative_to(ROOT / "services").with_suffix("").parts[1:]
            importlib.import_module(".".join(parts))
    # The client has no public way to ask a metric for its labels.
    collectors: dict[str, Any] = REGISTRY._names_to_collectors
    return {
        name: set(getattr(collector, "_labelnames", ()))
        for name, collector in collectors.items()
        if name.startswith("rstar_")
    }


def test_promtool_accepts_the_alerts_and_they_fire_as_their_tests_say() -> None:
    checked = run_tool("promtool", "check", "rules", ALERTS)
    assert checked.returncode == 0, checked.stdout + checked.stderr
    tested = run_tool("promtool", "test", "rules", FILES / "alerts-test.yaml")
    assert tested.returncode == 0, tested.stdout + tested.stderr


def test_dashboards_are_written_from_what_people_edit() -> None:
    done = subprocess.run(
        [sys.executable, FILES / "dashboards.py", "--check"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr


def test_every_query_names_metrics_and_labels_that_a_service_declares(
    declared: dict[str, set[str]],
) -> None:
    wrong = []
    for where, expression in expressions():
        found = list(selectors(expression))
        assert found, where
        for selector in found:
            if not selector.name.startswith("rstar_"):
                continue
            labels = declared.get(selector.family)
            if labels is None:
                wrong.append(f"{where}: no metric {selector.name}")
            elif unknown := selector.labels - labels - TARGET_LABELS:
                wrong.append(f"{where}: {selector.name} has no label {unknown}")
        ours = [declared.get(s.family, set()) for s in found]
        if unknown := grouped_by(expression) - set().union(*ours) - TARGET_LABELS:
            wrong.append(f"{where}: groups by {unknown}")
    assert wrong == []


def test_every_metric_of_ours_is_on_a_dashboard(declared: dict[str, set[str]]) -> None:
    shown = {s.family for _, expression in expressions() for s in selectors(expression)}
    families = {
        name
        for name in declared
        # The registry also lists the parts of histograms and the creation times of counters.
        if not name.endswith(("_created", "_bucket", "_sum", "_count"))
        and f"{name}_total" not in declared
    }
    assert families - shown == set()


def test_every_alert_has_its_entry_in_the_runbook_and_every_entry_its_alert() -> None:
    names = [rule["alert"] for rule in rules()]
    assert len(set(names)) == len(names)
    entries = re.findall(r"^### (Rstar\w+)$", RUNBOOK.read_text(), flags=re.MULTILINE)
    assert sorted(entries) == sorted(names)
    for rule in rules():
        annotations = rule["annotations"]
        assert annotations["runbook"] == f"docs/operations.md#{rule['alert'].lower()}"
        assert annotations["summary"]
        assert rule["labels"]["severity"] in ("critical", "warning")


def test_a_metric_that_nobody_has_would_be_noticed(declared: dict[str, set[str]]) -> None:
    [selector] = selectors('sum(rate(rstar_searches_totals{origin="batch"}[5m]))')
    assert selector.family not in declared
    assert grouped_by("sum by (le, tier, mode) (up)") == {"tier", "mode"}


def test_the_scrape_job_for_kubernetes_finds_the_charts_pods() -> None:
    [job] = yaml.safe_load((FILES / "kubernetes-scrape.yaml").read_text())["scrape_configs"]
    found = set()
    for resource in rendered("values-laptop.yaml"):
        if resource["kind"] not in ("Deployment", "StatefulSet"):
            continue
        template = resource["spec"]["template"]
        meta = {
            "__meta_kubernetes_pod_label_" + re.sub(r"\W", "_", name): value
            for name, value in template["metadata"]["labels"].items()
        }
        meta["__meta_kubernetes_pod_container_port_name"] = "metrics"
        labels = {}
        for rule in job["relabel_configs"]:
            [source] = rule["source_labels"]
            match = re.fullmatch(rule.get("regex", "(.*)"), meta.get(source, ""))
            if rule.get("action") == "keep":
                assert match, source
            elif match:
                labels[rule["target_label"]] = match[1]
        found.add(labels["tier"])
        ports = template["spec"]["containers"][0]["ports"]
        assert {"name": "metrics", "containerPort": 9464} in ports
    assert found == {"searcher", "policy", "ppm", "sandbox", "trainer"}


def test_the_runbook_names_files_that_are_there() -> None:
    text = RUNBOOK.read_text()
    for path in re.findall(r"`((?:infra|docs|services|proto)/[\w./-]+)`", text):
        assert (ROOT / path).exists() or Path(path).suffix == "", path
