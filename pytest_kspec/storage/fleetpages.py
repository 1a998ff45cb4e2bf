"""What a report on a run over a fleet reads: clusters with their outcomes, sums over them, and how it was a day before.

Each is one statement over the results of that run, however many runs the store has.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from types import MappingProxyType
from typing import Any, NamedTuple

from msgspec.structs import astuple, replace
from sqlalchemy import RowMapping, Select, and_, case, func, or_, select

from pytest_kspec.results.frameworks import FrameworkSummary
from pytest_kspec.results.observation import State
from pytest_kspec.results.outcome import Outcome
from pytest_kspec.storage import schema, verdicts
from pytest_kspec.storage.among import among
from pytest_kspec.storage.engine import Store
from pytest_kspec.storage.verdicts import ChangedRow

_run, _target, _outcome = schema.fleet_runs.c, schema.targets.c, schema.outcomes.c
_result, _subject, _check = schema.results.c, schema.subjects.c, schema.checks.c
_NAMES = 500
"""Of one statement: below the limits on parameters of both databases."""
_INACTIVE = "(timeBasedActivation)"
"""How the reason of a requirement ends that is not asked for at this time (`spec.activation`)."""


@dataclass(frozen=True, slots=True)
class FleetRow:
    """A specification on a cluster of a run.

    outcome: "" for none yet; at: when it was stored; seconds: how long it took
    score, counts, weight, weight_met: as in `results.result.Summary`; None and 0 without a result
    before: the score of the result that it is compared with, about a day before the run; None where there is none
    before_at: when that result ended, "" for none
    since: of an error, when it began; last_scanned: "" for never; both as they were at the end of the run
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
    before_at: str = ""
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
    """An exemption of a run that ends.

    matched: findings that it covers, on all these clusters; not_scanned: how many of them could not be scanned
    """

    name: str
    reason: str
    approver: str
    expires_at: str
    location: str
    clusters: tuple[str, ...]
    matched: int
    not_scanned: int


@dataclass(frozen=True, slots=True)
class Moved:
    """Findings that came and went since a time."""

    new: int
    fixed: int


def rows(store: Store, run: str, since: str, latest: str = "") -> tuple[FleetRow, ...]:
    """Every cluster of a run by name, one row for each specification; one for a cluster without an outcome.

    since: the result that ended nearest to this time is the state before: the newest until then, or the first after
    it that ended until `latest` ("": none). A run of each day ends some minutes after the time of day at which it
    began, so that the one of yesterday is later than 24 hours before that of today. Raises StoreError.
    """
    with store.read() as connection:
        found = connection.execute(_clusters_of(run)).mappings().all()
        failed = {row["name"] for row in found if row["outcome"] and Outcome(row["outcome"]).is_error}
        until = max((row["at"] for row in found if row["at"]), default="")
        dead = _silence(connection.execute, sorted(failed), until)
        before = _before(connection.execute, [row["subject_id"] for row in found], since, latest or since)
    return tuple(
        _row(row, dead.get((row["name"], row["spec"] or ""), ("", "")), before.get(row["subject_id"]))
        for row in found
    )


def _clusters_of(run: str) -> Select[Any]:
    """Each cluster of a run, with its outcomes and their results."""
    joined = (
        schema.targets.outerjoin(
            schema.outcomes, and_(_outcome.run_id == _target.run_id, _outcome.position == _target.position)
        )
        .outerjoin(schema.results, _result.id == _outcome.result_id)
        .outerjoin(schema.subjects, _subject.id == _result.subject_id)
    )
    counts = [_result[name] for name in (*schema.COUNTS, "score", "version", "weight", "weight_met")]
    return (
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


@lru_cache(4096)
def _labels(text: str) -> Mapping[str, str]:
    """Of a cluster: many have the same."""
    return MappingProxyType(json.loads(text) if text else {})


def _row(row: RowMapping, dead: tuple[str, str], then: _Before | None) -> FleetRow:
    """dead: since when its cluster does not answer, and when it was last scanned; then: the state before."""
    names = ("version", "weight", "weight_met", *schema.COUNTS)
    values = {name: row[name] for name in names if row[name] is not None}
    return FleetRow(
        name=row["name"],
        labels=_labels(row["labels"]),
        spec=row["spec"] or "",
        outcome=row["outcome"] or "",
        reason=row["reason"] or "",
        at=row["at"] or "",
        seconds=row["seconds"] or 0.0,
        cluster_id=row["cluster_id"],
        score=row["score"],
        result_id=row["result_id"],
        subject_id=row["subject_id"],
        before=then.score if then else None,
        before_id=then.id if then else None,
        before_at=then.at if then else "",
        since=dead[0],
        last_scanned=dead[1],
        **values,
    )


def _silence(execute: Any, names: Sequence[str], until: str) -> dict[tuple[str, str], tuple[str, str]]:
    """For each name and specification: since when its outcomes are errors only, and when it was last scanned.

    until: what came later is not known yet, in the report on an earlier run.
    """
    found: dict[tuple[str, str], tuple[str, str]] = {}
    joined = schema.targets.join(
        schema.outcomes, and_(_outcome.run_id == _target.run_id, _outcome.position == _target.position)
    )
    good = or_(_outcome.outcome == Outcome.SCANNED.value, _outcome.outcome == Outcome.DUPLICATE.value)
    for some in _parts(names):
        last = (
            select(_target.name, _outcome.spec, func.max(case((good, _outcome.at))).label("last"))
            .select_from(joined)
            .where(_target.name.in_(some), _outcome.at <= until)
            .group_by(_target.name, _outcome.spec)
            .subquery()
        )
        after = or_(last.c.last.is_(None), _outcome.at > last.c.last)
        statement = (
            select(last.c.name, last.c.spec, last.c.last, func.min(_outcome.at).label("since"))
            .select_from(joined.join(last, and_(last.c.name == _target.name, last.c.spec == _outcome.spec)))
            .where(after, ~good, _outcome.at <= until)
            .group_by(last.c.name, last.c.spec, last.c.last)
        )
        for name, spec, scanned, since in execute(statement):
            found[name, spec] = (since, scanned or "")
    return found


class _Before(NamedTuple):
    id: int
    score: float | None
    at: str


def _before(
    execute: Any, subjects: Iterable[int | None], since: str, latest: str
) -> dict[int | None, _Before]:
    """The result of each subject that ended nearest to a time, and not after `latest`."""
    found: dict[int | None, _Before] = {}
    older = schema.results.alias("older")
    ended, key = older.c.finished_at, older.c.id
    middle = datetime.fromisoformat(since)
    # Two steps in the index for each subject, however many results it has.
    whole = (older.c.subject_id == _subject.id, older.c.left_out == 0)
    mine = select(key).where(*whole).limit(1).correlate(schema.subjects)
    until = mine.where(ended <= since).order_by(ended.desc(), key.desc()).scalar_subquery()
    after = mine.where(ended > since, ended <= latest).order_by(ended, key).scalar_subquery()
    given = sorted({subject for subject in subjects if subject is not None})
    pairs = execute(select(until, after).where(among(_subject.id, given))).all()
    keys = [one for pair in pairs for one in pair if one]
    statement = select(_result.subject_id, _result.id, _result.score, _result.finished_at)
    for subject, *one in execute(statement.where(among(_result.id, keys)).order_by(_result.finished_at)):
        before = _Before(*one)
        known = found.get(subject)
        if known is None or _apart(before.at, middle) < _apart(known.at, middle):
            found[subject] = before
    return found


def _apart(at: str, middle: datetime) -> timedelta:
    return abs(datetime.fromisoformat(at) - middle)


def inactive(store: Store, results: Iterable[int]) -> set[int]:
    """Those of these results whose specification was not active: why nothing was evaluated. Raises StoreError."""
    asked = func.sum(case((_check.reason.endswith(_INACTIVE, autoescape=True), 0), else_=1))
    with store.read() as connection:
        statement = select(_check.result_id).where(among(_check.result_id, sorted(results)))
        return set(connection.execute(statement.group_by(_check.result_id).having(asked == 0)).scalars())


def frameworks(store: Store, run: str, missing: Mapping[str, int] | None = None) -> tuple[FrameworkRow, ...]:
    """Each framework of a run.

    missing: specification → clusters that have no result of it: what others evaluate of a control, they do not.
    Raises StoreError.
    """
    table = schema.frameworks.c
    counts = ("met", "partly_met", "not_met", "not_evaluated", "manual", "in_part")
    statement = (
        select(
            table.framework,
            _subject.spec,
            func.max(table.name),
            func.max(table.version),
            func.count(),
            *(func.sum(table[name]) for name in counts),
        )
        .select_from(_of_run().join(schema.frameworks, table.result_id == _result.id))
        .where(_outcome.run_id == run)
        .group_by(table.framework, _subject.spec)
        .order_by(table.framework, _subject.spec)
    )
    found: dict[str, FrameworkRow] = {}
    with store.read() as connection:
        for id, spec, name, version, clusters, *sums in connection.execute(statement):
            of_spec = FrameworkSummary(*sums)
            more = (missing or {}).get(spec, 0)
            known = found.get(id, FrameworkRow(id, name, version, 0, FrameworkSummary(0, 0, 0, 0, 0)))
            each = [a + b for a, b in zip(astuple(known.summary), sums, strict=True)]
            summary = FrameworkSummary(*each)
            summary = replace(
                summary,
                not_evaluated=summary.not_evaluated
                + more * (of_spec.evaluated + of_spec.not_evaluated) // clusters,
                manual=summary.manual + more * of_spec.manual // clusters,
            )
            found[id] = FrameworkRow(
                id,
                max(known.name, name),
                max(known.version, version),
                known.clusters + clusters + more,
                summary,
            )
    return tuple(found.values())


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


def moved(store: Store, found: Iterable[FleetRow]) -> Moved:
    """Findings that came and went between the result before and that of the run. Raises StoreError."""
    table = schema.findings.c
    before, now = schema.results.alias("before"), schema.results.alias("now")
    pairs = [(row.before_id, row.result_id) for row in found if row.before_id and row.result_id]
    came = and_(table.first_seen > before.c.finished_at, table.first_seen <= now.c.finished_at)
    went = and_(table.resolved_at > before.c.finished_at, table.resolved_at <= now.c.finished_at)
    still = or_(table.state == State.OPEN.value, table.resolved_at > now.c.finished_at)
    joined = before.join(now, now.c.subject_id == before.c.subject_id).join(
        schema.findings, table.subject_id == now.c.subject_id
    )
    statement = select(
        func.sum(case((and_(came, still), 1), else_=0)), func.sum(case((went, 1), else_=0))
    ).select_from(joined)
    keys = [[pair[side] for pair in sorted(set(pairs))] for side in (0, 1)]
    mine = and_(among(before.c.id, keys[0]), among(now.c.id, keys[1]))
    with store.read() as connection:
        new, fixed = connection.execute(statement.where(mine, or_(came, went))).one()
    return Moved(new or 0, fixed or 0)


def ending_exemptions(store: Store, run: str, now: datetime, until: datetime) -> tuple[ExemptionRow, ...]:
    """Exemptions of a run that end after `now` and before `until`, the next one first. Raises StoreError."""
    table = schema.exemptions.c
    statement = (
        select(schema.exemptions, _target.name.label("cluster"), _outcome.outcome)
        .select_from(
            _of_run()
            .join(schema.exemptions, table.result_id == _result.id)
            .join(
                schema.targets,
                and_(_target.run_id == _outcome.run_id, _target.position == _outcome.position),
            )
        )
        .where(_outcome.run_id == run, table.expires_at != "", table.state != "expired")
        .where(table.expires_at <= (until + timedelta(days=2)).isoformat())  # of any offset from UTC
    )
    found: dict[tuple[str, ...], tuple[set[str], set[str], int]] = {}
    with store.read() as connection:
        for row in connection.execute(statement).mappings():
            if not now < _moment(row["expires_at"]) < until:
                continue
            key = tuple(row[name] for name in ("expires_at", "name", "reason", "approver", "location"))
            names, scanned, matched = found.get(key, (set(), set(), 0))
            names.add(row["cluster"])
            if row["outcome"] == Outcome.SCANNED:
                scanned.add(row["cluster"])
            found[key] = (names, scanned, matched + row["matched"])
    return tuple(
        ExemptionRow(
            name, reason, approver, ends, location, tuple(sorted(names)), matched, len(names - scanned)
        )
        for (ends, name, reason, approver, location), (names, scanned, matched) in sorted(
            found.items(), key=lambda item: (_moment(item[0][0]), item[0])
        )
    )


def _moment(expires_at: str) -> datetime:
    """The end of an exemption, which is written with an offset from UTC; of a day alone, which is of UTC, its end."""
    if len(expires_at) == len("2026-11-30"):
        expires_at += "T23:59:59"
    found = datetime.fromisoformat(expires_at)
    return found if found.tzinfo else found.replace(tzinfo=UTC)


def _of_run() -> Any:
    return schema.outcomes.join(schema.results, _result.id == _outcome.result_id).join(
        schema.subjects, _subject.id == _result.subject_id
    )


def _parts(keys: Sequence[Any]) -> Iterable[Sequence[Any]]:
    for start in range(0, len(keys), _NAMES):
        yield keys[start : start + _NAMES]


def parts_of(store: Store, run: str) -> tuple[tuple[str, str, str], ...]:
    """Where the full report of each cluster is, its digest and the name of the cluster, in the order of names.

    Raises StoreError.
    """
    part = schema.parts.c
    statement: Select[Any] = (
        select(part.report, part.report_sha256, _target.name)
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
        rows = connection.execute(statement).all()
    return tuple(dict.fromkeys((row.report, row.report_sha256, row.name) for row in rows))
