"""Retention: a run is kept as long as any rule keeps it. Rows go first and in one transaction, then the reports."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from sqlalchemy import Connection, delete, func, select

from pytest_kspec.errors import StoreError
from pytest_kspec.storage import objects, schema
from pytest_kspec.storage.engine import Store

_IDS = 500


@dataclass(frozen=True, slots=True)
class Pruned:
    """What went, or would go. runs: ids; findings: how many were last seen before the oldest run that is kept."""

    runs: tuple[str, ...]
    kept: int
    findings: int
    reports: int


def prune(store: Store, *, since: str = "", newest: int = 0, dry_run: bool = False) -> Pruned:
    """Delete runs.

    since:  keep what finished at or after this time (RFC 3339 in UTC)
    newest: keep this many runs of each specification on each cluster
    Raises StoreError; then no row is gone, or all are and a report may be left.
    """
    gone: list[str] = []
    reports: list[str] = []
    counts = [0, 0]

    def work(connection: Connection) -> None:
        rows = connection.execute(
            select(schema.runs.c.id, schema.runs.c.report, schema.runs.c.finished_at)
        ).all()
        keep = {row.id for row in rows if since and row.finished_at >= since}
        if newest:
            keep |= _newest(connection, newest)
        gone[:] = sorted(row.id for row in rows if row.id not in keep)
        reports[:] = sorted(row.report for row in rows if row.id not in keep and row.report)
        oldest = min((row.finished_at for row in rows if row.id in keep), default="9999")
        stale = schema.findings.c.last_seen < oldest
        counts[:] = [
            len(keep),
            connection.execute(select(func.count()).select_from(schema.findings).where(stale)).scalar_one(),
        ]
        if dry_run:
            return
        for start in range(0, len(gone), _IDS):
            connection.execute(delete(schema.runs).where(schema.runs.c.id.in_(gone[start : start + _IDS])))
        connection.execute(delete(schema.findings).where(stale))

    store.write(work)
    if not dry_run:
        _delete(reports)
    return Pruned(tuple(gone), counts[0], counts[1], len(reports))


def _newest(connection: Connection, count: int) -> set[str]:
    """The newest runs of each specification on each cluster."""
    columns = schema.clusters.c
    rank = func.row_number().over(
        partition_by=(columns.name, columns.spec),
        order_by=(schema.runs.c.finished_at.desc(), schema.runs.c.id),
    )
    ranked = (
        select(columns.run_id, rank.label("rank")).select_from(schema.clusters.join(schema.runs)).subquery()
    )
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
