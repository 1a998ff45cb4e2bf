"""Every metric, once: the code emits these, and docs/metrics.md, the alert rules and the dashboards are made of them or
compared with them.

A new metric is a line here and a call of `Registry.set`, `count` or `observe`. Labels are bounded: names of clusters,
specifications and controllers, and words that a line lists; never namespaces, objects, users or messages.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal, NamedTuple

Kind = Literal["gauge", "counter", "histogram"]

OPERATOR, WEBHOOK = "operator", "webhook"
"""Who emits a metric: `kspec operator`, `kspec webhook`."""

PREFIX = "kspec_"

CLUSTER_SPEC = ("cluster_name", "cluster_spec")
CLUSTER_UID_SPEC = ("cluster_name", "cluster_uid", "cluster_spec")
UID = ("cluster_uid",)
"""Information: a cluster of another UID under the same name replaces its series."""

_LONG_S = (0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0, 600.0)
"""Scans and reconciliations: with the bounds of v0.3 (to 10 s), and those that alerts on 30 s and 60 s need."""

_RUN_S = (10.0, 30.0, 60.0, 120.0, 300.0, 600.0, 1200.0, 1800.0, 3600.0, 7200.0)
"""Runs over a fleet: by default one that takes two hours is ended."""

_REVIEW_S = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
_REQUEST_S = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)

STATUSES = ("passed", "failed", "error", "skipped")
SEVERITIES = ("critical", "high", "medium", "low")
MODES = ("monitor", "audit", "enforce")
SHARDS = ("waiting", "done", "failed")
DRIFT_KINDS = ("missing", "modified", "extra", "violation")


class Row(NamedTuple):
    """One metric.

    labels:  their names, in the order in which values are given
    values:  of labels that have few values: all of them; series of such labels alone begin at 0
    info:    labels that describe what the others identify: a new value replaces the series
    buckets: upper bounds in seconds
    v03:     v0.3 had it; twin: what replaces a name of v0.3 that is not as Prometheus names metrics
    leader:  what the replica that leads knows: the others do not expose it
    """

    name: str
    kind: Kind
    emitters: tuple[str, ...]
    help: str
    labels: tuple[str, ...] = ()
    values: Mapping[str, tuple[str, ...]] = {}
    info: tuple[str, ...] = ()
    buckets: tuple[float, ...] = ()
    v03: bool = False
    twin: str = ""
    leader: bool = False


_CS, _CUS = CLUSTER_SPEC, CLUSTER_UID_SPEC
_TARGET = ("cluster_name", "namespace")
_RECONCILED = ("controller", "cluster_spec")
_STATUS = {"status": STATUSES}
_KINDS = {"drift_kind": DRIFT_KINDS}
_ACTIONS = {"action": ("create", "update", "delete")}
_MODES = {"mode": MODES}
_FLEET = ("clusters_total", "clusters_healthy", "checks_total", "checks_passed", "checks_failed")
_REVIEWED = ("success", "error", "circuit_breaker_tripped", "bad_request", "limited")


def _gauge(name: str, text: str, *labels: str, **more: Any) -> Row:
    return Row(PREFIX + name, "gauge", (OPERATOR,), text, labels, **{"leader": True, **more})


def _counter(name: str, text: str, *labels: str, **more: Any) -> Row:
    return Row(PREFIX + name, "counter", (OPERATOR,), text, labels, **{"leader": True, **more})


def _histogram(name: str, text: str, *labels: str, buckets: tuple[float, ...], **more: Any) -> Row:
    return Row(
        PREFIX + name, "histogram", (OPERATOR,), text, labels, buckets=buckets, **{"leader": True, **more}
    )


def _webhook(name: str, kind: Kind, text: str, *labels: str, **more: Any) -> Row:
    return Row(PREFIX + name, kind, (WEBHOOK,), text, labels, **more)


_OWN: dict[str, Any] = {"leader": False}
_V03: dict[str, Any] = {"v03": True}

ROWS: tuple[Row, ...] = (
    # -- results of scans
    _gauge(
        "compliance_checks_total",
        "Requirements of the last scan, skipped ones included.",
        *_CUS,
        info=UID,
        twin="kspec_compliance_checks",
        **_V03,
    ),
    _gauge("compliance_checks_passed", "Requirements of the last scan that passed.", *_CUS, info=UID, **_V03),
    _gauge("compliance_checks_failed", "Requirements of the last scan that failed.", *_CUS, info=UID, **_V03),
    _gauge("compliance_checks", "Requirements of the last scan by status.", *_CS, "status", values=_STATUS),
    _gauge(
        "compliance_score",
        "Score of the last scan, 0 to 100, over requirements that apply. Absent while the result is unknown.",
        *_CUS,
        info=UID,
        twin="kspec_compliance_score_ratio",
        **_V03,
    ),
    _gauge(
        "compliance_score_ratio",
        "Score of the last scan, 0 to 1, over requirements that apply. Absent while the result is unknown.",
        *_CS,
    ),
    _gauge(
        "findings",
        "Open findings of the last scan by severity of their requirement: neither exempted nor in a baseline.",
        *_CS,
        "severity",
        values={"severity": SEVERITIES},
    ),
    _gauge(
        "exemptions",
        "Exemptions of the specification at the last scan, by state.",
        *_CS,
        "state",
        values={"state": ("used", "unused", "expired", "unknown")},
    ),
    _gauge(
        "exemption_expiry_timestamp_seconds",
        "Unix time at which the first active exemption ends. Absent if none of them ends.",
        *_CS,
    ),
    _gauge("last_scan_timestamp_seconds", "Unix time at which the last scan with a result ended.", *_CS),
    _gauge("last_scan_success", "1 if the last scan has a result, 0 if it has none.", *_CS),
    _gauge("scan_interval_seconds", "Maximum time between two scans of one specification."),
    _histogram(
        "scan_duration_seconds",
        "Duration of scans that have a result, in seconds.",
        *_CS,
        buckets=_LONG_S,
        **_V03,
    ),
    _counter("scan_errors_total", "Scans that have no result, by reason.", "cluster_spec", "reason"),
    _counter(
        "reports_generated_total",
        "Reports written as custom resources.",
        "report_type",
        "cluster_name",
        **_V03,
    ),
    # -- drift and its correction
    _gauge(
        "drift_detected",
        "1 while the cluster differs from its applied policies or from its last compliant state.",
        *_CUS,
        info=UID,
        **_V03,
    ),
    _gauge(
        "drift_events_total",
        "Differences that exist now.",
        *_CUS,
        info=UID,
        twin="kspec_drift_events",
        **_V03,
    ),
    _gauge("drift_events", "Differences that exist now.", *_CS),
    _gauge(
        "drift_events_by_type",
        "Differences that exist now, by kind.",
        *_CUS,
        "drift_kind",
        values=_KINDS,
        info=UID,
        **_V03,
    ),
    _counter(
        "remediation_actions_total",
        "Changes that corrected drift, by action.",
        *_CUS,
        "action",
        values=_ACTIONS,
        info=UID,
        **_V03,
    ),
    _counter(
        "remediation_errors_total",
        "Attempts to correct drift that failed, by type of error.",
        *_CUS,
        "error_type",
        info=UID,
        **_V03,
    ),
    _gauge(
        "drift_fights",
        "Objects whose correction is paused, because they were corrected three times within an hour.",
        *_CS,
    ),
    _counter("drift_fights_total", "Times that the correction of an object was paused.", *_CS),
    # -- enforcement
    _gauge(
        "active_cluster_specs",
        "Specifications by mode of enforcement; monitor: nothing is enforced.",
        "mode",
        values=_MODES,
        **_V03,
    ),
    _counter(
        "policy_changes_total",
        "Policy objects that were created, updated or deleted.",
        "cluster_spec",
        "engine",
        "operation",
        values={"operation": _ACTIONS["action"]},
    ),
    _counter(
        "kyverno_policy_created_total",
        "Kyverno policies that were created.",
        "cluster_spec",
        "policy_type",
        twin="kspec_policy_changes_total",
        **_V03,
    ),
    # -- clusters of a fleet
    _gauge(
        "cluster_target_healthy", "1 while the cluster is reachable with valid credentials.", *_TARGET, **_V03
    ),
    _gauge("cluster_target_nodes", "Nodes of the cluster.", *_TARGET, **_V03),
    _gauge(
        "cluster_target_info",
        "Platform, version and API server of the cluster; the value is 1.",
        *_TARGET,
        "platform",
        "version",
        "api_server",
        info=("platform", "version", "api_server"),
        **_V03,
    ),
    _gauge(
        "cluster_group",
        "Group of the cluster, for dashboards: label kspec.io/group of its ClusterTarget, or none; the value is 1.",
        "cluster_name",
        "group",
        info=("group",),
    ),
    _gauge(
        "credential_expiry_timestamp_seconds",
        "Unix time at which the credentials for the cluster expire. Absent if they do not expire.",
        *_TARGET,
    ),
    _gauge(
        "credential_lifetime_seconds",
        "Lifetime of the credentials for the cluster, from issue to expiry. Absent if it is unknown.",
        *_TARGET,
    ),
    _gauge(
        "fleet_summary_total",
        "Totals over all clusters.",
        "metric_type",
        values={"metric_type": (*_FLEET, "clusters_with_drift")},
        twin="kspec_fleet_clusters, kspec_fleet_checks",
        **_V03,
    ),
    _gauge(
        "fleet_clusters",
        "Clusters by state; a cluster can be in more than one.",
        "state",
        values={"state": ("all", "healthy", "compliant", "drifted")},
    ),
    _gauge(
        "fleet_checks", "Requirements of the last scans of all clusters, by status.", "status", values=_STATUS
    ),
    _gauge(
        "run_shards",
        "Shards of the last run over a fleet by state; failed: no worker scanned one of its clusters.",
        "cluster_spec",
        "state",
        values={"state": SHARDS},
    ),
    _histogram(
        "run_duration_seconds",
        "Duration of runs over a fleet, in seconds, from the start of the run to its last result.",
        "cluster_spec",
        buckets=_RUN_S,
    ),
    # -- the operator itself
    _counter("reconcile_total", "Reconciliations.", *_RECONCILED, **_V03),
    _counter(
        "reconcile_errors_total",
        "Reconciliations that failed, by type of error.",
        *_RECONCILED,
        "error_type",
        **_V03,
    ),
    _histogram(
        "reconcile_duration_seconds",
        "Duration of reconciliations, in seconds, scans included.",
        *_RECONCILED,
        buckets=_LONG_S,
        **_V03,
    ),
    _counter(
        "schedule_skipped_total",
        "Turns of a schedule that were left out: the run before took longer, or the operator was busy or away.",
        *_RECONCILED,
    ),
    _gauge("workqueue_depth", "Objects that are due and wait for a worker."),
    _gauge("workqueue_oldest_seconds", "Time for which the longest waiting object has been due."),
    _counter(
        "cluster_requests_total",
        "Requests of the operator to API servers by status code; error: no answer. Scans are not counted.",
        "code",
        **_OWN,
    ),
    _histogram(
        "cluster_request_duration_seconds",
        "Duration of requests of the operator to API servers, in seconds.",
        buckets=_REQUEST_S,
        **_OWN,
    ),
    _gauge("leader_election_status", "1 on the replica that leads, 0 on the others.", **_OWN, **_V03),
    _counter("leader_election_transitions_total", "Changes of the leader, as the Lease counts them.", **_V03),
    _gauge("active_manager_instances", "1 on each running replica: the sum is their number.", **_OWN, **_V03),
    Row(
        PREFIX + "build_info",
        "gauge",
        (OPERATOR, WEBHOOK),
        "Version of kspec; the value is 1.",
        ("version",),
        info=("version",),
    ),
    _counter(
        "notifications_total",
        "Alerts sent to the receivers of AlertConfigs, by result.",
        "alertconfig",
        "receiver",
        "result",
        values={"result": ("sent", "failed")},
    ),
    _counter("store_errors_total", "Scans whose result could not be written to the store.", "cluster_spec"),
    Row(
        PREFIX + "metric_series_dropped_total",
        "counter",
        (OPERATOR, WEBHOOK),
        "Values that are not exposed because their metric has too many series.",
        ("metric",),
    ),
    Row(
        PREFIX + "audit_records_dropped_total",
        "counter",
        (OPERATOR, WEBHOOK),
        "Records for $KSPEC_AUDIT_LOG that were lost because the queue was full or writing failed.",
    ),
    # -- the webhook
    _webhook(
        "webhook_requests_total",
        "counter",
        "Reviews received, by result.",
        "result",
        values={"result": _REVIEWED},
        **_V03,
    ),
    _webhook(
        "webhook_request_duration_seconds",
        "histogram",
        "Time from the end of the request body to the response, in seconds.",
        "result",
        values={"result": _REVIEWED},
        buckets=_REVIEW_S,
        **_V03,
    ),
    _webhook(
        "webhook_validation_results_total",
        "counter",
        "Admission reviews by outcome: allowed, or the strictest outcome of any policy (denied, warned, …).",
        "result",
        "mode",
        **_V03,
    ),
    _webhook(
        "policy_enforcement_actions_total",
        "counter",
        "Admission reviews by policy and outcome: denied, warned, monitored, exempted or failed.",
        "policy",
        "action",
        **_V03,
    ),
    _webhook("circuit_breaker_tripped", "gauge", "1 while the circuit breaker is open.", **_V03),
    _webhook(
        "circuit_breaker_error_rate",
        "gauge",
        "Share of evaluations with internal errors in the last minute.",
        **_V03,
    ),
    _webhook("circuit_breaker_total_requests", "gauge", "Number of evaluations in the last minute.", **_V03),
    _webhook(
        "certificate_provisioning_duration_seconds",
        "histogram",
        "Time until a serving certificate was available, from the start or from when one was due, in seconds.",
        buckets=(1.0, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0),
        **_V03,
    ),
    _webhook("certificate_renewal_total", "counter", "Renewals of the serving certificate.", **_V03),
    _webhook(
        "webhook_certificate_expiry_timestamp_seconds",
        "gauge",
        "Expiry time of the serving certificate, as a Unix timestamp.",
    ),
    _webhook(
        "webhook_fail_open_total",
        "counter",
        "Admission reviews that were allowed although a policy in mode enforce was not evaluated.",
    ),
    _webhook("webhook_policies", "gauge", "Number of policies in force.", "mode", values=_MODES),
    _webhook("webhook_ready", "gauge", "1 while the webhook is ready to answer reviews."),
    _webhook(
        "webhook_connections_refused_total", "counter", "Connections that were closed because of a limit."
    ),
    _webhook(
        "webhook_records_dropped_total",
        "counter",
        "Records of --audit-log and Events that were lost because the queue was full or writing failed.",
        "sink",
        values={"sink": ("audit", "events")},
    ),
    _webhook(
        "webhook_reload_errors_total",
        "counter",
        "Failed reloads of specifications, certificates and other configuration.",
        "what",
        values={"what": ("specifications", "certificate")},
    ),
)

BY_NAME = {row.name: row for row in ROWS}
