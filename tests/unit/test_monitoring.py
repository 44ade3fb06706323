"""The dashboard and the alert rules that the documentation offers: each query asks for what a worker's metrics have."""

from __future__ import annotations

import json
import re
import subprocess
from collections.abc import Iterator, Mapping
from datetime import timedelta
from pathlib import Path
from typing import Any, NamedTuple

import promql_parser
import pytest
import yaml
from prometheus_client.parser import text_string_to_metric_families

from cloudq.core.clock import SYSTEM_CLOCK
from cloudq.core.driver import SendResult
from cloudq.core.ending import Ending
from cloudq.core.message import Message
from cloudq.telemetry.prometheus import Metrics
from cloudq.telemetry.standing import Failing, OutageKind, Standing
from tests.servers.own import find
from tests.unit.worker.fakes import delivery

ROOT = Path(__file__).parents[2]
MONITORING = ROOT / "docs/how-to/monitoring"
DASHBOARD = MONITORING / "grafana-dashboard.json"
ALERTS = MONITORING / "alerts.yml"
REFERENCE = (ROOT / "docs/reference/metrics.md").read_text(encoding="utf-8")
# What Prometheus itself adds to each series that it scrapes.
ADDED = {"instance", "job"}
# What Grafana puts into a query, by something of the same kind.
VARIABLES = {"$__rate_interval": "5m", "$queue": "emails"}


class Series(NamedTuple):
    """What a worker serves under one name.

    Attributes:
        labels: The names of its labels.
        kind: Its metric's type.
    """

    labels: frozenset[str]
    kind: str


def served() -> Mapping[str, Series]:
    """Each name that a worker serves once each thing has happened that it counts."""
    metrics = Metrics(known={"t"}, version="1")
    one = delivery(SYSTEM_CLOCK, task="t")
    metrics.sent(Message(id="m", task="t", queue="q"), SendResult())
    metrics.started(one, timedelta(seconds=1))
    metrics.ended(one, Ending.SUCCEEDED, 1.0)
    metrics.lease_renewed("q", 1)
    metrics.lease_lost(one)
    metrics.called("Send", "q", 1.0, None)
    metrics.held_back("q", "paused")
    failing = [Failing(kind, "q", True) for kind in OutageKind]
    standing = Standing(ready=True, slots=1, waiting=0, running=0, settling=0, failing=failing)
    metrics.watch(lambda: standing)
    return {
        sample.name: Series(frozenset(sample.labels), family.type)
        for family in text_string_to_metric_families(metrics.page("")[1].decode())
        for sample in family.samples
        if family.name.startswith("cloudq_") and not sample.name.endswith("_created")
    }


SERVED = served()


def dashboard_queries() -> Iterator[tuple[str, str]]:
    """The title of each panel, with each of its queries."""
    for panel in json.loads(DASHBOARD.read_text(encoding="utf-8"))["panels"]:
        for target in panel.get("targets", []):
            query = target["expr"]
            for variable, value in VARIABLES.items():
                query = query.replace(variable, value)
            yield panel["title"], query


def rules() -> list[dict[str, Any]]:
    [group] = yaml.safe_load(ALERTS.read_text(encoding="utf-8"))["groups"]
    listed: list[dict[str, Any]] = group["rules"]
    return listed


def faults_in(query: str) -> list[str]:
    """What a query asks for that isn't served: names, labels, and rates of what isn't a counter."""
    faults: list[str] = []

    def note(found: bool, fault: str) -> None:
        if not found:
            faults.append(fault)

    def visit(node: Any) -> set[str]:
        """Notes the faults below; returns the labels that there are."""
        if isinstance(node, promql_parser.MatrixSelector):
            return visit(node.vector_selector)
        if isinstance(node, promql_parser.VectorSelector):
            series = SERVED.get(node.name, Series(frozenset(), "?"))
            note(node.name in SERVED, f"nothing is called {node.name}")
            there = set(series.labels | ADDED)
            for matcher in node.matchers.matchers:
                note(matcher.name in there, f"{node.name} has no label {matcher.name}")
            return there
        if isinstance(node, promql_parser.Call):
            if node.func.name in {"rate", "increase"}:
                name = node.args[0].vector_selector.name
                kind = SERVED.get(name, Series(frozenset(), "counter")).kind
                note(kind in {"counter", "histogram"}, f"{name} is a {kind}: it has no {node.func.name}")
            return set[str]().union(*(visit(argument) for argument in node.args))
        if isinstance(node, promql_parser.AggregateExpr):
            there = visit(node.expr)
            grouping = node.modifier.labels if node.modifier else []
            for label in grouping:
                note(label in there, f"grouped by {label}, which isn't there")
            return set(grouping)
        if isinstance(node, promql_parser.BinaryExpr):
            return visit(node.lhs) | visit(node.rhs)
        if isinstance(node, (promql_parser.ParenExpr, promql_parser.UnaryExpr, promql_parser.SubqueryExpr)):
            return visit(node.expr)
        note(isinstance(node, promql_parser.NumberLiteral), f"not looked at: {node}")
        return set()

    visit(promql_parser.parse(query))
    return faults


@pytest.mark.parametrize(("title", "query"), list(dashboard_queries()))
def test_a_panel_asks_for_what_there_is(title: str, query: str) -> None:
    """By names and labels that a worker serves; rates of counters only."""
    assert [] == faults_in(query)


@pytest.mark.parametrize("rule", rules(), ids=lambda rule: rule["alert"])
def test_an_alert_asks_for_what_there_is(rule: dict[str, Any]) -> None:
    """By names and labels that a worker serves, and what its text names is left by the query."""
    query = rule["expr"]
    assert [] == faults_in(query)
    told = set(re.findall(r"\$labels\.(\w+)", rule["annotations"]["summary"]))
    grouped = set(re.findall(r"\w+", " ".join(re.findall(r"by \(([^)]*)\)", query))))
    assert told <= (grouped or ADDED)


@pytest.mark.parametrize("rule", rules(), ids=lambda rule: rule["alert"])
def test_an_alert_names_its_section_of_the_runbook(rule: dict[str, Any]) -> None:
    """Which is there, and how bad it is."""
    page, _, anchor = rule["annotations"]["runbook"].partition("#")
    assert f"{{ #{anchor} }}" in (ROOT / page).read_text(encoding="utf-8")
    assert rule["labels"]["severity"] in {"warning", "critical"}


@pytest.mark.parametrize(
    ("query", "fault"),
    [
        ("rate(cloudq_tasks_gone_total[5m])", "nothing is called cloudq_tasks_gone_total"),
        ('cloudq_outage{sort="receive"}', "cloudq_outage has no label sort"),
        ("rate(cloudq_worker_ready[5m])", "cloudq_worker_ready is a gauge: it has no rate"),
        ("sum by (task) (cloudq_outage)", "grouped by task, which isn't there"),
    ],
)
def test_a_wrong_query_is_found(query: str, fault: str) -> None:
    """So that the tests above mean something."""
    assert [fault] == faults_in(query)


def test_every_metric_is_used_or_documented() -> None:
    """The reference has each metric, with its labels and its type, and none besides."""
    listed = {
        name: Series(frozenset(re.findall(r"`(\w+)`", labels)), kind)
        for name, kind, labels in re.findall(r"^\| `(cloudq_\w+)` \| (\w+) \| ([^|]*)\|", REFERENCE, re.MULTILINE)
    }
    there: dict[str, Series] = {}
    for name, series in SERVED.items():
        base = re.sub(r"_(bucket|count|sum)$", "", name) if series.kind == "histogram" else name
        there[base] = Series(series.labels - {"le"}, series.kind)
    assert there == listed


def test_every_kind_of_outage_is_documented() -> None:
    """With the section of the runbook, and an alert."""
    table = REFERENCE.partition("| `kind` | 1 while")[2].partition("\n\n")[0]
    assert {kind.value for kind in OutageKind} == set(re.findall(r"^\| `(\w+)` \|", table, re.MULTILINE))
    assert {kind.value for kind in OutageKind} == set(re.findall(r'kind="(\w+)"', " ".join(r["expr"] for r in rules())))


def test_the_panels_of_the_dashboard_lie_side_by_side() -> None:
    """Each has its own id and its own place; Grafana would move what lies upon another one."""
    panels = json.loads(DASHBOARD.read_text(encoding="utf-8"))["panels"]
    assert len(panels) == len({panel["id"] for panel in panels})
    taken: set[tuple[int, int]] = set()
    for panel in panels:
        at = panel["gridPos"]
        cells = {(at["x"] + x, at["y"] + y) for x in range(at["w"]) for y in range(at["h"])}
        assert not cells & taken, panel["title"]
        assert at["x"] + at["w"] <= 24
        taken |= cells


@pytest.mark.slow
def test_promtool_takes_the_rules(tmp_path: Path) -> None:
    """Prometheus' own judge; and by its own evaluation an outage of two minutes is an alert, a shorter one isn't."""
    promtool = find("prometheus", "promtool")
    checked = subprocess.run([promtool, "check", "rules", ALERTS], capture_output=True, text=True, check=False)
    assert (checked.returncode, f"{len(rules())} rules found" in checked.stdout) == (0, True), checked.stderr
    unit = tmp_path / "unit.yml"
    unit.write_text(UNIT.replace("ALERTS", str(ALERTS)))
    tested = subprocess.run([promtool, "test", "rules", unit], capture_output=True, text=True, check=False)
    assert 0 == tested.returncode, tested.stdout + tested.stderr


def test_a_worker_whose_slots_run_long_tasks_raises_no_alarm() -> None:
    """With prefetch, messages wait in its hands for as long as a task runs, and none is started meanwhile."""
    [rule] = [rule for rule in rules() if rule["alert"] == "CloudqNothingStarts"]
    assert 'sum by (instance) (cloudq_deliveries{state="running"}) == 0' in rule["expr"].split(" and ")


# By promtool's evaluation: a short outage, a long one, the first dead letter of a series that begins with 0, and of two
# workers that hold messages and start none the one that runs nothing.
UNIT = """
rule_files: [ALERTS]
evaluation_interval: 30s
tests:
  - interval: 30s
    input_series:
      - series: 'cloudq_worker_info{instance="w"}'
        values: "1x60"
      - series: 'cloudq_outage{kind="receive", queue="brief", instance="w"}'
        values: "0x9 1 1 0x49"
      - series: 'cloudq_outage{kind="receive", queue="long", instance="w"}'
        values: "0x9 1x50"
      - series: 'cloudq_tasks_ended_total{queue="emails", task="mail", outcome="dead_lettered", instance="w"}'
        values: "0x9 1x50"
      - series: 'cloudq_deliveries{state="waiting", instance="long-tasks"}'
        values: "3x60"
      - series: 'cloudq_deliveries{state="running", instance="long-tasks"}'
        values: "1x60"
      - series: 'cloudq_tasks_started_total{queue="emails", task="mail", instance="long-tasks"}'
        values: "1x60"
      - series: 'cloudq_deliveries{state="waiting", instance="stuck"}'
        values: "3x60"
      - series: 'cloudq_deliveries{state="running", instance="stuck"}'
        values: "0x60"
      - series: 'cloudq_tasks_started_total{queue="emails", task="mail", instance="stuck"}'
        values: "1x60"
    alert_rule_test:
      - eval_time: 8m
        alertname: CloudqBackendDown
        exp_alerts:
          - exp_labels: {severity: critical, queue: long}
            exp_annotations:
              summary: Queue long can't be received from
              runbook: docs/how-to/runbook.md#backend-down
      - eval_time: 8m
        alertname: CloudqDeadLetters
        exp_alerts:
          - exp_labels: {severity: warning, queue: emails, task: mail}
            exp_annotations:
              summary: mail of queue emails failed for good
              runbook: docs/how-to/runbook.md#dead-letters
      - eval_time: 8m
        alertname: CloudqNoWorker
        exp_alerts: []
      - eval_time: 25m
        alertname: CloudqNothingStarts
        exp_alerts:
          - exp_labels: {severity: critical, instance: stuck}
            exp_annotations:
              summary: stuck holds messages, runs nothing and starts none of them
              runbook: docs/how-to/runbook.md#late
"""
