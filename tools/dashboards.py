"""Writes the Grafana dashboards of config/monitoring/dashboards, with Grafana's own library for dashboards as code.

`python -m tools.dashboards config/monitoring/dashboards` (`make docs`); a test fails when they are stale. Queries are
PromQL over the metrics of `observe/table.py` and the recordings of `reference/alerts.py`; `tests/observe` runs each one
against a real Prometheus.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any, NamedTuple

from grafana_foundation_sdk.builders import common, dashboard, piechart, prometheus, stat, table, timeseries
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.models.dashboard import (
    DashboardCursorSync,
    DataSourceRef,
    Threshold,
    ThresholdsMode,
    VariableRefresh,
)
from grafana_foundation_sdk.models.prometheus import PromQueryFormat

SOURCE = DataSourceRef(type_val="prometheus", uid="${datasource}")
CS = 'cluster_name=~"$cluster_name",cluster_spec=~"$cluster_spec"'
SPEC = 'cluster_spec=~"$cluster_spec"'
CLUSTER = 'cluster_name=~"$cluster_name"'
BY = "cluster_name, cluster_spec"
HALF, WHOLE = 12, 24
_SHARES = ("50", "95", "99")


class Panel(NamedTuple):
    """One panel. kind: stat, graph, table or pie; queries: legend and PromQL; steps: where colours begin."""

    kind: str
    title: str
    unit: str
    queries: tuple[tuple[str, str], ...]
    steps: tuple[tuple[float, str], ...] = ()
    text: str = ""


Rows = tuple[tuple[str, tuple[Panel, ...]], ...]


def _one(kind: str, title: str, unit: str, query: str, legend: str = "", **more: Any) -> Panel:
    return Panel(kind, title, unit, ((legend, query),), **more)


def _percentiles(
    title: str, metric: str, by: str, where: str = "", window: str = "$__rate_interval"
) -> Panel:
    labels = f"le, {by}" if by else "le"
    legend = f"{{{{{by}}}}} " if by else ""
    found = f"sum by ({labels}) (rate({metric}_bucket{{{where}}}[{window}]))"
    queries = [(f"{legend}p{share}", f"histogram_quantile(0.{share}, {found})") for share in _SHARES]
    return Panel("graph", title, "s", tuple(queries))


def _rate(title: str, metric: str, by: str, where: str = "", unit: str = "ops") -> Panel:
    """What happens now and then is counted over an hour: a rate a second of it says nothing."""
    query = f"sum by ({by}) (rate({metric}{{{where}}}[$__rate_interval]))"
    return _one("graph", title, unit, query, f"{{{{{by}}}}}")


def _hourly(title: str, metric: str, by: str, where: str = "") -> Panel:
    """What is rare, in an hour; 0 where it never happened."""
    return _one(
        "graph",
        title,
        "short",
        f"sum by ({by}) (increase({metric}{{{where}}}[1h])) or vector(0)",
        f"{{{{{by}}}}}",
    )


_SCORE = ((0, "red"), (50, "orange"), (70, "yellow"), (90, "green"))
_BAD = ((0, "green"), (1, "red"))
_SCORES = _one(
    "graph",
    "Score",
    "percent",
    f"min by ({BY}) (kspec_compliance_score{{{CS}}})",
    "{{cluster_spec}} on {{cluster_name}}",
)
_MODES = _one(
    "pie", "Specifications by mode", "short", "max by (mode) (kspec_active_cluster_specs)", "{{mode}}"
)
_BREAKER = _one(
    "stat",
    "Circuit breaker",
    "bool_yes_no",
    "max(kspec_circuit_breaker_tripped)",
    steps=_BAD,
    text="Yes: it is open.",
)

EXECUTIVE: Rows = (
    (
        "Now",
        (
            _one("stat", "Mean score", "percent", f"avg(kspec_compliance_score{{{CS}}})", steps=_SCORE),
            _one("stat", "Lowest score", "percent", f"min(kspec_compliance_score{{{CS}}})", steps=_SCORE),
            _one(
                "stat",
                "Clusters",
                "short",
                f"count(count by (cluster_name) (kspec_last_scan_success{{{CS}}}))",
            ),
            _one(
                "stat",
                "Clusters that meet everything",
                "short",
                'sum(kspec_fleet_clusters{state="compliant"})',
            ),
            _one(
                "stat",
                "Clusters with drift",
                "short",
                'sum(kspec_fleet_clusters{state="drifted"})',
                steps=_BAD,
            ),
            _one(
                "stat",
                "Clusters with a result",
                "percentunit",
                "kspec:fleet_coverage:ratio",
                steps=((0, "red"), (0.9, "yellow"), (1, "green")),
            ),
            _one(
                "stat",
                "Critical findings",
                "short",
                f'sum(kspec_findings{{{CS},severity="critical"}})',
                steps=_BAD,
            ),
            _one(
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
            _SCORES,
            _one(
                "graph",
                "Requirements by status",
                "short",
                f"sum by (status) (kspec_compliance_checks{{{CS}}})",
                "{{status}}",
            ),
            _one(
                "graph",
                "Open findings by severity",
                "short",
                f"sum by (severity) (kspec_findings{{{CS}}})",
                "{{severity}}",
            ),
            _one(
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
            _one(
                "table",
                "Scores, lowest first",
                "percent",
                f"bottomk(50, min by ({BY}) (kspec_compliance_score{{{CS}}}))",
            ),
            _one(
                "table",
                "Open findings, most first",
                "short",
                f"topk(50, sum by ({BY}, severity) (kspec_findings{{{CS}}}))",
            ),
            _MODES,
            _one(
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
            _one("stat", "Replicas", "short", "sum(kspec_active_manager_instances)"),
            _one(
                "stat",
                "Leaders",
                "short",
                "sum(kspec_leader_election_status)",
                steps=((0, "red"), (1, "green"), (2, "red")),
            ),
            _one("stat", "Changes of the leader", "short", "max(kspec_leader_election_transitions_total)"),
            _one("stat", "Objects that wait", "short", "sum(kspec_workqueue_depth)"),
            _one("graph", "Longest wait", "s", "max(kspec_workqueue_oldest_seconds)", "longest"),
            _rate("Reconciliations", "kspec_reconcile_total", "controller", SPEC),
            _hourly(
                "Reconciliations that failed, in an hour", "kspec_reconcile_errors_total", "error_type", SPEC
            ),
            _percentiles(
                "Duration of reconciliations", "kspec_reconcile_duration_seconds", "controller", SPEC, "30m"
            ),
            _one("table", "Versions", "short", "count by (version, job) (kspec_build_info)"),
        ),
    ),
    (
        "Scans",
        (
            _percentiles("Duration of scans", "kspec_scan_duration_seconds", "cluster_name", CS, "30m"),
            _one(
                "graph",
                "Since the last result",
                "s",
                f"time() - max by ({BY}) (kspec_last_scan_timestamp_seconds{{{CS}}})",
                "{{cluster_spec}} on {{cluster_name}}",
            ),
            _one(
                "table",
                "Scans without a result",
                "short",
                f"min by ({BY}) (kspec_last_scan_success{{{CS}}}) == bool 0",
            ),
            _hourly("Scans without a result, in an hour", "kspec_scan_errors_total", "reason", SPEC),
            _one(
                "graph",
                "Shards of the last runs by state",
                "short",
                f"sum by (state) (max by (cluster_spec, state) (kspec_run_shards{{{SPEC}}}))",
                "{{state}}",
            ),
            _percentiles("Duration of runs", "kspec_run_duration_seconds", "cluster_spec", SPEC, "6h"),
            _one("stat", "Interval of scans", "s", "max(kspec_scan_interval_seconds)"),
            _hourly("Reports written, in an hour", "kspec_reports_generated_total", "report_type", CLUSTER),
            _hourly(
                "Results that were not stored, in an hour", "kspec_store_errors_total", "cluster_spec", SPEC
            ),
            _hourly("Values that are not exposed, in an hour", "kspec_metric_series_dropped_total", "metric"),
        ),
    ),
    (
        "API servers",
        (
            _rate("Requests", "kspec_cluster_requests_total", "code", unit="reqps"),
            _percentiles("Duration of requests", "kspec_cluster_request_duration_seconds", ""),
        ),
    ),
    (
        "Webhook",
        (
            _one("stat", "Replicas that are ready", "short", "sum(kspec_webhook_ready)"),
            _BREAKER,
            _one(
                "stat",
                "Certificate ends in",
                "s",
                "min(kspec_webhook_certificate_expiry_timestamp_seconds) - time()",
            ),
            _one("stat", "Policies", "short", "max by (mode) (kspec_webhook_policies)", "{{mode}}"),
            _rate("Reviews", "kspec_webhook_requests_total", "result", unit="reqps"),
            _percentiles("Duration of reviews", "kspec_webhook_request_duration_seconds", ""),
            _one(
                "graph",
                "Evaluations in a minute",
                "short",
                "sum(kspec_circuit_breaker_total_requests)",
                "evaluations",
            ),
            _hourly(
                "Connections that were closed, in an hour", "kspec_webhook_connections_refused_total", "job"
            ),
            _hourly("Failed reloads, in an hour", "kspec_webhook_reload_errors_total", "what"),
            _hourly("Records that were lost, in an hour", "kspec_webhook_records_dropped_total", "sink"),
            _percentiles(
                "Until a certificate was there",
                "kspec_certificate_provisioning_duration_seconds",
                "",
                window="24h",
            ),
            _hourly("Certificates that were replaced, in an hour", "kspec_certificate_renewal_total", "job"),
        ),
    ),
)

SECURITY: Rows = (
    (
        "Admission",
        (
            _rate("Reviews by outcome", "kspec_webhook_validation_results_total", "result", unit="reqps"),
            _one(
                "graph",
                "By policy and outcome",
                "reqps",
                "sum by (policy, action) (rate("
                'kspec_policy_enforcement_actions_total{policy=~"$cluster_spec"}[$__rate_interval])) or vector(0)',
                "{{policy}} {{action}}",
            ),
            _hourly("Admitted without evaluation, in an hour", "kspec_webhook_fail_open_total", "job"),
            _MODES,
        ),
    ),
    (
        "Findings and exemptions",
        (
            _one(
                "graph",
                "Open findings by severity",
                "short",
                f"sum by (severity) (kspec_findings{{{CS}}})",
                "{{severity}}",
            ),
            _one(
                "table",
                "Critical and high findings",
                "short",
                f'sum by ({BY}, severity) (kspec_findings{{{CS},severity=~"critical|high"}})',
            ),
            _one(
                "graph",
                "Exemptions by state",
                "short",
                f"sum by (state) (kspec_exemptions{{{CS}}})",
                "{{state}}",
            ),
            _one(
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
            _one(
                "stat",
                "With drift",
                "short",
                f"sum(max by ({BY}) (kspec_drift_detected{{{CS}}}))",
                steps=_BAD,
            ),
            _one(
                "graph",
                "Differences by kind",
                "short",
                f"sum by (drift_kind) (kspec_drift_events_by_type{{{CS}}})",
                "{{drift_kind}}",
            ),
            _hourly("Corrections, in an hour", "kspec_remediation_actions_total", "action", CS),
            _hourly(
                "Corrections that failed, in an hour", "kspec_remediation_errors_total", "error_type", CS
            ),
            _one(
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
            _rate("Webhook request rate", "kspec_webhook_requests_total", "result", unit="reqps"),
            _BREAKER,
            _one(
                "stat",
                "Error rate",
                "percentunit",
                "max(kspec_circuit_breaker_error_rate)",
                steps=((0, "green"), (0.25, "red")),
            ),
            _percentiles("Webhook latency", "kspec_webhook_request_duration_seconds", ""),
            _one(
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
            _SCORES,
            _hourly("Enforcement actions, in an hour", "kspec_policy_enforcement_actions_total", "action"),
            _one(
                "graph", "Reconciliation, 95 %", "s", _P95.format("kspec_reconcile_duration_seconds"), "p95"
            ),
            _hourly("Reconciliation errors, in an hour", "kspec_reconcile_errors_total", "error_type", SPEC),
        ),
    ),
    (
        "Drift and clusters",
        (
            _one(
                "stat",
                "Clusters with drift",
                "short",
                f"sum(max by (cluster_name) (kspec_drift_detected{{{CS}}}))",
                steps=_BAD,
            ),
            _one(
                "graph",
                "Drift events",
                "short",
                f"sum by (cluster_name) (kspec_drift_events{{{CS}}})",
                "{{cluster_name}}",
            ),
            _one(
                "graph",
                "Clusters by state",
                "short",
                "max by (state) (kspec_fleet_clusters)",
                "{{state}}",
            ),
            _one(
                "graph",
                "Certificate provisioning, 95 %",
                "s",
                _P95.format("kspec_certificate_provisioning_duration_seconds"),
                "p95",
            ),
            _MODES,
        ),
    ),
)

DASHBOARDS: dict[str, tuple[str, Rows]] = {
    "kspec-executive": ("KSpec: executive", EXECUTIVE),
    "kspec-operations": ("KSpec: operations", OPERATIONS),
    "kspec-security": ("KSpec: security", SECURITY),
    "kspec-platform": ("KSpec Policy Enforcement Platform", PLATFORM),
}
"""Titles and panels by uid, which links and bookmarks use."""


def queries() -> Iterable[tuple[str, str, str]]:
    """Dashboard, panel and PromQL of each query."""
    for uid, (_, rows) in DASHBOARDS.items():
        for _, panels in rows:
            for panel in panels:
                for _, query in panel.queries:
                    yield uid, panel.title, query


def files() -> dict[str, str]:
    """JSON by file name, as Grafana imports it from a file."""
    return {f"{uid}.json": _render(uid, *of) for uid, of in DASHBOARDS.items()}


def _render(uid: str, title: str, rows: Rows) -> str:
    made = (
        dashboard.Dashboard(title)
        .uid(uid)
        .tags(["kspec", "compliance", "policy", "kubernetes"])
        .refresh("30s")
        .time("now-6h", "now")
        .timezone("browser")
        .editable()
        .tooltip(DashboardCursorSync.CROSSHAIR)
        .with_variable(dashboard.DatasourceVariable("datasource").label("Data source").type("prometheus"))
        .with_variable(_variable("group", "Group", "label_values(kspec_cluster_group, group)"))
        .with_variable(
            _variable(
                "cluster_name", "Cluster", 'label_values(kspec_cluster_group{group=~"$group"}, cluster_name)'
            )
        )
        .with_variable(
            _variable(
                "cluster_spec",
                "Specification",
                f"label_values(kspec_last_scan_success{{{CLUSTER}}}, cluster_spec)",
            )
        )
    )
    for name, panels in rows:
        made = made.with_row(dashboard.Row(name))
        for panel in panels:
            made = made.with_panel(_panel(panel))
    return str(JSONEncoder(sort_keys=True, indent=1).encode(made.build())) + "\n"


def _variable(name: str, label: str, query: str) -> dashboard.QueryVariable:
    return (
        dashboard.QueryVariable(name)
        .label(label)
        .query(query)
        .datasource(SOURCE)
        .refresh(VariableRefresh.ON_TIME_RANGE_CHANGED)
        .include_all(True)
        .all_value(".*")
        .multi(True)
    )


_KINDS = {
    "stat": (stat.Panel, 4, 6),
    "graph": (timeseries.Panel, 8, HALF),
    "table": (table.Panel, 8, HALF),
    "pie": (piechart.Panel, 8, HALF),
}


def _panel(panel: Panel) -> Any:
    kind, height, span = _KINDS[panel.kind]
    made = kind().title(panel.title).unit(panel.unit).datasource(SOURCE).height(height).span(span)
    if panel.text:
        made = made.description(panel.text)
    if panel.steps:
        steps = [Threshold(value if n else None, colour) for n, (value, colour) in enumerate(panel.steps)]
        made = made.thresholds(dashboard.ThresholdsConfig().mode(ThresholdsMode.ABSOLUTE).steps(steps))
    if panel.kind in ("stat", "pie"):
        made = made.reduce_options(common.ReduceDataOptions().calcs(["lastNotNull"]))
    for number, (legend, query) in enumerate(panel.queries):
        target = prometheus.Dataquery().expr(query).ref_id(chr(ord("A") + number)).datasource(SOURCE)
        if legend:
            target = target.legend_format(legend)
        if panel.kind == "graph":
            target = target.range_val() if hasattr(target, "range_val") else target.range()
        else:
            target = target.instant()
        if panel.kind == "table":
            target = target.format(PromQueryFormat.TABLE)
        made = made.with_target(target)
    return made


def main() -> None:
    """Write them."""
    folder = Path(sys.argv[1])
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in files().items():
        (folder / name).write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
