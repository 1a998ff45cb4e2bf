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
        "What the specification asks for cannot be done: a right is missing, or the API server refuses it.",
        (*SPEC[:2], OPERATOR[1]),
        "The conditions and the log have the error.",
        v03=True,
    ),
    Alert(
        "KSpecReconciliationSlow", "kspec.controller", "warning", "10m",
        "kspec:reconcile_duration_seconds:p95 > 60",
        "Reconciliations are slow ({{ $labels.controller }})",
        "95 % take up to {{ $value | humanizeDuration }}, scans included.",
        "Scans are slow, or the API server is.",
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
        "Look at the state of the pods, and at the ServiceMonitor: its labels must be those that your "
        "Prometheus selects.",
    ),
    Alert(
        "KSpecNoLeader", "kspec.controller", "critical", "2m",
        "max by (job) (kspec_leader_election_status) == 0",
        "No replica of the operator leads",
        "Nothing is scanned and nothing is enforced anew.",
        "The Lease cannot be read or written, or a replica that is gone still holds it.",
        OPERATOR,
        "Check the Role of the Lease. A Lease of a holder that is gone is taken over after 15 seconds.",
    ),
    Alert(
        "KSpecMultipleLeaders", "kspec.controller", "critical", "1m",
        "sum by (job) (kspec_leader_election_status) > 1",
        "More than one replica of the operator leads",
        "{{ $value }} replicas say that they lead.",
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
        "Look for OOMKilled pods. Raise the durations of leader election where the API server is slow.",
    ),
    Alert(
        "KSpecWorkqueueStuck", "kspec.controller", "warning", "5m",
        "max by (job) (kspec_workqueue_oldest_seconds) > 600",
        "Work waits for too long",
        "An object has been due for {{ $value | humanizeDuration }}.",
        "All workers are busy with scans that take long.",
        OPERATOR,
        "Raise --max-concurrent-scans and the memory of the container, or --scan-interval.",
    ),
    Alert(
        "KSpecStoreUnavailable", "kspec.controller", "warning", "5m",
        "sum(increase(kspec_store_errors_total[30m])) > 0",
        "Results cannot be stored",
        "{{ $value | humanize }} results of 30 minutes are not in the store.",
        "The database or the place of the reports does not answer.",
        OPERATOR,
        "The log names the store and the error. What was not stored is missing in the history; results go on.",
    ),
    Alert(
        "KSpecNotificationsFailing", "kspec.controller", "warning", "0m",
        'sum by (alertconfig, receiver) (increase(kspec_notifications_total{result="failed"}[15m])) > 0',
        "Receiver {{ $labels.receiver }} of AlertConfig {{ $labels.alertconfig }} is not reached",
        "{{ $value | humanize }} alerts could not be sent in 15 minutes.",
        "The receiver does not answer, refuses the message, or its Secret is missing.",
        ("kubectl -n kspec-system describe alertconfig NAME", *OPERATOR[:2]),
        "The status of the AlertConfig has the error. `kspec alert test` sends a message on purpose.",
    ),
    Alert(
        "KSpecApiRequestsFailing", "kspec.controller", "warning", "10m",
        'sum(rate(kspec_cluster_requests_total{code=~"5..|error"}[5m])) '
        "/ sum(rate(kspec_cluster_requests_total[5m])) > 0.25",
        "API servers do not answer the operator",
        "{{ $value | humanizePercentage }} of the requests have no answer, or end in an error of the server.",
        "An API server is overloaded or cannot be reached.",
        OPERATOR,
        "Look at the API server. The operator asks again, later and later.",
    ),
    Alert(
        "KSpecMetricSeriesDropped", "kspec.controller", "warning", "0m",
        "sum by (metric) (increase(kspec_metric_series_dropped_total[15m])) > 0",
        "Series of {{ $labels.metric }} are missing",
        "The metric has more series than are exposed.",
        "There are more specifications and clusters than one operator exposes.",
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
        "The API server, the network or the credentials.",
        TARGET,
        "The conditions of the ClusterTarget say which. Renew the Secret where credentials are refused.",
        v03=True,
    ),
    Alert(
        "KSpecMultipleClustersDown", "kspec.cluster", "critical", "5m",
        "count(min by (cluster_name, namespace) (kspec_cluster_target_healthy) == 0) > 2",
        "Several clusters cannot be reached",
        "{{ $value }} clusters cannot be reached.",
        "Often the network of the operator, not the clusters.",
        TARGET,
        "Look at the network, DNS and proxies of the operator first.",
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
        "{{ $value }} shards of the last run have clusters that no worker came to.",
        "Workers of the run ended before they came to all clusters: they were killed, their Job could not start "
        "them, or the run took longer than its time limit.",
        ("kubectl describe cspec NAME", "kubectl -n kspec-system get jobs,pods", OPERATOR[1]),
        "The status of the specification names the clusters and the reason. Look for OOMKilled workers and images "
        "that cannot be pulled.",
    ),
    Alert(
        "KSpecRunSlow", "kspec.cluster", "warning", "15m",
        "kspec:run_duration_seconds:mean6h > scalar(max(kspec_scan_interval_seconds))",
        "Runs take longer than the interval between them: {{ $labels.cluster_spec }}",
        "The runs of 6 hours took {{ $value | humanizeDuration }} on average.",
        "Results of the clusters are older than --scan-interval promises.",
        ("kubectl describe cspec NAME", "kubectl -n kspec-system get jobs,pods", OPERATOR[1]),
        "Run more workers at once, scan with Jobs (--scan-engine job), or raise --scan-interval.",
    ),
)  # fmt: skip
