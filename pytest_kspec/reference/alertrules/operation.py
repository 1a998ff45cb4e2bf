"""Alerts about the operator, and about the clusters of a fleet."""

from __future__ import annotations

from pytest_kspec.reference.alertrules.alert import DAY, OPERATOR, SPEC, TARGET, Alert

_LEFT = "min by (cluster_name, namespace) (kspec_credential_expiry_timestamp_seconds) - time()"
_RENEWED = f"({_LEFT} > 0.1 * min by (cluster_name, namespace) (kspec_credential_lifetime_seconds))"
"""Credentials that live for hours are renewed at 80 % of their life: they are no news before their last tenth."""

CONTROLLER: tuple[Alert, ...] = (
    Alert(
        "KSpecReconciliationFailures", "kspec.controller", "warning", "5m",
        "sum by (controller, cluster_spec) (increase(kspec_reconcile_errors_total[30m])) "
        "/ sum by (controller, cluster_spec) (increase(kspec_reconcile_total[30m])) > 0.5",
        "Reconciliations fail: {{ $labels.controller }} {{ $labels.cluster_spec }}",
        "{{ $value | humanizePercentage }} of the reconciliations of 30 minutes failed.",
        "The operator cannot do what the specification requires: a permission is missing, or the API server refuses a "
        "request.",
        (*SPEC[:2], OPERATOR[1]),
        "The conditions and the log contain the error.",
        v03=True,
    ),
    Alert(
        "KSpecReconciliationSlow", "kspec.controller", "warning", "10m",
        "kspec:reconcile_duration_seconds:p95 > 60",
        "Reconciliations are slow ({{ $labels.controller }})",
        "95 % take up to {{ $value | humanizeDuration }}, scans included.",
        "Scans are slow, or the API server is slow.",
        OPERATOR,
        "See KSpecScanDurationHigh.",
        v03=True,
    ),
    Alert(
        "KSpecScanDurationHigh", "kspec.controller", "warning", "10m",
        "kspec:scan_duration_seconds:p95 > 30",
        "Scans are slow ({{ $labels.cluster_name }})",
        "95 % take up to {{ $value | humanizeDuration }}.",
        "The cluster is large, its API server slow, or the container of the operator has too little CPU.",
        OPERATOR,
        "Raise the limits of the Deployment, or --scan-interval.",
        v03=True,
    ),
    Alert(
        "KSpecOperatorDown", "kspec.controller", "critical", "5m",
        "absent(kspec_leader_election_status)",
        "The operator is not running",
        "No replica of the operator is scraped.",
        "It does not run, or Prometheus cannot read it.",
        OPERATOR,
        "Check the state of the pods, and the ServiceMonitor: its labels must be those that your "
        "Prometheus selects.",
    ),
    Alert(
        "KSpecNoLeader", "kspec.controller", "critical", "2m",
        "max by (job) (kspec_leader_election_status) == 0",
        "No replica of the operator leads",
        "Clusters are not scanned, and policies are not applied or corrected.",
        "The Lease cannot be read or written, or a replica that no longer exists still holds it.",
        OPERATOR,
        "Check the Role of the Lease. If its holder no longer exists, another replica takes over within 12 seconds.",
    ),
    Alert(
        "KSpecMultipleLeaders", "kspec.controller", "critical", "1m",
        "sum by (job) (kspec_leader_election_status) > 1",
        "More than one replica of the operator leads",
        "{{ $value }} replicas report that they lead.",
        "Replicas use different namespaces for the Lease, or run with --leader-elect=false.",
        OPERATOR,
        "Run one Deployment with --leader-elect.",
    ),
    Alert(
        "KSpecLeadershipFlapping", "kspec.controller", "warning", "0m",
        "max by (job) (kspec_leader_election_transitions_total) "
        "- min by (job) (min_over_time(kspec_leader_election_transitions_total[1h]) > 0) > 3",
        "The leader changes often",
        "The leader changed {{ $value }} times in an hour.",
        "Replicas are killed (memory), or the API server does not answer in time.",
        OPERATOR,
        "Look for OOMKilled pods. Raise the durations of leader election if the API server is slow.",
    ),
    Alert(
        "KSpecWorkqueueStuck", "kspec.controller", "warning", "5m",
        "max by (job) (kspec_workqueue_oldest_seconds) > 600",
        "Objects wait too long for a worker",
        "An object has been due for {{ $value | humanizeDuration }}.",
        "All workers are busy with long scans.",
        OPERATOR,
        "Raise --max-concurrent-scans and the memory of the container, or --scan-interval.",
    ),
    Alert(
        "KSpecStoreUnavailable", "kspec.controller", "warning", "5m",
        "sum(increase(kspec_store_errors_total[30m])) > 0",
        "Results cannot be stored",
        '{{ $value | printf "%.0f" }} results of the last 30 minutes are not in the store.',
        "The database or the storage of the reports does not answer.",
        OPERATOR,
        "The log names the store and the error. Results that were not stored are missing in the history; "
        "scans continue.",
    ),
    Alert(
        "KSpecNotificationsFailing", "kspec.controller", "warning", "0m",
        'sum by (alertconfig, receiver) (increase(kspec_notifications_total{result="failed"}[15m])) > 0',
        "Receiver {{ $labels.receiver }} of AlertConfig {{ $labels.alertconfig }} cannot be reached",
        '{{ $value | printf "%.0f" }} alerts could not be sent in 15 minutes.',
        "The receiver does not answer, refuses the message, or its Secret is missing.",
        ("kubectl -n kspec-system describe alertconfig NAME", *OPERATOR[:2]),
        "The status of the AlertConfig has the error. `kspec alert test` sends a test message.",
    ),
    Alert(
        "KSpecApiRequestsFailing", "kspec.controller", "warning", "10m",
        'sum(rate(kspec_cluster_requests_total{code=~"5..|error"}[5m])) '
        "/ sum(rate(kspec_cluster_requests_total[5m])) > 0.25",
        "API servers do not answer the operator",
        "{{ $value | humanizePercentage }} of the requests have no answer, or end with a server error.",
        "An API server is overloaded or cannot be reached.",
        OPERATOR,
        "Check the API server. The operator tries again at growing intervals.",
    ),
    Alert(
        "KSpecMetricSeriesDropped", "kspec.controller", "warning", "0m",
        "sum by (metric) (increase(kspec_metric_series_dropped_total[15m])) > 0",
        "Series of {{ $labels.metric }} are missing",
        "The metric has more series than are exposed.",
        "There are too many specifications and clusters for one operator.",
        OPERATOR,
        "Divide the clusters among several operators.",
    ),
)  # fmt: skip

CLUSTERS: tuple[Alert, ...] = (
    Alert(
        "KSpecClusterTargetUnhealthy", "kspec.cluster", "critical", "5m",
        "min by (cluster_name, namespace) (kspec_cluster_target_healthy) == 0",
        "Cluster {{ $labels.cluster_name }} cannot be reached",
        "The cluster is unreachable, or its credentials are refused.",
        "The API server does not answer, the network does not reach it, or it refuses the credentials.",
        TARGET,
        "The conditions of the ClusterTarget contain the reason. Renew the Secret if the credentials are refused.",
        v03=True,
    ),
    Alert(
        "KSpecMultipleClustersDown", "kspec.cluster", "critical", "5m",
        "count(min by (cluster_name, namespace) (kspec_cluster_target_healthy) == 0) > 2",
        "Several clusters cannot be reached",
        "{{ $value }} clusters cannot be reached.",
        "Often the network of the operator is the cause, not the clusters.",
        TARGET,
        "Check the network, DNS and proxies of the operator first.",
        v03=True,
    ),
    Alert(
        "KSpecCredentialExpiring", "kspec.cluster", "warning", "0m",
        f"({DAY} <= {_LEFT} < 7 * {DAY}) unless {_RENEWED}",
        "Credentials for {{ $labels.cluster_name }} end soon",
        "They end in {{ $value | humanizeDuration }}.",
        "The cluster cannot be scanned afterwards.",
        TARGET,
        "Renew the Secret; the operator reads it again.",
    ),
    Alert(
        "KSpecCredentialExpired", "kspec.cluster", "critical", "0m",
        f"({_LEFT} < {DAY}) unless {_RENEWED}",
        "Credentials for {{ $labels.cluster_name }} end within a day, or have ended",
        "They end in {{ $value | humanizeDuration }}.",
        "The cluster cannot be scanned afterwards.",
        TARGET,
        "Renew the Secret; the operator reads it again.",
    ),
    Alert(
        "KSpecRunShardsFailed", "kspec.cluster", "warning", "5m",
        'max by (cluster_spec) (kspec_run_shards{state="failed"}) > 0',
        "Clusters were not scanned: {{ $labels.cluster_spec }}",
        "{{ $value }} shards of the last run have clusters that no worker scanned.",
        "Workers of the run ended before they scanned all clusters: they were killed, their Job could not start "
        "them, or the run took longer than its time limit.",
        ("kubectl describe cspec NAME", "kubectl -n kspec-system get jobs,pods", OPERATOR[1]),
        "The status of the specification names the clusters and the reason. Look for OOMKilled workers and images "
        "that cannot be pulled.",
    ),
    Alert(
        "KSpecRunSlow", "kspec.cluster", "warning", "15m",
        "kspec:run_duration_seconds:mean6h > scalar(max(kspec_scan_interval_seconds))",
        "Runs take longer than the interval between them: {{ $labels.cluster_spec }}",
        "The runs of the last 6 hours took {{ $value | humanizeDuration }} on average.",
        "Results of the clusters become older than --scan-interval.",
        ("kubectl describe cspec NAME", "kubectl -n kspec-system get jobs,pods", OPERATOR[1]),
        "Run more workers at the same time, scan with Jobs (--scan-engine job), or raise --scan-interval.",
    ),
)  # fmt: skip
