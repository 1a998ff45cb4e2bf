"""What a store knows over time, oldest first: points of clusters, frameworks and requirements; findings; reports."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from sqlalchemy import Column, Select, or_, select

from pytest_kspec.errors import UsageError
from pytest_kspec.results.observation import State
from pytest_kspec.results.points import CheckPoint, FrameworkPoint, TrendPoint
from pytest_kspec.storage import objects, schema
from pytest_kspec.storage.engine import Store

_JOINED = schema.results.join(schema.subjects, schema.results.c.subject_id == schema.subjects.c.id)


@dataclass(frozen=True, slots=True)
class Query:
    """Filters; an empty value matches everything.

    cluster: name or identity of a cluster; since: RFC 3339 in UTC
    """

    cluster: str = ""
    spec: str = ""
    since: str = ""

    def narrow(self, statement: Select[Any], at: Column[Any]) -> Select[Any]:
        """A statement on subjects, narrowed, but for the cluster. at: the time that `since` is compared with."""
        if self.spec:
            statement = statement.where(schema.subjects.c.spec == self.spec)
        if self.since:
            statement = statement.where(at >= self.since)
        return statement

    def of_results(self, statement: Select[Any]) -> Select[Any]:
        """A statement on results and subjects, narrowed. A name is what the cluster was called at that time."""
        if self.cluster:
            result, subject = schema.results.c, schema.subjects.c
            # Two selects, each with an index: for an OR of columns of two tables there is none.
            named = select(result.id).where(result.name == self.cluster)
            known = select(result.id).select_from(_JOINED).where(subject.cluster_id == self.cluster)
            statement = statement.where(result.id.in_(named.union_all(known)))
        return self.narrow(statement, schema.results.c.finished_at)

    def results(self, statement: Select[Any]) -> Select[Any]:
        """The same in order."""
        result = schema.results.c
        order = (result.finished_at, result.name, schema.subjects.c.spec, result.id)
        return self.of_results(statement).order_by(*order)


ALL = Query()


@dataclass(frozen=True, slots=True)
class StoredFinding:
    """A finding over all runs, as of the newest result of its specification on its cluster.

    cluster: what the cluster is called now; cluster_id: which it is
    what:    owner and field, for people
    reason:  why it is unknown, or ""
    first_seen, last_seen, resolved_at: RFC 3339; resolved_at is "" for what is not fixed
    api_group to container: the object and the field; "" where an older version stored it and it was not seen again
    """

    cluster: str
    cluster_id: str
    spec: str
    check: str
    severity: str
    what: str
    state: State
    reason: str
    first_seen: str
    last_seen: str
    resolved_at: str
    api_group: str
    kind: str
    namespace: str
    name: str
    path: str
    container: str
    id: str

    def to_wire(self) -> dict[str, Any]:
        """Plain data, keys as in `kspec history --findings -o json`."""
        return {
            "cluster": self.cluster,
            "clusterId": self.cluster_id,
            "spec": self.spec,
            "check": self.check,
            "severity": self.severity,
            "what": self.what,
            "status": self.state.value,
            "there": self.state.is_there,
            "reason": self.reason,
            "firstSeen": self.first_seen,
            "lastSeen": self.last_seen,
            "resolvedAt": self.resolved_at,
            "object": {
                "group": self.api_group,
                "kind": self.kind,
                "namespace": self.namespace,
                "name": self.name,
            },
            "path": self.path,
            "container": self.container,
            "id": self.id,
        }


def trend(store: Store, query: Query = ALL) -> tuple[TrendPoint, ...]:
    """Points of specifications on clusters. Raises StoreError."""
    statement = select(schema.results, schema.subjects.c.cluster_id, schema.subjects.c.spec).select_from(
        _JOINED
    )
    return points(store, query.results(statement))


def points(store: Store, statement: Select[Any]) -> tuple[TrendPoint, ...]:
    """The points of a statement that selects results with cluster_id and spec, in its order. Raises StoreError."""
    f = schema.frameworks.c
    chosen = statement.order_by(None).subquery()
    of_frameworks = select(f.result_id, f.framework, f.score, f.coverage).where(
        f.result_id.in_(select(chosen.c.id))
    )
    with store.read() as connection:
        frameworks: dict[int, list[FrameworkPoint]] = {}
        for result_id, name, score, coverage in connection.execute(of_frameworks):
            frameworks.setdefault(result_id, []).append(FrameworkPoint(name, score, coverage))
        return tuple(
            TrendPoint(
                finished_at=row["finished_at"],
                cluster=row["name"],
                spec=row["spec"],
                spec_version=row["spec_version"],
                score=row["score"],
                **{name: row[name] for name in (*schema.COUNTS, "left_out")},
                frameworks=tuple(sorted(frameworks.get(row["id"], ()), key=lambda point: point.id)),
                run=row["run_id"],
                cluster_id=row["cluster_id"],
            )
            for row in connection.execute(statement).mappings()
        )


def check_trend(store: Store, check: str, query: Query = ALL) -> tuple[CheckPoint, ...]:
    """Points of one requirement. Raises StoreError."""
    statement = check_rows().where(schema.checks.c.check_id == check)
    return check_points(store, query.results(statement))


def check_rows() -> Select[Any]:
    """The statement that `check_points` reads, to be narrowed."""
    result, subject = schema.results.c, schema.subjects.c
    joined = schema.checks.join(schema.results, schema.checks.c.result_id == result.id).join(
        schema.subjects, result.subject_id == subject.id
    )
    columns = (result.finished_at, result.name, subject.cluster_id, subject.spec, result.run_id)
    return select(schema.checks, *columns).select_from(joined)


def check_points(store: Store, statement: Select[Any]) -> tuple[CheckPoint, ...]:
    """Raises StoreError."""
    with store.read() as connection:
        return tuple(
            CheckPoint(
                finished_at=row["finished_at"],
                cluster=row["name"],
                spec=row["spec"],
                check=row["check_id"],
                severity=row["severity"],
                verdict=row["verdict"],
                findings=row["findings"],
                exempt=row["exempt"],
                known=row["known"],
                run=row["run_id"],
                reason=row["reason"],
                cluster_id=row["cluster_id"],
            )
            for row in connection.execute(statement).mappings()
        )


def findings(store: Store, query: Query = ALL) -> tuple[StoredFinding, ...]:
    """Findings that were ever seen: those that are there first, then unknown, then fixed; the oldest first.

    since: those that were seen, or fixed, at that time or later. Raises StoreError.
    """
    table, subject, cluster = schema.findings.c, schema.subjects.c, schema.clusters.c
    joined = schema.findings.join(schema.subjects, table.subject_id == subject.id).join(
        schema.clusters, subject.cluster_id == cluster.id
    )
    statement = select(
        schema.findings, subject.spec, subject.cluster_id, cluster.name.label("cluster_name")
    ).select_from(joined)
    if query.cluster:
        meant = or_(cluster.name == query.cluster, cluster.id == query.cluster)
        statement = statement.where(subject.cluster_id.in_(select(cluster.id).where(meant)))
    statement = Query(spec=query.spec).narrow(statement, table.last_seen)
    if query.since:
        still = table.state == State.UNKNOWN.value
        statement = statement.where(
            or_(table.last_seen >= query.since, table.resolved_at >= query.since, still)
        )
    with store.read() as connection:
        found = [
            StoredFinding(
                cluster=row["cluster_name"],
                cluster_id=row["cluster_id"],
                spec=row["spec"],
                check=row["check_id"],
                severity=row["severity"],
                what=row["what"],
                state=State(row["state"]),
                reason=row["reason"],
                first_seen=row["first_seen"],
                last_seen=row["last_seen"],
                resolved_at=row["resolved_at"] or "",
                api_group=row["api_group"],
                kind=row["kind"],
                namespace=row["namespace"],
                name=row["name"],
                path=row["path"],
                container=row["container"],
                id=row["fingerprint"],
            )
            for row in connection.execute(statement).mappings()
        ]
    return tuple(
        sorted(found, key=lambda f: (f.state.rank, f.first_seen, f.cluster, f.spec, f.check, f.what, f.id))
    )


def reports(store: Store, run_id: str) -> tuple[bytes, ...]:
    """The full reports of a run, one a part; the beginning of its id is enough. Raises UsageError, StoreError."""
    part = schema.parts.c
    begins = schema.runs.c.id.startswith(run_id, autoescape=True)
    with store.read() as connection:
        runs = connection.execute(select(schema.runs.c.id).where(begins).limit(2)).scalars().all()
        statement = select(part.report, part.report_sha256).where(part.run_id.in_(runs)).order_by(part.id)
        rows = connection.execute(statement).all()
    if len(runs) != 1:
        what = "no run has this id." if not runs else "several runs have ids that begin with this."
        raise UsageError(what, where=run_id, fix="'kspec history --store URL -o json' lists them.")
    if not all(row.report for row in rows):
        fix = "Add --store-reports to the scan."
        raise UsageError("the full report of this run was not kept.", where=run_id, fix=fix)
    return tuple(objects.get(row.report, row.report_sha256) for row in rows)
