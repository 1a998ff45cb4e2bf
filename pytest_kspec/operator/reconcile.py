"""One ClusterSpecification: from what it says and what is there to policies, a scan, a report and a status.

Whoever calls `reconcile` again at any point, in this process or in another after this one was killed, comes to the same
end: what is to be done is read from the object and the cluster each time. Nothing is written that does not change.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Mapping
from datetime import datetime
from typing import Any, NamedTuple

from pytest_kspec import clock
from pytest_kspec.cluster.watch.reflector import Key
from pytest_kspec.cluster.writing.access import Access
from pytest_kspec.crds.names import GROUP, NAMESPACE
from pytest_kspec.crds.objects import clusterspecification as resources
from pytest_kspec.enforce.modes import asked_mode
from pytest_kspec.errors import KspecError, SourceError, SpecError
from pytest_kspec.kube.resources import ResourceType
from pytest_kspec.operator import enforcing, fleetstatus, remotestatus, status
from pytest_kspec.operator.board import Board
from pytest_kspec.operator.controller import TARGETS, Concerned, Given, Right, kspec_kind, mark
from pytest_kspec.operator.drifthistory import DriftHistory, Subject
from pytest_kspec.operator.events import tell
from pytest_kspec.operator.fleetruns import Setup
from pytest_kspec.operator.fleets import Fleets, is_elsewhere
from pytest_kspec.operator.heirs import Heirs
from pytest_kspec.operator.holding import Holding, held_by_others, is_held
from pytest_kspec.operator.lease import LostLease
from pytest_kspec.operator.owncluster import OwnCluster, is_idle
from pytest_kspec.operator.remote import AGAIN_S, Remote
from pytest_kspec.operator.remote import Settings as RemoteSettings
from pytest_kspec.operator.reporting import Results
from pytest_kspec.operator.scans import Scans
from pytest_kspec.operator.seen import Seen
from pytest_kspec.operator.status import Note, Said, status_of
from pytest_kspec.operator.statuswriting import bring
from pytest_kspec.operator.turns import Turns
from pytest_kspec.plan.checkset import CheckSet
from pytest_kspec.spec.document import RESOURCE_VERSION, SPEC_KIND
from pytest_kspec.spec.loading import LoadedSpec

log = logging.getLogger("kspec.operator")

Object = dict[str, Any]

SPECIFICATIONS = kspec_kind(SPEC_KIND, "clusterspecifications", namespaced=False)


class Settings(NamedTuple):
    """interval_s: between two scans of one specification, up to a tenth longer by its UID.

    removal_s: how long the removal of what was applied may hold up the deletion of a specification
    workers: specifications that are looked at, and scanned, at once
    options: of engines, as their `add_arguments` have them
    fleets: how runs over other clusters are started
    image: of webhooks on other clusters, by digest
    """

    interval_s: float = 300.0
    removal_s: float = 300.0
    workers: int = 2
    options: Any = None
    fleets: Setup = Setup()
    image: str = ""


SETTINGS = Settings()


class Reconciler:
    """The controller of ClusterSpecification.

    access: writes only while this process leads; known: all specifications, which others may build on, by name
    """

    resource = SPECIFICATIONS
    label = "clusterspec"
    others: Mapping[ResourceType, Concerned]
    rights = (
        Right(GROUP, "clusterspecifications", ("get", "list", "watch", "patch")),
        Right(GROUP, "clusterspecifications/status", ("update",)),
        Right(GROUP, "compliancereports", ("list", "create", "delete"), NAMESPACE),
        Right(GROUP, "compliancereports/status", ("patch",), NAMESPACE),
        Right("", "configmaps", ("get",), NAMESPACE),
        Right("", "events", ("create",), "default"),
    )

    def __init__(
        self,
        access: Access,
        scans: Scans,
        checkset: Callable[[], CheckSet],
        known: Callable[[], Mapping[str, Object]],
        settings: Settings = SETTINGS,
        seen: Seen | None = None,
        board: Board | None = None,
        *,
        fleets: Fleets,
        remote: Remote,
        history: DriftHistory | None = None,
        paced: Callable[[float], None] = lambda longest_s: None,
    ) -> None:
        """paced: called with the longest time between two scans of one specification."""
        self._access = access
        self._checkset = checkset
        self._known = known
        self._heirs = Heirs()
        self.others = {TARGETS: self._concerned, SPECIFICATIONS: self._changed}
        self._settings = settings
        self._seen = seen
        self._board = board if board is not None else Board()
        self.workers = settings.workers
        self._results = Results(access, seen)
        self._fleets = fleets
        self._remote = remote
        self._history = history if history is not None else DriftHistory()
        # Of those that this process looked at: what it said of others is not known to it. A status may not say it,
        # where a run had no result.
        self._elsewhere_before: dict[str, bool] = {}
        self._digests: dict[str, str] = {}  # of each as it was last scanned
        self._holding = Holding(access, settings.removal_s)
        self._turns = Turns(settings.interval_s, paced, self._skipped)
        self._own = OwnCluster(
            access,
            scans,
            checkset,
            settings.options,
            holding=self._holding,
            turns=self._turns,
            results=self._results,
            history=self._history,
            seen=seen,
            board=self._board,
        )

    def reconcile(self, key: Key) -> float | None:
        """As `Controller.reconcile`."""
        _, name = key
        found = self._find(name)
        if found is None:
            self._results.forget(name)
            self._fleets.forget(name)
            self._remote.forget(name)
            self._elsewhere_before.pop(name, None)
            self._digests.pop(name, None)
            self._own.forget(name)
            self._history.forget(spec=name)
            self._turns.pace(name, None)
            self._board.gone(name)
            if self._seen is not None:
                self._seen.gone(name)
            left = self._remote.clean(name)  # clusters that were away when it was deleted, and are back
            self._results.clear(name)
            return AGAIN_S if left.tried else None
        if found["metadata"].get("deletionTimestamp"):
            if self._seen is not None:
                self._seen.gone(name)
            return self._leave(found)
        before = status_of(found)
        now = clock.now()
        try:
            spec = self._load(found)
        except KspecError as error:
            said = status.invalid(error)
            self._fleets.waits_no_more(name)
            if self._seen is not None:
                self._seen.scan_failed(self._access.name, name, "invalid_specification")
            self._write(
                found,
                now,
                [said, *status.not_looked(said.reason)],
                {"phase": "Failed", **status.NO_RESULT},
                [],
            )
            return self._settings.interval_s
        is_elsewhere = not spec.is_for(self._access.name)
        was_elsewhere = self._elsewhere_before.get(name, is_elsewhere)
        self._elsewhere_before[name] = is_elsewhere
        if is_elsewhere != was_elsewhere:
            if was_elsewhere:
                self._results.clear(name)
            self._board.gone(name)  # what was said is of clusters that it is not for any more
            if self._seen is not None:
                self._seen.gone(name)
        if is_elsewhere:
            return self._elsewhere(found, spec)
        self._fleets.forget(name)
        self._remote.clean(name)
        self._turns.pace(name, None)
        if self._seen is not None:
            self._seen.enforced(name, asked_mode(spec))
        due = self._due(found, spec, now)
        unsettled = status.condition(before, status.ENFORCED).get("reason") in status.UNSETTLED
        if due > 0:
            tell(self._access, found, self._results.go_on(name))
        is_loose = enforcing.asks(spec) and not is_held(found)
        if due > 0 and not unsettled and not is_loose:
            return due
        return self._here(found, spec, scan=due <= 0)

    def failed(self, key: Key, fault: Exception) -> None:
        """As `Controller.failed`: what stood there is not known now."""
        _, name = key
        text = f"an internal error of kspec ({type(fault).__name__}): see the log of the operator."
        said = status.not_scanned(SourceError(text))
        try:
            if (found := self._find(name)) is not None:
                self._write(
                    found,
                    clock.now(),
                    [said, *status.not_looked(said.reason)],
                    {"phase": "Failed", **status.NO_RESULT},
                    [],
                )
        except SourceError as error:
            log.warning("%s: %s", name, error)

    # -- inside --------------------------------------------------------------------------------------------

    def _concerned(self, before: Object | None, now: Object | None) -> Iterable[Key]:
        """Specifications that a change of a ClusterTarget is a reason to look at."""
        return remotestatus.concerned(before, now, {("", name): item for name, item in self._known().items()})

    def _changed(self, before: Object | None, now: Object | None) -> Iterable[Key]:
        """The same of a change of a specification, beside that of its own generation."""
        keys = _stripped(before, now)
        self._heirs.tell(before, now)
        named = now or before
        if named is not None and mark(before) != mark(now):
            keys += [("", name) for name in self._heirs.of(named["metadata"]["name"])]
        return keys

    def _due(self, found: Object, spec: LoadedSpec, now: datetime) -> float:
        """Seconds until it is to be scanned; 0 or less: now, as where one that it is based on changed, also while no
        process led.
        """
        digest = status.digest_of(spec)
        if self._digests.setdefault(spec.name, status.digest_before(found) or digest) != digest:
            return 0.0
        return self._turns.due(found, now)

    def _find(self, name: str) -> Object | None:
        return self._access.do(lambda writer: writer.find(RESOURCE_VERSION, SPEC_KIND, name))

    def _leave(self, found: Object) -> float | None:
        """It is being deleted: what was applied for it goes, and its status says so for as long as it is there."""
        try:
            again = self._holding.release(found, self._remote)
        except LostLease:
            raise
        except KspecError as error:
            said, fields = status.leaving(f"it is being deleted; not removed yet: {error}", is_clear=False)
            self._write(found, clock.now(), said, fields, [])
            raise
        others = held_by_others(found)
        if again is not None:
            said, fields = status.leaving(
                "it is being deleted; not removed from all clusters yet.", is_clear=False
            )
        elif others:
            text = f"its policies are removed, and finalizers of others keep it: {', '.join(others)}"
            said, fields = status.leaving(f"it is being deleted; {text}.", is_clear=True)
        else:
            return None
        self._write(found, clock.now(), said, fields, [])
        return again

    def _elsewhere(self, found: Object, spec: LoadedSpec) -> float:
        """It is for other clusters: a run over these is begun, goes on, or is over; their policies are looked after."""
        was = status_of(found).get("enforcement")
        if is_held(found) and not (isinstance(was, dict) and "clusters" in was):
            self._holding.clear(found)  # it was for this cluster before
        if enforcing.asks(spec):
            self._holding.hold(found)
        self._turns.pace(spec.name, self._remote.interval(spec))
        policies = self._remote.step(found, spec)
        if not policies.held:
            self._holding.let_go(found)
        due = self._due(found, spec, clock.now())
        told = [*policies.notes, *(self._history.lost(Subject(spec.name)) if due <= 0 else ())]
        step = self._fleets.step(found, spec, due)
        if step.failure is not None and is_idle(spec, self._checkset):
            step = step._replace(said=(status.nothing_required(),), failure=None, ended=True)
        if not step.said:
            self._write(found, clock.now(), policies.said, policies.fields, told, scanned=False)
            return min(step.again_s, policies.again_s)
        if step.fields.get("clusters") == fleetstatus.NO_CLUSTER:
            self._results.clear(spec.name)
        now = clock.now()
        fields = {**status.NO_RESULT, **step.fields, **policies.fields}
        if step.ended:
            self._digests[spec.name] = status.digest_of(spec)
            fields |= self._turns.fields(found, None)
            self._turns.ended(found, step.began or now)
        if not self._write(found, now, [*step.said, *policies.said], fields, [*step.notes, *told]):
            return 0.0
        if step.failure is not None:
            raise step.failure
        wait = self._turns.interval(found) if step.ended else step.again_s
        return min(wait, policies.again_s)

    def _here(self, found: Object, spec: LoadedSpec, *, scan: bool) -> float:
        """It is for the operator's own cluster, and has its turn."""
        turn = self._own.turn(found, spec, scan=scan)
        if scan:
            self._digests[spec.name] = status.digest_of(spec)
        if turn.is_over:
            tell(self._access, found, turn.notes)
            return 0.0
        if not self._write(found, clock.now(), turn.said, turn.fields, turn.notes):
            return 0.0
        if turn.failure is not None:
            raise turn.failure
        self._results.check(spec.name)
        after = self._find(spec.name)
        if after is None:
            return 0.0
        return max(0.0, min(self._turns.due(after, clock.now()), status.soon(status_of(after), clock.now())))

    def _skipped(self, name: str, turns: int) -> None:
        if self._seen is not None:
            self._seen.skipped(self.label, name, turns)

    def _load(self, found: Object) -> LoadedSpec:
        name = found["metadata"]["name"]
        parts = {other: raw.get("spec") or {} for other, raw in self._known().items()}
        parts[name] = found.get("spec") or {}
        if not isinstance(parts[name], dict):
            raise SpecError("spec must be an object.", where=f"{resources.PREFIX}{name}")
        return resources.load(resources.document(found), name, parts)

    def _write(
        self,
        found: Object,
        now: datetime,
        said: Iterable[Said],
        fields: Object,
        notes: Iterable[Note],
        *,
        scanned: bool = True,
    ) -> bool:
        """Bring the status to what was found, if it is not so. False: the specification is another one now.

        scanned: False: the scan of this generation is still due. Raises Conflict where others write to it all the time.
        """
        said = list(said)

        def after_of(before: Object) -> Object:
            generation = int(found["metadata"].get("generation") or 0)
            after = status.merged(before, generation, now, said, fields)
            if not scanned:
                after["observedGeneration"] = before.get("observedGeneration", 0)
            return after

        change = bring(self._access, found, after_of)
        if change is None:
            tell(self._access, found, notes)  # what was done, was done
            return False
        if change.after != change.before:
            notes = [*notes, *status.notes(*change)]
        tell(self._access, found, notes)
        return True


def _stripped(before: Object | None, now: Object | None) -> list[Key]:
    """A specification from which somebody took the finalizer, or all that its status says."""
    if before is None or now is None or now["metadata"].get("deletionTimestamp"):
        return []
    took = is_held(before) and not is_held(now)
    emptied = bool(status_of(before).get("conditions")) and not status_of(now).get("conditions")
    return [("", now["metadata"]["name"])] if took or emptied else []


def controller(
    given: Given, settings: Settings, board: Board | None = None, history: DriftHistory | None = None
) -> Reconciler:
    """The controller of one process."""

    def paced(longest_s: float) -> None:
        given.metrics.registry.set("kspec_scan_interval_seconds", (), longest_s)

    paced(1.1 * settings.interval_s)

    def known() -> Mapping[str, Object]:
        return {name: item for (_, name), item in given.objects(SPECIFICATIONS).items()}

    board = board if board is not None else Board()
    fleets = Fleets(
        given.access,
        given.scanner,
        settings.fleets,
        lambda name: given.look(SPECIFICATIONS, ("", name)),
        lambda: sum(is_elsewhere(item) for item in known().values()),
        given.metrics,
        board,
    )
    remote = Remote(
        given.access,
        lambda: given.objects(TARGETS),
        given.checks,
        lambda name: given.look(SPECIFICATIONS, ("", name)),
        RemoteSettings(settings.interval_s, settings.image, settings.options),
        given.metrics,
        board,
    )
    return Reconciler(
        given.access,
        given.scanner,
        given.checks,
        known,
        settings,
        given.metrics,
        board,
        fleets=fleets,
        remote=remote,
        history=history,
        paced=paced,
    )
