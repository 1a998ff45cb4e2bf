"""The alert and recording rules, as data: `alertfiles` makes the manifests and the runbook of them.

Names and severities of v0.3 are kept, since routes and silences name them. Thresholds hold for all replicas together. A
warning ends by its own expression where its critical one begins. No percentile is compared with more than the largest
bucket.
"""

from __future__ import annotations

from typing import NamedTuple

from pytest_kspec.reference.alertrules.alert import CS, Alert
from pytest_kspec.reference.alertrules.operation import CLUSTERS, CONTROLLER
from pytest_kspec.reference.alertrules.results import COMPLIANCE, DRIFT
from pytest_kspec.reference.alertrules.webhook import CERTIFICATES, WEBHOOKS


class Recording(NamedTuple):
    """One recorded query."""

    name: str
    expr: str


INTERVALS = {
    "kspec.recording": "30s",
    "kspec.webhooks": "30s",
    "kspec.compliance": "1m",
    "kspec.drift": "1m",
    "kspec.controller": "1m",
    "kspec.cluster": "1m",
    "kspec.certificates": "5m",
}
"""Groups, in order, and how often they are evaluated."""


def _quantile(share: str, metric: str, by: str = "", window: str = "5m") -> str:
    labels = f"le, {by}" if by else "le"
    return f"histogram_quantile({share}, sum by ({labels}) (rate({metric}_bucket[{window}])))"


RECORDINGS: tuple[Recording, ...] = (
    *(
        Recording(
            f"kspec:webhook_request_duration_seconds:p{share}",
            _quantile(f"0.{share}", "kspec_webhook_request_duration_seconds"),
        )
        for share in ("50", "95", "99")
    ),
    Recording("kspec:webhook_requests:rate5m", "sum by (result) (rate(kspec_webhook_requests_total[5m]))"),
    Recording(
        "kspec:scan_duration_seconds:p95",
        _quantile("0.95", "kspec_scan_duration_seconds", "cluster_name", "30m"),
    ),
    Recording(
        "kspec:reconcile_duration_seconds:p95",
        _quantile("0.95", "kspec_reconcile_duration_seconds", "controller", "30m"),
    ),
    Recording(
        "kspec:cluster_request_duration_seconds:p99",
        _quantile("0.99", "kspec_cluster_request_duration_seconds"),
    ),
    Recording(
        "kspec:run_duration_seconds:mean6h",
        "sum by (cluster_spec) (rate(kspec_run_duration_seconds_sum[6h])) "
        "/ sum by (cluster_spec) (rate(kspec_run_duration_seconds_count[6h]) > 0)",
    ),
    Recording("kspec:compliance_score:min", f"min by ({CS}) (kspec_compliance_score)"),
    Recording(
        "kspec:fleet_coverage:ratio",
        'sum(kspec_fleet_clusters{state="healthy"}) / sum(kspec_fleet_clusters{state="all"} > 0)',
    ),
)

ALERTS: tuple[Alert, ...] = (*WEBHOOKS, *COMPLIANCE, *DRIFT, *CONTROLLER, *CLUSTERS, *CERTIFICATES)
