"""Specifications for clusters that are not the operator's own: each is a run over a fleet, of one cluster or of many.

A run is `kspec fleet scan`, a process of its own that starts workers, or a Job. It takes minutes, so that it goes on
beside the queue, and the specification is looked at again when it is over. Its id follows from the specification and
from the scan before: whoever leads next goes on with the same run where there is a store, and begins it anew where
there is none. Two runs that have a cluster in common come one after the other.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Mapping, Sequence
from contextvars import copy_context
from functools import partial
from typing import Any

from pytest_kspec import clock
from pytest_kspec.cluster.writing.access import Access
from pytest_kspec.crds.names import NAMESPACE
from pytest_kspec.errors import KspecError, NotFound, NotServed, SourceError, UsageError
from pytest_kspec.fleet.selection import wanted_by
from pytest_kspec.fleet.targets.clustertargets import API_VERSION, KIND
from pytest_kspec.fleet.targets.find import find_targets
from pytest_kspec.fleet.targets.hub import Hub
from pytest_kspec.fleet.targets.model import Target
from pytest_kspec.operator import fleetstatus, status
from pytest_kspec.operator.fleetruns import Object, Posts, Run, Runner, Seen, Setup, Step, run_id
from pytest_kspec.operator.fleetstatus import Silence
from pytest_kspec.operator.fleetwork import FleetWork
from pytest_kspec.operator.lease import LostLease
from pytest_kspec.operator.scans import Stopped
from pytest_kspec.operator.status import READY, moment_of, status_of
from pytest_kspec.results.outcome import Outcome
from pytest_kspec.spec.loading import LoadedSpec

log = logging.getLogger("kspec.operator")

BREAKER = 3
"""A cluster that failed more often in a row is not tried by runs until its ClusterTarget says that it is back."""
BACK_S = 60.0
"""How long after a scan a cluster that is back is scanned at the soonest, where the interval is not shorter."""
AGAIN_S = 60.0
"""How soon a specification is looked at again that selects nothing, or waits for another one's run."""


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
        self._access, self._setup = access, setup
        self._hub = Hub(access)
        self._look = look
        self._seen, self._posts = seen, posts
        self._work = FleetWork(access, runner, setup, count, seen, posts)
        self._lock = threading.Lock()
        self._runs: dict[str, Run] = {}
        self._waiting: dict[str, frozenset[str]] = {}

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
            self._work.leave(name, set())
            self.forget(name)
            return targets
        return self._begin(found, spec, targets)

    def forget(self, name: str) -> None:
        """The specification is gone, or is for the operator's own cluster; what runs is of no interest any more."""
        with self._lock:
            self._waiting.pop(name, None)
            if (run := self._runs.get(name)) is not None:
                run.unwanted = True
        self._work.forget(name)

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
                text = f"clusterRef names {spec.cluster_ref}; this operator manages {self._access.name} only."
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
        run = Run(
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

    def _thread(self, name: str, run: Run) -> None:
        try:
            run.step = self._work.do(name, run)
        except Stopped:
            return  # the operator ends, or it is not wanted any more
        except KspecError as error:
            run.failure = error
        except Exception as error:
            log.exception("%s: unexpected error in its run", name)
            run.failure = SourceError(
                f"an internal error of kspec ({type(error).__name__}): see the log of the operator."
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


def is_elsewhere(found: Mapping[str, Any]) -> bool:
    """Whether an object names or selects clusters, by what stands in it; it may mean the operator's own."""
    spec = found.get("spec")
    return isinstance(spec, dict) and bool(
        spec.get("clusterRef") or isinstance(spec.get("clusterSelector"), dict)
    )


def _of(run: Run) -> Step:
    """What came of a run."""
    if run.failure is not None:
        if isinstance(run.failure, LostLease):
            raise run.failure
        fields = {"phase": "Failed", **fleetstatus.NOTHING}
        del fields["run"]  # the same run is tried again
        return Step(AGAIN_S, (status.not_scanned(run.failure),), fields, failure=run.failure)
    assert run.step is not None
    return run.step._replace(notes=(*run.step.notes, *run.notes), began=run.began)


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
