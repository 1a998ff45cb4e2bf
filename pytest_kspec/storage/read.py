"""What a store knows, oldest first: points of clusters, of frameworks and of requirements, findings, runs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from sqlalchemy import Select, func, select

from pytest_kspec.errors import UsageError
from pytest_kspec.model.trend import CheckPoint, FrameworkPoint, TrendPoint
from pytest_kspec.storage import objects, schema
from pytest_kspec.storage.engine import Store


@dataclass(frozen=True, slots=True)
class Query:
    """What is asked for; "" is everything. since: RFC 3339 in UTC."""

    cluster: str = ""
    spec: str = ""
    since: str = ""

    def narrow(self, statement: Select[Any]) -> Select[Any]:
        """A statement on clusters and runs, narrowed and in order."""
        for column, value in ((schema.clusters.c.name, self.cluster), (schema.clusters.c.spec, self.spec)):
            if value:
                statement = statement.where(column == value)
        if self.since:
            statement = statement.where(schema.runs.c.finished_at >= self.since)
        order = (
            schema.runs.c.finished_at,
            schema.clusters.c.name,
            schema.clusters.c.spec,
            schema.clusters.c.id,
        )
        return statement.order_by(*order)


@dataclass(frozen=True, slots=True)
class StoredFinding:
    """A finding over all runs. first_seen, last_seen: RFC 3339; there: the newest run of its cluster has it."""

    cluster: str
    spec: str
    check: str
    severity: str
    what: str
    status: str
    first_seen: str
    last_seen: str
    there: bool
    id: str


def trend(store: Store, query: Query = Query()) -> tuple[TrendPoint, ...]:
    """Points of specifications on clusters. Raises StoreError."""
    c, f = schema.clusters.c, schema.frameworks.c
    joined = schema.clusters.join(schema.runs)
    statement = query.narrow(select(schema.clusters, schema.runs.c.finished_at).select_from(joined))
    of_frameworks = query.narrow(
        select(f.cluster_id, f.framework, f.score, f.coverage).select_from(
            schema.frameworks.join(schema.clusters, f.cluster_id == c.id).join(schema.runs)
        )
    )
    with store.read() as connection:
        frameworks: dict[int, list[FrameworkPoint]] = {}
        for cluster_id, name, score, coverage in connection.execute(of_frameworks):
            frameworks.setdefault(cluster_id, []).append(FrameworkPoint(name, score, coverage))
        return tuple(
            TrendPoint(
                finished_at=row["finished_at"],
                cluster=row["name"],
                spec=row["spec"],
                spec_version=row["spec_version"],
                score=row["score"],
                passed=row["passed"],
                failed=row["failed"],
                errors=row["errors"],
                skipped=row["skipped"],
                findings=row["findings"],
                exempt=row["exempt"],
                known=row["known"],
                frameworks=tuple(sorted(frameworks.get(row["id"], ()), key=lambda point: point.id)),
                run=row["run_id"],
            )
            for row in connection.execute(statement).mappings()
        )


def check_trend(store: Store, check: str, query: Query = Query()) -> tuple[CheckPoint, ...]:
    """Points of one requirement. Raises StoreError."""
    k, c = schema.checks.c, schema.clusters.c
    joined = schema.checks.join(schema.clusters, k.cluster_id == c.id).join(schema.runs)
    statement = select(schema.checks, c.name, c.spec, c.run_id, schema.runs.c.finished_at).select_from(joined)
    with store.read() as connection:
        rows = connection.execute(query.narrow(statement.where(k.check_id == check))).mappings()
        return tuple(
            CheckPoint(
                row["finished_at"],
                row["name"],
                row["spec"],
                row["check_id"],
                row["severity"],
                row["verdict"],
                row["findings"],
                row["exempt"],
                row["known"],
                row["run_id"],
            )
            for row in rows
        )


def findings(store: Store, query: Query = Query()) -> tuple[StoredFinding, ...]:
    """Findings that were ever seen, those that are there for the longest time first. Raises StoreError.

    One is there if the newest run of its specification on its cluster has it. That run may have been unable to look:
    its errors are in its own report.
    """
    t, c = schema.findings.c, schema.clusters.c
    newest = (
        select(c.name, c.spec, func.max(schema.runs.c.finished_at).label("newest"))
        .select_from(schema.clusters.join(schema.runs))
        .group_by(c.name, c.spec)
        .subquery()
    )
    joined = schema.findings.outerjoin(newest, (newest.c.name == t.cluster) & (newest.c.spec == t.spec))
    statement = select(schema.findings, newest.c.newest).select_from(joined)
    for column, value in ((t.cluster, query.cluster), (t.spec, query.spec)):
        if value:
            statement = statement.where(column == value)
    if query.since:
        statement = statement.where(t.last_seen >= query.since)
    with store.read() as connection:
        found = [
            StoredFinding(
                row["cluster"],
                row["spec"],
                row["check_id"],
                row["severity"],
                row["what"],
                row["status"],
                row["first_seen"],
                row["last_seen"],
                row["last_seen"] == row["newest"],
                row["id"],
            )
            for row in connection.execute(statement).mappings()
        ]
    return tuple(
        sorted(found, key=lambda f: (not f.there, f.first_seen, f.cluster, f.spec, f.check, f.what, f.id))
    )


def report(store: Store, run_id: str) -> bytes:
    """The full report of a run; the beginning of its id is enough. Raises UsageError, StoreError."""
    column = schema.runs.c
    statement = select(column.id, column.report, column.report_sha256)
    with store.read() as connection:
        rows = connection.execute(
            statement.where(column.id.startswith(run_id, autoescape=True)).limit(2)
        ).all()
    if len(rows) != 1:
        what = "no run has this id." if not rows else "several runs have ids that begin so."
        raise UsageError(what, where=run_id, fix="'kspec history --store URL -o json' lists them.")
    if not rows[0].report:
        fix = "Give --kspec-store-reports (kspec scan: --store-reports) when you scan."
        raise UsageError("the full report of this run was not kept.", where=run_id, fix=fix)
    return objects.get(rows[0].report, rows[0].report_sha256)
