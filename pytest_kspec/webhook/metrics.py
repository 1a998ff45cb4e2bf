"""What Prometheus sees. Names that the predecessor had are kept where they mean the same.

In a registry of its own, so that several servers in one process (tests) do not meet.
"""

from __future__ import annotations

from collections.abc import Callable

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram
from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest

CONTENT_TYPE = CONTENT_TYPE_LATEST
_BUCKETS = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1.0, 5.0)
RESULTS = ("success", "error", "circuit_breaker_tripped", "bad_request", "limited")
"""success: evaluated; error: an internal error; bad_request, limited: never evaluated, the client's doing."""


class Metrics:
    """All metrics of one server."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self._requests = self._counter("kspec_webhook_requests_total", "Reviews received.", "result")
        self._results = self._counter(
            "kspec_webhook_validation_results_total",
            "Admission reviews by outcome: allowed, or the strictest outcome of any policy (denied, warned, …).",
            "result",
            "mode",
        )
        self._actions = self._counter(
            "kspec_policy_enforcement_actions_total",
            "Admission reviews by policy and outcome: denied, warned, monitored, exempted or failed.",
            "policy",
            "action",
        )
        self._duration = Histogram(
            "kspec_webhook_request_duration_seconds",
            "Time from the end of the request body to the response, in seconds.",
            ["result"],
            buckets=_BUCKETS,
            registry=self.registry,
        )
        self.fail_open = self._counter(
            "kspec_webhook_fail_open_total",
            "Admission reviews that were allowed although a policy in mode enforce was not evaluated.",
        )
        self.refused_connections = self._counter(
            "kspec_webhook_connections_refused_total", "Connections that were closed because of a limit."
        )
        self.dropped = self._counter(
            "kspec_webhook_records_dropped_total",
            "Audit records and Events that were lost because the queue was full or writing failed.",
            "sink",
        )
        self.reload_errors = self._counter(
            "kspec_webhook_reload_errors_total",
            "Failed reloads of specifications, certificates and other configuration.",
            "what",
        )
        self.policies = self._gauge("kspec_webhook_policies", "Number of policies in force.", "mode")
        self.certificate_expiry = self._gauge(
            "kspec_webhook_certificate_expiry_timestamp_seconds",
            "Expiry time of the serving certificate, as a Unix timestamp.",
        )
        # Children are looked up once: it costs more than counting.
        self.requests = {result: self._requests.labels(result) for result in RESULTS}
        self.duration = {result: self._duration.labels(result) for result in RESULTS}
        self._allowed = self._results.labels("allowed", "")

    def breaker(
        self, tripped: Callable[[], float], rate: Callable[[], float], total: Callable[[], float]
    ) -> None:
        """Read the state of the breaker when asked."""
        for name, text, value in (
            ("tripped", "1 while the circuit breaker is open.", tripped),
            ("error_rate", "Share of evaluations with internal errors in the last minute.", rate),
            ("total_requests", "Number of evaluations in the last minute.", total),
        ):
            self._gauge(f"kspec_circuit_breaker_{name}", text).set_function(value)

    def allowed(self) -> None:
        """A review that nobody had anything to say about."""
        self._allowed.inc()

    def said(self, result: str, mode: str) -> None:
        """The strictest thing that was said in a review, and in which mode."""
        self._results.labels(result, mode).inc()

    def did(self, policy: str, action: str) -> None:
        """What one policy did in a review."""
        self._actions.labels(policy, action).inc()

    def render(self) -> bytes:
        """Prometheus text."""
        return generate_latest(self.registry)

    def _counter(self, name: str, text: str, *labels: str) -> Counter:
        return Counter(name, text, labels, registry=self.registry)

    def _gauge(self, name: str, text: str, *labels: str) -> Gauge:
        return Gauge(name, text, labels, registry=self.registry)
