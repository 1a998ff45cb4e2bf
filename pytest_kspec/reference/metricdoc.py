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
account of Prometheus. The operator asks the API server (TokenReview, SubjectAccessReview), and remembers the answer for
a minute.

```sh
kubectl create clusterrolebinding kspec-metrics-reader --clusterrole=kspec-metrics-reader \\
  --serviceaccount=monitoring:prometheus-k8s
```

* `--metrics-secure=false`: plain HTTP, for everyone who reaches the address. This is the default for a loopback
  address, such as `127.0.0.1:8080`, which other users of the machine can read.
* `--metrics-cert-dir DIR`: `tls.crt` and `tls.key` of this folder, read again when they change. Without it, each
  replica makes a certificate, which no client can verify: the ServiceMonitor has `insecureSkipVerify`.
* `--metrics-client-ca FILE`: instead of tokens, only clients with a certificate of this authority.

Prometheus sends its token to whoever answers. To verify the operator, mount a Secret of cert-manager for
`kspec-metrics.kspec-system.svc`, name its folder in `--metrics-cert-dir`, and replace `insecureSkipVerify` with
`serverName: kspec-metrics.kspec-system.svc` and `ca`.

## With the Prometheus operator

A Prometheus ignores rules and monitors unless their labels are those that it selects. See what yours selects, write it
into `config/monitoring/kustomization.yaml` (it has `release: kube-prometheus-stack`), and apply rules, monitors and a
ConfigMap with the dashboards:

```sh
kubectl get prometheus -A -o yaml | grep -A3 -e serviceMonitorSelector: -e ruleSelector:
kubectl apply --server-side -k config/monitoring
```

Bind the ClusterRole `kspec-webhook-reader` to the service account of Prometheus, so that it may read the webhook.
Without the Prometheus operator, the annotations `prometheus.io/scrape`, `scheme`, `port` and `path` of the operator's
pods work as in v0.3; the job that follows them also needs `authorization` with a token, and `tls_config`.
`config/monitoring/kspec.rules.yaml` is a plain rules file:

```sh
promtool check rules config/monitoring/kspec.rules.yaml
```

## What the values mean

* A series of a specification, a cluster or a policy that is gone vanishes. So do results that are not known any
  more: if a scan has no result, its score is absent, never that of the last scan. `kspec_last_scan_success` is 0
  then.
* Gauges of results and of the fleet are exposed by the replica that leads alone, so that a sum over replicas does
  not count twice. After a change of the leader they are absent until the next scan.
* Labels are names of clusters, specifications and controllers, and few words; never namespaces, objects or users.
  One metric has at most 50,000 series; `kspec_metric_series_dropped_total` counts what is beyond.
* Counters whose labels are known begin at 0, so that `rate()` sees the first event. A process that starts anew
  counts anew.
* `kspec_cluster_requests_total` counts requests of the operator. Scans are processes of their own, which are not
  scraped.
* The series of the Go runtime and of controller-runtime that v0.3 exposed (`go_*`, `workqueue_*`,
  `controller_runtime_*`, `rest_client_*`) do not exist.
"""

_ALERTS = """\
## Alert rules

The names and severities of v0.3 are kept, since routes and silences name them. Each alert has a `summary`, a
`description` and a `runbook_url`; the page of the runbook is [here](runbooks/alerts.md). Each is tested with
samples that fire it and samples that do not. Of v0.3's rules, these differ:

| alert | |
| --- | --- |
| `KSpecHighPolicyDenialRate`, `KSpecHighWebhookErrorRate` | over all replicas together |
| `KSpecLowComplianceScore` | from 50 to 70; below 50 only `KSpecCriticalComplianceScore` fires |
| `KSpecComplianceScoreDropping` | `$value` is the drop, a positive number |
| `KSpecReconciliationFailures` | more than half of the reconciliations of 30 minutes |
| `KSpecReconciliationSlow`, `KSpecScanDurationHigh` | can fire: the histograms have buckets up to 600 s |
| `KSpecMultipleClustersDown` | counts clusters; v0.3 added up zeros |
| `KSpecHighCertificateRenewalRate` | more than 6 in an hour |
| `KSpecDriftDetected` and other gauges | one alert for a cluster, whichever replica exposes it |
"""


def render() -> str:
    """The page as Markdown."""
    lines = [_INTRO]
    for emitter, title in ((OPERATOR, "Of the operator"), (WEBHOOK, "Of the webhook")):
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
    lines[-1] += "`_total`, and the score in per cent, have a twin that is named as Prometheus names metrics."
    lines += ["", "| v0.3 | twin |", "| --- | --- |"]
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
    said = row.help if row.emitters != (OPERATOR, WEBHOOK) else f"{row.help} Of both."
    return f"| `{row.name}` | {row.kind} | {labels} | {said} |"


def _names(text: str) -> str:
    return ", ".join(f"`{name}`" for name in text.split(", "))


if __name__ == "__main__":
    Path(sys.argv[1]).write_text(render(), encoding="utf-8")
