"""Alerts about what scans found: scores, findings, exemptions, drift."""

from __future__ import annotations

from pytest_kspec.reference.alertrules.alert import CS, DAY, OF, OPERATOR, SPEC, TARGET, Alert

COMPLIANCE: tuple[Alert, ...] = (
    Alert(
        "KSpecLowComplianceScore", "kspec.compliance", "warning", "10m",
        "(kspec:compliance_score:min < 70) >= 50",
        f"Low compliance score: {OF}",
        "The score is {{ $value | humanize }}.",
        "Requirements of high severity are not met.",
        SPEC,
        "The ComplianceReport lists the requirements that are not met, the worst first.",
        v03=True,
    ),
    Alert(
        "KSpecCriticalComplianceScore", "kspec.compliance", "critical", "5m",
        "kspec:compliance_score:min < 50",
        f"Critical compliance score: {OF}",
        "The score is {{ $value | humanize }}.",
        "Most requirements are not met, weighted by severity.",
        SPEC,
        "The ComplianceReport lists the requirements that are not met, the worst first.",
        v03=True,
    ),
    Alert(
        "KSpecComplianceScoreDropping", "kspec.compliance", "warning", "5m",
        "(kspec:compliance_score:min offset 1h) - kspec:compliance_score:min > 10",
        f"The compliance score drops: {OF}",
        "The score is {{ $value | humanize }} lower than an hour ago.",
        "Something changed in the cluster or in the specification.",
        SPEC,
        "Compare two results: `kspec diff OLD.json NEW.json`, or `kspec history` with a store.",
        v03=True,
    ),
    Alert(
        "KSpecScanStale", "kspec.compliance", "warning", "5m",
        f"time() - max by ({CS}) (kspec_last_scan_timestamp_seconds) > 3 * "
        f"scalar(max(kspec_scan_interval_seconds))",
        f"No scan for a long time: {OF}",
        "The last scan with a result ended {{ $value | humanizeDuration }} ago.",
        "Scans do not finish, or do not start.",
        (*SPEC[:2], OPERATOR[1]),
        "See the reason in the condition Ready. Raise --scan-timeout or --max-concurrent-scans if scans take "
        "too long.",
    ),
    Alert(
        "KSpecScanErrors", "kspec.compliance", "warning", "10m",
        f"min by ({CS}) (kspec_last_scan_success) == 0",
        f"The scan has no result: {OF}",
        "The last scan has no result: nothing is known about the cluster.",
        "The scan was killed at its time limit, ended without a result, or the specification is not valid.",
        (*SPEC[:2], OPERATOR[1]),
        "The message of the condition Ready contains the reason.",
    ),
    Alert(
        "KSpecChecksNotEvaluated", "kspec.compliance", "warning", "15m",
        f'max by ({CS}) (kspec_compliance_checks{{status="error"}}) > 0',
        f"Requirements could not be evaluated: {OF}",
        "{{ $value }} requirements could not be evaluated.",
        "A kind could not be listed, a registry did not answer, or a check failed.",
        SPEC,
        "The report contains the reason for each. Most often a permission is missing: docs/sources.md lists them.",
    ),
    Alert(
        "KSpecCriticalFindings", "kspec.compliance", "warning", "15m",
        f'max by ({CS}) (kspec_findings{{severity="critical"}}) > 0',
        f"Critical findings: {OF}",
        "{{ $value }} findings of critical severity are open.",
        "A requirement of critical severity is violated.",
        SPEC,
        "`kspec fix` prints the patches that exist.",
    ),
    Alert(
        "KSpecExemptionExpiring", "kspec.compliance", "info", "0m",
        f"0 < min by ({CS}) (kspec_exemption_expiry_timestamp_seconds) - time() < 7 * {DAY}",
        f"An exemption ends soon: {OF}",
        "The first exemption ends in {{ $value | humanizeDuration }}.",
        "The findings that it covers will then count, and be denied if the requirement is enforced.",
        SPEC,
        "Fix the findings that it covers, or extend it with a new reason.",
    ),
    Alert(
        "KSpecExemptionExpired", "kspec.compliance", "info", "1h",
        f'max by ({CS}) (kspec_exemptions{{state="expired"}}) > 0',
        f"Expired exemptions: {OF}",
        "{{ $value }} exemptions have ended and do not cover any findings.",
        "They are in the specification and have no effect.",
        SPEC,
        "Remove them.",
    ),
    Alert(
        "KSpecFleetCoverageLow", "kspec.compliance", "warning", "15m",
        "kspec:fleet_coverage:ratio < 0.9",
        "Many clusters have no result",
        "Only {{ $value | humanizePercentage }} of the clusters have a result.",
        "Clusters cannot be reached or scanned.",
        (*TARGET[:2], OPERATOR[1]),
        "See KSpecClusterTargetUnhealthy and KSpecScanErrors.",
    ),
)  # fmt: skip

DRIFT: tuple[Alert, ...] = (
    Alert(
        "KSpecDriftDetected", "kspec.drift", "warning", "5m",
        f"max by ({CS}) (kspec_drift_detected) == 1",
        f"Drift: {OF}",
        "The cluster differs from what was applied.",
        "A policy object was changed or deleted, or a requirement that was met is not met any more.",
        SPEC,
        "The condition DriftDetected names the object and who changed it. Apply the specification again, or set "
        "`autoRemediate`.",
        v03=True,
    ),
    Alert(
        "KSpecHighDriftEventRate", "kspec.drift", "warning", "10m",
        f"max by ({CS}) (kspec_drift_events) > 50",
        f"Much drift: {OF}",
        "{{ $value }} differences exist.",
        "Many objects differ at once: often another controller manages the same objects.",
        SPEC,
        "Find the manager in the condition DriftDetected, and let one of the two manage the objects.",
        v03=True,
    ),
    Alert(
        "KSpecRemediationFailing", "kspec.drift", "warning", "0m",
        f"sum by ({CS}) (increase(kspec_remediation_errors_total[30m])) > 0",
        f"Drift could not be corrected: {OF}",
        '{{ $value | printf "%.0f" }} corrections failed in 30 minutes.',
        "A permission is missing, or another admission policy denies the change.",
        (*SPEC[:2], OPERATOR[1]),
        "The Events of the specification contain the reason.",
    ),
    Alert(
        "KSpecDriftFight", "kspec.drift", "warning", "0m",
        f"max by ({CS}) (kspec_drift_fights) > 0",
        f"Policies are changed repeatedly: {OF}",
        "{{ $value }} objects were corrected three times within an hour, and are left as they are now.",
        "Another controller or a user manages the same objects.",
        (*SPEC[:2], "kubectl -n kspec-system get driftreports"),
        "The condition DriftDetected and the DriftReport name who changes them. Let one of the two manage the "
        "objects.",
    ),
)  # fmt: skip
