"""The alert and recording rules, as data: `alertfiles` makes the manifests and the runbook of them.

Names and severities of v0.3 are kept, since routes and silences name them. Thresholds hold for all replicas together. A
warning ends by its own expression where its critical one begins. No percentile is compared with more than the largest
bucket.
"""

from __future__ import annotations

from typing import NamedTuple

CS = "cluster_name, cluster_spec"
DAY = "86400"


class Alert(NamedTuple):
    """One alert.

    after:   how long the expression has to hold
    summary: one line, description: with the value; both may use labels
    cause:   what it means, for the runbook; look: commands for a first look; mend: what to change
    v03:     v0.3 had it
    """

    name: str
    group: str
    severity: str
    after: str
    expr: str
    summary: str
    description: str
    cause: str
    look: tuple[str, ...]
    mend: str
    v03: bool = False


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

_SPEC = ("kubectl get cspec", "kubectl describe cspec NAME", "kubectl -n kspec-system get compliancereports")
_OPERATOR = (
    "kubectl -n kspec-system get pods -l app.kubernetes.io/name=kspec-operator",
    "kubectl -n kspec-system logs -l app.kubernetes.io/name=kspec-operator --tail=100",
    "kubectl -n kspec-system get lease kspec-operator-lock -o yaml",
)
_WEBHOOK = (
    "kubectl -n kspec-system get pods -l app.kubernetes.io/name=kspec-webhook",
    "kubectl -n kspec-system logs -l app.kubernetes.io/name=kspec-webhook --tail=100",
    "kubectl get validatingwebhookconfigurations -l kspec.io/generated=true",
)
_TARGET = (
    "kubectl -n kspec-system get clustertargets",
    "kubectl -n kspec-system describe clustertarget NAME",
    "kubectl -n kspec-system get secrets",
)
_OF = "{{ $labels.cluster_spec }} on {{ $labels.cluster_name }}"

_LEFT = "min by (cluster_name, namespace) (kspec_credential_expiry_timestamp_seconds) - time()"
_RENEWED = f"({_LEFT} > 0.1 * min by (cluster_name, namespace) (kspec_credential_lifetime_seconds))"
"""Credentials that live for hours are renewed at 80 % of their life: they are no news before their last tenth."""

ALERTS: tuple[Alert, ...] = (
    # -- the webhook
    Alert(
        "KSpecCircuitBreakerTripped", "kspec.webhooks", "critical", "1m",
        "kspec_circuit_breaker_tripped == 1",
        "The circuit breaker of the webhook is open",
        "The webhook {{ $labels.instance }} evaluates no reviews: each is answered as its failure policy says.",
        "Half of the evaluations of the last minute ended in internal errors, so that the webhook stopped "
        "evaluating. Reviews are "
        "admitted or denied as the `failurePolicy` of each specification says.",
        _WEBHOOK,
        "The log names the rule and the object that fail. Take the requirement out of the specification, or go "
        "back to the version "
        "before. The breaker closes by itself when evaluations succeed.",
        v03=True,
    ),
    Alert(
        "KSpecHighWebhookErrorRate", "kspec.webhooks", "warning", "5m",
        'sum(rate(kspec_webhook_requests_total{result="error"}[5m])) '
        '/ sum(rate(kspec_webhook_requests_total{result=~"success|error"}[5m])) > 0.25',
        "Many admission reviews end in internal errors",
        "{{ $value | humanizePercentage }} of the reviews of the last 5 minutes ended in an internal error.",
        "Evaluating a review raises an error: a fault of a rule or of kspec.",
        _WEBHOOK,
        "As for KSpecCircuitBreakerTripped, which follows at half of all reviews.",
        v03=True,
    ),
    Alert(
        "KSpecWebhookLatencyHigh", "kspec.webhooks", "warning", "5m",
        "kspec:webhook_request_duration_seconds:p95 > 1",
        "Admission reviews are slow",
        "95 % of the reviews take up to {{ $value | humanizeDuration }}. API servers wait for each.",
        "Every create and update that a policy selects waits for the webhook.",
        _WEBHOOK,
        "Give the webhook more CPU or replicas. Look for reviews of several megabytes, and for a node that is "
        "overloaded.",
        v03=True,
    ),
    Alert(
        "KSpecHighPolicyDenialRate", "kspec.webhooks", "warning", "10m",
        'sum(rate(kspec_webhook_validation_results_total{result="denied"}[5m])) > 0.5',
        "Many requests are denied",
        "{{ $value | humanize }} requests a second are denied, over all replicas of the webhook.",
        "A controller repeats what is denied, or a policy is stricter than the workloads.",
        ("kubectl get events -A --field-selector reason=PolicyViolation", *_WEBHOOK[1:]),
        "Find the owner in the Events and correct the workload, exempt it with an end date, or set the "
        "specification to `audit`.",
        v03=True,
    ),
    Alert(
        "KSpecPolicyEnforcementDisabled", "kspec.webhooks", "info", "15m",
        'sum(kspec_active_cluster_specs{mode="enforce"}) == 0',
        "No specification is enforced",
        "No ClusterSpecification has enforcement.enabled with mode enforce.",
        "Violations are found by scans and are not kept out. That may be intended.",
        _SPEC,
        "Set `enforcement: {enabled: true, mode: enforce}` in a specification, or silence this alert where "
        "scans are all you want.",
        v03=True,
    ),
    Alert(
        "KSpecWebhookNotReady", "kspec.webhooks", "critical", "5m",
        "max by (job) (kspec_webhook_ready) == 0",
        "No replica of the webhook is ready",
        "No replica of the webhook has a certificate and specifications.",
        "Requests are answered as the `failurePolicy` of their registration says.",
        _WEBHOOK,
        "The log says what is missing: the certificate, or specifications that can be read.",
    ),
    Alert(
        "KSpecWebhookDown", "kspec.webhooks", "critical", "5m",
        "count by (job) (kspec_webhook_ready offset 1h) unless count by (job) (kspec_webhook_ready)",
        "The webhook is gone",
        "No replica of the webhook was scraped for 5 minutes; {{ $value }} were an hour ago.",
        "It does not run, or Prometheus cannot read it.",
        _WEBHOOK,
        "Start it, or remove its registration: `kspec enforce SPEC --engine webhook --remove`.",
    ),
    Alert(
        "KSpecWebhookFailOpen", "kspec.webhooks", "warning", "0m",
        "sum(increase(kspec_webhook_fail_open_total[10m])) > 0",
        "Requests were admitted without evaluation",
        "{{ $value | humanize }} requests were admitted in 10 minutes although a policy in mode enforce was not "
        "evaluated.",
        "A policy with `failurePolicy: Ignore` was not evaluated: an internal error, an open circuit breaker, "
        "or a review that was too large.",
        _WEBHOOK,
        "A scan finds what was admitted. Mend the cause that the log names.",
    ),
    Alert(
        "KSpecWebhookReloadFailing", "kspec.webhooks", "warning", "0m",
        "sum by (what) (increase(kspec_webhook_reload_errors_total[15m])) > 0",
        "The webhook could not load its {{ $labels.what }}",
        "The webhook goes on with what it loaded before.",
        "A specification, a certificate or another file of the webhook changed and cannot be loaded.",
        _WEBHOOK,
        "The log has the error with its line. `kspec validate` says the same.",
    ),
    Alert(
        "KSpecWebhookConnectionsRefused", "kspec.webhooks", "warning", "10m",
        "sum(rate(kspec_webhook_connections_refused_total[5m])) > 1",
        "The webhook closes connections because of a limit",
        "{{ $value | humanize }} connections a second are closed.",
        "A client opens too many connections, or sends headers too slowly.",
        _WEBHOOK,
        "Find the client. Only API servers need to reach the webhook: a NetworkPolicy can say so.",
    ),
    Alert(
        "KSpecAuditRecordsDropped", "kspec.webhooks", "warning", "0m",
        "sum by (sink) (increase(kspec_webhook_records_dropped_total[10m])) > 0 "
        'or label_replace(sum(increase(kspec_audit_records_dropped_total[10m])), '
        '"sink", "KSPEC_AUDIT_LOG", "", "") > 0',
        "Records were lost ({{ $labels.sink }})",
        "{{ $value | humanize }} records were lost in 10 minutes.",
        "The audit log of the webhook (`audit`), its Events (`events`), or the log that `$KSPEC_AUDIT_LOG` of the "
        "operator or the webhook names could not be written as fast as records were made, or not at all.",
        ("kubectl -n kspec-system logs -l app.kubernetes.io/name=kspec-operator --tail=100", *_WEBHOOK[:2]),
        "Look for a full disk, a quota, or an API server that limits the webhook.",
    ),
    # -- results
    Alert(
        "KSpecLowComplianceScore", "kspec.compliance", "warning", "10m",
        "(kspec:compliance_score:min < 70) >= 50",
        f"Low compliance score: {_OF}",
        "The score is {{ $value | humanize }}.",
        "Requirements of weight are not met.",
        _SPEC,
        "The ComplianceReport lists what is not met, worst first.",
        v03=True,
    ),
    Alert(
        "KSpecCriticalComplianceScore", "kspec.compliance", "critical", "5m",
        "kspec:compliance_score:min < 50",
        f"Critical compliance score: {_OF}",
        "The score is {{ $value | humanize }}.",
        "Most of the weight of the requirements is not met.",
        _SPEC,
        "The ComplianceReport lists what is not met, worst first.",
        v03=True,
    ),
    Alert(
        "KSpecComplianceScoreDropping", "kspec.compliance", "warning", "5m",
        "(kspec:compliance_score:min offset 1h) - kspec:compliance_score:min > 10",
        f"The compliance score drops: {_OF}",
        "The score is {{ $value | humanize }} lower than an hour ago.",
        "Something changed in the cluster or in the specification.",
        _SPEC,
        "Compare two results: `kspec diff OLD.json NEW.json`, or `kspec history` with a store.",
        v03=True,
    ),
    Alert(
        "KSpecScanStale", "kspec.compliance", "warning", "5m",
        f"time() - max by ({CS}) (kspec_last_scan_timestamp_seconds) > 3 * "
        f"scalar(max(kspec_scan_interval_seconds))",
        f"No scan for a long time: {_OF}",
        "The last scan with a result ended {{ $value | humanizeDuration }} ago.",
        "Scans do not come to an end, or are not begun.",
        (*_SPEC[:2], _OPERATOR[1]),
        "See the reason in the condition Ready. Raise --scan-timeout or --max-concurrent-scans where scans take "
        "too long.",
    ),
    Alert(
        "KSpecScanErrors", "kspec.compliance", "warning", "10m",
        f"min by ({CS}) (kspec_last_scan_success) == 0",
        f"The scan has no result: {_OF}",
        "The last scan has no result: nothing is known of the cluster.",
        "The scan was killed at its time limit, ended without a result, or the specification is not valid.",
        (*_SPEC[:2], _OPERATOR[1]),
        "The message of the condition Ready says why.",
    ),
    Alert(
        "KSpecChecksNotEvaluated", "kspec.compliance", "warning", "15m",
        f'max by ({CS}) (kspec_compliance_checks{{status="error"}}) > 0',
        f"Requirements could not be evaluated: {_OF}",
        "{{ $value }} requirements could not be evaluated.",
        "A kind could not be listed, a registry did not answer, or a check failed.",
        _SPEC,
        "The report has the reason of each. Most often a right is missing: docs/sources.md lists them.",
    ),
    Alert(
        "KSpecCriticalFindings", "kspec.compliance", "warning", "15m",
        f'max by ({CS}) (kspec_findings{{severity="critical"}}) > 0',
        f"Critical findings: {_OF}",
        "{{ $value }} findings of critical severity are open.",
        "A requirement of critical severity is violated.",
        _SPEC,
        "`kspec fix` prints a patch where there is one.",
    ),
    Alert(
        "KSpecExemptionExpiring", "kspec.compliance", "info", "0m",
        f"0 < min by ({CS}) (kspec_exemption_expiry_timestamp_seconds) - time() < 7 * {DAY}",
        f"An exemption ends soon: {_OF}",
        "The first exemption ends in {{ $value | humanizeDuration }}.",
        "What it covers will be a finding then, and denied where it is enforced.",
        _SPEC,
        "Correct what it covers, or extend it with a new reason.",
    ),
    Alert(
        "KSpecExemptionExpired", "kspec.compliance", "info", "1h",
        f'max by ({CS}) (kspec_exemptions{{state="expired"}}) > 0',
        f"Expired exemptions: {_OF}",
        "{{ $value }} exemptions have ended and cover nothing.",
        "They are in the specification and have no effect.",
        _SPEC,
        "Remove them.",
    ),
    Alert(
        "KSpecFleetCoverageLow", "kspec.compliance", "warning", "15m",
        "kspec:fleet_coverage:ratio < 0.9",
        "Many clusters have no result",
        "Only {{ $value | humanizePercentage }} of the clusters have a result.",
        "Clusters cannot be reached or scanned.",
        (*_TARGET[:2], _OPERATOR[1]),
        "See KSpecClusterTargetUnhealthy and KSpecScanErrors.",
    ),
    # -- drift
    Alert(
        "KSpecDriftDetected", "kspec.drift", "warning", "5m",
        f"max by ({CS}) (kspec_drift_detected) == 1",
        f"Drift: {_OF}",
        "What is in the cluster differs from what was applied.",
        "A policy object was changed or deleted, or what was compliant is not any more.",
        _SPEC,
        "The condition DriftDetected names the object and who changed it. Apply the specification again, or set "
        "`autoRemediate`.",
        v03=True,
    ),
    Alert(
        "KSpecHighDriftEventRate", "kspec.drift", "warning", "10m",
        f"max by ({CS}) (kspec_drift_events) > 50",
        f"Much drift: {_OF}",
        "{{ $value }} differences exist.",
        "Many objects differ at once: often another controller manages the same objects.",
        _SPEC,
        "Find the manager in the condition DriftDetected, and let one of the two manage the objects.",
        v03=True,
    ),
    Alert(
        "KSpecRemediationFailing", "kspec.drift", "warning", "0m",
        f"sum by ({CS}) (increase(kspec_remediation_errors_total[30m])) > 0",
        f"Drift could not be corrected: {_OF}",
        "{{ $value | humanize }} corrections failed in 30 minutes.",
        "A right is missing, or another admission policy denies the change.",
        (*_SPEC[:2], _OPERATOR[1]),
        "The Events of the specification say why.",
    ),
    Alert(
        "KSpecDriftFight", "kspec.drift", "warning", "0m",
        f"max by ({CS}) (kspec_drift_fights) > 0",
        f"Policies are changed repeatedly: {_OF}",
        "{{ $value }} objects were corrected three times within an hour, and are left as they are now.",
        "Another controller or a person manages the same objects.",
        (*_SPEC[:2], "kubectl -n kspec-system get driftreports"),
        "The condition DriftDetected and the DriftReport name who changes them. Let one of the two manage the "
        "objects.",
    ),
    # -- the operator
    Alert(
        "KSpecReconciliationFailures", "kspec.controller", "warning", "5m",
        "sum by (controller, cluster_spec) (increase(kspec_reconcile_errors_total[30m])) "
        "/ sum by (controller, cluster_spec) (increase(kspec_reconcile_total[30m])) > 0.5",
        "Reconciliations fail: {{ $labels.controller }} {{ $labels.cluster_spec }}",
        "{{ $value | humanizePercentage }} of the reconciliations of 30 minutes failed.",
        "What the specification asks for cannot be done: a right is missing, or the API server refuses it.",
        (*_SPEC[:2], _OPERATOR[1]),
        "The conditions and the log have the error.",
        v03=True,
    ),
    Alert(
        "KSpecReconciliationSlow", "kspec.controller", "warning", "10m",
        "kspec:reconcile_duration_seconds:p95 > 60",
        "Reconciliations are slow ({{ $labels.controller }})",
        "95 % take up to {{ $value | humanizeDuration }}, scans included.",
        "Scans are slow, or the API server is.",
        _OPERATOR,
        "See KSpecScanDurationHigh.",
        v03=True,
    ),
    Alert(
        "KSpecScanDurationHigh", "kspec.controller", "warning", "10m",
        "kspec:scan_duration_seconds:p95 > 30",
        "Scans are slow ({{ $labels.cluster_name }})",
        "95 % take up to {{ $value | humanizeDuration }}.",
        "The cluster is large, its API server slow, or the container of the operator has too little CPU.",
        _OPERATOR,
        "Raise the limits of the Deployment, or --scan-interval.",
        v03=True,
    ),
    Alert(
        "KSpecOperatorDown", "kspec.controller", "critical", "5m",
        "absent(kspec_leader_election_status)",
        "The operator is not running",
        "No replica of the operator is scraped.",
        "It does not run, or Prometheus cannot read it.",
        _OPERATOR,
        "Look at the state of the pods, and at the ServiceMonitor: its labels must be those that your "
        "Prometheus selects.",
    ),
    Alert(
        "KSpecNoLeader", "kspec.controller", "critical", "2m",
        "max by (job) (kspec_leader_election_status) == 0",
        "No replica of the operator leads",
        "Nothing is scanned and nothing is enforced anew.",
        "The Lease cannot be read or written, or a replica that is gone still holds it.",
        _OPERATOR,
        "Check the Role of the Lease. A Lease of a holder that is gone is taken over after 15 seconds.",
    ),
    Alert(
        "KSpecMultipleLeaders", "kspec.controller", "critical", "1m",
        "sum by (job) (kspec_leader_election_status) > 1",
        "More than one replica of the operator leads",
        "{{ $value }} replicas say that they lead.",
        "Replicas use different namespaces for the Lease, or run with --leader-elect=false.",
        _OPERATOR,
        "Run one Deployment with --leader-elect.",
    ),
    Alert(
        "KSpecLeadershipFlapping", "kspec.controller", "warning", "0m",
        "max by (job) (kspec_leader_election_transitions_total) "
        "- min by (job) (min_over_time(kspec_leader_election_transitions_total[1h]) > 0) > 3",
        "The leader changes often",
        "The leader changed {{ $value }} times in an hour.",
        "Replicas are killed (memory), or the API server does not answer in time.",
        _OPERATOR,
        "Look for OOMKilled pods. Raise the durations of leader election where the API server is slow.",
    ),
    Alert(
        "KSpecWorkqueueStuck", "kspec.controller", "warning", "5m",
        "max by (job) (kspec_workqueue_oldest_seconds) > 600",
        "Work waits for too long",
        "An object has been due for {{ $value | humanizeDuration }}.",
        "All workers are busy with scans that take long.",
        _OPERATOR,
        "Raise --max-concurrent-scans and the memory of the container, or --scan-interval.",
    ),
    Alert(
        "KSpecStoreUnavailable", "kspec.controller", "warning", "5m",
        "sum(increase(kspec_store_errors_total[30m])) > 0",
        "Results cannot be stored",
        "{{ $value | humanize }} results of 30 minutes are not in the store.",
        "The database or the place of the reports does not answer.",
        _OPERATOR,
        "The log names the store and the error. What was not stored is missing in the history; results go on.",
    ),
    Alert(
        "KSpecNotificationsFailing", "kspec.controller", "warning", "0m",
        'sum by (alertconfig, receiver) (increase(kspec_notifications_total{result="failed"}[15m])) > 0',
        "Receiver {{ $labels.receiver }} of AlertConfig {{ $labels.alertconfig }} is not reached",
        "{{ $value | humanize }} alerts could not be sent in 15 minutes.",
        "The receiver does not answer, refuses the message, or its Secret is missing.",
        ("kubectl -n kspec-system describe alertconfig NAME", *_OPERATOR[:2]),
        "The status of the AlertConfig has the error. `kspec alert test` sends a message on purpose.",
    ),
    Alert(
        "KSpecApiRequestsFailing", "kspec.controller", "warning", "10m",
        'sum(rate(kspec_cluster_requests_total{code=~"5..|error"}[5m])) '
        "/ sum(rate(kspec_cluster_requests_total[5m])) > 0.25",
        "API servers do not answer the operator",
        "{{ $value | humanizePercentage }} of the requests have no answer, or end in an error of the server.",
        "An API server is overloaded or cannot be reached.",
        _OPERATOR,
        "Look at the API server. The operator asks again, later and later.",
    ),
    Alert(
        "KSpecMetricSeriesDropped", "kspec.controller", "warning", "0m",
        "sum by (metric) (increase(kspec_metric_series_dropped_total[15m])) > 0",
        "Series of {{ $labels.metric }} are missing",
        "The metric has more series than are exposed.",
        "There are more specifications and clusters than one operator exposes.",
        _OPERATOR,
        "Divide the clusters among several operators.",
    ),
    # -- clusters of a fleet
    Alert(
        "KSpecClusterTargetUnhealthy", "kspec.cluster", "critical", "5m",
        "min by (cluster_name, namespace) (kspec_cluster_target_healthy) == 0",
        "Cluster {{ $labels.cluster_name }} cannot be reached",
        "The cluster is unreachable, or its credentials are refused.",
        "The API server, the network or the credentials.",
        _TARGET,
        "The conditions of the ClusterTarget say which. Renew the Secret where credentials are refused.",
        v03=True,
    ),
    Alert(
        "KSpecMultipleClustersDown", "kspec.cluster", "critical", "5m",
        "count(min by (cluster_name, namespace) (kspec_cluster_target_healthy) == 0) > 2",
        "Several clusters cannot be reached",
        "{{ $value }} clusters cannot be reached.",
        "Often the network of the operator, not the clusters.",
        _TARGET,
        "Look at the network, DNS and proxies of the operator first.",
        v03=True,
    ),
    Alert(
        "KSpecCredentialExpiring", "kspec.cluster", "warning", "0m",
        f"({DAY} <= {_LEFT} < 7 * {DAY}) unless {_RENEWED}",
        "Credentials for {{ $labels.cluster_name }} end soon",
        "They end in {{ $value | humanizeDuration }}.",
        "The cluster cannot be scanned afterwards.",
        _TARGET,
        "Renew the Secret; the operator reads it again.",
    ),
    Alert(
        "KSpecCredentialExpired", "kspec.cluster", "critical", "0m",
        f"({_LEFT} < {DAY}) unless {_RENEWED}",
        "Credentials for {{ $labels.cluster_name }} end within a day, or have ended",
        "They end in {{ $value | humanizeDuration }}.",
        "The cluster cannot be scanned afterwards.",
        _TARGET,
        "Renew the Secret; the operator reads it again.",
    ),
    Alert(
        "KSpecRunShardsFailed", "kspec.cluster", "warning", "5m",
        'max by (cluster_spec) (kspec_run_shards{state="failed"}) > 0',
        "Clusters were not scanned: {{ $labels.cluster_spec }}",
        "{{ $value }} shards of the last run have clusters that no worker came to.",
        "Workers of the run ended before they came to all clusters: they were killed, their Job could not start "
        "them, or the run took longer than its time limit.",
        ("kubectl describe cspec NAME", "kubectl -n kspec-system get jobs,pods", _OPERATOR[1]),
        "The status of the specification names the clusters and the reason. Look for OOMKilled workers and images "
        "that cannot be pulled.",
    ),
    Alert(
        "KSpecRunSlow", "kspec.cluster", "warning", "15m",
        "kspec:run_duration_seconds:mean6h > scalar(max(kspec_scan_interval_seconds))",
        "Runs take longer than the interval between them: {{ $labels.cluster_spec }}",
        "The runs of 6 hours took {{ $value | humanizeDuration }} on average.",
        "Results of the clusters are older than --scan-interval promises.",
        ("kubectl describe cspec NAME", "kubectl -n kspec-system get jobs,pods", _OPERATOR[1]),
        "Run more workers at once, scan with Jobs (--scan-engine job), or raise --scan-interval.",
    ),
    # -- certificates of the webhook
    Alert(
        "KSpecCertificateProvisioningSlow", "kspec.certificates", "warning", "10m",
        "histogram_quantile(0.95, sum by (le) "
        "(increase(kspec_certificate_provisioning_duration_seconds_bucket[1h]))) > 120",
        "The webhook waits long for its certificate",
        "95 % of the certificates of an hour took up to {{ $value | humanizeDuration }}.",
        "The Secret cannot be written, caBundle cannot be published, or cert-manager is slow.",
        _WEBHOOK,
        "The log says which step fails.",
        v03=True,
    ),
    Alert(
        "KSpecHighCertificateRenewalRate", "kspec.certificates", "warning", "15m",
        "sum(increase(kspec_certificate_renewal_total[1h])) > 6",
        "The certificate of the webhook changes often",
        "{{ $value | humanize }} certificates were replaced in an hour.",
        "Two writers of one Secret, or a Certificate whose renewal begins at once.",
        _WEBHOOK,
        "Let one of them write the Secret.",
        v03=True,
    ),
    Alert(
        "KSpecWebhookCertificateExpiring", "kspec.certificates", "warning", "0m",
        f"{DAY} <= min(kspec_webhook_certificate_expiry_timestamp_seconds) - time() < 7 * {DAY}",
        "The certificate of the webhook ends soon",
        "It ends in {{ $value | humanizeDuration }}.",
        "The renewal that should have happened did not.",
        _WEBHOOK,
        "The log says why. With cert-manager, look at its Certificate.",
    ),
    Alert(
        "KSpecWebhookCertificateExpired", "kspec.certificates", "critical", "0m",
        f"min(kspec_webhook_certificate_expiry_timestamp_seconds) - time() < {DAY}",
        "The certificate of the webhook ends within a day, or has ended",
        "It ends in {{ $value | humanizeDuration }}.",
        "API servers then answer as the `failurePolicy` says.",
        _WEBHOOK,
        "The log says why it was not renewed. Remove the Secret to get a new authority.",
    ),
)  # fmt: skip
