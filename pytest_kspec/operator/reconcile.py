"""One ClusterSpecification: from what it says and what is there to policies, a scan, a report and a status.

Whoever calls `reconcile` again at any point, in this process or in another after this one was killed, comes to the same
end: what is to be done is read from the object and the cluster each time. Nothing is written that does not change.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, NamedTuple, Protocol

from pytest_kspec import clock
from pytest_kspec.cluster.watch.reflector import Key
from pytest_kspec.cluster.writing.access import Access
from pytest_kspec.cluster.writing.write import Writer
from pytest_kspec.crds.names import GROUP, NAMESPACE
from pytest_kspec.crds.objects import clusterspecification as resources
from pytest_kspec.drift import correcting
from pytest_kspec.drift.events import DriftType, Look
from pytest_kspec.drift.ledger import InCluster
from pytest_kspec.enforce.modes import asked_mode
from pytest_kspec.errors import KspecError, SourceError, SpecError
from pytest_kspec.kube.resources import ResourceType
from pytest_kspec.operator import enforcing, engineturn, fleetstatus, remotestatus, status
from pytest_kspec.operator.board import Board
from pytest_kspec.operator.controller import TARGETS, Concerned, Given, Right, kspec_kind
from pytest_kspec.operator.drifthistory import DriftHistory, Subject
from pytest_kspec.operator.events import Warned, tell
from pytest_kspec.operator.fleetruns import Setup, run_id
from pytest_kspec.operator.fleets import Fleets, is_elsewhere
from pytest_kspec.operator.holding import Holding, is_held
from pytest_kspec.operator.lease import LostLease
from pytest_kspec.operator.remote import AGAIN_S, Remote
from pytest_kspec.operator.remote import Settings as RemoteSettings
from pytest_kspec.operator.reporting import Results
from pytest_kspec.operator.scans import ScanFailed, Scanned, logged
from pytest_kspec.operator.seen import Seen
from pytest_kspec.operator.status import Note, Said, status_of
from pytest_kspec.operator.statuswriting import bring, is_there
from pytest_kspec.operator.turns import Turns
from pytest_kspec.plan.checkset import CheckSet
from pytest_kspec.plan.plan import make_plan
from pytest_kspec.spec.document import RESOURCE_VERSION, SPEC_KIND
from pytest_kspec.spec.loading import LoadedSpec

log = logging.getLogger("kspec.operator")

Object = dict[str, Any]

SPECIFICATIONS = kspec_kind(SPEC_KIND, "clusterspecifications", namespaced=False)


class Scans(Protocol):
    """What scans: `scans.Scanner`."""

    def scan(self, name: str, run: str) -> Scanned:
        """Raises ScanFailed, Stopped."""
        ...


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


@dataclass(slots=True)
class _Turn:
    """What becomes of one specification in one turn: conditions, fields of its status, Events."""

    began: datetime
    counts: Object
    said: list[Said] = field(default_factory=list)
    fields: Object = field(default_factory=dict)
    notes: list[Note] = field(default_factory=list)
    failure: KspecError | None = None
    boundary: datetime | None = None


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
        self._scans = scans
        self._checkset = checkset
        self._known = known
        self.others = {TARGETS: self._concerned}
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
        self._warned: dict[str, Warned] = {}
        self._holding = Holding(access, settings.removal_s)
        self._turns = Turns(settings.interval_s, paced)

    def reconcile(self, key: Key) -> float | None:
        """As `Controller.reconcile`."""
        _, name = key
        found = self._find(name)
        if found is None:
            self._results.forget(name)
            self._fleets.forget(name)
            self._remote.forget(name)
            self._elsewhere_before.pop(name, None)
            self._warned.pop(name, None)
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
            return self._holding.release(found, self._remote)
        before = status_of(found)
        now = clock.now()
        try:
            spec = self._load(found)
        except KspecError as error:
            said = status.invalid(error)
            self._fleets.waits_no_more(name)
            self._unknown(name, "invalid_specification")
            self._write(
                found, now, [said, *status.not_looked(said.reason)], {"phase": "Failed", **_UNKNOWN}, []
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
        due = self._turns.due(found, now)
        unsettled = status.condition(before, status.ENFORCED).get("reason") in status.UNSETTLED
        if due > 0:
            tell(self._access, found, self._results.go_on(name))
        if due > 0 and not unsettled:
            return due
        return self._act(found, spec, scan=due <= 0)

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
                    {"phase": "Failed", **_UNKNOWN},
                    [],
                )
        except SourceError as error:
            log.warning("%s: %s", name, error)

    # -- inside --------------------------------------------------------------------------------------------

    def _concerned(self, before: Object | None, now: Object | None) -> Iterable[Key]:
        """Specifications that a change of a ClusterTarget is a reason to look at."""
        return remotestatus.concerned(before, now, {("", name): item for name, item in self._known().items()})

    def _find(self, name: str) -> Object | None:
        return self._access.do(lambda writer: writer.find(RESOURCE_VERSION, SPEC_KIND, name))

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
        due = self._turns.due(found, clock.now())
        told = [*policies.notes, *(self._history.lost(Subject(spec.name)) if due <= 0 else ())]
        step = self._fleets.step(found, spec, due)
        if step.failure is not None and self._is_idle(spec):
            step = step._replace(said=(status.nothing_required(),), failure=None, ended=True)
        if not step.said:
            self._write(found, clock.now(), policies.said, policies.fields, told, scanned=False)
            return min(step.again_s, policies.again_s)
        if step.fields.get("clusters") == fleetstatus.NO_CLUSTER:
            self._results.clear(spec.name)
        now = clock.now()
        fields = {**_UNKNOWN, **step.fields, **policies.fields}
        if step.ended:
            fields |= self._turns.fields(found, None)
            self._ended(found, step.began or now)
        if not self._write(found, now, [*step.said, *policies.said], fields, [*step.notes, *told]):
            return 0.0
        if step.failure is not None:
            raise step.failure
        wait = self._turns.interval(found) if step.ended else step.again_s
        return min(wait, policies.again_s)

    def _unknown(self, name: str, reason: str) -> None:
        """Its results are unknown from now on."""
        if self._seen is not None:
            self._seen.scan_failed(self._access.name, name, reason)

    def _act(self, found: Object, spec: LoadedSpec, *, scan: bool) -> float:
        turn = _Turn(clock.now(), counts={"policiesEnforced": None, "driftEvents": None})
        self._apply(found, spec, turn)
        if scan:
            scanned = self._scan(found, spec, turn)
            if scanned is not None:
                if not is_there(self._access, found):
                    tell(self._access, found, turn.notes)
                    return 0.0  # what was found is of another specification
                self._take(found, spec.name, scanned, turn)
        self._corrections(found, spec)
        summary = turn.fields.get("summary", status_of(found).get("summary"))
        counts = {**(summary if isinstance(summary, dict) else {}), **turn.counts}
        turn.fields["summary"] = {k: v for k, v in counts.items() if v is not None} or None
        if not self._write(found, clock.now(), turn.said, turn.fields, turn.notes):
            return 0.0
        if turn.failure is not None:
            raise turn.failure
        self._results.check(spec.name)
        after = self._find(spec.name)
        if after is None:
            return 0.0
        return max(0.0, min(self._turns.due(after, clock.now()), status.soon(status_of(after), clock.now())))

    def _apply(self, found: Object, spec: LoadedSpec, turn: _Turn) -> None:
        """Its policies; a failure is said, and keeps no scan from being made."""
        try:
            enforced = self._enforce(found, spec, turn.began)
            turn.said += enforced.said
            turn.fields |= enforced.fields
            turn.counts, turn.boundary = enforced.counts, enforced.boundary
            turn.notes += enforced.notes
            turn.notes += self._keep(spec, enforced, turn.began)
            self._count(spec.name, enforced)
            turn.failure = enforced.failure
        except LostLease:
            raise
        except KspecError as error:
            turn.failure = error
            turn.said += status.not_enforced(error)
        section = spec.spec.enforcement
        if turn.failure and self._seen is not None and section is not None and section.auto_remediate:
            self._seen.enforcement_failed(self._access.name, spec.name, type(turn.failure).__name__)

    def _count(self, name: str, enforced: enforcing.Enforced) -> None:
        """In metrics: what was changed, what drifted, and what could not be corrected."""
        if self._seen is None:
            return
        for engine, changes in enforced.changes.items():
            self._seen.changed(self._access.name, name, engine, changes)
        if enforced.drift or enforced.looked:
            self._seen.drifted(self._access.name, name, enforced.drift)
        for _ in filter(correcting.is_failed, enforced.events):
            self._seen.enforcement_failed(self._access.name, name, "remediation_failed")

    def _scan(self, found: Object, spec: LoadedSpec, turn: _Turn) -> Scanned | None:
        """Its result; None: there is none, which is said."""
        name = spec.name
        turn.notes += self._history.lost(Subject(name))
        turn.fields |= fleetstatus.NOTHING
        try:
            return logged(lambda: self._scans.scan(name, run_id(found, spec)), name)
        except ScanFailed as error:
            is_idle = self._is_idle(spec)
            self._unknown(name, "nothing_required" if is_idle else error.reason)
            self._board.not_scanned(name, self._access.name, error)
            turn.fields |= {"phase": "Failed", **_UNKNOWN, "run": error.run or None}
            if is_idle:  # another scan is of no use before the interval is over
                turn.said.append(status.nothing_required())
                turn.fields |= self._turns.fields(found, turn.boundary)
            else:
                turn.failure = turn.failure or error
                turn.said.append(status.not_scanned(error))
        return None

    def _take(self, found: Object, name: str, scanned: Scanned, turn: _Turn) -> None:
        """Put a result into the status, metrics, reports and history."""
        cluster = scanned.result.clusters[0]
        ready, fields = status.scanned(cluster)
        turn.said.append(ready)
        turn.fields |= {"complianceScore": None, **fields, **self._turns.fields(found, turn.boundary)}
        self._ended(found, turn.began)
        if self._seen is not None:
            self._seen.scanned(name, scanned)
        self._board.scanned(cluster, turn.counts["driftEvents"])
        for line in scanned.notes:
            log.warning("%s: %s", name, line)
        turn.notes += self._results.report(found, scanned)
        turn.notes += self._results.history(name, scanned)

    def _ended(self, found: Object, began: datetime) -> None:
        """A scan has come to its end."""
        if self._seen is not None:
            self._seen.skipped(self.label, found["metadata"]["name"], self._turns.skipped(found, began))

    def _keep(self, spec: LoadedSpec, enforced: enforcing.Enforced, now: datetime) -> list[Note]:
        """Put what its policies differ in into the store; Events where that begins to fail, and ends."""
        if not self._history.is_kept:
            return []
        look = Look(
            at=status.stamp(now),
            spec=spec.name,
            version=spec.version or "",
            cluster=self._access.name,
            uid=self._access.do(lambda writer: writer.source.uid()),
            looked=(DriftType.POLICY,) if enforced.looked else (),
            events=enforced.events,
        )
        return self._history.record(Subject(spec.name), look)

    def _corrections(self, found: Object, spec: LoadedSpec) -> None:
        """Tell of corrections, also of those that a DriftConfig or the leader before made."""
        now = clock.now()
        recent: Mapping[str, int] = {}
        try:
            if enforcing.asks(spec):
                uid = found["metadata"].get("uid", "")
                recent = self._access.do(
                    lambda writer: InCluster(writer, spec.name, uid=uid).since(now - correcting.WINDOW)
                )
        except LostLease:
            raise
        except KspecError as error:
            log.warning("%s: its corrections are not known: %s", spec.name, error)
            return
        self._board.corrected(spec.name, recent, now)
        if self._seen is not None:
            self._seen.corrections(self._access.name, spec.name, recent)

    def _load(self, found: Object) -> LoadedSpec:
        name = found["metadata"]["name"]
        parts = {other: raw.get("spec") or {} for other, raw in self._known().items()}
        parts[name] = found.get("spec") or {}
        if not isinstance(parts[name], dict):
            raise SpecError("spec must be an object.", where=f"{resources.PREFIX}{name}")
        return resources.load(resources.document(found), name, parts)

    def _is_idle(self, spec: LoadedSpec) -> bool:
        """Whether no check follows from it, so that a scan has nothing to do; asked where one has no result."""
        try:
            return not make_plan(spec, self._checkset()).planned
        except KspecError:
            return False

    def _enforce(self, found: Object, spec: LoadedSpec, now: datetime) -> enforcing.Enforced:
        if enforcing.asks(spec):
            self._holding.hold(found)
        settled = engineturn.Settled.of(found)
        warned = self._warned.setdefault(spec.name, Warned())
        asked = enforcing.Asked(
            self._checkset, self._access.name, self._settings.options, is_held(found), warned
        )

        def act(writer: Writer) -> enforcing.Enforced:
            return enforcing.enforce(spec, settled, writer, asked, now)

        with self._access.alone(spec.name):  # a DriftConfig would correct the same, and both would count
            enforced = self._access.do(act)
        if not enforcing.asks(spec) and enforced.failure is None:
            self._holding.let_go(found)
        return enforced

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


_UNKNOWN: Object = {"complianceScore": None, "summary": None, "nextScanTime": None}
"""Fields of what is not known now."""
