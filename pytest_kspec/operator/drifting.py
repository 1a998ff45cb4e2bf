"""The controller of DriftConfig: when specifications are compared, what is reported, what is corrected.

Nothing is corrected unless the specification enforces (`enforcement`) and the DriftConfig says `Apply`. What is due is
read from the status; what was corrected, from the ledger; what was reported, from the newest report: a leader that is
killed at any point leaves nothing that the next one does not find.
"""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from operator import methodcaller
from typing import Any, NamedTuple

from pydantic import ValidationError

from pytest_kspec import clock
from pytest_kspec.cluster.watch.reflector import Key, Object
from pytest_kspec.crds.models.driftconfig import LAST_GOOD_RUN, DriftConfigSpec
from pytest_kspec.crds.names import GROUP, NAMESPACE
from pytest_kspec.crds.objects import clusterspecification
from pytest_kspec.crds.objects.driftreport import About
from pytest_kspec.crds.objects.owners import owner_of
from pytest_kspec.drift import configuration, goodrun
from pytest_kspec.drift.events import DriftType, Look, ordered
from pytest_kspec.drift.ignoring import Ignoring
from pytest_kspec.drift.looking import Looking
from pytest_kspec.errors import KspecError, SourceError, SourceUnavailable, SpecError
from pytest_kspec.kube.globs import Globs
from pytest_kspec.kube.resources import ResourceType
from pytest_kspec.operator import driftsaid, status
from pytest_kspec.operator.board import Board
from pytest_kspec.operator.comparing import Comparing, Scanned
from pytest_kspec.operator.controller import Concerned, Given, Right, kspec_kind
from pytest_kspec.operator.driftcorrections import Asked, Corrections
from pytest_kspec.operator.drifthistory import DriftHistory, Subject
from pytest_kspec.operator.driftreports import Kept, Told, forget, of_config, report
from pytest_kspec.operator.driftsaid import (
    NO_RECORDING,
    NO_STORE,
    STORE_NEEDED,
    Outcome,
    next_run,
    types_of,
)
from pytest_kspec.operator.events import tell
from pytest_kspec.operator.fleetruns import SLOT_S
from pytest_kspec.operator.lease import LostLease
from pytest_kspec.operator.reconcile import SPECIFICATIONS, Settings
from pytest_kspec.operator.scans import Stopped
from pytest_kspec.operator.status import NOT_COMPARED, Note, Said, moment_of, status_of
from pytest_kspec.operator.statuswriting import bring
from pytest_kspec.operator.turns import FUTURE_S
from pytest_kspec.results.verdict import Severity
from pytest_kspec.spec.document import RESOURCE_VERSION, SPEC_KIND
from pytest_kspec.spec.loading import LoadedSpec
from pytest_kspec.spec.problems import field_problems

log = logging.getLogger("kspec.operator")

CONFIGS = kspec_kind("DriftConfig", "driftconfigs", namespaced=True)
READY = status.READY
INVALID, SUSPENDED, OTHER_NAMESPACE = "InvalidConfiguration", "Suspended", "OtherNamespace"
_MOST_TURNS = 10_000
_RANKS = {severity.value: severity.rank for severity in Severity}


class _About(NamedTuple):
    """What a look is about, as `Looking.look` takes it."""

    at: str
    spec: str
    version: str
    cluster: str
    uid: str


class Run(NamedTuple):
    """One run of a DriftConfig.

    name:    of the DriftConfig
    until:   requirements are compared with the last scan before it; "": before now
    objects: what is not as in the snapshot, or in the last good run; None: not to be compared
    last:    `lastRunTime` of the status
    judged:  whether it has to be known if this run is a good one
    parts:   `spec` of each specification, by name
    """

    name: str
    now: datetime
    until: str
    objects: configuration.Compared | None
    last: object = None
    judged: bool = False
    parts: Mapping[str, Any] = {}

    def scan_of(self, item: Object) -> str:
        """The id of the scan of a specification: the same for whoever leads, for a while."""
        metadata = item["metadata"]
        slot = int(self.now.timestamp() // SLOT_S)
        facts = [metadata.get("uid"), metadata.get("generation"), self.name, str(self.last), slot]
        digest = hashlib.sha256(json.dumps(facts).encode()).hexdigest()
        return f"{metadata['name'][:40]}-{digest[:12]}"


class DriftController:
    """As `controller.Controller`."""

    resource = CONFIGS
    label = "driftconfig"
    workers = 1
    others: Mapping[ResourceType, Concerned] = {}
    rights = (
        Right(GROUP, "driftconfigs", ("get", "list", "watch")),
        Right(GROUP, "driftconfigs/status", ("update",)),
        Right(GROUP, "driftreports", ("list", "create", "delete"), NAMESPACE),
        Right(GROUP, "driftreports/status", ("patch",), NAMESPACE),
        Right("", "configmaps", ("get",), NAMESPACE),
        Right("", "events", ("create",), NAMESPACE),
    )

    def __init__(self, given: Given, settings: Settings, board: Board, history: DriftHistory) -> None:
        self._access = given.access
        self._given = given
        self._metrics = given.metrics
        self._history = history
        self._corrections = Corrections(board)
        self._comparing = Comparing(given.access, given.checks, settings.options, given.scanner, history)

    def reconcile(self, key: Key) -> float | None:
        """As `Controller.reconcile`."""
        found = self._find(key)
        if found is None or found["metadata"].get("deletionTimestamp"):
            self._history.forget(config=key[1])
            self._corrections.forget(key[1])
            return None
        if key[0] != NAMESPACE:
            text = f"DriftConfigs must be in the namespace {NAMESPACE}."
            return self._refuse(found, Said(READY, "False", OTHER_NAMESPACE, text))
        try:
            config = DriftConfigSpec.model_validate(found.get("spec") or {})
        except ValidationError as error:
            text = "; ".join(field_problems(error, "spec"))
            return self._refuse(found, Said(READY, "False", INVALID, text))
        if not config.enabled:
            return self._refuse(found, Said(READY, "False", SUSPENDED, "enabled is false."))
        if types_of(config) == {DriftType.COMPLIANCE} and not self._history.is_kept:
            return self._refuse(found, Said(READY, "False", STORE_NEEDED, NO_STORE))
        now = clock.now()
        due = self._due(found, config, now)
        if due > 0:
            return due
        self._metrics.skipped(self.label, key[1], _left_out(found, config, now))
        return self._run(found, config, now)

    def failed(self, key: Key, fault: Exception) -> None:
        """As `Controller.failed`."""
        text = f"an internal error of kspec ({type(fault).__name__}): see the log of the operator."
        try:
            found = self._find(key)
            if found is not None:
                self._refuse(found, Said(READY, "Unknown", NOT_COMPARED, text))
        except SourceError as error:
            log.warning("DriftConfig %s: %s", "/".join(key), error)

    # -- inside --------------------------------------------------------------------------------------------

    def _find(self, key: Key) -> Object | None:
        namespace, name = key
        return self._access.do(
            lambda writer: writer.find(CONFIGS.api_version, CONFIGS.kind, name, namespace=namespace)
        )

    def _refuse(self, found: Object, said: Said) -> float:
        """Say why nothing is compared; what was found before is not known now."""
        unknown = Said(status.DRIFT, "Unknown", said.reason, "Not compared: see Ready.")
        fields = dict.fromkeys(("nextRunTime", "driftDetected", "totalEvents", "remediatedEvents"))
        self._write(found, clock.now(), [said, unknown], fields, [])
        return 3600.0

    def _due(self, found: Object, config: DriftConfigSpec, now: datetime) -> float:
        """Seconds until the next run; 0 or less: now."""
        before = status_of(found)
        last = moment_of(before.get("lastRunTime"))
        if before.get("observedGeneration") != found["metadata"].get("generation") or last is None:
            return 0.0
        if (last - now).total_seconds() > FUTURE_S:
            return 0.0  # a clock went back
        usual, said = next_run(config, last), moment_of(before.get("nextRunTime"))
        return (min(usual, max(said or usual, last)) - now).total_seconds()

    def _run(self, found: Object, config: DriftConfigSpec, now: datetime) -> float:
        names, clusters = Globs(config.cluster_specs), Globs(config.clusters)
        lost = self._history.lost(Subject("", found["metadata"]["name"]))
        outcomes: list[Outcome] = []
        problems: list[str] = []
        before = status_of(found).get("goodRunTime") if _compares_good(config) else ""
        good_at = before if isinstance(before, str) else ""  # where it cannot be looked up, it is what it was
        if clusters.match(self._access.name):
            types = types_of(config)
            if DriftType.COMPLIANCE in types and not self._history.is_kept:
                problems.append(NO_STORE)
            until = status_of(found).get("baselineTime")
            objects, looked = self._objects(found, config, now, problems)
            run = Run(
                found["metadata"]["name"],
                now,
                until if isinstance(until, str) else "",
                objects,
                status_of(found).get("lastRunTime"),
                looked is not None and looked.is_new,
            )
            listed = self._specifications(names)
            parts = {item["metadata"]["name"]: item.get("spec") or {} for item in listed}
            run = run._replace(parts=parts)
            left = (config.remediation.max_changes if config.remediation else 0) or 0
            kept = self._kept(found, config, parts, problems)
            for item in listed:
                if names.match(item["metadata"]["name"]) and not item["metadata"].get("deletionTimestamp"):
                    outcome = self._look(kept, item, config, run, left)
                    if outcome is not None:
                        left -= outcome.remediated
                        outcomes.append(outcome)
            if looked is not None:
                good_at = self._keep(found, config, looked, outcomes, now, problems)
        made = driftsaid.Run(now, outcomes, problems, good_at)
        self._say(found, config, made, lost)
        return max(0.0, (driftsaid.again(config, made) - clock.now()).total_seconds())

    def _specifications(self, names: Globs) -> list[Object]:
        """All of them, as the process follows them; listed where it does not, or sees none that is meant yet."""
        if self._given.follows(SPECIFICATIONS):
            seen = self._given.objects(SPECIFICATIONS)
            if any(names.match(name) for _, name in seen):
                return [item for _, item in sorted(seen.items())]
        return self._access.do(methodcaller("list", RESOURCE_VERSION, SPEC_KIND))

    def _objects(
        self, found: Object, config: DriftConfigSpec, now: datetime, problems: list[str]
    ) -> tuple[configuration.Compared | None, goodrun.Looked | None]:
        """What objects differ in, and what may become the last good run; None: not to be compared."""
        if DriftType.CONFIGURATION not in types_of(config):
            return None, None
        if not _compares_good(config):
            return self._comparing.objects(config, now), None
        if not self._history.is_kept:
            problems.append(NO_RECORDING)
            return None, None
        try:
            looked = self._comparing.last_good(found, config, now)
        except LostLease:
            raise
        except KspecError as error:
            return configuration.Compared((), (f"objects could not be compared: {error}",)), None
        return looked.compared if looked is not None else None, looked

    def _keep(
        self,
        found: Object,
        config: DriftConfigSpec,
        looked: goodrun.Looked,
        outcomes: Sequence[Outcome],
        now: datetime,
        problems: list[str],
    ) -> str:
        """Make a run the last good one if it is. When that was, RFC 3339; "": there is none."""
        if looked.is_new and outcomes and all(one.good for one in outcomes):
            try:
                if self._comparing.keep(found, config, looked, now):
                    return status.stamp(now)
            except (LostLease, Stopped):
                raise
            except KspecError as error:
                problems.append(f"this good run could not be recorded: {error}")
        return looked.at

    def _kept(
        self, found: Object, config: DriftConfigSpec, specs: Collection[str], problems: list[str]
    ) -> Kept | None:
        """Its reports, those of specifications that are gone (not among `specs`) deleted; None: not known."""
        try:
            listed = self._access.do(lambda writer: of_config(writer, found))
            self._access.do(lambda writer: forget(writer, listed, specs))
        except LostLease:
            raise
        except KspecError as error:
            problems.append(f"no DriftReport could be written: {error}")
            return None
        return Kept(listed, owner_of(found), config.retention)

    def _look(
        self,
        kept: Kept | None,
        item: Object,
        config: DriftConfigSpec,
        run: Run,
        left: int,
    ) -> Outcome | None:
        """One specification; what is wrong with it costs the others nothing. None: it is of other clusters."""
        name = item["metadata"]["name"]
        try:
            spec = _load(item, run.parts)
            if not spec.is_for(self._access.name):
                return None
            outcome = self._compare(item, spec, config, run, left)
        except (LostLease, Stopped):
            raise
        except KspecError as error:
            away = isinstance(error, SourceUnavailable)
            return Outcome(name, (), (f"{name}: {error}",), whole=False, away=away)
        if kept is None:
            return outcome
        try:
            generation = int(item["metadata"].get("generation") or 0)
            uid = self._access.do(lambda writer: writer.source.known_uid())
            about = About(
                spec.name, spec.version or "", generation, self._access.name, uid, (NAMESPACE, run.name)
            )
            told = Told(outcome.events, outcome.remediated, whole=not outcome.problems)
            cleared = self._access.do(lambda writer: report(writer, about, told, kept, run.now))
        except (LostLease, Stopped):
            raise
        except KspecError as error:  # what was found, and what was done about it, is said all the same
            problems = (*outcome.problems, f"{name}: its DriftReport could not be written: {error}")
            return outcome._replace(problems=problems, whole=False)
        return outcome._replace(cleared=cleared)

    def _compare(
        self,
        item: Object,
        spec: LoadedSpec,
        config: DriftConfigSpec,
        run: Run,
        left: int,
    ) -> Outcome:
        types, now = types_of(config), run.now
        scanned = Scanned(True, False)
        what = Subject(spec.name, run.name)
        uid = self._access.do(lambda writer: writer.source.uid())
        about = _About(status.stamp(now), spec.name, spec.version or "", self._access.name, uid)
        looks: list[Look] = []
        notes: list[Note] = []
        # Policies first: their correction does not wait for a scan, nor what is known of them for its problems.
        if DriftType.POLICY in types:
            looking = _looking(config)
            asked = Asked(item, lambda one: _load(one, run.parts), config, now, left)
            with self._access.alone(spec.name):
                with looking.kept("policies"):
                    self._access.do(lambda writer: self._comparing.policies(looking, item, spec, now, writer))
                drifted = looking.drifted
                events, notes = self._access.do(
                    lambda writer: self._corrections.make(what, asked, drifted, writer)
                )
            looks.append(looking.look(**about._asdict(), decided=events))
            notes += self._history.record(what, looks[-1])
        if types != {DriftType.POLICY}:
            looking = _looking(config)
            if DriftType.COMPLIANCE in types and self._history.is_kept:
                scanned = Scanned(False, False)
                with looking.kept("requirements"):
                    id = run.scan_of(item)
                    scanned = self._comparing.requirements(looking, item, spec, now, run.until, id)
            elif run.judged:
                scanned = self._judged(spec, run.scan_of(item))
            if run.objects is not None:
                looking.others(DriftType.CONFIGURATION, run.objects.events, run.objects.problems)
            looks.append(looking.look(**about._asdict()))
            notes += self._history.record(what, looks[-1])
        return Outcome(
            spec.name,
            ordered(event for look in looks for event in look.events),
            tuple(f"{spec.name}: {text}" for look in looks for text in look.problems),
            tuple(notes),
            scanned.whole and not self._history.misses(what),
            good=scanned.good,
        )

    def _judged(self, spec: LoadedSpec, run: str) -> Scanned:
        """A scan that says whether this run is a good one; one without a result says that it is not known to be."""
        try:
            return self._comparing.scanned(spec, run)
        except (LostLease, Stopped):
            raise
        except KspecError as error:
            log.warning("%s: whether it is met is not known: %s", spec.name, error)
            return Scanned(True, False)

    def _say(self, found: Object, config: DriftConfigSpec, run: driftsaid.Run, lost: Sequence[Note]) -> None:
        """Write what a run says. lost: Events of a store that is gone."""
        said, fields, notes = driftsaid.of(run, config, self._access.name, status_of(found))
        self._write(found, run.now, said, fields, [*lost, *notes])

    def _write(
        self,
        found: Object,
        now: datetime,
        said: Sequence[Said],
        fields: Mapping[str, Any],
        notes: Sequence[Note],
    ) -> None:
        """Bring the status to what was found. Raises Conflict where others write to it all the time."""
        generation = int(found["metadata"].get("generation") or 0)
        change = bring(
            self._access, found, lambda before: status.merged(before, generation, now, said, fields)
        )
        if change is not None:
            made = driftsaid.notes_of(*change) if change.after != change.before else []
            tell(self._access, found, [*notes, *made])


def controller(given: Given, settings: Settings, board: Board, history: DriftHistory) -> DriftController:
    """The controller of one process."""
    return DriftController(given, settings, board, history)


def _left_out(found: Object, config: DriftConfigSpec, now: datetime) -> int:
    """Turns that passed after the one that is due, without a run."""
    last = moment_of(status_of(found).get("lastRunTime"))
    if (
        last is None
        or last > now
        or status_of(found).get("observedGeneration") != found["metadata"].get("generation")
    ):
        return 0
    turns, turn = 0, next_run(config, next_run(config, last))
    while turn <= now and turns < _MOST_TURNS:
        turns, turn = turns + 1, next_run(config, turn)
    return turns


def _compares_good(config: DriftConfigSpec) -> bool:
    """Whether objects are compared with the last good run."""
    asked = config.configuration
    named = DriftType.CONFIGURATION in types_of(config)
    return named and asked is not None and asked.baseline == LAST_GOOD_RUN


def _looking(config: DriftConfigSpec) -> Looking:
    return Looking(Ignoring(config.ignore), _RANKS[config.min_severity], (LostLease, Stopped))


def _load(item: Object, parts: Mapping[str, Any]) -> LoadedSpec:
    name = item["metadata"]["name"]
    if not isinstance(item.get("spec") or {}, dict):
        raise SpecError("spec must be an object.", where=f"{clusterspecification.PREFIX}{name}")
    own = {**parts, name: item.get("spec") or {}}
    return clusterspecification.load(clusterspecification.document(item), name, own)
