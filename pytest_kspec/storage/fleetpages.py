"""What a report on a run over a fleet reads: clusters with their outcomes, sums over them, and how it was a day before.

Each is one statement over the results of that run, however many runs the store has.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Select, and_, case, func, or_, select

from pytest_kspec.results.frameworks import FrameworkSummary
from pytest_kspec.results.observation import State
from pytest_kspec.results.outcome import Outcome
from pytest_kspec.storage import schema, verdicts
from pytest_kspec.storage.engine import Store
from pytest_kspec.storage.verdicts import ChangedRow

_run, _target, _outcome = schema.fleet_runs.c, schema.targets.c, schema.outcomes.c
_result, _subject, _check = schema.results.c, schema.subjects.c, schema.checks.c
_INACTIVE = "(timeBasedActivation)"
"""How the reason of a requirement ends that is not asked for at this time (`spec.activation`)."""


@dataclass(frozen=True, slots=True)
class FleetRow:
    """A specification on a cluster of a run.

    outcome: "" for none yet; at: when it was stored; seconds: how long it took
    score, counts, weight, weight_met: as in `results.result.Summary`; None and 0 without a result
    before: the score of the newest result that was a day old when the run began, None where there is none
    since: of an error, when it began; last_scanned: "" for never
    """

    name: str
    labels: Mapping[str, str]
    spec: str
    outcome: str
    reason: str
    at: str
    seconds: float
    cluster_id: str = ""
    version: str = ""
    score: float | None = None
    passed: int = 0
    failed: int = 0
    errors: int = 0
    skipped: int = 0
    findings: int = 0
    exempt: int = 0
    known: int = 0
    weight: int = 0
    weight_met: int = 0
    result_id: int | None = None
    subject_id: int | None = None
    before: float | None = None
    before_id: int | None = None
    since: str = ""
    last_scanned: str = ""


@dataclass(frozen=True, slots=True)
class FrameworkRow:
    """A framework on all clusters of a run. summary: controls, those of each cluster counted."""

    framework: str
    name: str
    version: str
    clusters: int
    summary: FrameworkSummary


@dataclass(frozen=True, slots=True)
class ExemptionRow:
    """An exemption of a run that ends. matched: findings that it covers, on all these clusters."""

    name: str
    reason: str
    approver: str
    expires_at: str
    location: str
    clusters: tuple[str, ...]
    matched: int


@dataclass(frozen=True, slots=True)
class Moved:
    """Findings that came and went since a time."""

    new: int
    fixed: int


def rows(store: Store, run: str, since: str) -> tuple[FleetRow, ...]:
    """Every cluster of a run by name, one row for each specification; one for a cluster without an outcome.

    since: what was the newest at that time is the state before. Raises StoreError.
    """
    joined = (
        schema.targets.outerjoin(
            schema.outcomes, and_(_outcome.run_id == _target.run_id, _outcome.position == _target.position)
        )
        .outerjoin(schema.results, _result.id == _outcome.result_id)
        .outerjoin(schema.subjects, _subject.id == _result.subject_id)
    )
    counts = [_result[name] for name in (*schema.COUNTS, "score", "version", "weight", "weight_met")]
    statement = (
        select(
            _target.name,
            _target.labels,
            _outcome.spec,
            _outcome.outcome,
            _outcome.reason,
            _outcome.at,
            _outcome.seconds,
            _outcome.result_id,
            _subject.id.label("subject_id"),
            func.coalesce(_target.cluster_id, _subject.cluster_id, "").label("cluster_id"),
            *counts,
        )
        .select_from(joined)
        .where(_target.run_id == run)
        .order_by(_target.name, _target.position, _outcome.spec)
    )
    with store.read() as connection:
        found = connection.execute(statement).mappings().all()
        failed = {row["name"] for row in found if row["outcome"] and Outcome(row["outcome"]).is_error}
        dead = _silence(connection.execute, sorted(failed))
        before = _before(connection.execute, [row["subject_id"] for row in found], since)
    made = []
    for row in found:
        names = ("version", "weight", "weight_met", *schema.COUNTS)
        values = {name: row[name] for name in names if row[name] is not None}
        key = (row["name"], row["spec"] or "")
        since_when, last = dead.get(key, ("", ""))
        then = before.get(row["subject_id"])
        made.append(
            FleetRow(
                name=row["name"],
                labels=json.loads(row["labels"]) if row["labels"] else {},
                spec=row["spec"] or "",
                outcome=row["outcome"] or "",
                reason=row["reason"] or "",
                at=row["at"] or "",
                seconds=row["seconds"] or 0.0,
                cluster_id=row["cluster_id"],
                score=row["score"],
                result_id=row["result_id"],
                subject_id=row["subject_id"],
                before=then[1] if then else None,
                before_id=then[0] if then else None,
                since=since_when if key[0] in failed else "",
                last_scanned=last if key[0] in failed else "",
                **values,
            )
        )
    return tuple(made)


def _silence(execute: Any, names: Sequence[str]) -> dict[tuple[str, str], tuple[str, str]]:
    """For each name and specification: since when its outcomes are errors only, and when it was last scanned."""
    found: dict[tuple[str, str], tuple[str, str]] = {}
    joined = schema.targets.join(
        schema.outcomes, and_(_outcome.run_id == _target.run_id, _outcome.position == _target.position)
    )
    good = or_(_outcome.outcome == Outcome.SCANNED.value, _outcome.outcome == Outcome.DUPLICATE.value)
    for some in _parts(names):
        last = (
            select(_target.name, _outcome.spec, func.max(case((good, _outcome.at))).label("last"))
            .select_from(joined)
            .where(_target.name.in_(some))
            .group_by(_target.name, _outcome.spec)
            .subquery()
        )
        after = or_(last.c.last.is_(None), _outcome.at > last.c.last)
        statement = (
            select(last.c.name, last.c.spec, last.c.last, func.min(_outcome.at).label("since"))
            .select_from(joined.join(last, and_(last.c.name == _target.name, last.c.spec == _outcome.spec)))
            .where(after, ~good)
            .group_by(last.c.name, last.c.spec, last.c.last)
        )
        for name, spec, scanned, since in execute(statement):
            found[name, spec] = (since, scanned or "")
    return found


def _before(
    execute: Any, subjects: Iterable[int | None], since: str
) -> dict[int | None, tuple[int, float | None]]:
    """Result and score of each subject as of a time."""
    found: dict[int | None, tuple[int, float | None]] = {}
    older = schema.results.alias("older")
    for some in _parts(sorted({subject for subject in subjects if subject is not None})):
        # One step in the index for each subject, however many results it has.
        newest = (
            select(older.c.id)
            .where(older.c.subject_id == _subject.id, older.c.finished_at <= since)
            .order_by(older.c.finished_at.desc(), older.c.id.desc())
            .limit(1)
            .correlate(schema.subjects)
            .scalar_subquery()
        )
        keys = [key for key in execute(select(newest).where(_subject.id.in_(some))).scalars() if key]
        statement = select(_result.subject_id, _result.id, _result.score).where(_result.id.in_(keys))
        for subject, key, score in execute(statement):
            found[subject] = (key, score)
    return found


def inactive(store: Store, results: Iterable[int]) -> set[int]:
    """Those of these results whose specification was not active: why nothing was evaluated. Raises StoreError."""
    found: set[int] = set()
    asked = func.sum(case((_check.reason.endswith(_INACTIVE, autoescape=True), 0), else_=1))
    with store.read() as connection:
        for some in _parts(sorted(results)):
            statement = select(_check.result_id).where(_check.result_id.in_(some)).group_by(_check.result_id)
            found |= set(connection.execute(statement.having(asked == 0)).scalars())
    return found


def frameworks(store: Store, run: str) -> tuple[FrameworkRow, ...]:
    """Each framework of a run. Raises StoreError."""
    table = schema.frameworks.c
    counts = ("met", "partly_met", "not_met", "not_evaluated", "manual", "in_part")
    statement = (
        select(
            table.framework,
            func.max(table.name),
            func.max(table.version),
            func.count(),
            *(func.sum(table[name]) for name in counts),
        )
        .select_from(_of_run().join(schema.frameworks, table.result_id == _result.id))
        .where(_outcome.run_id == run)
        .group_by(table.framework)
        .order_by(table.framework)
    )
    with store.read() as connection:
        return tuple(
            FrameworkRow(id, name, version, clusters, FrameworkSummary(*sums))
            for id, name, version, clusters, *sums in connection.execute(statement)
        )


def changed(store: Store, found: Iterable[FleetRow]) -> tuple[ChangedRow, ...]:
    """Verdicts that are others than those of the state before. Raises StoreError."""
    return verdicts.changed(
        store,
        [
            verdicts.Pair(row.name, row.spec, row.before_id, row.result_id)
            for row in found
            if row.result_id and row.before_id
        ],
    )


def moved(store: Store, subjects: Iterable[int], since: str) -> Moved:
    """Findings of these subjects that were first seen, or were fixed, after a time. Raises StoreError."""
    table = schema.findings.c
    new = fixed = 0
    with store.read() as connection:
        for some in _parts(sorted(set(subjects))):
            mine = table.subject_id.in_(some)
            statement = select(
                func.sum(case((and_(table.first_seen > since, table.state == State.OPEN.value), 1), else_=0)),
                func.sum(case((table.resolved_at > since, 1), else_=0)),
            ).where(mine, or_(table.first_seen > since, table.resolved_at > since))
            came, went = connection.execute(statement).one()
            new += came or 0
            fixed += went or 0
    return Moved(new, fixed)


def ending_exemptions(store: Store, run: str, until: str) -> tuple[ExemptionRow, ...]:
    """Exemptions of a run that end at or before a time and have not ended, the next one first. Raises StoreError."""
    table = schema.exemptions.c
    statement = (
        select(schema.exemptions, _target.name.label("cluster"))
        .select_from(
            _of_run()
            .join(schema.exemptions, table.result_id == _result.id)
            .join(
                schema.targets,
                and_(_target.run_id == _outcome.run_id, _target.position == _outcome.position),
            )
        )
        .where(_outcome.run_id == run, table.expires_at != "", table.expires_at <= until)
        .where(table.state != "expired")
    )
    found: dict[tuple[str, ...], tuple[list[str], int]] = {}
    with store.read() as connection:
        for row in connection.execute(statement).mappings():
            key = tuple(row[name] for name in ("expires_at", "name", "reason", "approver", "location"))
            names, matched = found.get(key, ([], 0))
            found[key] = ([*names, row["cluster"]], matched + row["matched"])
    return tuple(
        ExemptionRow(name, reason, approver, ends, location, tuple(sorted(set(names))), matched)
        for (ends, name, reason, approver, location), (names, matched) in sorted(found.items())
    )


def _of_run() -> Any:
    return schema.outcomes.join(schema.results, _result.id == _outcome.result_id).join(
        schema.subjects, _subject.id == _result.subject_id
    )


def _parts(keys: Sequence[Any]) -> Iterable[Sequence[Any]]:
    for start in range(0, len(keys), verdicts.IDS):
        yield keys[start : start + verdicts.IDS]


def parts_of(store: Store, run: str) -> tuple[tuple[str, str], ...]:
    """Where the full report of each cluster is, and its digest, in the order of names. Raises StoreError."""
    part = schema.parts.c
    statement: Select[Any] = (
        select(part.report, part.report_sha256)
        .select_from(
            _of_run()
            .join(schema.parts, and_(part.run_id == _result.run_id, part.id == _result.part_id))
            .join(
                schema.targets,
                and_(_target.run_id == _outcome.run_id, _target.position == _outcome.position),
            )
        )
        .where(_outcome.run_id == run)
        .order_by(_target.name, _target.position)
    )
    with store.read() as connection:
        return tuple(dict.fromkeys((row.report, row.report_sha256) for row in connection.execute(statement)))
