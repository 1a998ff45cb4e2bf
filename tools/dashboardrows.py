"""The rows of each dashboard: its panels, with what they ask Prometheus."""

from __future__ import annotations

from tools.dashboardpanels import (
    BAD,
    BREAKER,
    BY,
    CLUSTER,
    CS,
    MODES,
    SCORE,
    SCORES,
    SPEC,
    Rows,
    hourly,
    one,
    percentiles,
    rate,
)

_FINDINGS = one(
    "graph",
    "Open findings by severity",
    "short",
    f"sum by (severity) (kspec_findings{{{CS}}})",
    "{{severity}}",
)

EXECUTIVE: Rows = (
    (
        "Now",
        (
            one("stat", "Mean score", "percent", f"avg(kspec_compliance_score{{{CS}}})", steps=SCORE),
            one("stat", "Lowest score", "percent", f"min(kspec_compliance_score{{{CS}}})", steps=SCORE),
            one(
                "stat",
                "Clusters",
                "short",
                f"count(count by (cluster_name) (kspec_last_scan_success{{{CS}}}))",
            ),
            one(
                "stat",
                "Clusters that meet everything",
                "short",
                'sum(kspec_fleet_clusters{state="compliant"})',
            ),
            one(
                "stat",
                "Clusters with drift",
                "short",
                'sum(kspec_fleet_clusters{state="drifted"})',
                steps=BAD,
            ),
            one(
                "stat",
                "Clusters with a result",
                "percentunit",
                "kspec:fleet_coverage:ratio",
                steps=((0, "red"), (0.9, "yellow"), (1, "green")),
            ),
            one(
                "stat",
                "Critical findings",
                "short",
                f'sum(kspec_findings{{{CS},severity="critical"}})',
                steps=BAD,
            ),
            one(
                "stat",
                "Denied in 24 hours",
                "short",
                'sum(increase(kspec_webhook_validation_results_total{result="denied"}[24h]))',
            ),
        ),
    ),
    (
        "Over time",
        (
            SCORES,
            one(
                "graph",
                "Requirements by status",
                "short",
                f"sum by (status) (kspec_compliance_checks{{{CS}}})",
                "{{status}}",
            ),
            _FINDINGS,
            one(
                "graph",
                "Requirements of the fleet by status",
                "short",
                "sum by (status) (kspec_fleet_checks)",
                "{{status}}",
            ),
        ),
    ),
    (
        "Where",
        (
            one(
                "table",
                "Scores, lowest first",
                "percent",
                f"bottomk(50, min by ({BY}) (kspec_compliance_score{{{CS}}}))",
            ),
            one(
                "table",
                "Open findings, most first",
                "short",
                f"topk(50, sum by ({BY}, severity) (kspec_findings{{{CS}}}))",
            ),
            MODES,
            one(
                "graph",
                "Exemptions by state",
                "short",
                f"sum by (state) (kspec_exemptions{{{CS}}})",
                "{{state}}",
            ),
        ),
    ),
)

OPERATIONS: Rows = (
    (
        "Operator",
        (
            one("stat", "Replicas", "short", "sum(kspec_active_manager_instances)"),
            one(
                "stat",
                "Leaders",
                "short",
                "sum(kspec_leader_election_status)",
                steps=((0, "red"), (1, "green"), (2, "red")),
            ),
            one("stat", "Changes of the leader", "short", "max(kspec_leader_election_transitions_total)"),
            one("stat", "Objects that wait", "short", "sum(kspec_workqueue_depth)"),
            one("graph", "Longest wait", "s", "max(kspec_workqueue_oldest_seconds)", "longest"),
            rate("Reconciliations", "kspec_reconcile_total", "controller", SPEC),
            hourly(
                "Reconciliations that failed, in an hour", "kspec_reconcile_errors_total", "error_type", SPEC
            ),
            percentiles(
                "Duration of reconciliations", "kspec_reconcile_duration_seconds", "controller", SPEC, "30m"
            ),
            one("table", "Versions", "short", "count by (version, job) (kspec_build_info)"),
        ),
    ),
    (
        "Scans",
        (
            percentiles("Duration of scans", "kspec_scan_duration_seconds", "cluster_name", CS, "30m"),
            one(
                "graph",
                "Since the last result",
                "s",
                f"time() - max by ({BY}) (kspec_last_scan_timestamp_seconds{{{CS}}})",
                "{{cluster_spec}} on {{cluster_name}}",
            ),
            one(
                "table",
                "Scans without a result",
                "short",
                f"min by ({BY}) (kspec_last_scan_success{{{CS}}}) == bool 0",
            ),
            hourly("Scans without a result, in an hour", "kspec_scan_errors_total", "reason", SPEC),
            one(
                "graph",
                "Shards of the last runs by state",
                "short",
                f"sum by (state) (max by (cluster_spec, state) (kspec_run_shards{{{SPEC}}}))",
                "{{state}}",
            ),
            percentiles("Duration of runs", "kspec_run_duration_seconds", "cluster_spec", SPEC, "6h"),
            one("stat", "Interval of scans", "s", "max(kspec_scan_interval_seconds)"),
            hourly("Turns left out, in an hour", "kspec_schedule_skipped_total", "cluster_spec", SPEC),
            hourly("Reports written, in an hour", "kspec_reports_generated_total", "report_type", CLUSTER),
            hourly(
                "Results that were not stored, in an hour", "kspec_store_errors_total", "cluster_spec", SPEC
            ),
            hourly("Values that are not exposed, in an hour", "kspec_metric_series_dropped_total", "metric"),
        ),
    ),
    (
        "API servers",
        (
            rate("Requests", "kspec_cluster_requests_total", "code", unit="reqps"),
            percentiles("Duration of requests", "kspec_cluster_request_duration_seconds", ""),
        ),
    ),
    (
        "Webhook",
        (
            one("stat", "Replicas that are ready", "short", "sum(kspec_webhook_ready)"),
            BREAKER,
            one(
                "stat",
                "Certificate ends in",
                "s",
                "min(kspec_webhook_certificate_expiry_timestamp_seconds) - time()",
            ),
            one("stat", "Policies", "short", "max by (mode) (kspec_webhook_policies)", "{{mode}}"),
            rate("Reviews", "kspec_webhook_requests_total", "result", unit="reqps"),
            percentiles("Duration of reviews", "kspec_webhook_request_duration_seconds", ""),
            one(
                "graph",
                "Evaluations in a minute",
                "short",
                "sum(kspec_circuit_breaker_total_requests)",
                "evaluations",
            ),
            hourly(
                "Connections that were closed, in an hour", "kspec_webhook_connections_refused_total", "job"
            ),
            hourly("Failed reloads, in an hour", "kspec_webhook_reload_errors_total", "what"),
            hourly("Records that were lost, in an hour", "kspec_webhook_records_dropped_total", "sink"),
            percentiles(
                "Until a certificate was there",
                "kspec_certificate_provisioning_duration_seconds",
                "",
                window="24h",
            ),
            hourly("Certificates that were replaced, in an hour", "kspec_certificate_renewal_total", "job"),
        ),
    ),
)

SECURITY: Rows = (
    (
        "Admission",
        (
            rate("Reviews by outcome", "kspec_webhook_validation_results_total", "result", unit="reqps"),
            one(
                "graph",
                "By policy and outcome",
                "reqps",
                "sum by (policy, action) (rate("
                'kspec_policy_enforcement_actions_total{policy=~"$cluster_spec"}[$__rate_interval])) or vector(0)',
                "{{policy}} {{action}}",
            ),
            hourly("Admitted without evaluation, in an hour", "kspec_webhook_fail_open_total", "job"),
            MODES,
        ),
    ),
    (
        "Findings and exemptions",
        (
            _FINDINGS,
            one(
                "table",
                "Critical and high findings",
                "short",
                f'sum by ({BY}, severity) (kspec_findings{{{CS},severity=~"critical|high"}})',
            ),
            one(
                "graph",
                "Exemptions by state",
                "short",
                f"sum by (state) (kspec_exemptions{{{CS}}})",
                "{{state}}",
            ),
            one(
                "table",
                "First exemption ends in",
                "s",
                f"sort(min by ({BY}) (kspec_exemption_expiry_timestamp_seconds{{{CS}}}) - time())",
            ),
        ),
    ),
    (
        "Drift",
        (
            one(
                "stat",
                "With drift",
                "short",
                f"sum(max by ({BY}) (kspec_drift_detected{{{CS}}}))",
                steps=BAD,
            ),
            one(
                "graph",
                "Differences by kind",
                "short",
                f"sum by (drift_kind) (kspec_drift_events_by_type{{{CS}}})",
                "{{drift_kind}}",
            ),
            hourly("Corrections, in an hour", "kspec_remediation_actions_total", "action", CS),
            hourly("Corrections that failed, in an hour", "kspec_remediation_errors_total", "error_type", CS),
            one(
                "graph",
                "Changes of policies, in an hour",
                "short",
                f"sum by (engine, operation) (increase(kspec_policy_changes_total{{{SPEC}}}[1h])) or vector(0)",
                "{{engine}} {{operation}}",
            ),
        ),
    ),
)

_P95 = "histogram_quantile(0.95, sum by (le) (rate({}_bucket[30m])))"
PLATFORM: Rows = (
    (
        "Webhook",
        (
            rate("Webhook request rate", "kspec_webhook_requests_total", "result", unit="reqps"),
            BREAKER,
            one(
                "stat",
                "Error rate",
                "percentunit",
                "max(kspec_circuit_breaker_error_rate)",
                steps=((0, "green"), (0.25, "red")),
            ),
            percentiles("Webhook latency", "kspec_webhook_request_duration_seconds", ""),
            one(
                "pie",
                "Validation results",
                "short",
                "sum by (result) (increase(kspec_webhook_validation_results_total[1h]))",
                "{{result}}",
            ),
        ),
    ),
    (
        "Compliance",
        (
            SCORES,
            hourly("Enforcement actions, in an hour", "kspec_policy_enforcement_actions_total", "action"),
            one("graph", "Reconciliation, 95 %", "s", _P95.format("kspec_reconcile_duration_seconds"), "p95"),
            hourly("Reconciliation errors, in an hour", "kspec_reconcile_errors_total", "error_type", SPEC),
        ),
    ),
    (
        "Drift and clusters",
        (
            one(
                "stat",
                "Clusters with drift",
                "short",
                f"sum(max by (cluster_name) (kspec_drift_detected{{{CS}}}))",
                steps=BAD,
            ),
            one(
                "graph",
                "Drift events",
                "short",
                f"sum by (cluster_name) (kspec_drift_events{{{CS}}})",
                "{{cluster_name}}",
            ),
            one(
                "graph",
                "Clusters by state",
                "short",
                "max by (state) (kspec_fleet_clusters)",
                "{{state}}",
            ),
            one(
                "graph",
                "Certificate provisioning, 95 %",
                "s",
                _P95.format("kspec_certificate_provisioning_duration_seconds"),
                "p95",
            ),
            MODES,
        ),
    ),
)
