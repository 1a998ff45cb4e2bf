"""What Prometheus sees of the operator. Names and labels are v0.3's where they mean the same.

In a registry of its own. Series of a specification end with it.
"""

from __future__ import annotations

import threading
from collections.abc import Callable

import prometheus_client
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram
from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest
from prometheus_client.metrics_core import CounterMetricFamily, Metric
from prometheus_client.registry import Collector

from pytest_kspec.operator.probes import Page
from pytest_kspec.operator.scans import Scanned


class _Transitions(Collector):
    """A counter that the Lease keeps: it does not begin anew with each replica."""

    def __init__(self, read: Callable[[], int]) -> None:
        self._read = read

    def collect(self) -> list[Metric]:
        text = "Changes of the leader, as the Lease of this one counts them; 0: it does not lead."
        return [CounterMetricFamily("kspec_leader_election_transitions", text, value=self._read())]


_LABELS = ("cluster_name", "cluster_uid", "cluster_spec")
_RECONCILED = ("controller", "cluster_spec")
_SECONDS = (0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0, 600.0)


class Metrics:
    """All metrics of one operator.

    leads: whether this replica does; depth: how many objects are due; transitions: those of the Lease
    """

    def __init__(
        self, leads: Callable[[], bool], depth: Callable[[], int], transitions: Callable[[], int]
    ) -> None:
        prometheus_client.disable_created_metrics()  # type: ignore[no-untyped-call]
        self.registry = CollectorRegistry()
        self._lock = threading.Lock()
        self._known: dict[str, tuple[str, str, str]] = {}
        self._checks = {
            key: self._gauge(f"kspec_compliance_checks_{key}", f"Checks of the last scan: {text}.", *_LABELS)
            for key, text in (
                ("total", "all"),
                ("passed", "passed"),
                ("failed", "failed"),
                ("errors", "errors"),
            )
        }
        self._score = self._gauge(
            "kspec_compliance_score", "Score of the last scan, 0 to 100, over checks that apply.", *_LABELS
        )
        self._last = self._gauge(
            "kspec_last_scan_timestamp_seconds", "When the last scan ended that has a result.", *_LABELS
        )
        self._drift = self._gauge(
            "kspec_drift_detected", "1 while policies are not as they were applied.", *_LABELS
        )
        self._duration = Histogram(
            "kspec_scan_duration_seconds",
            "Time of a scan.",
            ("cluster_name", "cluster_spec"),
            buckets=_SECONDS,
            registry=self.registry,
        )
        self._reconciled = Counter(
            "kspec_reconcile_total", "Reconciliations.", _RECONCILED, registry=self.registry
        )
        self._errors = Counter(
            "kspec_reconcile_errors_total",
            "Reconciliations that failed.",
            (*_RECONCILED, "error_type"),
            registry=self.registry,
        )
        self._gauge("kspec_leader_election_status", "1 on the replica that leads.").set_function(
            lambda: float(leads())
        )
        self.registry.register(_Transitions(transitions))
        self._gauge("kspec_workqueue_depth", "Objects that are due and wait.").set_function(
            lambda: float(depth())
        )

    def scanned(self, name: str, found: Scanned) -> None:
        """A scan has a result."""
        cluster = found.result.clusters[0]
        labels = (cluster.name, cluster.uid, name)
        with self._lock:
            if self._known.get(name, labels) != labels:
                self._remove(name)
            self._known[name] = labels
            summary = cluster.summary
            values = {
                "total": len(cluster.checks),
                "passed": summary.passed,
                "failed": summary.failed,
                "errors": summary.errors,
            }
            for key, value in values.items():
                self._checks[key].labels(*labels).set(value)
            if summary.score is not None:
                self._score.labels(*labels).set(summary.score)
            self._last.labels(*labels).set_to_current_time()
            self._duration.labels(cluster.name, name).observe(found.seconds)

    def drifted(self, name: str, is_drifted: bool) -> None:
        """Whether policies are as they were applied; of a specification that was scanned."""
        with self._lock:
            labels = self._known.get(name)
            if labels is not None:
                self._drift.labels(*labels).set(is_drifted)

    def reconciled(self, controller: str, name: str, error: str = "") -> None:
        """One reconciliation. error: the type of the error that it ended with."""
        self._reconciled.labels(controller, name).inc()
        if error:
            self._errors.labels(controller, name, error).inc()

    def gone(self, name: str) -> None:
        """The specification was deleted."""
        with self._lock:
            self._remove(name)

    def page(self) -> Page:
        """Prometheus text."""
        return Page(200, generate_latest(self.registry), CONTENT_TYPE_LATEST)

    def _remove(self, name: str) -> None:
        labels = self._known.pop(name, None)
        if labels is None:
            return
        for gauge in (*self._checks.values(), self._score, self._last, self._drift):
            if labels in gauge._metrics:
                gauge.remove(*labels)
        self._duration.remove(labels[0], name)

    def _gauge(self, name: str, text: str, *labels: str) -> Gauge:
        return Gauge(name, text, labels, registry=self.registry)
