"""One turn of a specification on the operator's own cluster: policies, a scan, and what is to be said of both.

Writes policies, reports and history, but not the status: that is `reconcile`'s, which knows of all clusters.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from pytest_kspec import clock
from pytest_kspec.cluster.writing.access import Access
from pytest_kspec.cluster.writing.write import Writer
from pytest_kspec.drift import correcting
from pytest_kspec.drift.events import DriftType, Look
from pytest_kspec.drift.ledger import InCluster
from pytest_kspec.errors import KspecError
from pytest_kspec.operator import enforcing, engineturn, fleetstatus, status
from pytest_kspec.operator.board import Board
from pytest_kspec.operator.drifthistory import DriftHistory, Subject
from pytest_kspec.operator.events import Warned
from pytest_kspec.operator.fleetruns import run_id
from pytest_kspec.operator.holding import Holding, is_held
from pytest_kspec.operator.lease import LostLease
from pytest_kspec.operator.reporting import Results
from pytest_kspec.operator.scans import ScanFailed, Scanned, Scans, logged
from pytest_kspec.operator.seen import Seen
from pytest_kspec.operator.status import Note, Said, status_of
from pytest_kspec.operator.statuswriting import is_there
from pytest_kspec.operator.turns import Turns
from pytest_kspec.plan.checkset import CheckSet
from pytest_kspec.plan.plan import make_plan
from pytest_kspec.spec.loading import LoadedSpec

log = logging.getLogger("kspec.operator")

Object = dict[str, Any]


@dataclass(slots=True)
class Turn:
    """What becomes of one specification in one turn: conditions, fields of its status, Events.

    failure: why not all was done; boundary: when policies have to be made again; is_over: it is another one by now
    """

    began: datetime
    counts: Object = field(default_factory=lambda: {"policiesEnforced": None, "driftEvents": None})
    said: list[Said] = field(default_factory=list)
    fields: Object = field(default_factory=dict)
    notes: list[Note] = field(default_factory=list)
    failure: KspecError | None = None
    boundary: datetime | None = None
    is_over: bool = False


class OwnCluster:
    """Turns of all specifications. options: of engines, as their `add_arguments` have them."""

    def __init__(
        self,
        access: Access,
        scans: Scans,
        checkset: Callable[[], CheckSet],
        options: Any,
        *,
        holding: Holding,
        turns: Turns,
        results: Results,
        history: DriftHistory,
        seen: Seen | None,
        board: Board,
    ) -> None:
        self._access, self._scans, self._checkset, self._options = access, scans, checkset, options
        self._holding, self._turns, self._results, self._history = holding, turns, results, history
        self._seen, self._board = seen, board
        self._warned: dict[str, Warned] = {}

    def forget(self, name: str) -> None:
        """The specification of this name is gone."""
        self._warned.pop(name, None)

    def turn(self, found: Object, spec: LoadedSpec, *, scan: bool) -> Turn:
        """Bring policies up to date, and scan where that is due. Raises SourceError, LostLease, Stopped."""
        turn = Turn(clock.now())
        self._apply(found, spec, turn)
        if scan:
            scanned = self._scan(found, spec, turn)
            if scanned is not None:
                if not is_there(self._access, found):
                    turn.is_over = True  # what was found is of another specification
                    return turn
                self._take(found, spec.name, scanned, turn)
        self._corrections(found, spec)
        summary = turn.fields.get("summary", status_of(found).get("summary"))
        counts = {**(summary if isinstance(summary, dict) else {}), **turn.counts}
        turn.fields["summary"] = {key: value for key, value in counts.items() if value is not None} or None
        return turn

    # -- policies ------------------------------------------------------------------------------------------

    def _apply(self, found: Object, spec: LoadedSpec, turn: Turn) -> None:
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

    def _enforce(self, found: Object, spec: LoadedSpec, now: datetime) -> enforcing.Enforced:
        if enforcing.asks(spec):
            self._holding.hold(found)
        settled = engineturn.Settled.of(found, spec)
        warned = self._warned.setdefault(spec.name, Warned())
        asked = enforcing.Asked(self._checkset, self._access.name, self._options, is_held(found), warned)

        def act(writer: Writer) -> enforcing.Enforced:
            return enforcing.enforce(spec, settled, writer, asked, now)

        with self._access.alone(spec.name):  # a DriftConfig would correct the same, and both would count
            enforced = self._access.do(act)
        if not enforcing.asks(spec) and enforced.failure is None:
            self._holding.let_go(found)
        return enforced

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

    # -- a scan --------------------------------------------------------------------------------------------

    def _scan(self, found: Object, spec: LoadedSpec, turn: Turn) -> Scanned | None:
        """Its result; None: there is none, which is said."""
        name = spec.name
        turn.notes += self._history.lost(Subject(name))
        turn.fields |= fleetstatus.NOTHING
        try:
            return logged(lambda: self._scans.scan(name, run_id(found, spec)), name)
        except ScanFailed as error:
            idle = is_idle(spec, self._checkset)
            if self._seen is not None:
                reason = "nothing_required" if idle else error.reason
                self._seen.scan_failed(self._access.name, name, reason)
            self._board.not_scanned(name, self._access.name, error)
            turn.fields |= {"phase": "Failed", **status.NO_RESULT, "run": error.run or None}
            if idle:  # another scan is of no use before the interval is over
                turn.said.append(status.nothing_required())
                turn.fields |= self._turns.fields(found, turn.boundary)
            else:
                turn.failure = turn.failure or error
                turn.said.append(status.not_scanned(error))
        return None

    def _take(self, found: Object, name: str, scanned: Scanned, turn: Turn) -> None:
        """Put a result into the status, metrics, reports and history."""
        cluster = scanned.result.clusters[0]
        ready, fields = status.scanned(cluster)
        turn.said.append(ready)
        turn.fields |= {"complianceScore": None, **fields, **self._turns.fields(found, turn.boundary)}
        self._turns.ended(found, turn.began)
        if self._seen is not None:
            self._seen.scanned(name, scanned)
        self._board.scanned(cluster, turn.counts["driftEvents"])
        for line in scanned.notes:
            log.warning("%s: %s", name, line)
        turn.notes += self._results.report(found, scanned)
        turn.notes += self._results.history(name, scanned)


def is_idle(spec: LoadedSpec, checkset: Callable[[], CheckSet]) -> bool:
    """Whether no check follows from it, so that a scan has nothing to do; asked where one has no result."""
    try:
        return not make_plan(spec, checkset()).planned
    except KspecError:
        return False
