"""The alerts and the dashboard name metrics and labels that exist, and headings of the manual."""

from __future__ import annotations

import copy
import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.telemetry.expressions import (
    ALERTS,
    DASHBOARD,
    EXPRESSIONS,
    RULES,
    labels_told,
    named_in,
    parsed,
)

ROOT = Path(__file__).parents[2]
DEPLOY = ROOT / "deploy" / "prometheus"
TESTS = yaml.safe_load((DEPLOY / "rules_test.yml").read_text())["tests"]
PROMTOOL = shutil.which("promtool", path=f"{os.environ['PATH']}:{ROOT}/build/prometheus/usr/bin")
MISSING = "promtool is not on this machine (it is in Debian's package prometheus)"
MANUAL = (ROOT / "docs" / "operations.md").read_text()
UNITS = {"s": "_seconds"}
LOOP_LAG = "lockstep_event_loop_lag_seconds"
HISTOGRAM = ("_bucket", "_sum", "_count")


def metrics_in(source: Path) -> Iterator[str]:
    """Return the names, as Prometheus has them, of the instruments that a module creates."""
    pattern = (
        r"(?:create_(histogram|counter|observable_\w+)|\.(gauge)|_(histogram))"
        r'\(\s*(?:meter,\s*)?f?"([\w.{}]+)"'
    )
    text = source.read_text()
    for match in re.finditer(pattern, text):
        kind, name = match[1] or match[2] or match[3], match[4]
        name = name.replace("{connections}", "db.client.connection").replace(".", "_")
        unit = re.search(r'unit="([^"]*)"', text[match.end() : match.end() + 300])
        if kind == "histogram":
            yield from (f"{name}_seconds{suffix}" for suffix in HISTOGRAM)
        elif kind.endswith("counter") and "up_down" not in kind:
            yield f"{name}_total"
        else:
            yield name + UNITS.get(unit[1] if unit else "", "")


SOURCES = [*(ROOT / "services").rglob("*.py"), *(ROOT / "gateway" / "src").rglob("*.py")]
METRICS = {name for source in SOURCES for name in metrics_in(source)} | {
    "process_resident_memory_bytes",
    "process_cpu_seconds_total",
}
LABELS = {
    match.replace(".", "_")
    for source in SOURCES
    for match in re.findall(r'"((?:rpc|error|db|lockstep|http)\.[a-z_.]+)"', source.read_text())
}


@pytest.mark.parametrize("expression", EXPRESSIONS)
def test_an_expression_can_be_parsed(expression: str) -> None:
    parsed(expression)


@pytest.mark.parametrize("expression", EXPRESSIONS)
def test_an_expression_names_only_metrics_and_labels_that_exist(expression: str) -> None:
    bare = re.sub(r'"[^"]*"', "", expression)
    names = set(re.findall(r"\b(?:lockstep|rpc|db_client|http_server|process)_\w+", bare))
    labels = {name for name in names if name in LABELS}
    assert names - labels - METRICS == set()


def test_the_check_of_names_finds_a_misspelling() -> None:
    assert "lockstep_saga_due_age_seconds" in METRICS
    assert "rpc_server_call_duration_seconds_bucket" in METRICS
    assert "lockstep_outbox_expired_total" in METRICS
    assert "lockstep_saga_due_age" not in METRICS


def test_the_tree_of_an_expression_tells_what_it_names() -> None:
    expression = 'max by (job, a) (rate(one{b!=""}[5m])) / (2 * two) > 0.5'
    assert named_in(expression) == {("one", ""), ("one", "a"), ("one", "b"), ("two", "")}


@pytest.mark.parametrize("rule", ALERTS, ids=lambda rule: rule["alert"])
def test_the_texts_of_an_alert_name_labels_that_it_keeps(rule: dict[str, Any]) -> None:
    kept = {label for _, label in named_in(rule["expr"])} | {"job", "instance"}
    assert labels_told(rule) <= kept


@pytest.mark.parametrize("rule", ALERTS, ids=lambda rule: rule["alert"])
def test_an_alert_has_its_entry_in_the_manual(rule: dict[str, Any]) -> None:
    assert f"\n### {rule['alert']}\n" in MANUAL
    page, _, anchor = rule["annotations"]["runbook_url"].partition("#")
    assert (page, anchor) == ("docs/operations.md", rule["alert"].lower())


@pytest.mark.parametrize("alert", [rule["alert"] for rule in ALERTS])
def test_an_alert_is_tested_quiet_before_it_fires(alert: str) -> None:
    (own,) = [
        each["alert_rule_test"]
        for each in TESTS
        if any(looked["alertname"] == alert for looked in each["alert_rule_test"])
    ]
    fires = [bool(looked.get("exp_alerts")) for looked in own]
    assert {looked["alertname"] for looked in own} == {alert}
    assert fires.index(True) > 0


def promtool(*arguments: str, folder: Path = DEPLOY) -> subprocess.CompletedProcess[str]:
    """Run promtool, which gives up by itself."""
    if PROMTOOL is None:
        pytest.skip(MISSING)
    return subprocess.run(
        [PROMTOOL, *arguments], cwd=folder, capture_output=True, text=True, check=False, timeout=60
    )


def test_prometheus_takes_the_rules() -> None:
    checked = promtool("check", "rules", "rules.yml")
    assert checked.returncode == 0, checked.stderr
    assert f"{len(ALERTS)} rules found" in checked.stdout


def test_the_alerts_fire_when_they_should() -> None:
    tested = promtool("test", "rules", "rules_test.yml")
    assert tested.returncode == 0, tested.stdout + tested.stderr


@pytest.mark.parametrize("alert", [rule["alert"] for rule in ALERTS])
def test_an_alert_that_never_fires_fails_its_test(alert: str, tmp_path: Path) -> None:
    rules = copy.deepcopy(RULES)
    (rule,) = [each for each in rules["groups"][0]["rules"] if each["alert"] == alert]
    rule["expr"] = f"({rule['expr']}) and vector(0) > 1"
    (tmp_path / "rules.yml").write_text(yaml.safe_dump(rules))
    shutil.copy(DEPLOY / "rules_test.yml", tmp_path)
    tested = promtool("test", "rules", "rules_test.yml", folder=tmp_path)
    assert tested.returncode == 1
    assert f"alertname: {alert}" in tested.stdout + tested.stderr


def test_the_dashboard_shows_events_the_relay_and_webhooks() -> None:
    kinds = ("lockstep_event", "lockstep_relay", "lockstep_webhook")
    ours = {name for name in METRICS if name.startswith(kinds)} - {LOOP_LAG}
    panels = DASHBOARD["panels"]
    shown = {
        metric
        for panel in panels
        for target in panel.get("targets", ())
        for metric, _ in named_in(target["expr"])
    }
    assert len(ours) >= 10
    assert ours - shown == set()


def test_the_panels_of_the_dashboard_lie_beside_each_other() -> None:
    places = [panel["gridPos"] for panel in DASHBOARD["panels"]]
    assert len({(place["x"], place["y"]) for place in places}) == len(places)
    assert len({panel["id"] for panel in DASHBOARD["panels"]}) == len(places)


def test_the_manual_describes_no_other_alert() -> None:
    section = MANUAL.partition("\n## Alerts\n")[2].partition("\n## ")[0]
    assert re.findall(r"^### (\w+)$", section, re.MULTILINE) == [rule["alert"] for rule in ALERTS]


def test_the_manual_names_every_metric_of_ours() -> None:
    section = MANUAL.partition("## Metrics, liveness")[2].partition("\n## ")[0]
    named = set[str]()
    for row in section.splitlines():
        stem = ""
        for name in re.findall(r"`(\w+)`", row.split("|")[1] if row.startswith("| `") else ""):
            # `_due` after `lockstep_saga_unfinished` stands for `lockstep_saga_due`.
            named.add(f"{stem}{name}" if name.startswith("_") else name)
            if not name.startswith("_"):
                stem = re.sub(
                    r"_(unfinished|ended_total|waiting|sent_total|rows_total|count)$", "", name
                )
    bare = {
        re.sub(r"_(bucket|sum|count)$", "", name) if "duration" in name else name
        for name in METRICS
    }
    assert {name for name in bare if not name.startswith("process_")} - named == set()
