"""What controllers find, for those that tell others: the last observation of each specification and cluster.

It is in memory only. What was told before this process began, the AlertConfigs know; what holds now, the next scans
say.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import datetime
from typing import NamedTuple

from pytest_kspec import clock
from pytest_kspec.alerts.alert import Alert, Level
from pytest_kspec.alerts.ledger import stamp
from pytest_kspec.alerts.observe import Observation, observe
from pytest_kspec.errors import KspecError
from pytest_kspec.operator import observed
from pytest_kspec.reports.shared.text import plural
from pytest_kspec.results.result import ClusterResult

DRIFT = frozenset(("DriftDetected",))
_SCAN = frozenset(("ComplianceFailure", "ScanFailed", "ClusterUnreachable", "ExemptionExpiring"))

_RUN = frozenset(("ScanFailed",))


class Posted(NamedTuple):
    """number: greater than that of all before. seen: None: the specification is gone."""

    number: int
    spec: str
    seen: Observation | None


class Board:
    """Thread-safe. `watchers` are called without a lock after each change, and must not wait."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._number = 0
        self._posted: dict[tuple[str, str, frozenset[str]], Posted] = {}
        self._clusters: dict[str, tuple[str, str]] = {}  # specification → name and identity of its cluster
        self.watchers: list[Callable[[], None]] = []

    def scanned(self, cluster: ClusterResult, drifted: int | None = 0) -> None:
        """A scan has a result. drifted: policies that are not as they were applied; None: not known."""
        at = stamp(clock.now())
        with self._lock:
            self._clusters[cluster.spec_name] = (cluster.name, cluster.id)
        self.post(observe(cluster, at))
        if drifted is not None:
            self.drifted(cluster.spec_name, cluster.name, cluster.id, drifted)

    def drifted(self, spec: str, cluster: str, identity: str, drifted: int) -> None:
        """Policies of a specification on a cluster were compared. drifted: those that are not as they were applied."""
        alerts = (_drift(spec, cluster, identity, drifted),) if drifted else ()
        self.post(Observation(cluster, identity, spec, stamp(clock.now()), alerts, judges=DRIFT))

    def looked(self, cluster: ClusterResult) -> None:
        """A scan of a cluster that is not the operator's own has a result; of its policies `drifted` is told."""
        self.post(observe(cluster, stamp(clock.now())))

    def left(self, spec: str, cluster: str, identity: str) -> None:
        """The specification is not for this cluster any more: what is about both ends."""
        for judges in (_SCAN, DRIFT):
            self.post(Observation(cluster, identity, spec, stamp(clock.now()), (), judges=judges))

    def not_scanned(self, spec: str, cluster: str, error: KspecError) -> None:
        """A scan came to no result: what was active stays so."""
        name, identity = self._clusters.get(spec, (cluster, f"live:{cluster}"))
        labels = {"cluster": name, "cluster_uid": identity, "spec": spec}
        alert = Alert(
            "ScanFailed",
            None,
            name,
            identity,
            spec,
            "",
            f"The scan of {name} failed",
            str(error)[:1000],
            labels,
        )
        self.post(Observation(name, identity, spec, stamp(clock.now()), (alert,), None, _SCAN))

    def ran(self, spec: str, failure: KspecError | None) -> None:
        """A run over the clusters of a specification ended; failure: it has no result. One alert, not one a cluster."""
        name, identity = f"the clusters of {spec}", f"fleet:{spec}"
        labels = {"cluster": name, "cluster_uid": identity, "spec": spec}
        title = f"The scan of {name} failed"
        alerts = (
            (Alert("ScanFailed", None, name, identity, spec, "", title, str(failure)[:1000], labels),)
            if failure is not None
            else ()
        )
        self.post(Observation(name, identity, spec, stamp(clock.now()), alerts, judges=_RUN))

    def corrected(self, spec: str, recent: Mapping[str, int], now: datetime) -> None:
        """Policies were corrected in the last hour: object → how often. Before the first scan it waits for that."""
        with self._lock:
            known = self._clusters.get(spec)
        if known is not None:
            self.post(observed.of_corrections(*known, spec, recent, now))

    def gone(self, spec: str) -> None:
        """A specification was deleted: all that is about it ends."""
        with self._lock:
            known = self._clusters.pop(spec, None) is not None
            for key in [key for key in self._posted if key[1] == spec]:
                del self._posted[key]
                known = True
            if known:
                self._number += 1
                self._posted["", spec, frozenset()] = Posted(self._number, spec, None)
        self._tell()

    def post(self, seen: Observation) -> None:
        """Something was observed. What is as it was the last time is not told again."""
        key = (seen.cluster_id, seen.spec, seen.judges)
        with self._lock:
            before = self._posted.get(key)
            if before is not None and before.seen is not None and replace(before.seen, at=seen.at) == seen:
                return
            self._number += 1
            if seen.spec:
                self._posted.pop(("", seen.spec, frozenset()), None)
            self._posted[key] = Posted(self._number, seen.spec, seen)
        self._tell()

    def since(self, number: int) -> list[Posted]:
        """What was posted after this one, in order."""
        with self._lock:
            return sorted(
                (one for one in self._posted.values() if one.number > number), key=lambda one: one.number
            )

    def _tell(self) -> None:
        for watcher in self.watchers:
            watcher()


def _drift(spec: str, cluster: str, identity: str, drifted: int) -> Alert:
    labels = {"cluster": cluster, "cluster_uid": identity, "spec": spec}
    return Alert(
        "DriftDetected",
        Level.CRITICAL,
        cluster,
        identity,
        spec,
        "",
        f"{plural(drifted, 'policy', 'policies')} of {spec} {'was' if drifted == 1 else 'were'} "
        f"changed on {cluster}",
        "They differ from what was applied: see the status of the specification.",
        labels,
        {"event_count": drifted},
        count=drifted,
    )
