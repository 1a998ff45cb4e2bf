"""Alerts about the admission webhook and its certificates."""

from __future__ import annotations

from pytest_kspec.reference.alertrules.alert import DAY, SPEC, WEBHOOK, Alert

WEBHOOKS: tuple[Alert, ...] = (
    Alert(
        "KSpecCircuitBreakerTripped", "kspec.webhooks", "critical", "1m",
        "kspec_circuit_breaker_tripped == 1",
        "The circuit breaker of the webhook is open",
        "The webhook {{ $labels.instance }} does not evaluate reviews: the failure policy of each "
        "specification decides.",
        "Half of the evaluations of the last minute ended in internal errors, so that the webhook stopped "
        "evaluating. Reviews are "
        "admitted or denied as the `failurePolicy` of each specification says.",
        WEBHOOK,
        "The log names the rule and the object that fail. Remove the requirement from the specification, or return "
        "to the previous version. The circuit breaker closes when evaluations succeed.",
        v03=True,
    ),
    Alert(
        "KSpecHighWebhookErrorRate", "kspec.webhooks", "warning", "5m",
        'sum(rate(kspec_webhook_requests_total{result="error"}[5m])) '
        '/ sum(rate(kspec_webhook_requests_total{result=~"success|error"}[5m])) > 0.25',
        "Many admission reviews end in internal errors",
        "{{ $value | humanizePercentage }} of the reviews of the last 5 minutes ended in an internal error.",
        "The evaluation of a review raises an error: a bug in a rule or in kspec.",
        WEBHOOK,
        "See KSpecCircuitBreakerTripped, which fires when half of all reviews fail.",
        v03=True,
    ),
    Alert(
        "KSpecWebhookLatencyHigh", "kspec.webhooks", "warning", "5m",
        "kspec:webhook_request_duration_seconds:p95 > 1",
        "Admission reviews are slow",
        "95 % of the reviews take up to {{ $value | humanizeDuration }}. API servers wait for each.",
        "Every create and update that a policy selects waits for the webhook.",
        WEBHOOK,
        "Give the webhook more CPU or replicas. Look for reviews of several megabytes, and for a node that is "
        "overloaded.",
        v03=True,
    ),
    Alert(
        "KSpecHighPolicyDenialRate", "kspec.webhooks", "warning", "10m",
        'sum(rate(kspec_webhook_validation_results_total{result="denied"}[5m])) > 0.5',
        "Many requests are denied",
        "{{ $value | humanize }} requests a second are denied, over all replicas of the webhook.",
        "A controller repeats a denied request, or a policy is stricter than the workloads.",
        ("kubectl get events -A --field-selector reason=PolicyViolation", *WEBHOOK[1:]),
        "Find the owner in the Events and correct the workload, exempt it with an end date, or set the "
        "specification to `audit`.",
        v03=True,
    ),
    Alert(
        "KSpecPolicyEnforcementDisabled", "kspec.webhooks", "info", "15m",
        'sum(kspec_active_cluster_specs{mode="enforce"}) == 0',
        "No specification is enforced",
        "No ClusterSpecification has enforcement.enabled with mode enforce.",
        "Scans report violations, but admission does not deny them. This may be intended.",
        SPEC,
        "Set `enforcement: {enabled: true, mode: enforce}` in a specification, or silence this alert if "
        "you only want scans.",
        v03=True,
    ),
    Alert(
        "KSpecWebhookNotReady", "kspec.webhooks", "critical", "5m",
        "max by (job) (kspec_webhook_ready) == 0",
        "No replica of the webhook is ready",
        "No replica of the webhook has both a certificate and specifications.",
        "Requests are answered as the `failurePolicy` of their registration says.",
        WEBHOOK,
        "The log contains what is missing: the certificate, or specifications that can be read.",
    ),
    Alert(
        "KSpecWebhookDown", "kspec.webhooks", "critical", "5m",
        "count by (job) (kspec_webhook_ready offset 1h) unless count by (job) (kspec_webhook_ready)",
        "The webhook does not run any more",
        "No replica of the webhook was scraped for 5 minutes; {{ $value }} were an hour ago.",
        "It does not run, or Prometheus cannot read it.",
        WEBHOOK,
        "Start it, or remove its registration: `kspec enforce SPEC --engine webhook --remove`.",
    ),
    Alert(
        "KSpecWebhookFailOpen", "kspec.webhooks", "warning", "0m",
        "sum(increase(kspec_webhook_fail_open_total[10m])) > 0",
        "Requests were admitted without evaluation",
        '{{ $value | printf "%.0f" }} requests were admitted in 10 minutes although a policy in mode enforce was not '
        "evaluated.",
        "A policy with `failurePolicy: Ignore` was not evaluated: an internal error, an open circuit breaker, "
        "or a review that was too large.",
        WEBHOOK,
        "A scan reports what was admitted. Fix the cause that the log names.",
    ),
    Alert(
        "KSpecWebhookReloadFailing", "kspec.webhooks", "warning", "0m",
        "sum by (what) (increase(kspec_webhook_reload_errors_total[15m])) > 0",
        "The webhook could not load its {{ $labels.what }}",
        "The webhook continues with what it loaded before.",
        "A specification, a certificate or another file of the webhook changed and cannot be loaded.",
        WEBHOOK,
        "The log has the error with its line. `kspec validate` reports the same error.",
    ),
    Alert(
        "KSpecWebhookConnectionsRefused", "kspec.webhooks", "warning", "10m",
        "sum(rate(kspec_webhook_connections_refused_total[5m])) > 1",
        "The webhook closes connections because of a limit",
        "{{ $value | humanize }} connections a second are closed.",
        "A client opens too many connections, or sends headers too slowly.",
        WEBHOOK,
        "Find the client. Only API servers need to reach the webhook: restrict access with a NetworkPolicy.",
    ),
    Alert(
        "KSpecAuditRecordsDropped", "kspec.webhooks", "warning", "0m",
        "sum by (sink) (increase(kspec_webhook_records_dropped_total[10m])) > 0 "
        'or label_replace(sum(increase(kspec_audit_records_dropped_total[10m])), '
        '"sink", "KSPEC_AUDIT_LOG", "", "") > 0',
        "Records were lost ({{ $labels.sink }})",
        '{{ $value | printf "%.0f" }} records were lost in 10 minutes.',
        "The audit log of the webhook (`audit`), its Events (`events`), or the log that `$KSPEC_AUDIT_LOG` of the "
        "operator or the webhook names could not be written as fast as records were made, or not at all.",
        ("kubectl -n kspec-system logs -l app.kubernetes.io/name=kspec-operator --tail=100", *WEBHOOK[:2]),
        "Look for a full disk, a quota, or an API server that limits the webhook.",
    ),
)  # fmt: skip

CERTIFICATES: tuple[Alert, ...] = (
    Alert(
        "KSpecCertificateProvisioningSlow", "kspec.certificates", "warning", "10m",
        "histogram_quantile(0.95, sum by (le) "
        "(increase(kspec_certificate_provisioning_duration_seconds_bucket[1h]))) > 120",
        "The webhook waits too long for its certificate",
        "95 % of the certificates of the last hour took up to {{ $value | humanizeDuration }}.",
        "The Secret cannot be written, caBundle cannot be published, or cert-manager is slow.",
        WEBHOOK,
        "The log contains the step that fails.",
        v03=True,
    ),
    Alert(
        "KSpecHighCertificateRenewalRate", "kspec.certificates", "warning", "15m",
        "sum(increase(kspec_certificate_renewal_total[1h])) > 6",
        "The certificate of the webhook changes often",
        '{{ $value | printf "%.0f" }} certificates were replaced in an hour.',
        "Two programs write the same Secret, or the renewal of a Certificate begins at once.",
        WEBHOOK,
        "Let only one program write the Secret.",
        v03=True,
    ),
    Alert(
        "KSpecWebhookCertificateExpiring", "kspec.certificates", "warning", "0m",
        f"{DAY} <= min(kspec_webhook_certificate_expiry_timestamp_seconds) - time() < 7 * {DAY}",
        "The certificate of the webhook ends soon",
        "It ends in {{ $value | humanizeDuration }}.",
        "The certificate was not renewed in time.",
        WEBHOOK,
        "The log contains the reason. With cert-manager, check its Certificate.",
    ),
    Alert(
        "KSpecWebhookCertificateExpired", "kspec.certificates", "critical", "0m",
        f"min(kspec_webhook_certificate_expiry_timestamp_seconds) - time() < {DAY}",
        "The certificate of the webhook ends within a day, or has ended",
        "It ends in {{ $value | humanizeDuration }}.",
        "API servers then answer as the `failurePolicy` says.",
        WEBHOOK,
        "The log contains the reason why it was not renewed. Delete the Secret to create a new authority.",
    ),
)  # fmt: skip
