"""Specifications for clusters that are not the operator's own: each is a run over a fleet, of one cluster or of many.

A run is `kspec fleet scan`, a process of its own that starts workers, or a Job. It takes minutes, so that it goes on
beside the queue, and the specification is looked at again when it is over. Its id follows from the specification and
from the scan before: whoever leads next goes on with the same run where there is a store, and begins it anew where
there is none. Two runs that have a cluster in common come one after the other.
"""

from __future__ import annotations

import hashlib
import json
import logging
import shutil
import tempfile
import threading
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from contextvars import copy_context
from dataclasses import dataclass, field
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple, Protocol

from pytest_kspec import clock
from pytest_kspec.cluster.writing.access import Access
from pytest_kspec.crds.names import NAMESPACE
from pytest_kspec.errors import (
    EXIT_FINDINGS,
    EXIT_NOT_EVALUATED,
    KspecError,
    NotFound,
    NotServed,
    SourceError,
    UsageError,
)
from pytest_kspec.fleet.selection import wanted_by
from pytest_kspec.fleet.targets.clustertargets import API_VERSION, KIND
from pytest_kspec.fleet.targets.find import find_targets
from pytest_kspec.fleet.targets.hub import Hub
from pytest_kspec.fleet.targets.model import Target
from pytest_kspec.operator import fleetstatus, status
from pytest_kspec.operator.fleetstatus import Silence
from pytest_kspec.operator.lease import LostLease
from pytest_kspec.operator.runwatch import seconds_of, watched
from pytest_kspec.operator.scans import Ended, ScanFailed, Scanned, Stopped
from pytest_kspec.operator.status import READY, Note, Said, moment_of, status_of
from pytest_kspec.results.outcome import Outcome
from pytest_kspec.results.result import ClusterResult, ScanResult
from pytest_kspec.spec.document import RESOURCE_VERSION, SPEC_KIND
from pytest_kspec.spec.loading import LoadedSpec

log = logging.getLogger("kspec.operator")

Object = dict[str, Any]

BUDGET = 64 << 20
"""Bytes of the ComplianceReports of all these specifications together."""
BREAKER = 3
"""A cluster that failed more often in a row is not tried by runs until its ClusterTarget says that it is back."""
BACK_S = 60.0
"""How long after a scan a cluster that is back is scanned at the soonest, where the interval is not shorter."""
AGAIN_S = 60.0
"""How soon a specification is looked at again that selects nothing, or waits for another one's run."""
SLOT_S = 6 * 3600
"""A run that was interrupted is continued for so long."""
_DONE = (0, EXIT_FINDINGS, EXIT_NOT_EVALUATED)


class Runner(Protocol):
    """What starts runs: `scans.Scanner`."""

    def fleet(self, name: str, words: Sequence[str], store: str, folder: Path, deadline_s: float) -> Ended:
        """Raises ScanFailed, Stopped."""
        ...


class Seen(Protocol):
    """Who counts what happens: `metrics.Metrics`."""

    def scanned(self, name: str, found: Scanned) -> None:
        """A scan has a result."""
        ...

    def scan_failed(self, cluster: str, name: str, reason: str) -> None:
        """A scan has no result."""
        ...

    def run_goes_on(self, name: str, shards: Mapping[str, int]) -> None:
        """Shards of its run, by state."""
        ...

    def run_ended(self, name: str, seconds: float) -> None:
        """Its run has an outcome of every cluster."""
        ...

    def gone(self, name: str) -> None:
        """Nothing is known of the specification any more."""
        ...


class Posts(Protocol):
    """Who tells others: `board.Board`."""

    def looked(self, cluster: ClusterResult) -> None:
        """A scan has a result."""
        ...

    def left(self, spec: str, cluster: str, identity: str) -> None:
        """The specification is not for this cluster any more."""
        ...

    def ran(self, spec: str, failure: KspecError | None) -> None:
        """A run ended; failure: it has no result."""
        ...


class Setup(NamedTuple):
    """How runs are started.

    words: for each, beside specification, hub, run and store. store: None: one for each run, which ends with it
    place: of full reports; "": beside an SQLite store
    timeout_s: a run that takes longer is ended, and clusters without an outcome are errors
    at_once: runs at the same time
    """

    words: tuple[str, ...] = ()
    store: str = ""
    place: str = ""
    timeout_s: float = 7200.0
    at_once: int = 2


class Step(NamedTuple):
    """What is to be written of a specification now, and when to look at it again. said: (): nothing.

    ended: a scan came to its end
    """

    again_s: float
    said: tuple[Said, ...] = ()
    fields: Mapping[str, Any] = {}
    notes: tuple[Note, ...] = ()
    failure: KspecError | None = None
    ended: bool = False


@dataclass
class _Run:
    """mark: UID and generation of the specification. clusters: what no other run may scan meanwhile.

    unwanted: the specification is not for these clusters any more
    """

    id: str
    mark: tuple[Any, Any]
    clusters: frozenset[str]
    names: tuple[str, ...]
    silent: Mapping[str, Silence]
    before: Object
    done: bool = False
    unwanted: bool = False
    step: Step | None = None
    failure: KspecError | None = None
    notes: list[Note] = field(default_factory=list)


class Fleets:
    """Runs of one operator.

    look: look at this specification again. count: of specifications that have runs
    """

    def __init__(
        self,
        access: Access,
        runner: Runner,
        setup: Setup,
        look: Callable[[str], None],
        count: Callable[[], int] = lambda: 1,
        seen: Seen | None = None,
        posts: Posts | None = None,
    ) -> None:
        self._access, self._runner, self._setup = access, runner, setup
        self._hub = Hub(access)
        self._look, self._count = look, count
        self._seen, self._posts = seen, posts
        self._lock = threading.Lock()
        self._runs: dict[str, _Run] = {}
        self._waiting: dict[str, frozenset[str]] = {}
        self._members: dict[
            str, dict[str, str]
        ] = {}  # specification → names of its clusters and their identities

    def step(self, found: Object, spec: LoadedSpec, due: float) -> Step:
        """Look at a specification; begin a run where one is due (0 or less). Raises SourceError, LostLease."""
        name = spec.name
        metadata = found["metadata"]
        mark = metadata.get("uid"), metadata.get("generation")
        with self._lock:
            run = self._runs.get(name)
            if run is not None and not run.done:
                return Step(AGAIN_S)
            self._runs.pop(name, None)
        if run is not None and run.step is None and run.failure is None:
            return Step(AGAIN_S)  # nothing came of it: the operator ends, or it was not wanted any more
        if run is not None and run.mark == mark:
            return _of(run)
        if due > 0 and (due := min(due, self._back(found))) > 0:
            return Step(due)
        targets = self._targets(spec)
        if isinstance(targets, Step):
            self._leave(name, set())
            self.forget(name)
            return targets
        return self._begin(found, spec, targets)

    def forget(self, name: str) -> None:
        """The specification is gone, or is for the operator's own cluster; what runs is of no interest any more."""
        with self._lock:
            self._waiting.pop(name, None)
            self._members.pop(name, None)
            if (run := self._runs.get(name)) is not None:
                run.unwanted = True

    def waits_no_more(self, name: str) -> None:
        """Nothing can be begun for the specification now; those behind it do not wait for it."""
        with self._lock:
            self._waiting.pop(name, None)

    # -- inside --------------------------------------------------------------------------------------------

    def _back(self, found: Object) -> float:
        """Seconds until a scan for the sake of a cluster that did not answer and is back; infinite: there is none."""
        before = status_of(found)
        last = moment_of(before.get("lastScanTime"))
        if last is None or not before.get("unreachableSince"):
            return float("inf")
        entries = before.get("worstClusters")
        lost = {
            one.get("name")
            for one in (entries if isinstance(entries, list) else ())
            if isinstance(one, dict) and one.get("unreachableSince")
        }
        for shown in sorted(filter(None, map(str, lost))):
            namespace, slash, name = shown.partition("/")
            place = (name, namespace) if slash else (shown, NAMESPACE)
            ready = status.condition(status_of(self._target(*place)), READY)
            since = moment_of(ready.get("lastTransitionTime"))
            if ready.get("status") == "True" and since is not None and since >= last:
                return max(0.0, BACK_S - (clock.now() - last).total_seconds())
        return float("inf")

    def _target(self, name: str, namespace: str) -> Object:
        """A ClusterTarget as it is now; {} where there is none."""
        return self._access.do(lambda w: w.find(API_VERSION, KIND, name, namespace=namespace)) or {}

    def _targets(self, spec: LoadedSpec) -> list[Target] | Step:
        """The clusters that are meant, or what is to be said where there is none."""
        try:
            wanted = wanted_by([spec])
            if wanted is None or wanted.sources != ("target",):
                text = f"clusterRef names {spec.cluster_ref}; this operator looks after {self._access.name} only."
                return _none(status.OTHER_CLUSTER, text)
            found = find_targets(wanted, self._hub)
        except (NotFound, NotServed, UsageError) as error:
            return _none(fleetstatus.NONE_SELECTED, str(error))
        targets = [target for target in found if not target.suspended]
        if targets:
            return targets
        if found:
            names = ", ".join(target.name for target in found[:10])
            return _none(fleetstatus.SUSPENDED, f"suspend is set: {names}.")
        text = f"clusterSelector selects no ClusterTarget in the namespace {NAMESPACE}."
        return _none(fleetstatus.NONE_SELECTED, text)

    def _begin(self, found: Object, spec: LoadedSpec, targets: Sequence[Target]) -> Step:
        silent = {target.name: one for target in targets if (one := _silence(target)) is not None}
        if all((one := silent.get(t.name)) and (one.failures or 0) > BREAKER for t in targets):
            return self._all_silent(found, spec, targets, silent)
        clusters = frozenset(target.uid or target.ref for target in targets)
        metadata = found["metadata"]
        run = _Run(
            run_id(found, spec),
            (metadata.get("uid"), metadata.get("generation")),
            clusters,
            tuple(target.name for target in targets),
            silent,
            status_of(found),
        )
        with self._lock:
            self._waiting.setdefault(spec.name, clusters)
            self._waiting[spec.name] = clusters
            running = [one.clusters for one in self._runs.values() if not one.done]
            earlier = []
            for name, theirs in self._waiting.items():
                if name == spec.name:
                    break
                earlier.append(theirs)
            if len(running) >= self._setup.at_once or any(clusters & one for one in (*running, *earlier)):
                return Step(AGAIN_S)
            del self._waiting[spec.name]
            self._runs[spec.name] = run
        # In the context of this thread: the run belongs to the trace of this reconciliation.
        work = partial(copy_context().run, self._thread, spec.name, run)
        threading.Thread(target=work, daemon=True).start()
        return Step(AGAIN_S)

    def _all_silent(
        self, found: Object, spec: LoadedSpec, targets: Sequence[Target], silent: Mapping[str, Silence]
    ) -> Step:
        """No run is spent on clusters that are known not to answer."""
        from pytest_kspec.storage.fleetpages import FleetRow

        self.waits_no_more(spec.name)
        at = status.stamp(clock.now())
        rows = [
            FleetRow(t.name, t.labels or {}, spec.name, Outcome.UNREACHABLE, _why(t), at, 0.0)
            for t in targets
        ]
        said, fields = fleetstatus.concluded(rows, silent, status_of(found), "")
        if self._seen is not None:
            for target in targets:
                self._seen.scan_failed(target.name, spec.name, Outcome.UNREACHABLE.value)
        return Step(0.0, (said,), {**fields, "run": None}, ended=True)

    def _thread(self, name: str, run: _Run) -> None:
        try:
            run.step = self._work(name, run)
        except Stopped:
            return  # the operator ends, or it is not wanted any more
        except KspecError as error:
            run.failure = error
        except Exception as error:
            log.exception("%s: unforeseen in its run", name)
            run.failure = SourceError(
                f"a fault of kspec ({type(error).__name__}): see the log of the operator."
            )
        finally:
            if run.failure is not None and self._seen is not None:
                for cluster in run.names:
                    self._seen.scan_failed(cluster, name, "no_result")
            is_over = run.step is not None or run.failure is not None
            if self._posts is not None and is_over and not isinstance(run.failure, LostLease):
                self._posts.ran(name, run.failure)
            with self._lock:
                run.done = True
                waiting = list(self._waiting)
            for one in (name, *waiting):
                self._look(one)

    def _work(self, name: str, run: _Run) -> Step:
        folder = Path(tempfile.mkdtemp(prefix="kspec-fleet-"))
        try:
            setup = self._setup
            store = setup.store or str(folder / "fleet.db")
            words = [f"cr:{name}", f"--run={run.id}", "-o=json", *setup.words]
            words += [f"--store-reports={setup.place}"] if setup.place else []
            with watched(store, run.id, partial(self._goes_on, name, run)):
                ended = self._runner.fleet(name, words, store, folder, setup.timeout_s)
            if run.unwanted:
                raise Stopped("it is not for these clusters any more.", where=name)
            if ended.code is not None and ended.code not in _DONE:
                said = " ".join(ended.said) or "it said nothing"
                raise ScanFailed(f"the run ended with exit code {ended.code}: {said}", where=name)
            return self._read(name, run, store, ended)
        finally:
            shutil.rmtree(folder, ignore_errors=True)

    def _read(self, name: str, run: _Run, url: str, ended: Ended) -> Step:
        from pytest_kspec.fleet.report import make_report
        from pytest_kspec.storage import fleet as stored
        from pytest_kspec.storage.engine import open_store

        with closing(open_store(url, option="--store")) as store:
            self._access.check()
            self._settle(store, run, ended)
            over = stored.find_run(store, run.id)
            report = make_report(store, over)
            rows = [row for row in report.rows if row.spec == name]
            results: dict[str, str] = {}
            self._leave(name, {row.name for row in rows})
            self._goes_on(name, run, stored.shards_of(store, run.id))
            if self._seen is not None and over.ended_at:
                self._seen.run_ended(name, seconds_of(over.created_at, over.ended_at))

            def see(result: ScanResult) -> None:
                for cluster in result.clusters:
                    results[cluster.name] = cluster.id
                    self._tell(name, result, cluster, {row.name: row.outcome for row in rows})

            self._write_reports(name, run, store, report, see)
        with self._lock:
            self._members[name] = {row.name: results.get(row.name, "") for row in rows}
        said, fields = fleetstatus.concluded(rows, run.silent, run.before, run.id)
        return Step(0.0, (said,), fields if self._setup.store else {**fields, "run": None}, ended=True)

    def _goes_on(self, name: str, run: _Run, shards: Mapping[str, int]) -> None:
        if self._seen is not None and not run.unwanted:
            self._seen.run_goes_on(name, shards)

    def _settle(self, store: Any, run: _Run, ended: Ended) -> None:
        """Clusters that no worker came to are errors: the run is over."""
        from pytest_kspec.fleet.local import Failed
        from pytest_kspec.fleet.runs import Order
        from pytest_kspec.fleet.scanning import conclude
        from pytest_kspec.storage import fleet as stored

        found = stored.find_run(store, run.id)
        if found.waiting:
            why = f"the run was ended after {self._setup.timeout_s:g} s."
            if ended.code is not None:
                why = " ".join(ended.said) or "no worker came to it."
            failed = [Failed(shard, why, final=True) for shard in range(found.shards)]
            conclude(store, found.id, Order.from_wire(found.document), failed)

    def _write_reports(
        self, name: str, run: _Run, store: Any, report: Any, see: Callable[[ScanResult], None]
    ) -> None:
        """ComplianceReports in the hub, within the budget; what cannot be written costs nothing else."""
        from pytest_kspec.fleet.hubreports import write_reports

        budget = BUDGET // max(1, self._count())
        try:
            done = self._access.do(
                lambda writer: write_reports(
                    store,
                    report,
                    writer,
                    NAMESPACE,
                    budget=budget,
                    see=see,
                    is_kept=bool(self._setup.store),
                    owner={
                        "apiVersion": RESOURCE_VERSION,
                        "kind": SPEC_KIND,
                        "name": name,
                        "uid": run.mark[0],
                    },
                )
            )
        except LostLease:
            raise
        except KspecError as error:
            problems: Sequence[str] = (str(error),)
        else:
            problems = done.problems
        if problems:
            text = f"ComplianceReports are missing: {'; '.join(problems[:3])}"
            log.warning("%s: %s", name, text)
            run.notes.append(Note("Warning", "ReportsNotWritten", text[: status.LONGEST_MESSAGE]))

    def _tell(
        self, name: str, result: ScanResult, cluster: ClusterResult, outcomes: Mapping[str, str]
    ) -> None:
        from msgspec.structs import replace

        outcome = outcomes.get(cluster.name, "")
        if self._seen is not None and outcome == Outcome.SCANNED:
            self._seen.scanned(
                name, Scanned(replace(result, clusters=(cluster,)), (), cluster_seconds(cluster))
            )
        elif self._seen is not None and outcome != Outcome.DUPLICATE:
            self._seen.scan_failed(cluster.name, name, outcome or Outcome.NOT_SCANNED.value)
        if self._posts is not None:
            self._posts.looked(cluster)

    def _leave(self, name: str, members: set[str]) -> None:
        """Nothing is known any more of clusters that are not selected now; of all others it is about to be said."""
        with self._lock:
            left = {one: uid for one, uid in self._members.get(name, {}).items() if one not in members}
        if left and self._seen is not None:
            self._seen.gone(name)
        for cluster, identity in left.items():
            if self._posts is not None:
                self._posts.left(name, cluster, identity)


def is_elsewhere(found: Mapping[str, Any]) -> bool:
    """Whether an object names or selects clusters, by what stands in it; it may mean the operator's own."""
    spec = found.get("spec")
    return isinstance(spec, dict) and bool(
        spec.get("clusterRef") or isinstance(spec.get("clusterSelector"), dict)
    )


def cluster_seconds(cluster: ClusterResult) -> float:
    """How long its checks took."""
    return sum(check.duration_seconds for check in cluster.checks)


def _of(run: _Run) -> Step:
    """What came of a run."""
    if run.failure is not None:
        if isinstance(run.failure, LostLease):
            raise run.failure
        fields = {"phase": "Failed", **fleetstatus.NOTHING}
        del fields["run"]  # the same run is tried again
        return Step(AGAIN_S, (status.not_scanned(run.failure),), fields, failure=run.failure)
    assert run.step is not None
    return run.step._replace(notes=(*run.step.notes, *run.notes))


def _none(reason: str, text: str) -> Step:
    said, fields = fleetstatus.none_selected(text)
    return Step(AGAIN_S, (said._replace(reason=reason, message=text[: status.LONGEST_MESSAGE]),), fields)


def _silence(target: Target) -> Silence | None:
    """What its ClusterTarget says of a cluster that does not answer."""
    since = target.seen.get("unreachableSince")
    failures = target.seen.get("consecutiveFailures")
    if moment_of(since) is None or not isinstance(failures, int):
        return None
    return Silence(str(since), failures)


def _why(target: Target) -> str:
    return str(status.condition(target.seen, READY).get("message", ""))


def run_id(found: Object, spec: LoadedSpec) -> str:
    """The same for whoever leads, until a scan has come to its end or the specification says something else."""
    now: datetime = clock.now()
    metadata = found["metadata"]
    facts = [
        metadata.get("uid"),
        metadata.get("generation"),
        spec.tree.plain(),
        status_of(found).get("lastScanTime"),
        status_of(found).get("run"),
        int(now.timestamp() // SLOT_S),
    ]
    digest = hashlib.sha256(json.dumps(facts, sort_keys=True, default=str).encode()).hexdigest()
    return f"{spec.name[:40]}-{digest[:12]}"
