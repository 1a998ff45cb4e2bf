"""Retention: a run is kept as long as any rule keeps it. Rows go first and in one transaction, then the reports."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import timedelta
from typing import NamedTuple

from sqlalchemy import ColumnElement, Connection, and_, delete, func, select

from pytest_kspec import clock
from pytest_kspec.errors import StoreError
from pytest_kspec.results.observation import State
from pytest_kspec.storage import objects, origins, recordings, schema
from pytest_kspec.storage.drift import forget as forget_drift
from pytest_kspec.storage.engine import Store
from pytest_kspec.storage.newest import renew

_IDS = 500


@dataclass(frozen=True, slots=True)
class Pruned:
    """Deleted, or to be deleted. runs: ids; findings: how many were last seen before the oldest run that is kept."""

    runs: tuple[str, ...]
    kept: int
    findings: int
    reports: int


def prune(store: Store, *, since: str = "", newest: int = 0, dry_run: bool = False) -> Pruned:
    """Delete runs.

    since:  keep what finished at or after this time (RFC 3339 in UTC); drift that was cleared before it goes, and so do
            recorded objects that were not compared with since
    newest: keep this many runs of each specification on each cluster, and as many partial ones
    Raises StoreError; then no row is gone, or all are and a report may be left.
    """

    def work(connection: Connection) -> _Choice:
        choice = _choose(connection, since, newest)
        before = _findings(connection)
        _remove(connection, choice, since)
        return choice._replace(findings=before - _findings(connection))

    choice = store.rehearse(work) if dry_run or store.objects is not None else store.write(work)
    if not dry_run:
        if store.objects is not None and (choice.gone or choice.findings):
            store.objects.retire(choice.gone)
            store.write(lambda connection: _remove(connection, choice, since))
        _delete(choice.reports)
    return Pruned(choice.gone, choice.kept, choice.findings, len(choice.reports))


class _Choice(NamedTuple):
    """What goes. oldest: when the first one of the others finished; findings: how many go"""

    gone: tuple[str, ...]
    kept: int
    oldest: str
    reports: tuple[str, ...]
    findings: int = 0


def _choose(connection: Connection, since: str, newest: int) -> _Choice:
    rows = connection.execute(select(schema.runs.c.id, schema.runs.c.finished_at)).all()
    keep = {row.id for row in rows if since and row.finished_at >= since}
    if newest:
        keep |= _newest(connection, newest)
    keep |= _under_way(connection)
    part = schema.parts.c
    reports = connection.execute(select(part.run_id, part.report).where(part.report != "")).all()
    still = {row.report for row in reports if row.run_id in keep}
    return _Choice(
        tuple(sorted(row.id for row in rows if row.id not in keep)),
        len(keep),
        min((row.finished_at for row in rows if row.id in keep), default="9999"),
        tuple(sorted({row.report for row in reports} - still)),
    )


def _remove(connection: Connection, choice: _Choice, since: str) -> None:
    for start in range(0, len(choice.gone), _IDS):
        some = choice.gone[start : start + _IDS]
        connection.execute(delete(schema.runs).where(schema.runs.c.id.in_(some)))
    connection.execute(delete(schema.findings).where(_is_old(choice.oldest)))
    forget(connection)
    if since:
        forget_drift(connection, since)
        recordings.forget(connection, since)


def _under_way(connection: Connection) -> set[str]:
    """Runs over fleets that were begun within a day and are not at their end: workers write to them."""
    run = schema.fleet_runs.c
    day = (clock.now() - timedelta(days=1)).strftime("%Y-%m-%dT%H:%M:%SZ")
    young = select(run.id).where(run.ended_at.is_(None), run.created_at >= day)
    return set(connection.execute(young).scalars())


def _findings(connection: Connection) -> int:
    return connection.execute(select(func.count()).select_from(schema.findings)).scalar_one()


def _is_old(oldest: str) -> ColumnElement[bool]:
    """Fixed before the oldest run that is kept. What is unknown stays: that nobody looked is no reason to forget it."""
    found = schema.findings.c
    return and_(found.state == State.FIXED.value, found.last_seen < oldest, found.resolved_at < oldest)


def forget(connection: Connection) -> None:
    """Subjects and clusters of which nothing is left."""
    results = select(schema.results.c.subject_id).distinct()
    connection.execute(delete(schema.subjects).where(schema.subjects.c.id.not_in(results)))
    subjects = select(schema.subjects.c.cluster_id).distinct()
    connection.execute(delete(schema.clusters).where(schema.clusters.c.id.not_in(subjects)))
    origins.forget(connection)
    renew(connection)


def _newest(connection: Connection, count: int) -> set[str]:
    """The newest runs of each specification on each cluster, and the newest partial ones: they push none out."""
    columns = schema.results.c
    rank = func.row_number().over(
        partition_by=(columns.subject_id, columns.left_out > 0),
        order_by=(columns.finished_at.desc(), columns.run_id),
    )
    ranked = select(columns.run_id, rank.label("rank")).subquery()
    return set(connection.execute(select(ranked.c.run_id).where(ranked.c.rank <= count)).scalars())


def _delete(reports: Iterable[str]) -> None:
    """All that can be deleted; the first error at the end."""
    failed: list[StoreError] = []
    for report in reports:
        try:
            objects.delete(report)
        except StoreError as error:
            failed.append(error)
    if failed:
        more = f" ({len(failed)} reports are left)" if len(failed) > 1 else ""
        raise StoreError(f"{failed[0].what}{more}", where=failed[0].where, fix=failed[0].fix)
