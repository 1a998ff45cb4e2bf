"""docs/metrics.md, generated from the table of metrics and the alert rules.

`python -m pytest_kspec.reference.metricdoc docs/metrics.md` writes it (`make docs`); a test fails when it is stale.
"""

from __future__ import annotations

import sys
from pathlib import Path

from pytest_kspec.observe.table import OPERATOR, ROWS, WEBHOOK, Row
from pytest_kspec.reference.alerts import ALERTS, INTERVALS, RECORDINGS

_INTRO = """\
# Metrics and alerts

The operator and the webhook expose metrics for Prometheus. This page is generated from the table in the code
(`pytest_kspec/observe/table.py`, `make docs`); the alert rules and the [dashboards](dashboards.md) are tested
against it with a real Prometheus.

| | address | access |
| --- | --- | --- |
| `kspec operator` | `/metrics` at `--metrics-bind-address` (`:8080`), HTTPS | [token or client certificate](#access) |
| `kspec webhook` | `/metrics` at `--read-port` (9444), HTTPS | [token or client certificate](webhook.md#metrics) |

One client reads them at most 10 times a second, 20 at once; beyond that the answer is 429 with `Retry-After`. The
client is the address of the connection, whatever its headers say. The operator compresses its answer where the
client accepts gzip, as Prometheus does.

![Score, findings and drift of a specification in a real Prometheus, while its cluster breaks](images/metrics.png)

## Access

Metrics name clusters and specifications. The operator therefore serves them over HTTPS, for clients with a bearer
token of a user who may `get` the nonResourceURL `/metrics`: bind the ClusterRole `kspec-metrics-reader` to the service
account of Prometheus. The operator queries the API server (TokenReview, SubjectAccessReview), and caches the answer for
a minute.

```sh
kubectl create clusterrolebinding kspec-metrics-reader --clusterrole=kspec-metrics-reader \\
  --serviceaccount=monitoring:prometheus-k8s
```

* `--metrics-secure=false`: plain HTTP without authentication, for everyone who can reach the address. This is the
  default for a loopback address, such as `127.0.0.1:8080`, which other users of the machine can read.
* `--metrics-cert-dir DIR`: `tls.crt` and `tls.key` in this folder, which are read again when they change. Without this
  option, each replica creates a certificate that clients cannot verify: the ServiceMonitor has `insecureSkipVerify`.
* `--metrics-client-ca FILE`: instead of a token, clients need a certificate of this authority.

With `insecureSkipVerify`, Prometheus sends its token to any server at the address. To verify the operator, mount a
Secret of cert-manager for `kspec-metrics.kspec-system.svc`, give its folder to `--metrics-cert-dir`, and replace
`insecureSkipVerify` with `serverName: kspec-metrics.kspec-system.svc` and `ca`.

## With the Prometheus operator

Prometheus ignores rules and monitors without the labels that it selects. Find out which labels your Prometheus selects,
and write them into `config/monitoring/kustomization.yaml` (which has `release: kube-prometheus-stack`). Then apply
rules, monitors and a ConfigMap with the dashboards:

```sh
kubectl get prometheus -A -o yaml | grep -A3 -e serviceMonitorSelector: -e ruleSelector:
kubectl apply --server-side -k config/monitoring
```

Bind the ClusterRole `kspec-webhook-reader` to the service account of Prometheus, so that it may read the webhook.
Without the Prometheus operator, the annotations `prometheus.io/scrape`, `scheme`, `port` and `path` of the operator's
pods work as in v0.3; the scrape job that uses them also needs `authorization` with a token, and `tls_config`.
`config/monitoring/kspec.rules.yaml` is a plain rules file:

```sh
promtool check rules config/monitoring/kspec.rules.yaml
```

## What the values mean

* The series of a specification, a cluster or a policy disappear when it is deleted. Values that are no longer known
  also disappear: if a scan does not have a result, its score is absent instead of that of the last scan, and
  `kspec_last_scan_success` is 0.
* Only the leader exposes gauges of results and of the fleet, so that a sum over replicas does not count them twice.
  After a change of the leader, they are absent until the next scan.
* Label values are names of clusters, specifications and controllers, and a few fixed words; never names of namespaces,
  objects or users. A metric has at most 50,000 series; `kspec_metric_series_dropped_total` counts the others.
* Counters whose label values are known in advance start at 0, so that `rate()` includes the first event. All counters
  start at 0 again when the process restarts.
* `kspec_cluster_requests_total` counts requests of the operator. Scans run in separate processes, which are not
  scraped.
* The series of the Go runtime and of controller-runtime that v0.3 exposed (`go_*`, `workqueue_*`,
  `controller_runtime_*`, `rest_client_*`) do not exist.
"""

_ALERTS = """\
## Alert rules

Alerts keep the names and severities of v0.3, because routes and silences use them. Each alert has a `summary`, a
`description` and a `runbook_url`, which leads to the [runbook](runbooks/alerts.md). The tests evaluate each alert with
samples for which it fires and samples for which it does not. These rules differ from v0.3:

| alert | |
| --- | --- |
| `KSpecHighPolicyDenialRate`, `KSpecHighWebhookErrorRate` | computed over all replicas together |
| `KSpecLowComplianceScore` | fires for scores from 50 to 70; below 50 only `KSpecCriticalComplianceScore` fires |
| `KSpecComplianceScoreDropping` | `$value` is the decrease, as a positive number |
| `KSpecReconciliationFailures` | fires if more than half of the reconciliations of 30 minutes fail |
| `KSpecReconciliationSlow`, `KSpecScanDurationHigh` | can fire, because the histograms have buckets up to 600 s |
| `KSpecMultipleClustersDown` | counts clusters; v0.3 added up zeros |
| `KSpecHighCertificateRenewalRate` | fires for more than 6 renewals in an hour |
| `KSpecDriftDetected` and other alerts about gauges | one alert for each cluster, whichever replica exposes the gauge |
"""


def render() -> str:
    """The page as Markdown."""
    lines = [_INTRO]
    for emitter, title in ((OPERATOR, "Metrics of the operator"), (WEBHOOK, "Metrics of the webhook")):
        lines += [f"## {title}", "", "| metric | type | labels | |", "| --- | --- | --- | --- |"]
        lines += [_row(row) for row in ROWS if emitter in row.emitters]
        lines.append("")
    lines += ["### Buckets", "", "| histogram | upper bounds in seconds |", "| --- | --- |"]
    lines += [
        f"| `{row.name}` | {', '.join(f'{bound:g}' for bound in row.buckets)} |"
        for row in ROWS
        if row.buckets
    ]
    lines += [
        "",
        "## From v0.3",
        "",
        "All 32 metrics of v0.3 exist with their labels. Gauges whose name ends in ",
    ]
    lines[-1] += "`_total`, and the score in per cent, also exist with a name that follows the "
    lines[-1] += "conventions of Prometheus:"
    lines += ["", "| v0.3 | also exists as |", "| --- | --- |"]
    lines += [f"| `{row.name}` | {_names(row.twin)} |" for row in ROWS if row.twin]
    lines += ["", _ALERTS]
    for group in INTERVALS:
        alerts = [one for one in ALERTS if one.group == group]
        if alerts:
            lines += [f"### {group}", "", "| alert | severity | after | |", "| --- | --- | --- | --- |"]
            lines += [
                f"| [`{one.name}`](runbooks/alerts.md#{one.name.lower()}) "
                f"| {one.severity} | {one.after} | {one.cause} |"
                for one in alerts
            ]
            lines.append("")
    lines += ["## Recording rules", "", "| name | query |", "| --- | --- |"]
    lines += [f"| `{one.name}` | `{one.expr}` |" for one in RECORDINGS]
    return "\n".join(lines) + "\n"


def _row(row: Row) -> str:
    labels = ", ".join(
        f"`{label}`" + (f" ({', '.join(row.values[label])})" if label in row.values else "")
        for label in row.labels
    )
    said = row.help if row.emitters != (OPERATOR, WEBHOOK) else f"{row.help} Operator and webhook."
    return f"| `{row.name}` | {row.kind} | {labels} | {said} |"


def _names(text: str) -> str:
    return ", ".join(f"`{name}`" for name in text.split(", "))


if __name__ == "__main__":
    Path(sys.argv[1]).write_text(render(), encoding="utf-8")
