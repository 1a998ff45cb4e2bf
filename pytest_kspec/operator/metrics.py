"""What Prometheus sees of the operator: `observe.table` says what, this counts what scans and reconciliations give.

Series of a specification end with it, and those of a result that is not known any more with that: no verdict of
yesterday. What only the leader knows, the others do not expose. Parts of the operator that have more to say use
`registry`.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import NamedTuple, TypeVar

from pytest_kspec import __version__, clock
from pytest_kspec.audit import trail
from pytest_kspec.drift.correcting import FIGHT
from pytest_kspec.enforce.engines import kyverno
from pytest_kspec.fleet.targets.credentials import Life
from pytest_kspec.observe.registry import CONTENT_TYPE, Registry
from pytest_kspec.observe.table import DRIFT_KINDS, MODES, OPERATOR, SHARDS
from pytest_kspec.operator.probes import Page
from pytest_kspec.operator.scans import ScanFailed, Scanned
from pytest_kspec.results.finding import FindingStatus
from pytest_kspec.results.result import ClusterResult
from pytest_kspec.results.totals import Totals
from pytest_kspec.results.verdict import Verdict

_STATUS = {"passed": Verdict.PASS, "failed": Verdict.FAIL, "error": Verdict.ERROR, "skipped": Verdict.SKIP}
_RESULTS = (
    "kspec_compliance_checks_total",
    "kspec_compliance_checks_passed",
    "kspec_compliance_checks_failed",
    "kspec_compliance_checks",
    "kspec_compliance_score",
    "kspec_compliance_score_ratio",
    "kspec_findings",
    "kspec_exemptions",
    "kspec_exemption_expiry_timestamp_seconds",
)
"""What a result says, and what is not known without one."""


NO_GROUP = "none"
_T = TypeVar("_T")
_Key = tuple[str, str]
"""Cluster and specification."""


class State(NamedTuple):
    """What is read when Prometheus asks.

    leads:       whether this replica does
    depth:       objects that are due; oldest_s: how long the first of them has been
    transitions: `leaseTransitions` of the Lease
    """

    leads: Callable[[], bool]
    depth: Callable[[], int]
    oldest_s: Callable[[], float]
    transitions: Callable[[], int]


class _Known(NamedTuple):
    """Of the last result of a specification: the cluster, requirements by status, and whether all were met."""

    cluster: str
    uid: str
    counts: dict[str, int]
    is_met: bool


class Metrics:
    """All metrics of one operator."""

    def __init__(self, state: State) -> None:
        self.registry = Registry(OPERATOR, state.leads)
        self._state = state
        self._lock = threading.Lock()
        self._known: dict[_Key, _Known] = {}
        self._unknown: set[_Key] = set()
        """Clusters and specifications whose last scan has no result."""
        self._names: dict[_Key, str] = {}
        """The name of a cluster by its UID, and specification."""
        self._drifted: dict[_Key, bool] = {}
        self._fights: dict[_Key, frozenset[str]] = {}
        self._modes: dict[str, str] = {}
        self._groups: dict[str, str] = {}
        self._targets: dict[tuple[str, str], bool] = {}
        """Whether each ClusterTarget is healthy, by namespace and name."""
        self.registry.set("kspec_active_manager_instances", (), 1)
        self.registry.set("kspec_build_info", (__version__,), 1)
        self.registry.read(self._read)

    def scanned(self, name: str, found: Scanned) -> None:
        """A scan has a result."""
        cluster = found.result.clusters[0]
        totals = Totals.of(cluster.checks)
        counts = {status: totals.requirements[verdict] for status, verdict in _STATUS.items()}
        summary = cluster.summary
        with self._lock:
            is_met = summary.applicable > 0 and summary.met == summary.applicable
            before = self._names.get((cluster.uid, name), cluster.name)
            if cluster.uid:
                self._names[cluster.uid, name] = cluster.name
            for key in {(before, name), (cluster.name, name)}:
                self._known.pop(key, None)
                self._unknown.discard(key)
            self._known[cluster.name, name] = _Known(cluster.name, cluster.uid, counts, is_met)
        registry, short = self.registry, (cluster.name, name)
        if before != cluster.name:
            registry.forget(cluster_name=before, cluster_spec=name)
        labels = (cluster.name, cluster.uid, name)
        registry.set("kspec_compliance_checks_total", labels, len(cluster.checks))
        registry.set("kspec_compliance_checks_passed", labels, counts["passed"])
        registry.set("kspec_compliance_checks_failed", labels, counts["failed"])
        for status, count in counts.items():
            registry.set("kspec_compliance_checks", (*short, status), count)
        if summary.score is None:
            registry.drop("kspec_compliance_score", labels)
            registry.drop("kspec_compliance_score_ratio", short)
        else:
            registry.set("kspec_compliance_score", labels, summary.score)
            registry.set("kspec_compliance_score_ratio", short, summary.score / 100)
        for severity, count in totals.findings[FindingStatus.OPEN].items():
            registry.set("kspec_findings", (*short, str(severity)), count)
        self._exemptions(short, cluster)
        registry.set("kspec_last_scan_timestamp_seconds", short, clock.now().timestamp())
        registry.set("kspec_last_scan_success", short, 1)
        registry.observe("kspec_scan_duration_seconds", found.seconds, *short)
        registry.count("kspec_store_errors_total", name, by=bool(found.notes))

    def scan_failed(self, cluster: str, name: str, reason: str) -> None:
        """A scan has no result: what the last one gave need not hold any more. reason: a word."""
        with self._lock:
            self._known.pop((cluster, name), None)
            self._unknown.add((cluster, name))
        self.registry.forget(_RESULTS, cluster_name=cluster, cluster_spec=name)
        self.registry.set("kspec_last_scan_success", (cluster, name), 0)
        self.registry.count("kspec_scan_errors_total", name, reason)

    def run_goes_on(self, name: str, shards: Mapping[str, int]) -> None:
        """Shards of the run of a specification over a fleet, by state (`table.SHARDS`)."""
        for state in SHARDS:
            self.registry.set("kspec_run_shards", (name, state), shards.get(state, 0))

    def run_ended(self, name: str, seconds: float) -> None:
        """A run over a fleet ended, with an outcome of every cluster."""
        self.registry.observe("kspec_run_duration_seconds", seconds, name)

    def drifted(self, cluster: str, name: str, kinds: Mapping[str, int]) -> None:
        """Differences from what was applied, by kind (`table.DRIFT_KINDS`); of a specification that was scanned."""
        total = sum(kinds.values())
        with self._lock:
            known = self._known.get((cluster, name))
            self._drifted[cluster, name] = total > 0
        if known is None:
            return
        labels = (known.cluster, known.uid, name)
        self.registry.set("kspec_drift_detected", labels, total > 0)
        self.registry.set("kspec_drift_events_total", labels, total)
        self.registry.set("kspec_drift_events", (known.cluster, name), total)
        for kind in DRIFT_KINDS:
            self.registry.set("kspec_drift_events_by_type", (*labels, kind), kinds.get(kind, 0))

    def corrections(self, cluster: str, name: str, recent: Mapping[str, int]) -> None:
        """Objects that were corrected within the last hour, and how often; of a specification that was scanned."""
        fights = frozenset(one for one, times in recent.items() if times >= FIGHT)
        with self._lock:
            if (cluster, name) not in self._known:
                return
            before = self._fights.get((cluster, name), frozenset())
            self._fights[cluster, name] = fights
        self.registry.set("kspec_drift_fights", (cluster, name), len(fights))
        self.registry.start("kspec_drift_fights_total", cluster, name)
        self.registry.count("kspec_drift_fights_total", cluster, name, by=len(fights - before))

    def enforced(self, name: str, mode: str) -> None:
        """The mode that a specification asks for; "": it is not known."""
        with self._lock:
            if mode:
                self._modes[name] = mode
            else:
                self._modes.pop(name, None)

    def changed(self, cluster: str, name: str, engine: str, changes: Sequence[tuple[str, bool]]) -> None:
        """Policy objects that were changed: the operation, and whether it corrected drift."""
        with self._lock:
            known = self._known.get((cluster, name))
        if known is not None and changes:
            for action in ("create", "update", "delete"):
                labels = (known.cluster, known.uid, name)
                self.registry.start("kspec_remediation_actions_total", *labels, action)
        for operation, is_correction in changes:
            if engine == kyverno.NAME and operation == "create":
                self.registry.count("kspec_kyverno_policy_created_total", name, kyverno.POLICY)
            self.registry.count("kspec_policy_changes_total", name, engine, operation)
            if is_correction and known is not None:
                self.registry.count("kspec_remediation_actions_total", *labels, operation)

    def requested(self, code: str, seconds: float) -> None:
        """A request to an API server; of scans, which are processes of their own, none."""
        self.registry.count("kspec_cluster_requests_total", code)
        self.registry.observe("kspec_cluster_request_duration_seconds", seconds)

    def notified(self, config: str, receiver: str, count: int, *, failed: bool) -> None:
        """Alerts that a receiver of an AlertConfig was sent, or was not."""
        for result in ("sent", "failed"):
            self.registry.start("kspec_notifications_total", config, receiver, result)
        self.registry.count(
            "kspec_notifications_total", config, receiver, "failed" if failed else "sent", by=count
        )

    def enforcement_failed(self, cluster: str, name: str, error: str) -> None:
        """Policies could not be made as they should be, where drift is to be corrected. error: its type."""
        with self._lock:
            known = self._known.get((cluster, name))
        if known is not None:
            self.registry.count("kspec_remediation_errors_total", known.cluster, known.uid, name, error)

    def reported(self, kind: str, cluster: str) -> None:
        """A report was written as a custom resource."""
        self.registry.count("kspec_reports_generated_total", kind, cluster)

    def targeted(
        self,
        namespace: str,
        name: str,
        *,
        is_healthy: bool,
        nodes: int | None,
        facts: tuple[str, str, str],
        life: Life,
        group: str,
    ) -> None:
        """What is known of a ClusterTarget. facts: platform, version, address; life: of its credentials."""
        labels = (name, namespace)
        self.registry.set("kspec_cluster_target_healthy", labels, is_healthy)
        self.registry.set("kspec_cluster_target_info", (*labels, *facts), 1)
        for metric, value in (
            ("kspec_cluster_target_nodes", nodes),
            ("kspec_credential_expiry_timestamp_seconds", life.expires),
            ("kspec_credential_lifetime_seconds", life.seconds),
        ):
            if value is None:
                self.registry.drop(metric, labels)
            else:
                self.registry.set(metric, labels, value)
        with self._lock:
            self._targets[namespace, name] = is_healthy
            self._groups[name] = group or NO_GROUP

    def target_gone(self, namespace: str, name: str) -> None:
        """A ClusterTarget was deleted, or is not contacted any more."""
        with self._lock:
            self._targets.pop((namespace, name), None)
            self._groups.pop(name, None)
        self.registry.forget(cluster_name=name, namespace=namespace)

    def reconciled(self, controller: str, name: str, seconds: float, error: str = "") -> None:
        """One reconciliation. error: the type of the error that it ended with."""
        self.registry.count("kspec_reconcile_total", controller, name)
        self.registry.observe("kspec_reconcile_duration_seconds", seconds, controller, name)
        self.registry.start("kspec_reconcile_errors_total", controller, name, ScanFailed.__name__)
        if error:
            self.registry.count("kspec_reconcile_errors_total", controller, name, error)

    def skipped(self, controller: str, name: str, turns: int) -> None:
        """What is done by a schedule was done, after so many turns that were left out."""
        self.registry.count("kspec_schedule_skipped_total", controller, name, by=turns)

    def done(self, controller: str, name: str) -> None:
        """There is nothing left to reconcile: the object is gone, and its series with it."""
        self.registry.forget(controller=controller, cluster_spec=name)

    def gone(self, name: str) -> None:
        """The specification was deleted."""
        with self._lock:
            self._known = _without(name, self._known)
            self._names = _without(name, self._names)
            self._drifted = _without(name, self._drifted)
            self._fights = _without(name, self._fights)
            self._unknown = {key for key in self._unknown if key[1] != name}
            self._modes.pop(name, None)
        self.registry.forget(cluster_spec=name)

    def page(self) -> Page:
        """Prometheus text."""
        return Page(200, self.registry.text(), CONTENT_TYPE)

    # -- inside --------------------------------------------------------------------------------------------

    def _exemptions(self, short: tuple[str, str], cluster: ClusterResult) -> None:
        states = dict.fromkeys(("used", "unused", "expired", "unknown"), 0)
        ends = []
        for one in cluster.exemptions:
            states[one.state] += 1
            if one.state != "expired" and one.expires_at:
                ends.append(datetime.fromisoformat(one.expires_at).timestamp())
        if not cluster.exemptions:
            self.registry.forget(_RESULTS[-2:], cluster_name=short[0], cluster_spec=short[1])
            return
        for state, count in states.items():
            self.registry.set("kspec_exemptions", (*short, state), count)
        if ends:
            self.registry.set("kspec_exemption_expiry_timestamp_seconds", short, min(ends))
        else:
            self.registry.drop("kspec_exemption_expiry_timestamp_seconds", short)

    def _read(self) -> None:
        """Before Prometheus reads."""
        registry, state = self.registry, self._state
        registry.set("kspec_leader_election_status", (), state.leads())
        registry.set("kspec_leader_election_transitions_total", (), state.transitions())
        registry.set("kspec_audit_records_dropped_total", (), trail.lost())
        registry.set("kspec_workqueue_depth", (), state.depth())
        registry.set("kspec_workqueue_oldest_seconds", (), state.oldest_s())
        with self._lock:
            known, modes = list(self._known.values()), list(self._modes.values())
            drifted = {cluster for (cluster, name) in self._known if self._drifted.get((cluster, name))}
            unknown = {cluster for cluster, _ in self._unknown}
            groups = dict(self._groups)
            targets = {name: is_healthy for (_, name), is_healthy in self._targets.items()}
        for mode in MODES:
            registry.set("kspec_active_cluster_specs", (mode,), modes.count(mode))
        clusters = {one.cluster for one in known} | unknown | targets.keys()
        healthy = clusters - unknown - {name for name, is_healthy in targets.items() if not is_healthy}
        registry.replace("kspec_cluster_group", {(name, groups.get(name, NO_GROUP)): 1 for name in clusters})
        counts = {status: sum(one.counts[status] for one in known) for status in _STATUS}
        unmet = (
            unknown
            | (clusters - {one.cluster for one in known})
            | {one.cluster for one in known if not one.is_met}
        )
        fleet = {
            "clusters_total": len(clusters),
            "clusters_healthy": len(healthy),
            "checks_total": sum(counts.values()),
            "checks_passed": counts["passed"],
            "checks_failed": counts["failed"],
            "clusters_with_drift": len(drifted),
        }
        for key, count in fleet.items():
            registry.set("kspec_fleet_summary_total", (key,), count)
        for status, count in counts.items():
            registry.set("kspec_fleet_checks", (status,), count)
        states = {"all": clusters, "healthy": healthy, "compliant": clusters - unmet, "drifted": drifted}
        for name, members in states.items():
            registry.set("kspec_fleet_clusters", (name,), len(members))


def _without(name: str, values: Mapping[_Key, _T]) -> dict[_Key, _T]:
    return {key: value for key, value in values.items() if key[1] != name}
