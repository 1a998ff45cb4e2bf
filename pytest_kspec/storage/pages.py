"""What pages about a fleet show: the newest result of each cluster, of a requirement, the life of a finding."""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import and_, select

from pytest_kspec.errors import UsageError
from pytest_kspec.results.identity import is_of_live, is_stated
from pytest_kspec.results.observation import NOT_ASKED, NOT_SELECTED, State
from pytest_kspec.results.points import CheckPoint, TrendPoint
from pytest_kspec.storage import schema
from pytest_kspec.storage.engine import Store
from pytest_kspec.storage.newest import newest_key
from pytest_kspec.storage.read import ALL, Query, check_points, check_rows, points

_result, _subject = schema.results.c, schema.subjects.c
_NEWEST = and_(_result.subject_id == _subject.id, _result.id == newest_key())


@dataclass(frozen=True, slots=True)
class Observation:
    """State of a finding in one result. finished_at: RFC 3339; reason: why it is unknown, or ""."""

    finished_at: str
    run: str
    state: State
    reason: str = ""


def newest(store: Store, query: Query = ALL) -> tuple[TrendPoint, ...]:
    """The newest point of each specification on each cluster, by name. `since` leaves out what is older.

    A cluster that could not be reached has no UID, and is known by its name only. Of a name that stands for both, the
    newer point counts: what was known before is not the state of a cluster that does not answer now.
    Raises StoreError.
    """
    joined = schema.subjects.join(schema.results, _NEWEST)
    statement = select(schema.results, _subject.cluster_id, _subject.spec).select_from(joined)
    statement = query.of_results(statement)
    found = points(store, statement.order_by(_result.name, _subject.spec, _result.id))
    points_of = {(point.cluster_id, point.spec): point for point in found}.values()
    last: dict[tuple[str, str], dict[bool, str]] = {}
    for point in points_of:
        times = last.setdefault((point.cluster, point.spec), {})
        stated = is_of_live(point.cluster_id)
        if not stated and is_stated(point.cluster_id):
            continue  # manifests and snapshots are not the cluster of their name
        times[stated] = max(times.get(stated, ""), point.finished_at)
    return tuple(point for point in points_of if not _is_past(point, last[point.cluster, point.spec]))


def _is_past(point: TrendPoint, last: dict[bool, str]) -> bool:
    """Whether the same name was looked at later, and known by the other kind of identity."""
    stated = is_of_live(point.cluster_id)
    if not stated and is_stated(point.cluster_id):
        return False
    other = last.get(not stated, "")
    return other > point.finished_at or (other == point.finished_at and not stated)


def requirement(store: Store, check: str, query: Query = ALL) -> tuple[CheckPoint, ...]:
    """A requirement in the newest result of every cluster that is asked for it. Raises StoreError."""
    statement = query.results(check_rows().where(schema.checks.c.check_id == check, _NEWEST))
    return tuple({(p.cluster_id, p.spec): p for p in check_points(store, statement)}.values())


def observations(store: Store, fingerprint: str, spec: str = "") -> tuple[Observation, ...]:
    """The state of a finding in every result since it was first seen, oldest first. Raises UsageError, StoreError."""
    table, check, seen = schema.findings.c, schema.checks.c, schema.observations.c
    with store.read() as connection:
        wanted = select(table.id, table.subject_id, table.check_id, table.first_seen).where(
            table.fingerprint == fingerprint
        )
        if spec:
            wanted = wanted.join(schema.subjects, _subject.id == table.subject_id).where(
                _subject.spec == spec
            )
        found = connection.execute(wanted.limit(2)).all()
        if len(found) != 1:
            what = "several specifications have this finding." if found else "no finding has this id."
            raise UsageError(what, where=fingerprint, fix="'kspec history --findings -o json' lists them.")
        (one,) = found
        joined = schema.results.outerjoin(
            schema.observations, and_(seen.result_id == _result.id, seen.finding_id == one.id)
        ).outerjoin(schema.checks, and_(check.result_id == _result.id, check.check_id == one.check_id))
        rows = connection.execute(
            select(
                _result.finished_at,
                _result.run_id,
                seen.status,
                check.evaluated,
                check.reason,
                _result.left_out,
            )
            .select_from(joined)
            .where(_result.subject_id == one.subject_id, _result.finished_at >= one.first_seen)
            .order_by(_result.finished_at, _result.id)
        ).all()
    return tuple(_observation(*row) for row in rows)


def _observation(
    finished_at: str, run: str, status: str | None, evaluated: bool | None, reason: str | None, left_out: int
) -> Observation:
    if status is not None:
        return Observation(finished_at, run, State(status))
    if evaluated:
        return Observation(finished_at, run, State.FIXED)
    if reason is None:
        reason = NOT_SELECTED if left_out else NOT_ASKED
    return Observation(finished_at, run, State.UNKNOWN, reason)
