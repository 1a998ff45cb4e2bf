"""What a run over a fleet says: one score beside its coverage, by group, framework and requirement, and what moved.

A cluster that could not be scanned is an error since a time, with all its requirements, and never what it was before.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any

from pytest_kspec import clock
from pytest_kspec.errors import EXIT_FINDINGS, EXIT_NOT_EVALUATED
from pytest_kspec.results.outcome import Outcome
from pytest_kspec.results.verdict import Severity
from pytest_kspec.storage import fleetpages, verdicts
from pytest_kspec.storage.engine import Store
from pytest_kspec.storage.fleetpages import ExemptionRow, FleetRow, FrameworkRow, Moved
from pytest_kspec.storage.fleetrun import StoredRun
from pytest_kspec.storage.verdicts import ChangedRow, RequirementRow

API_VERSION = "kspec.io/v1alpha1"
MOST_VALUES = 20
"""Values of a label up to which it makes groups that are worth a table."""
_FORMAT = "%Y-%m-%dT%H:%M:%SZ"


@dataclass(frozen=True, slots=True)
class Sums:
    """Clusters and requirements of a fleet or a part of it.

    clusters: those that count, each once; scanned: those of them with a result; weight: as in `results.result.Summary`
    """

    clusters: int
    scanned: int
    evaluated: int
    applicable: int
    findings: int
    weight: int
    weight_met: int

    @classmethod
    def of(cls, rows: Iterable[FleetRow]) -> Sums:
        """Of rows without duplicates."""
        chosen = list(rows)
        scanned = {row.name for row in chosen if row.outcome == Outcome.SCANNED}
        lost = {row.name for row in chosen if row.outcome != Outcome.SCANNED}
        return cls(
            len(scanned | lost),
            len(scanned - lost),
            sum(row.passed + row.failed for row in chosen),
            sum(row.passed + row.failed + row.errors for row in chosen),
            sum(row.findings for row in chosen),
            sum(row.weight for row in chosen),
            sum(row.weight_met for row in chosen),
        )

    @property
    def score(self) -> float | None:
        """0-100, rounded down; None where nothing was evaluated."""
        return (1000 * self.weight_met // self.weight) / 10 if self.evaluated and self.weight else None

    @property
    def coverage(self) -> float:
        """Percent of the clusters that were scanned, rounded down."""
        return _percent(self.scanned, self.clusters)

    @property
    def evaluated_percent(self) -> float:
        """Percent of the requirements that apply that were evaluated, rounded down."""
        return _percent(self.evaluated, self.applicable)

    def to_wire(self) -> dict[str, Any]:
        """Plain data."""
        return {
            "clusters": self.clusters,
            "scanned": self.scanned,
            "score": self.score,
            "coverage": self.coverage,
            "requirements": self.applicable,
            "evaluated": self.evaluated,
            "requirementCoverage": self.evaluated_percent,
            "findings": self.findings,
        }


@dataclass(frozen=True, slots=True)
class FleetReport:
    """All of it. rows: by name; since: RFC 3339, when the newest result ended that one of this run is compared with.

    A cluster that no worker made a result of has an error for each requirement, as one that could not be reached.
    inactive: results of specifications that were not active
    """

    run: StoredRun
    rows: tuple[FleetRow, ...]
    requirements: tuple[RequirementRow, ...]
    frameworks: tuple[FrameworkRow, ...]
    groups: Mapping[str, Sums]
    since: str
    changed: tuple[ChangedRow, ...]
    moved: Moved
    ending: tuple[ExemptionRow, ...]
    inactive: frozenset[int] = frozenset()

    @property
    def counted(self) -> tuple[FleetRow, ...]:
        """Each cluster once."""
        return tuple(row for row in self.rows if row.outcome != Outcome.DUPLICATE)

    @property
    def sums(self) -> Sums:
        """Of the whole fleet."""
        return Sums.of(self.counted)

    @property
    def missing(self) -> tuple[FleetRow, ...]:
        """What could not be scanned, or was not yet."""
        return tuple(row for row in self.counted if row.outcome != Outcome.SCANNED)

    @property
    def worst(self) -> tuple[FleetRow, ...]:
        """Clusters with a score below 100, the lowest first."""
        found = (row for row in self.counted if row.score is not None and row.score < 100)
        return tuple(sorted(found, key=lambda row: (row.score, -row.findings, row.name, row.spec)))

    @property
    def empty(self) -> tuple[FleetRow, ...]:
        """Clusters that were scanned, and of which nothing was evaluated, though the specification is active."""
        return tuple(row for row in _nothing(self.counted) if row.result_id not in self.inactive)

    @property
    def worst_requirements(self) -> tuple[RequirementRow, ...]:
        """Requirements that fail somewhere, or were not evaluated on a cluster that was scanned.

        Those that fail come first, the most severe and those of most clusters before others.
        """
        missing = _missing(self.rows, [row.spec for row in self.requirements])
        found = (row for row in self.requirements if row.failed or row.errors > missing[row.spec])

        def rank(row: RequirementRow) -> tuple[object, ...]:
            return (
                not row.failed,
                -Severity(row.severity).rank,
                -row.failed,
                -row.errors,
                row.spec,
                row.check,
            )

        return tuple(sorted(found, key=rank))

    def exit_code(self, fail_on: str, *, allow_empty: bool) -> int:
        """About compliance, as that of `kspec scan`."""
        if self.missing or any(row.errors for row in self.rows) or (self.empty and not allow_empty):
            return EXIT_NOT_EVALUATED
        lowest = Severity(fail_on or Severity.LOW).rank
        failed = any(row.failed and Severity(row.severity).rank >= lowest for row in self.requirements)
        return EXIT_FINDINGS if failed else 0

    def to_wire(self) -> dict[str, Any]:
        """The document of `kspec fleet report -o json`."""
        return {
            "apiVersion": API_VERSION,
            "kind": "FleetReport",
            "run": self.run.id,
            "createdAt": self.run.created_at,
            "endedAt": self.run.ended_at,
            "engine": self.run.engine,
            "outcomes": {name or "waiting": count for name, count in sorted(self.run.outcomes.items())},
            "summary": self.sums.to_wire(),
            "clusters": [_cluster(row) for row in self.rows],
            "groups": [{"label": label} | sums.to_wire() for label, sums in self.groups.items()],
            "frameworks": [
                {"id": row.framework, "name": row.name, "version": row.version, "clusters": row.clusters}
                | row.summary.to_wire()
                for row in self.frameworks
            ],
            "requirements": [
                {
                    "spec": row.spec,
                    "id": row.check,
                    "severity": row.severity,
                    "pass": row.passed,
                    "fail": row.failed,
                    "error": row.errors,
                    "skip": row.skipped,
                    "findings": row.findings,
                }
                for row in sorted(self.requirements, key=lambda row: (row.spec, row.check))
            ],
            "changes": {
                "since": self.since,
                "newFindings": self.moved.new,
                "fixedFindings": self.moved.fixed,
                "verdicts": [row._asdict() | {"clusters": list(row.clusters)} for row in self.changed],
            },
            "endingExemptions": [
                {
                    "name": row.name,
                    "reason": row.reason,
                    "approver": row.approver,
                    "expiresAt": row.expires_at,
                    "location": row.location,
                    "clusters": list(row.clusters),
                    "matched": row.matched,
                    "notScanned": row.not_scanned,
                }
                for row in self.ending
            ],
        }


def make_report(
    store: Store, run: StoredRun, *, group_by: Sequence[str] = (), hours: float = 24.0
) -> FleetReport:
    """Read it from the store.

    group_by: keys of labels; none: those that divide the fleet into a few groups
    hours: how long before the run the results ended that those of the run are compared with, as nearly as there are
    Raises StoreError.
    """
    with store.together():
        return _read(store, run, group_by, hours)


def _read(store: Store, run: StoredRun, group_by: Sequence[str], hours: float) -> FleetReport:
    began = datetime.fromisoformat(run.created_at)
    nominal = began - timedelta(hours=hours)
    latest = nominal + timedelta(hours=hours) / 2
    found = fleetpages.rows(store, run.id, nominal.strftime(_FORMAT), latest.strftime(_FORMAT))
    requirements = verdicts.requirements(store, run.id)
    unread = _missing((row for row in found if row.result_id is None), [row.spec for row in requirements])
    rows = tuple(_owed(row, requirements) for row in found)
    now = clock.now().astimezone(UTC)
    return FleetReport(
        run=run,
        rows=rows,
        requirements=tuple(row._replace(errors=row.errors + unread[row.spec]) for row in requirements),
        frameworks=fleetpages.frameworks(store, run.id, unread),
        groups=_groups([row for row in rows if row.outcome != Outcome.DUPLICATE], group_by),
        since=max((row.before_at for row in rows), default="") or nominal.strftime(_FORMAT),
        changed=fleetpages.changed(store, rows),
        moved=fleetpages.moved(store, rows),
        ending=fleetpages.ending_exemptions(store, run.id, now, _next_month(now)),
        inactive=frozenset(
            fleetpages.inactive(store, [row.result_id for row in _nothing(rows) if row.result_id is not None])
        ),
    )


def _missing(rows: Iterable[FleetRow], specs: Iterable[str]) -> Counter[str]:
    """Specification → clusters without an evaluation of it. One without an outcome lacks all specifications."""
    found = Counter(
        row.spec for row in rows if row.outcome not in (Outcome.SCANNED.value, Outcome.DUPLICATE.value)
    )
    return Counter({spec: found[spec] + found[""] for spec in set(specs)})


def _owed(row: FleetRow, requirements: Iterable[RequirementRow]) -> FleetRow:
    """A row without a result, with an error for each requirement that the others have."""
    if row.result_id is not None or row.outcome == Outcome.DUPLICATE:
        return row
    mine = [one for one in requirements if row.spec in ("", one.spec)]
    return replace(row, errors=len(mine), weight=sum(Severity(one.severity).weight for one in mine))


def _nothing(rows: Iterable[FleetRow]) -> Iterator[FleetRow]:
    for row in rows:
        if row.outcome == Outcome.SCANNED and not row.passed + row.failed + row.errors:
            yield row


_OF_TOOLS = {"app.kubernetes.io/managed-by"}
"""Labels that say who made a ClusterTarget, `kspec cluster add` among others, and nothing about the cluster."""


def _groups(rows: Sequence[FleetRow], keys: Sequence[str]) -> dict[str, Sums]:
    values: dict[str, dict[str, list[FleetRow]]] = {}
    for key in keys or sorted({key for row in rows for key in row.labels} - _OF_TOOLS):
        for row in rows:
            if key in row.labels or keys:
                values.setdefault(key, {}).setdefault(row.labels.get(key, ""), []).append(row)
    return {
        f"{key}={value}" if value else f"{key} is not set": Sums.of(some)
        for key, groups in values.items()
        if keys or len(groups) <= MOST_VALUES
        for value, some in sorted(groups.items())
    }


def _cluster(row: FleetRow) -> dict[str, Any]:
    return {
        "name": row.name,
        "clusterId": row.cluster_id,
        "labels": dict(row.labels),
        "spec": row.spec,
        "outcome": row.outcome or "waiting",
        "reason": row.reason,
        "at": row.at,
        "since": row.since,
        "lastScanned": row.last_scanned,
        "seconds": row.seconds,
        "version": row.version,
        "score": row.score,
        "scoreBefore": row.before,
        "pass": row.passed,
        "fail": row.failed,
        "error": row.errors,
        "skip": row.skipped,
        "findings": row.findings,
        "exempt": row.exempt,
        "known": row.known,
    }


def _next_month(moment: datetime) -> datetime:
    """Its beginning."""
    first = datetime(moment.year, moment.month, 1, tzinfo=UTC)
    return (first + timedelta(days=31)).replace(day=1)


def _percent(part: int, whole: int) -> float:
    return (1000 * part // whole) / 10 if whole else 0.0
