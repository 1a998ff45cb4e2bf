"""For each alert: samples with which it fires, and similar ones with which it does not. One sample a minute."""

from __future__ import annotations

from typing import NamedTuple

Series = dict[str, str]
CS = '{cluster_name="prod",cluster_spec="s"}'
CUS = '{cluster_name="prod",cluster_uid="u",cluster_spec="s"}'
OF = {"cluster_name": "prod", "cluster_spec": "s"}
TARGET = '{cluster_name="prod",namespace="kspec-system"}'
POD = '{job="kspec-metrics",instance="a"}'
OTHER = '{job="kspec-metrics",instance="b"}'
JOB = {"job": "kspec-metrics"}


class Case(NamedTuple):
    """labels: beside severity and component; value: as the description shows it; at: minutes"""

    fires: Series
    quiet: Series
    labels: dict[str, str]
    value: str
    at: int = 30


def _of(name: str, fires: str, quiet: str, value: str, labels: dict[str, str] = {}, at: int = 30) -> Case:  # noqa: B006
    return Case({name: fires}, {name: quiet}, labels, value, at)


def _buckets(name: str, bounds: dict[str, str], labels: str = "") -> Series:
    comma = f"{labels}," if labels else ""
    return {f'{name}_bucket{{{comma}le="{bound}"}}': values for bound, values in bounds.items()}


def _slow(name: str, below: str, above: str, labels: str = "") -> tuple[Series, Series]:
    """Samples all above `below` and up to `above`, and all below."""
    slow = _buckets(name, {below: "0x200", above: "0+10x200", "+Inf": "0+10x200"}, labels)
    fast = _buckets(name, {below: "0+10x200", above: "0+10x200", "+Inf": "0+10x200"}, labels)
    return slow, fast


_REQUESTS = "kspec_webhook_requests_total"
_REVIEWS = _slow("kspec_webhook_request_duration_seconds", "1", "2.5", 'result="success"')
_RECONCILES = _slow(
    "kspec_reconcile_duration_seconds", "60", "120", 'controller="clusterspec",cluster_spec="s"'
)
_SCANS = _slow("kspec_scan_duration_seconds", "30", "60", 'cluster_name="prod",cluster_spec="s"')
_CERTIFICATES = _slow("kspec_certificate_provisioning_duration_seconds", "120", "300")
_FAILED = 'kspec_reconcile_errors_total{controller="clusterspec",cluster_spec="s",error_type="Conflict"}'
_ALL = 'kspec_reconcile_total{controller="clusterspec",cluster_spec="s"}'
_WHICH = {"controller": "clusterspec", "cluster_spec": "s"}
_FLEET = 'kspec_fleet_clusters{{state="{}"}}'.format

CASES: dict[str, Case] = {
    "KSpecCircuitBreakerTripped": _of(
        f"kspec_circuit_breaker_tripped{POD}", "1x60", "0x29 1", "1", {**JOB, "instance": "a"}
    ),
    "KSpecHighWebhookErrorRate": Case(
        {_REQUESTS + '{result="error"}': "0+30x60", _REQUESTS + '{result="success"}': "0+30x60"},
        {_REQUESTS + '{result="error"}': "0+10x60", _REQUESTS + '{result="success"}': "0+40x60"},
        {},
        "50%",
    ),
    "KSpecWebhookLatencyHigh": Case(*_REVIEWS, {}, "2.425s"),
    "KSpecHighPolicyDenialRate": _of(
        'kspec_webhook_validation_results_total{result="denied",mode="enforce"}', "0+60x60", "0+12x60", "1"
    ),
    "KSpecPolicyEnforcementDisabled": _of('kspec_active_cluster_specs{mode="enforce"}', "0x60", "1x60", "0"),
    "KSpecWebhookNotReady": Case(
        {f"kspec_webhook_ready{POD}": "0x60", f"kspec_webhook_ready{OTHER}": "0x60"},
        {f"kspec_webhook_ready{POD}": "0x60", f"kspec_webhook_ready{OTHER}": "1x60"},
        JOB,
        "0",
    ),
    "KSpecWebhookDown": Case(
        {f"kspec_webhook_ready{POD}": "1x60 stale", f"kspec_webhook_ready{OTHER}": "1x60 stale"},
        {f"kspec_webhook_ready{POD}": "1x60 stale", f"kspec_webhook_ready{OTHER}": "1x90"},
        JOB,
        "2",
        at=80,
    ),
    "KSpecWebhookFailOpen": _of("kspec_webhook_fail_open_total", "0x25 1x60", "7x60", "1"),
    "KSpecWebhookReloadFailing": _of(
        'kspec_webhook_reload_errors_total{what="certificate"}',
        "0x25 1x60",
        "7x60",
        "1",
        {"what": "certificate"},
    ),
    "KSpecWebhookConnectionsRefused": _of(
        "kspec_webhook_connections_refused_total", "0+120x60", "0+6x60", "2"
    ),
    "KSpecRunShardsFailed": _of(
        'kspec_run_shards{cluster_spec="strict",state="failed"}',
        "2x60",
        "0x60",
        "2",
        {"cluster_spec": "strict"},
    ),
    "KSpecRunSlow": Case(
        {
            'kspec_run_duration_seconds_sum{cluster_spec="strict"}': "0+1200x60",
            'kspec_run_duration_seconds_count{cluster_spec="strict"}': "0+1x60",
            "kspec_scan_interval_seconds": "330x60",
        },
        {
            'kspec_run_duration_seconds_sum{cluster_spec="strict"}': "0+300x60",
            'kspec_run_duration_seconds_count{cluster_spec="strict"}': "0+1x60",
            "kspec_scan_interval_seconds": "330x60",
        },
        {"cluster_spec": "strict"},
        "20m 0s",
    ),
    "KSpecDriftFight": _of(f"kspec_drift_fights{CS}", "1x60", "0x60", "1", OF),
    "KSpecAuditRecordsDropped": _of(
        'kspec_webhook_records_dropped_total{sink="audit"}', "0x25 9x60", "7x60", "9", {"sink": "audit"}
    ),
    "KSpecAuditRecordsDropped (KSPEC_AUDIT_LOG)": _of(
        "kspec_audit_records_dropped_total", "0x25 9x60", "7x60", "9", {"sink": "KSPEC_AUDIT_LOG"}
    ),
    "KSpecLowComplianceScore": _of(f"kspec_compliance_score{CUS}", "69.9x60", "70x60", "69.9", OF),
    "KSpecCriticalComplianceScore": _of(f"kspec_compliance_score{CUS}", "49x60", "50x60", "49", OF),
    "KSpecComplianceScoreDropping": _of(
        f"kspec_compliance_score{CUS}", "90x60 75x60", "90x60 80x60", "15", OF, at=75
    ),
    "KSpecScanStale": Case(
        {f"kspec_last_scan_timestamp_seconds{CS}": "0x60", "kspec_scan_interval_seconds": "300x60"},
        {f"kspec_last_scan_timestamp_seconds{CS}": "1200x60", "kspec_scan_interval_seconds": "300x60"},
        OF,
        "30m 0s",
    ),
    "KSpecScanErrors": _of(f"kspec_last_scan_success{CS}", "0x60", "1x60", "0", OF),
    "KSpecChecksNotEvaluated": _of(
        'kspec_compliance_checks{cluster_name="prod",cluster_spec="s",status="error"}',
        "2x60",
        "0x60",
        "2",
        OF,
    ),
    "KSpecCriticalFindings": _of(
        'kspec_findings{cluster_name="prod",cluster_spec="s",severity="critical"}', "3x60", "0x60", "3", OF
    ),
    "KSpecExemptionExpiring": _of(
        f"kspec_exemption_expiry_timestamp_seconds{CS}", "88200x60", "2000000x60", "1d 0h 0m 0s", OF
    ),
    "KSpecExemptionExpired": _of(
        'kspec_exemptions{cluster_name="prod",cluster_spec="s",state="expired"}',
        "1x90",
        "0x90",
        "1",
        OF,
        at=70,
    ),
    "KSpecFleetCoverageLow": Case(
        {_FLEET("healthy"): "8x60", _FLEET("all"): "10x60"},
        {_FLEET("healthy"): "9x60", _FLEET("all"): "10x60"},
        {},
        "80%",
    ),
    "KSpecDriftDetected": _of(f"kspec_drift_detected{CUS}", "1x60", "0x60", "1", OF),
    "KSpecHighDriftEventRate": _of(f"kspec_drift_events{CS}", "51x60", "50x60", "51", OF),
    "KSpecRemediationFailing": _of(
        'kspec_remediation_errors_total{cluster_name="prod",cluster_uid="u",cluster_spec="s",error_type="Forbidden"}',
        "0x25 1x60",
        "1x60",
        "1",
        OF,
    ),
    "KSpecReconciliationFailures": Case(
        {_FAILED: "0+1x60", _ALL: "0+1x60"}, {_FAILED: "0+1x60", _ALL: "0+3x60"}, _WHICH, "100%"
    ),
    "KSpecReconciliationSlow": Case(*_RECONCILES, {"controller": "clusterspec"}, "1m 57s", at=60),
    "KSpecScanDurationHigh": Case(*_SCANS, {"cluster_name": "prod"}, "58.5s", at=60),
    "KSpecOperatorDown": Case({"other": "1x60"}, {f"kspec_leader_election_status{POD}": "0x60"}, {}, "1"),
    "KSpecNoLeader": Case(
        {f"kspec_leader_election_status{POD}": "0x60", f"kspec_leader_election_status{OTHER}": "0x60"},
        {f"kspec_leader_election_status{POD}": "0x60", f"kspec_leader_election_status{OTHER}": "1x60"},
        JOB,
        "0",
    ),
    "KSpecMultipleLeaders": Case(
        {f"kspec_leader_election_status{POD}": "1x60", f"kspec_leader_election_status{OTHER}": "1x60"},
        {f"kspec_leader_election_status{POD}": "0x60", f"kspec_leader_election_status{OTHER}": "1x60"},
        JOB,
        "2",
    ),
    "KSpecLeadershipFlapping": Case(
        {
            f"kspec_leader_election_transitions_total{POD}": "4x10 stale",
            f"kspec_leader_election_transitions_total{OTHER}": "_x15 8x60",
        },
        {
            f"kspec_leader_election_transitions_total{POD}": "4x10 stale",
            f"kspec_leader_election_transitions_total{OTHER}": "_x15 5x60",
        },
        JOB,
        "4",
    ),
    "KSpecWorkqueueStuck": _of(f"kspec_workqueue_oldest_seconds{POD}", "601x60", "0x60", "10m 1s", JOB),
    "KSpecStoreUnavailable": _of('kspec_store_errors_total{cluster_spec="s"}', "0x15 2x60", "2x60", "2", {}),
    "KSpecNotificationsFailing": _of(
        'kspec_notifications_total{alertconfig="team",receiver="chat",result="failed"}',
        "0x20 3x60",
        "3x60",
        "3",
        {"alertconfig": "team", "receiver": "chat"},
    ),
    "KSpecApiRequestsFailing": Case(
        {
            'kspec_cluster_requests_total{code="503"}': "0+10x60",
            'kspec_cluster_requests_total{code="error"}': "0+10x60",
            'kspec_cluster_requests_total{code="200"}': "0+20x60",
        },
        {
            'kspec_cluster_requests_total{code="404"}': "0+50x60",
            'kspec_cluster_requests_total{code="503"}': "0+1x60",
            'kspec_cluster_requests_total{code="200"}': "0+20x60",
        },
        {},
        "50%",
    ),
    "KSpecMetricSeriesDropped": _of(
        'kspec_metric_series_dropped_total{metric="kspec_findings"}',
        "0x20 5x60",
        "5x60",
        "5",
        {"metric": "kspec_findings"},
    ),
    "KSpecClusterTargetUnhealthy": _of(
        f"kspec_cluster_target_healthy{TARGET}",
        "0x60",
        "1x60",
        "0",
        {"cluster_name": "prod", "namespace": "kspec-system"},
    ),
    "KSpecMultipleClustersDown": Case(
        {f'kspec_cluster_target_healthy{{cluster_name="{n}",namespace="n"}}': "0x60" for n in "abc"},
        {
            f'kspec_cluster_target_healthy{{cluster_name="{n}",namespace="n"}}': f"{int(n == 'c')}x60"
            for n in "abc"
        },
        {},
        "3",
    ),
    "KSpecCredentialExpiring": _of(
        f"kspec_credential_expiry_timestamp_seconds{TARGET}",
        "88200x60",
        "88199x60",
        "1d 0h 0m 0s",
        {"cluster_name": "prod", "namespace": "kspec-system"},
    ),
    "KSpecCredentialExpired": _of(
        f"kspec_credential_expiry_timestamp_seconds{TARGET}",
        "88199x60",
        "88200x60",
        "23h 59m 59s",
        {"cluster_name": "prod", "namespace": "kspec-system"},
    ),
    "KSpecCredentialExpired (a token of an hour that was not renewed)": Case(
        {
            f"kspec_credential_expiry_timestamp_seconds{TARGET}": "2159x60",
            f"kspec_credential_lifetime_seconds{TARGET}": "3600x60",
        },
        {
            f"kspec_credential_expiry_timestamp_seconds{TARGET}": "2161x60",
            f"kspec_credential_lifetime_seconds{TARGET}": "3600x60",
        },
        {"cluster_name": "prod", "namespace": "kspec-system"},
        "5m 59s",
    ),
    "KSpecCertificateProvisioningSlow": Case(*_CERTIFICATES, {}, "4m 51s", at=60),
    "KSpecHighCertificateRenewalRate": _of(
        "kspec_certificate_renewal_total", "0+1x120", "0x100 1x20", "60", at=110
    ),
    "KSpecWebhookCertificateExpiring": _of(
        "kspec_webhook_certificate_expiry_timestamp_seconds", "88200x60", "88199x60", "1d 0h 0m 0s"
    ),
    "KSpecWebhookCertificateExpired": _of(
        "kspec_webhook_certificate_expiry_timestamp_seconds", "88199x60", "88200x60", "23h 59m 59s"
    ),
}
