"""The rules, as promtool checks and runs them; every metric and label of them is in the table."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from pytest_kspec.crds.names import NAMESPACE
from pytest_kspec.enforce.webhook_install import manifests
from pytest_kspec.observe.table import ROWS
from pytest_kspec.reference import alertfiles, metricdoc
from pytest_kspec.reference.alertrules.alert import Alert
from pytest_kspec.reference.alerts import ALERTS, INTERVALS, RECORDINGS
from tests.docs.pages import ROOT
from tests.observe.alert_cases import CASES, Case, Series

MONITORING = ROOT / "config" / "monitoring"
V03 = {
    "KSpecCircuitBreakerTripped": ("kspec.webhooks", "critical", "1m"),
    "KSpecHighWebhookErrorRate": ("kspec.webhooks", "warning", "5m"),
    "KSpecWebhookLatencyHigh": ("kspec.webhooks", "warning", "5m"),
    "KSpecHighPolicyDenialRate": ("kspec.webhooks", "warning", "10m"),
    "KSpecPolicyEnforcementDisabled": ("kspec.webhooks", "info", "15m"),
    "KSpecLowComplianceScore": ("kspec.compliance", "warning", "10m"),
    "KSpecCriticalComplianceScore": ("kspec.compliance", "critical", "5m"),
    "KSpecComplianceScoreDropping": ("kspec.compliance", "warning", "5m"),
    "KSpecDriftDetected": ("kspec.drift", "warning", "5m"),
    "KSpecHighDriftEventRate": ("kspec.drift", "warning", "10m"),
    "KSpecReconciliationFailures": ("kspec.controller", "warning", "5m"),
    "KSpecReconciliationSlow": ("kspec.controller", "warning", "10m"),
    "KSpecScanDurationHigh": ("kspec.controller", "warning", "10m"),
    "KSpecClusterTargetUnhealthy": ("kspec.cluster", "critical", "5m"),
    "KSpecMultipleClustersDown": ("kspec.cluster", "critical", "5m"),
    "KSpecCertificateProvisioningSlow": ("kspec.certificates", "warning", "10m"),
    "KSpecHighCertificateRenewalRate": ("kspec.certificates", "warning", "15m"),
}


def promtool(*words: str | Path) -> None:
    found = shutil.which("promtool")
    assert found, "promtool is not installed: apt-get install prometheus"
    done = subprocess.run([found, *map(str, words)], capture_output=True, text=True, timeout=600, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_files_are_those_of_the_rules() -> None:
    for name, text in alertfiles.files().items():
        assert (MONITORING / name).read_text(encoding="utf-8") == text, "run: make docs"
    page = ROOT / "docs" / "runbooks" / "alerts.md"
    assert page.read_text(encoding="utf-8") == alertfiles.runbook(), "run: make docs"


def test_promtool_accepts_them() -> None:
    promtool("check", "rules", MONITORING / "kspec.rules.yaml")


def test_names_severities_and_times_of_v03_are_kept() -> None:
    assert {one.name: (one.group, one.severity, one.after) for one in ALERTS if one.v03} == V03
    assert len({one.name for one in ALERTS}) == len(ALERTS) > 30
    assert {one.group for one in ALERTS} <= INTERVALS.keys()
    assert {one.severity for one in ALERTS} == {"critical", "warning", "info"}
    assert len(RECORDINGS) > 5


def _tested(name: str, alert: Alert, case: Case, series: Series, *, fires: bool) -> dict[str, Any]:
    def shown(text: str) -> str:
        text = re.sub(r"\{\{ \$labels\.(\w+) \}\}", lambda found: case.labels[found[1]], text)
        return re.sub(r"\{\{ \$value[^}]*\}\}", case.value, text)

    expected = {
        "exp_labels": {
            **case.labels,
            "severity": alert.severity,
            "component": alert.group.removeprefix("kspec."),
        },
        "exp_annotations": {
            "summary": shown(alert.summary),
            "description": shown(alert.description),
            "runbook_url": f"{alertfiles.RUNBOOK}#{name.lower()}",
        },
    }
    return {
        "name": f"{name} {'fires' if fires else 'does not fire'}",
        "interval": "1m",
        "input_series": [{"series": key, "values": values} for key, values in series.items()],
        "alert_rule_test": [
            {"eval_time": f"{case.at}m", "alertname": name, "exp_alerts": [expected] if fires else []}
        ],
    }


def _name(title: str) -> str:
    """Of the alert: a case for each metric that may raise it has more in its title."""
    return title.partition(" ")[0]


def test_each_alert_fires_when_it_should_and_not_otherwise(tmp_path: Path) -> None:
    alerts = {one.name: one for one in ALERTS}
    assert {_name(title) for title in CASES} == alerts.keys()
    tests = []
    for title, case in CASES.items():
        alert = alerts[_name(title)]
        tests.append(_tested(alert.name, alert, case, case.fires, fires=True))
        tests.append(_tested(alert.name, alert, case, case.quiet, fires=False))
    path = tmp_path / "tests.yaml"
    document = {
        "rule_files": [str(MONITORING / "kspec.rules.yaml")],
        "evaluation_interval": "1m",
        "tests": tests,
    }
    path.write_text(yaml.safe_dump(document, sort_keys=False), encoding="utf-8")
    promtool("test", "rules", path)


def test_each_alert_has_a_section_of_the_runbook_where_its_link_leads() -> None:
    page = (ROOT / "docs" / "runbooks" / "alerts.md").read_text(encoding="utf-8")
    anchors = {heading.lower() for heading in re.findall(r"^## (\w+)$", page, re.M)}
    assert anchors == {alertfiles.RUNBOOK and one.name.lower() for one in ALERTS}
    for one in ALERTS:
        assert 1 <= len(one.look) <= 3
        assert one.summary[-1] != "."


def test_monitors_select_what_the_manifests_have() -> None:
    monitors = list(yaml.safe_load_all((MONITORING / "servicemonitor.yaml").read_text(encoding="utf-8")))
    service = yaml.safe_load((ROOT / "config" / "manager" / "service.yaml").read_text(encoding="utf-8"))
    (webhook,) = [
        one for one in manifests("kspec", NAMESPACE, "kspec-webhook", None) if one["kind"] == "Service"
    ]
    for monitor, found in zip(monitors, (service, webhook), strict=True):
        wanted = monitor["spec"]["selector"]["matchLabels"]
        assert wanted.items() <= found["metadata"]["labels"].items()
        (endpoint,) = monitor["spec"]["endpoints"]
        assert endpoint["port"] in {port["name"] for port in found["spec"]["ports"]}


def test_the_kustomization_has_all_of_it() -> None:
    kubectl = Path(sys.executable).with_name("kubectl")
    done = subprocess.run([kubectl, "kustomize", MONITORING], capture_output=True, check=True, timeout=60)
    made = {(one["kind"], one["metadata"]["name"]): one for one in yaml.safe_load_all(done.stdout)}
    assert made.keys() == {
        ("ConfigMap", "kspec-dashboards"),
        ("PrometheusRule", "kspec-alerts"),
        ("ServiceMonitor", "kspec-controller"),
        ("ServiceMonitor", "kspec-webhook"),
    }
    for (kind, _), one in made.items():
        labels = one["metadata"]["labels"]
        assert labels["release"] == "kube-prometheus-stack"
        assert (labels.get("grafana_dashboard") == "1") == (kind == "ConfigMap")
    files = {path.name for path in (MONITORING / "dashboards").iterdir()}
    assert made["ConfigMap", "kspec-dashboards"]["data"].keys() == files
    selector = made["ServiceMonitor", "kspec-controller"]["spec"]["selector"]["matchLabels"]
    assert "release" not in selector


@pytest.mark.parametrize("alert", ALERTS, ids=lambda one: one.name)
def test_labels_of_texts_are_those_of_the_expression(alert: Alert) -> None:
    used = set(re.findall(r"\$labels\.(\w+)", alert.summary + alert.description))
    assert used <= CASES[alert.name].labels.keys()


_COUNTS = [
    one
    for one in ALERTS
    if "increase(" in one.expr
    and not {"/", "histogram_quantile"} & {*one.expr.split(), one.expr.split("(")[0]}
]


@pytest.mark.parametrize("alert", _COUNTS, ids=lambda one: one.name)
def test_counts_of_events_are_shown_as_whole_numbers(alert: Alert) -> None:
    """increase() extrapolates: 2 events are 2.019."""
    assert "$value | humanize" not in alert.description


def test_the_page_is_that_of_the_table() -> None:
    page = (ROOT / "docs" / "metrics.md").read_text(encoding="utf-8")
    assert page == metricdoc.render(), "run: make docs"
    assert sum(row.v03 for row in ROWS) == 32
    assert len(ROWS) > 32 + 25
