"""The rules as files: a PrometheusRule, a plain rules file, a ServiceMonitor, and the runbook.

`python -m pytest_kspec.reference.alertfiles config/monitoring docs/runbooks` writes them (`make docs`); a test fails
when they are stale.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import yaml

from pytest_kspec.crds.names import NAMESPACE
from pytest_kspec.reference.alertrules.alert import Alert
from pytest_kspec.reference.alerts import ALERTS, INTERVALS, RECORDINGS

RUNBOOK = "https://kspec.dev/docs/runbooks/alerts"
LABELS = {"app.kubernetes.io/name": "kspec-operator", "app.kubernetes.io/component": "operator"}
PROMETHEUS_LABELS = {"app": "kspec", "prometheus": "kube-prometheus"}
"""As in v0.3. A Prometheus that selects by others takes them from a patch: docs/metrics.md."""

_MADE = "# Generated from pytest_kspec/reference/alerts.py by: make docs\n"


def groups() -> list[dict[str, Any]]:
    """Rule groups as Prometheus reads them."""
    made = []
    for name, interval in INTERVALS.items():
        rules: list[dict[str, Any]] = []
        if name == "kspec.recording":
            rules = [{"record": one.name, "expr": one.expr} for one in RECORDINGS]
        rules += [_rule(one) for one in ALERTS if one.group == name]
        made.append({"name": name, "interval": interval, "rules": rules})
    return made


def _rule(alert: Alert) -> dict[str, Any]:
    return {
        "alert": alert.name,
        "expr": alert.expr,
        "for": alert.after,
        "labels": {"severity": alert.severity, "component": alert.group.removeprefix("kspec.")},
        "annotations": {
            "summary": alert.summary,
            "description": alert.description,
            "runbook_url": f"{RUNBOOK}#{alert.name.lower()}",
        },
    }


def files() -> dict[str, str]:
    """Manifests by name, for `config/monitoring`."""
    rule = {
        "apiVersion": "monitoring.coreos.com/v1",
        "kind": "PrometheusRule",
        "metadata": {"name": "kspec-alerts", "namespace": NAMESPACE, "labels": PROMETHEUS_LABELS},
        "spec": {"groups": groups()},
    }
    https = {
        "path": "/metrics",
        "scheme": "https",
        "interval": "30s",
        "bearerTokenFile": "/var/run/secrets/kubernetes.io/serviceaccount/token",
    }
    # Each replica makes its certificate, as that of controller-runtime does; docs/metrics.md has one that is verified.
    operator = _monitor(
        "kspec-controller",
        LABELS,
        [{"port": "metrics"} | https | {"tlsConfig": {"insecureSkipVerify": True}}],
    )
    read = {
        "port": "read",
        **https,
        "tlsConfig": {
            "serverName": f"kspec-webhook.{NAMESPACE}.svc",
            "ca": {"secret": {"name": "kspec-webhook-tls", "key": "ca.crt"}},
        },
    }
    webhook = _monitor("kspec-webhook", {"app.kubernetes.io/name": "kspec-webhook"}, [read])
    return {
        "kspec.rules.yaml": _MADE + _yaml({"groups": groups()}),
        "prometheusrule.yaml": _MADE + _yaml(rule),
        "servicemonitor.yaml": _MADE + "---\n".join(map(_yaml, (operator, webhook))),
    }


def _monitor(name: str, selected: dict[str, str], endpoints: list[dict[str, Any]]) -> dict[str, Any]:
    return {
        "apiVersion": "monitoring.coreos.com/v1",
        "kind": "ServiceMonitor",
        "metadata": {"name": name, "namespace": NAMESPACE, "labels": PROMETHEUS_LABELS},
        "spec": {
            "selector": {"matchLabels": selected},
            "namespaceSelector": {"matchNames": [NAMESPACE]},
            "endpoints": endpoints,
        },
    }


def _yaml(value: object) -> str:
    return str(yaml.safe_dump(value, sort_keys=False, width=10_000))


_INTRO = f"""\
# Runbook of the alerts

One section an alert of [config/monitoring](../metrics.md#alert-rules), to which `runbook_url` of the alert leads. Made
by `make docs`. `NAME` is the specification or cluster that the labels of the alert name; the namespace is
`{NAMESPACE}`.

To silence one while you work on it:

```sh
amtool silence add alertname=KSpecDriftDetected cluster_spec=NAME --duration 2h --comment "being corrected"
```
"""


def runbook() -> str:
    """The page as Markdown."""
    lines = [_INTRO]
    for one in ALERTS:
        lines += [
            f"## {one.name}",
            "",
            f"*{one.severity}*, after {one.after}" + (", as in v0.3" if one.v03 else ""),
        ]
        lines[-1] += "."
        lines += [
            "",
            one.cause,
            "",
            "```promql",
            one.expr,
            "```",
            "",
            "Look first:",
            "",
            "```sh",
            *one.look,
            "```",
            "",
        ]
        lines += [f"What to change: {one.mend}", ""]
    return "\n".join(lines)


def main() -> None:
    """Write them."""
    config, pages = Path(sys.argv[1]), Path(sys.argv[2])
    for folder in (config, pages):
        folder.mkdir(parents=True, exist_ok=True)
    for name, text in files().items():
        (config / name).write_text(text, encoding="utf-8")
    (pages / "alerts.md").write_text(runbook(), encoding="utf-8")


if __name__ == "__main__":
    main()
