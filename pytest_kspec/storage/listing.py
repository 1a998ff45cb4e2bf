"""Lists for pages: filtered, sorted and cut in the database, so that a page of a large fleet costs what it shows.

Each list says how many rows there are without the cut. Everything is narrowed to what the viewer may see (`Visible`)
in the statement itself: no caller has rows in its hands that it must not show.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

from sqlalchemy import ColumnElement, Select, and_, case, func, literal, or_, select

from pytest_kspec.results.observation import State
from pytest_kspec.results.order import WORST_SEVERITIES_FIRST, WORST_VERDICTS_FIRST
from pytest_kspec.storage import schema
from pytest_kspec.storage.drift import event_of
from pytest_kspec.storage.engine import Store
from pytest_kspec.storage.rows import (
    Day,
    DriftRow,
    ExemptionRow,
    FindingRow,
    FrameworkResult,
    FrameworkTotals,
    Listed,
    RequirementResult,
    RequirementTotals,
    Standing,
)
from pytest_kspec.storage.visible import ALL, Visible

MOST_ROWS = 500
"""Rows of one page."""

_result, _subject, _cluster = schema.results.c, schema.subjects.c, schema.clusters.c
_check, _found, _framework = schema.checks.c, schema.findings.c, schema.frameworks.c
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Cut:
    """A page of a list. number: from 1; size: rows, at most MOST_ROWS."""

    number: int = 1
    size: int = 100

    def of(self, statement: Select[Any]) -> Select[Any]:
        """The statement for the rows of this page."""
        return statement.limit(self.size).offset((self.number - 1) * self.size)


FIRST = Cut()


def _newest_key() -> Any:
    """The key of the one newest result of a subject: the last that was stored, where two ended in one second."""
    other = schema.results.alias("other")
    return (
        select(func.max(other.c.id))
        .where(other.c.subject_id == _subject.id, other.c.finished_at == _subject.newest_at)
        .correlate(schema.subjects)
        .scalar_subquery()
    )


def _of_newest(column: Any) -> ColumnElement[bool]:
    """That a row belongs to a newest result; a list of keys, each found by an index: where tables are joined to results
    instead, SQLite may read those of every result there ever was.
    """
    newest: ColumnElement[bool] = column.in_(select(_newest_key()).select_from(schema.subjects))
    return newest


def _newest() -> ColumnElement[bool]:
    newest: ColumnElement[bool] = _result.id == _newest_key()
    return newest


_STANDING = schema.subjects.join(schema.clusters, _subject.cluster_id == _cluster.id).join(
    schema.results, _result.subject_id == _subject.id
)
_STATE = case(
    (_result.errors > 0, "error"),
    (_result.failed > 0, "fail"),
    # What is neither an error nor a failure, and not met, passes because a baseline has what was found.
    (_result.weight_met < _result.weight, "known"),
    (_result.passed > 0, "pass"),
    else_="skip",
)
_APPLIES = _result.passed + _result.failed + _result.errors
_ORDERS: dict[str, tuple[Any, ...]] = {
    # As in the HTML report: what could not be fully evaluated, least first; then by score.
    "worst": (
        case((_result.errors > 0, 0), else_=1),
        case((_result.errors > 0, (_result.passed + _result.failed) * 1.0 / _APPLIES)),
        func.coalesce(_result.score, 101),
    ),
    "name": (),
    "newest": (_result.finished_at.desc(),),
    "oldest": (_result.finished_at,),
    "findings": (_result.findings.desc(),),
}
ORDERS = tuple(_ORDERS)
"""Orders of `standings`; the first is the default."""


def standings(
    store: Store,
    visible: Visible = ALL,
    *,
    text: str = "",
    cluster_id: str = "",
    spec: str = "",
    state: str = "",
    order: str = ORDERS[0],
    cut: Cut = FIRST,
) -> Listed[Standing]:
    """The newest result of each specification on each cluster. counts: by state.

    text: part of the name of a cluster. Raises StoreError.
    """
    where = [_newest()]
    _add(where, visible.of_clusters(_subject.cluster_id))
    _add(where, _cluster.name.icontains(text, autoescape=True) if text else None)
    _add(where, _subject.cluster_id == cluster_id if cluster_id else None)
    _add(where, _subject.spec == spec if spec else None)
    counted = select(_STATE, func.count()).select_from(_STANDING).where(*where).group_by(_STATE)
    columns = (
        _cluster.name, _subject.cluster_id, _subject.spec, _result.spec_version, _result.source, _result.version,
        _result.finished_at, _STATE, _result.score, *(_result[name] for name in schema.COUNTS),
    )  # fmt: skip
    rows = select(*columns).select_from(_STANDING).where(*where)
    if state:
        rows = rows.where(_STATE.in_([state]))
    rows = cut.of(rows.order_by(*_ORDERS[order], _cluster.name, _subject.spec, _subject.id))
    with store.read() as connection:
        counts = {row[0]: row[1] for row in connection.execute(counted)}
        total = counts.get(state, 0) if state else sum(counts.values())
        return Listed(tuple(Standing(*row) for row in connection.execute(rows)), total, counts)


def specs(store: Store, visible: Visible = ALL) -> tuple[str, ...]:
    """Names of specifications, for a filter. Raises StoreError."""
    where: list[ColumnElement[bool]] = []
    _add(where, visible.of_clusters(_subject.cluster_id))
    statement = select(_subject.spec).where(*where).distinct().order_by(_subject.spec).limit(MOST_ROWS)
    with store.read() as connection:
        return tuple(connection.execute(statement).scalars())


def clusters(store: Store) -> tuple[tuple[str, str], ...]:
    """(identity, name) of every cluster, whoever may see it. Raises StoreError."""
    with store.read() as connection:
        return tuple(
            (row.id, row.name)
            for row in connection.execute(select(_cluster.id, _cluster.name).order_by(_cluster.id))
        )


def visible_clusters(store: Store, visible: Visible = ALL) -> int:
    """How many clusters there are. Raises StoreError."""
    where: list[ColumnElement[bool]] = []
    _add(where, visible.of_clusters(_cluster.id))
    with store.read() as connection:
        return connection.execute(
            select(func.count()).select_from(schema.clusters).where(*where)
        ).scalar_one()


def namespaces(store: Store, cluster_id: str, most: int) -> tuple[str, ...]:
    """Namespaces of which a cluster has findings, `most` at most. Raises StoreError."""
    statement = (
        select(_found.namespace)
        .join(schema.subjects, _found.subject_id == _subject.id)
        .where(_subject.cluster_id == cluster_id, _found.namespace != "")
        .distinct()
        .order_by(_found.namespace)
        .limit(most)
    )
    with store.read() as connection:
        return tuple(connection.execute(statement).scalars())


_SEVERITY = case(
    {severity.value: rank for rank, severity in enumerate(WORST_SEVERITIES_FIRST)}, value=_check.severity
)
_CHECKS = schema.checks.join(_STANDING, _check.result_id == _result.id).outerjoin(
    schema.requirements, schema.requirements.c.check_id == _check.check_id
)


def _verdicts(verdict: str) -> Any:
    return func.sum(case((_check.verdict == verdict, 1), else_=0))


def requirements(
    store: Store, visible: Visible = ALL, *, text: str = "", spec: str = "", cut: Cut = FIRST
) -> Listed[RequirementTotals]:
    """Requirements of the newest results: those that fail somewhere first, by severity, then by how often.

    text: part of its id or title. Raises StoreError.
    """
    told = schema.requirements.c
    asked: list[ColumnElement[bool]] = []
    _add(asked, visible.of_clusters(_subject.cluster_id))
    _add(asked, _subject.spec == spec if spec else None)
    # A list of keys: joined, SQLite would read the requirements of every result there ever was.
    keys = select(_newest_key()).select_from(schema.subjects).where(*asked)
    where: list[ColumnElement[bool]] = [_check.result_id.in_(keys)]
    named = _contains(text, told.title)
    if named is not None:
        like = _contains(text, _check.check_id)
        assert like is not None
        where.append(or_(like, _check.check_id.in_(select(told.check_id).where(named))))
    made = (
        select(
            _check.check_id,
            func.min(_SEVERITY).label("rank"),
            *(_verdicts(verdict).label(verdict) for verdict in ("error", "fail", "skip", "pass")),
            func.sum(_check.findings).label("open"),
        )
        .where(*where)
        .group_by(_check.check_id)
        .subquery()
    )
    one = made.c
    counts = (one.error, one.fail, one.skip, one["pass"], one.open)
    rows = (
        select(one.check_id, func.coalesce(told.title, ""), one.rank, *counts, func.count().over())
        .select_from(made.outerjoin(schema.requirements, told.check_id == one.check_id))
        .order_by(
            case((one.fail > 0, 0), (one.error > 0, 1), else_=2), one.rank, one.fail.desc(), one.check_id
        )
    )
    severities = [severity.value for severity in WORST_SEVERITIES_FIRST]
    return _listed(
        store,
        rows,
        cut,
        lambda row: RequirementTotals(row[0], row[1], severities[row[2]], *map(int, row[3:])),
    )


def requirement_results(
    store: Store,
    visible: Visible = ALL,
    *,
    check: str = "",
    cluster_id: str = "",
    spec: str = "",
    verdict: str = "",
    text: str = "",
    cut: Cut = FIRST,
) -> Listed[RequirementResult]:
    """Verdicts in the newest results; errors and failures first. counts: by verdict.

    text: part of the name of a cluster. Raises StoreError.
    """
    where = [_newest()]
    _add(where, visible.of_clusters(_subject.cluster_id))
    _add(where, _check.check_id == check if check else None)
    _add(where, _subject.cluster_id == cluster_id if cluster_id else None)
    _add(where, _subject.spec == spec if spec else None)
    _add(where, _cluster.name.icontains(text, autoescape=True) if text else None)
    counted = select(_check.verdict, func.count()).select_from(_CHECKS).where(*where).group_by(_check.verdict)
    rank = case(
        {verdict.value: rank for rank, verdict in enumerate(WORST_VERDICTS_FIRST)}, value=_check.verdict
    )
    rows = (
        select(
            _cluster.name, _subject.cluster_id, _subject.spec, _check.check_id,
            func.coalesce(schema.requirements.c.title, ""), _check.severity, _check.verdict, _check.reason,
            _check.findings, _check.exempt, _check.known, _result.finished_at,
        )
        .select_from(_CHECKS)
        .where(*where, *([_check.verdict == verdict] if verdict else []))
        .order_by(rank, _SEVERITY, _cluster.name, _subject.spec, _check.check_id, _subject.id)
    )  # fmt: skip
    with store.read() as connection:
        counts = {row[0]: row[1] for row in connection.execute(counted)}
        total = counts.get(verdict, 0) if verdict else sum(counts.values())
        found = tuple(RequirementResult(*row) for row in connection.execute(cut.of(rows)))
        return Listed(found, total, counts)


def remediation(store: Store, check: str) -> tuple[str, str]:
    """Title of a requirement and how to fix it; "" where no result says. Raises StoreError."""
    told = schema.requirements.c
    with store.read() as connection:
        row = connection.execute(
            select(told.title, told.remediation).where(told.check_id == check)
        ).one_or_none()
    return (row.title, row.remediation) if row is not None else ("", "")


_FINDINGS = schema.findings.join(schema.subjects, _found.subject_id == _subject.id).join(
    schema.clusters, _subject.cluster_id == _cluster.id
)


def findings(
    store: Store,
    visible: Visible = ALL,
    *,
    text: str = "",
    cluster_id: str = "",
    spec: str = "",
    check: str = "",
    severity: str = "",
    state: str = "",
    namespace: str = "",
    fingerprint: str = "",
    cut: Cut = FIRST,
) -> Listed[FindingRow]:
    """Findings that were ever seen: those that are there first, of the worst severity; then the oldest.

    text: part of the cluster, the requirement, the object, the field or the message; counts: by state.
    Raises StoreError.
    """
    where: list[ColumnElement[bool]] = []
    _add(where, visible.of_findings())
    for column, wanted in (
        (_subject.cluster_id, cluster_id),
        (_subject.spec, spec),
        (_found.check_id, check),
        (_found.severity, severity),
        (_found.namespace, namespace),
        (_found.fingerprint, fingerprint),
    ):
        _add(where, column == wanted if wanted else None)
    _add(where, _contains(text, _found.what, _found.message, _found.check_id, _cluster.name))
    counted = select(_found.state, func.count()).select_from(_FINDINGS).where(*where).group_by(_found.state)
    rank = case({state.value: rank for rank, state in enumerate(State)}, value=_found.state)
    there = case({state.value: state.rank for state in State}, value=_found.state)
    severe = case({s.value: rank for rank, s in enumerate(WORST_SEVERITIES_FIRST)}, value=_found.severity)
    rows = (
        select(
            _cluster.name, _subject.cluster_id, _subject.spec, _found.check_id, _found.severity, _found.state,
            _found.what, _found.message, _found.kind, _found.namespace, _found.name, _found.path,
            _found.container, _found.reason, _found.first_seen, _found.last_seen,
            func.coalesce(_found.resolved_at, literal("")), _found.fingerprint,
        )
        .select_from(_FINDINGS)
        .where(*where, *([_found.state == state] if state else []))
        .order_by(there, rank, severe, _found.first_seen, _cluster.name, _found.check_id, _found.what, _found.id)
    )  # fmt: skip
    with store.read() as connection:
        counts = {row[0]: row[1] for row in connection.execute(counted)}
        total = counts.get(state, 0) if state else sum(counts.values())
        found = tuple(FindingRow(*row) for row in connection.execute(cut.of(rows)))
        return Listed(found, total, counts)


_FRAMEWORKS = schema.frameworks.join(_STANDING, _framework.result_id == _result.id)


def frameworks(store: Store, visible: Visible = ALL) -> tuple[FrameworkTotals, ...]:
    """Frameworks of the newest results, MOST_ROWS at most. Raises StoreError."""
    where = [_of_newest(_framework.result_id)]
    _add(where, visible.of_clusters(_subject.cluster_id))
    key = (_framework.framework, _framework.name, _framework.version)
    rows = (
        select(
            *key, func.count(), func.min(_framework.score), func.max(_framework.score),
            func.min(_framework.coverage), func.max(_framework.coverage),
        )
        .select_from(_FRAMEWORKS)
        .where(*where)
        .group_by(*key)
        .order_by(*key)
        .limit(MOST_ROWS)
    )  # fmt: skip
    with store.read() as connection:
        return tuple(FrameworkTotals(*row) for row in connection.execute(rows))


def framework_results(
    store: Store,
    visible: Visible = ALL,
    *,
    framework: str = "",
    cluster_id: str = "",
    text: str = "",
    cut: Cut = FIRST,
) -> Listed[FrameworkResult]:
    """A framework on each cluster, the lowest score first. text: part of the name of a cluster. Raises StoreError."""
    where = [_of_newest(_framework.result_id)]
    _add(where, visible.of_clusters(_subject.cluster_id))
    _add(where, _framework.framework == framework if framework else None)
    _add(where, _subject.cluster_id == cluster_id if cluster_id else None)
    _add(where, _cluster.name.icontains(text, autoescape=True) if text else None)
    f = _framework
    rows = (
        select(
            _cluster.name, _subject.cluster_id, _subject.spec, f.framework, f.name, f.version, f.score, f.coverage,
            f.met, f.not_met, f.not_evaluated, f.manual, _result.finished_at, func.count().over(),
        )
        .select_from(_FRAMEWORKS)
        .where(*where)
        .order_by(func.coalesce(f.score, -1), _cluster.name, _subject.spec, f.framework, _subject.id)
    )  # fmt: skip
    return _listed(store, rows, cut, lambda row: FrameworkResult(*row))


def exemptions(
    store: Store,
    visible: Visible = ALL,
    *,
    text: str = "",
    state: str = "",
    cluster_id: str = "",
    cut: Cut = FIRST,
) -> Listed[ExemptionRow]:
    """Exemptions of the newest results: expired ones first, then those that end first. counts: by state.

    text: part of its name, reason or approver, or of the name of a cluster. Raises StoreError.
    """
    use = schema.exemptions.c
    joined = schema.exemptions.join(_STANDING, use.result_id == _result.id)
    where = [_of_newest(use.result_id)]
    _add(where, visible.of_clusters(_subject.cluster_id))
    _add(where, _subject.cluster_id == cluster_id if cluster_id else None)
    _add(where, _contains(text, use.name, use.reason, use.approver, _cluster.name))
    counted = select(use.state, func.count()).select_from(joined).where(*where).group_by(use.state)
    rows = (
        select(
            use.name, use.state, use.reason, use.approver, use.expires_at, use.location, use.matched,
            _cluster.name, _subject.cluster_id, _subject.spec,
        )
        .select_from(joined)
        .where(*where, *([use.state == state] if state else []))
        .order_by(
            case((use.state == "expired", 0), else_=1), case((use.expires_at == "", 1), else_=0), use.expires_at,
            use.name, _cluster.name, _subject.spec, _subject.id, use.position,
        )
    )  # fmt: skip
    with store.read() as connection:
        counts = {row[0]: row[1] for row in connection.execute(counted)}
        total = counts.get(state, 0) if state else sum(counts.values())
        found = tuple(ExemptionRow(*row) for row in connection.execute(cut.of(rows)))
        return Listed(found, total, counts)


def drift(
    store: Store,
    visible: Visible = ALL,
    *,
    text: str = "",
    cluster_id: str = "",
    spec: str = "",
    severity: str = "",
    state: str = "",
    cut: Cut = FIRST,
) -> Listed[DriftRow]:
    """Differences that looks for drift found: present ones first, by severity, then the newest. counts: by state.

    text: part of the cluster, the object or the message. Raises StoreError.
    """
    table = schema.drift.c
    where: list[ColumnElement[bool]] = []
    _add(where, visible.of_clusters(table.cluster_id))
    for column, wanted in ((table.cluster_id, cluster_id), (table.spec, spec), (table.severity, severity)):
        _add(where, column == wanted if wanted else None)
    _add(where, _contains(text, table.cluster, table.event))
    is_state = case((table.cleared_at.is_(None), "present"), else_="cleared")
    severe = case({s.value: rank for rank, s in enumerate(WORST_SEVERITIES_FIRST)}, value=table.severity)
    counted = select(is_state, func.count()).where(*where).group_by(is_state)
    rows = (
        select(schema.drift, is_state.label("state"))
        .where(*where, *([is_state.in_([state])] if state else []))
        .order_by(case((table.cleared_at.is_(None), 0), else_=1), severe, table.last_seen.desc(), table.id)
    )
    with store.read() as connection:
        counts = {row[0]: row[1] for row in connection.execute(counted)}
        total = counts.get(state, 0) if state else sum(counts.values())
        found = tuple(_drift_row(row, store) for row in connection.execute(cut.of(rows)).mappings())
        return Listed(found, total, counts)


def _drift_row(row: Mapping[Any, Any], store: Store) -> DriftRow:
    event = event_of(row["event"], store)
    resource = event.get("resource") or {}
    place = "/".join(part for part in (resource.get("namespace"), resource.get("name")) if part)
    return DriftRow(
        row["cluster"],
        row["cluster_id"],
        row["spec"],
        row["type"],
        row["severity"],
        str(event.get("drift_kind", "")),
        row["state"],
        f"{resource.get('kind', '')} {place}".strip(),
        str(event.get("message", "")),
        row["first_seen"],
        row["last_seen"],
        row["cleared_at"] or "",
    )


def drifted(store: Store, visible: Visible, spec: str) -> dict[str, int]:
    """How many differences are present, by identity of the cluster. Raises StoreError.

    A cluster of which no difference was ever stored is not there: the store does not say whether anybody looked.
    """
    table = schema.drift.c
    where: list[ColumnElement[bool]] = [table.spec == spec]
    _add(where, visible.of_clusters(table.cluster_id))
    present = func.sum(case((table.cleared_at.is_(None), 1), else_=0))
    statement = select(table.cluster_id, present).where(*where).group_by(table.cluster_id)
    with store.read() as connection:
        return {row[0]: row[1] for row in connection.execute(statement)}


def days(
    store: Store, visible: Visible = ALL, *, since: str, cluster_id: str = "", spec: str = ""
) -> tuple[Day, ...]:
    """Score over time, the oldest day first. since: RFC 3339 in UTC. Raises StoreError."""
    day = func.substr(_result.finished_at, 1, 10)
    where = [_result.finished_at >= since]
    _add(where, visible.of_clusters(_subject.cluster_id))
    _add(where, _subject.cluster_id == cluster_id if cluster_id else None)
    _add(where, _subject.spec == spec if spec else None)
    joined = schema.results.join(schema.subjects, _result.subject_id == _subject.id)
    last = (
        select(func.max(_result.id).label("id"))
        .select_from(
            joined.join(
                latest := (
                    select(_result.subject_id.label("subject"), func.max(_result.finished_at).label("at"))
                    .select_from(joined)
                    .where(*where)
                    .group_by(_result.subject_id, day)
                    .subquery()
                ),
                and_(latest.c.subject == _result.subject_id, latest.c.at == _result.finished_at),
            )
        )
        .group_by(_result.subject_id, _result.finished_at)
        .subquery()
    )
    columns = ("weight", "weight_met", "passed", "failed", "errors", "skipped", "findings")
    statement = (
        select(day.label("day"), func.count(), *(func.sum(_result[name]) for name in columns))
        .select_from(schema.results.join(last, last.c.id == _result.id))
        .group_by(day)
        .order_by(day)
    )
    with store.read() as connection:
        return tuple(_day(*row) for row in connection.execute(statement))


def _day(day: str, results: int, weight: int, met: int, *counts: int) -> Day:
    passed, failed = int(counts[0]), int(counts[1])
    weight, met = int(weight), int(met)
    # Rounded down, as in a summary: 100 only where everything is met.
    score = (1000 * met // weight) / 10 if weight and passed + failed else None
    return Day(day, results, score, *map(int, counts))


def _add(where: list[ColumnElement[bool]], condition: ColumnElement[bool] | None) -> None:
    if condition is not None:
        where.append(condition)


def _contains(text: str, *columns: Any) -> ColumnElement[bool] | None:
    """Every word in one of these columns, whatever its case."""
    words = text.split()[:8]
    if not words:
        return None
    return and_(*(or_(*(column.icontains(word, autoescape=True) for column in columns)) for word in words))


def _listed(store: Store, rows: Select[Any], cut: Cut, make: Callable[[Any], T]) -> Listed[T]:
    """rows: with the number of all of them as the last column; a page behind the last one is empty."""
    with store.read() as connection:
        found = connection.execute(cut.of(rows)).all()
        if found or cut.number == 1:
            total = int(found[0][-1]) if found else 0
        else:
            first = connection.execute(rows.limit(1)).first()
            total = int(first[-1]) if first else 0
    return Listed(tuple(make(row[:-1]) for row in found), total)
