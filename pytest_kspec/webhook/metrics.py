"""What Prometheus sees of the webhook: `observe.table` says what, this counts it."""

from __future__ import annotations

from collections.abc import Callable

from pytest_kspec import __version__
from pytest_kspec.audit import trail
from pytest_kspec.observe.registry import Registry, Together
from pytest_kspec.observe.table import BY_NAME, WEBHOOK

_REQUESTS = "kspec_webhook_requests_total"
RESULTS = BY_NAME[_REQUESTS].values["result"]
"""success: evaluated; error: an internal error; bad_request, limited: never evaluated, the client's doing."""


class Metrics:
    """All metrics of one server."""

    def __init__(self) -> None:
        self.registry = Registry(WEBHOOK)
        self.requests = {result: self.registry.series(_REQUESTS, result) for result in RESULTS}
        durations = {
            result: self.registry.series("kspec_webhook_request_duration_seconds", result)
            for result in RESULTS
        }
        allowed = self.registry.series("kspec_webhook_validation_results_total", "allowed", "")
        self._said = {result: Together(durations[result], self.requests[result]) for result in RESULTS}
        self._allowed = {
            result: Together(durations[result], self.requests[result], allowed) for result in RESULTS
        }
        self.fail_open = self.registry.series("kspec_webhook_fail_open_total")
        self.refused_connections = self.registry.series("kspec_webhook_connections_refused_total")
        self.registry.start("kspec_webhook_validation_results_total", "denied", "enforce")
        self.registry.set("kspec_build_info", (__version__,), 1)
        self.registry.read(lambda: self.registry.set("kspec_audit_records_dropped_total", (), trail.lost()))

    def breaker(
        self, tripped: Callable[[], float], rate: Callable[[], float], total: Callable[[], float]
    ) -> None:
        """Read the state of the breaker when asked."""

        def read() -> None:
            for name, value in (("tripped", tripped), ("error_rate", rate), ("total_requests", total)):
                self.registry.set(f"kspec_circuit_breaker_{name}", (), value())

        self.registry.read(read)

    def ready(self, is_ready: Callable[[], bool]) -> None:
        """Ask whether it is ready when asked."""
        self.registry.read(lambda: self.registry.set("kspec_webhook_ready", (), is_ready()))

    def reviewed(self, result: str, seconds: float, *, allowed: bool) -> None:
        """A review was answered. allowed: no policy had anything to say about it."""
        (self._allowed if allowed else self._said)[result].observe(seconds)

    def said(self, result: str, mode: str) -> None:
        """The strictest thing that was said in a review, and in which mode."""
        self.registry.count("kspec_webhook_validation_results_total", result, mode)

    def did(self, policy: str, action: str) -> None:
        """What one policy did in a review."""
        self.registry.count("kspec_policy_enforcement_actions_total", policy, action)

    def in_force(self, policies: dict[str, int]) -> None:
        """Policies by mode."""
        for mode, number in policies.items():
            self.registry.set("kspec_webhook_policies", (mode,), number)

    def served(self, expires: float, waited_s: float, *, first: bool) -> None:
        """Another certificate is served. expires: Unix time; waited_s: how long it was due; first: none was before."""
        self.registry.set("kspec_webhook_certificate_expiry_timestamp_seconds", (), expires)
        self.registry.observe("kspec_certificate_provisioning_duration_seconds", waited_s)
        if not first:
            self.registry.count("kspec_certificate_renewal_total")

    def dropped(self, sink: str, count: int) -> None:
        """Records that a sink lost."""
        self.registry.count("kspec_webhook_records_dropped_total", sink, by=count)

    def reload_failed(self, what: str) -> None:
        """What could not be loaded anew."""
        self.registry.count("kspec_webhook_reload_errors_total", what)
