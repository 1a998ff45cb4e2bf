"""Lists of the newest results: of clusters, requirements, frameworks and exemptions, and the score over time.

Each list says how many rows there are without the cut. Everything is narrowed to what the viewer may see (`Visible`)
in the statement itself: no caller has rows in its hands that it must not show.
"""

from __future__ import annotations

from typing import Any

from sqlalchemy import ColumnElement, and_, case, func, or_, select

from pytest_kspec.results.order import WORST_SEVERITIES_FIRST, WORST_VERDICTS_FIRST
from pytest_kspec.storage import schema
from pytest_kspec.storage.cut import (
    FIRST,
    MOST_ROWS,
    Cut,
    conditions,
    counted,
    equal,
    listed,
    part,
    rank,
    words,
)
from pytest_kspec.storage.engine import Store
from pytest_kspec.storage.newest import newest_key
from pytest_kspec.storage.rows import (
    Day,
    ExemptionRow,
    FrameworkResult,
    FrameworkTotals,
    Listed,
    RequirementResult,
    RequirementTotals,
    Standing,
)
from pytest_kspec.storage.visible import ALL, Visible

_result, _subject, _cluster = schema.results.c, schema.subjects.c, schema.clusters.c
_check, _framework = schema.checks.c, schema.frameworks.c


def _of_newest(column: Any) -> ColumnElement[bool]:
    """That a row belongs to a newest result; a list of keys, each found by an index: where tables are joined to results
    instead, SQLite may read those of every result there ever was.
    """
    newest: ColumnElement[bool] = column.in_(select(newest_key()).select_from(schema.subjects))
    return newest


def _newest() -> ColumnElement[bool]:
    newest: ColumnElement[bool] = _result.id == newest_key()
    return newest


_STANDING = schema.subjects.join(schema.clusters, _subject.cluster_id == _cluster.id).join(
    schema.results, _result.subject_id == _subject.id
)
_STATE = case(
    (_result.errors > 0, "error"),
    (_result.failed > 0, "fail"),
    # That some requirements are met says nothing of those that no run ever selected.
    (and_(_result.left_out > 0, _result.passed > 0), "error"),
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
"""Orders of `standings`; the first is the default, and "" is the same."""


def standings(
    store: Store,
    visible: Visible = ALL,
    *,
    text: str = "",
    cluster_id: str = "",
    spec: str = "",
    state: str = "",
    order: str = "",
    cut: Cut = FIRST,
) -> Listed[Standing]:
    """The newest result of each specification on each cluster. counts: by state.

    text: part of the name of a cluster. Raises StoreError.
    """
    where = conditions(
        _newest(),
        visible.of_clusters(_subject.cluster_id),
        part(_cluster.name, text),
        equal(_subject.cluster_id, cluster_id),
        equal(_subject.spec, spec),
    )
    columns = (
        _cluster.name, _subject.cluster_id, _subject.spec, _result.spec_version, _result.source, _result.version,
        _result.finished_at, _STATE, _result.score, *(_result[name] for name in schema.COUNTS), _result.left_out,
    )  # fmt: skip
    rows = (
        select(*columns)
        .select_from(_STANDING)
        .where(*where)
        .order_by(*_ORDERS[order or ORDERS[0]], _cluster.name, _subject.spec, _subject.id)
    )
    return counted(store, rows, _STATE, state, cut, lambda row: Standing(*row))


def specs(store: Store, visible: Visible = ALL) -> tuple[str, ...]:
    """Names of specifications, for a filter. Raises StoreError."""
    where = conditions(visible.of_clusters(_subject.cluster_id))
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
    where = conditions(visible.of_clusters(_cluster.id))
    with store.read() as connection:
        return connection.execute(
            select(func.count()).select_from(schema.clusters).where(*where)
        ).scalar_one()


_SEVERITY = rank(_check.severity, WORST_SEVERITIES_FIRST)
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
    asked = conditions(visible.of_clusters(_subject.cluster_id), equal(_subject.spec, spec))
    # A list of keys: joined, SQLite would read the requirements of every result there ever was.
    keys = select(newest_key()).select_from(schema.subjects).where(*asked)
    where: list[ColumnElement[bool]] = [_check.result_id.in_(keys)]
    named, like = words(text, told.title), words(text, _check.check_id)
    if named is not None and like is not None:
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
    return listed(
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
    where = conditions(
        _newest(),
        visible.of_clusters(_subject.cluster_id),
        equal(_check.check_id, check),
        equal(_subject.cluster_id, cluster_id),
        equal(_subject.spec, spec),
        part(_cluster.name, text),
    )
    rows = (
        select(
            _cluster.name, _subject.cluster_id, _subject.spec, _check.check_id,
            func.coalesce(schema.requirements.c.title, ""), _check.severity, _check.verdict, _check.reason,
            _check.findings, _check.exempt, _check.known, _result.finished_at,
        )
        .select_from(_CHECKS)
        .where(*where)
        .order_by(
            rank(_check.verdict, WORST_VERDICTS_FIRST), _SEVERITY, _cluster.name, _subject.spec, _check.check_id,
            _subject.id,
        )
    )  # fmt: skip
    return counted(store, rows, _check.verdict, verdict, cut, lambda row: RequirementResult(*row))


def remediation(store: Store, check: str) -> tuple[str, str]:
    """Title of a requirement and how to fix it; "" where no result says. Raises StoreError."""
    told = schema.requirements.c
    with store.read() as connection:
        row = connection.execute(
            select(told.title, told.remediation).where(told.check_id == check)
        ).one_or_none()
    return (row.title, row.remediation) if row is not None else ("", "")


_FRAMEWORKS = schema.frameworks.join(_STANDING, _framework.result_id == _result.id)


def frameworks(store: Store, visible: Visible = ALL) -> tuple[FrameworkTotals, ...]:
    """Frameworks of the newest results, MOST_ROWS at most. Raises StoreError."""
    where = conditions(_of_newest(_framework.result_id), visible.of_clusters(_subject.cluster_id))
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
    where = conditions(
        _of_newest(_framework.result_id),
        visible.of_clusters(_subject.cluster_id),
        equal(_framework.framework, framework),
        equal(_subject.cluster_id, cluster_id),
        part(_cluster.name, text),
    )
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
    return listed(store, rows, cut, lambda row: FrameworkResult(*row))


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
    where = conditions(
        _of_newest(use.result_id),
        visible.of_clusters(_subject.cluster_id),
        equal(_subject.cluster_id, cluster_id),
        words(text, use.name, use.reason, use.approver, _cluster.name),
    )
    rows = (
        select(
            use.name, use.state, use.reason, use.approver, use.expires_at, use.location, use.matched,
            _cluster.name, _subject.cluster_id, _subject.spec,
        )
        .select_from(joined)
        .where(*where)
        .order_by(
            case((use.state == "expired", 0), else_=1), case((use.expires_at == "", 1), else_=0), use.expires_at,
            use.name, _cluster.name, _subject.spec, _subject.id, use.position,
        )
    )  # fmt: skip
    return counted(store, rows, use.state, state, cut, lambda row: ExemptionRow(*row))


def days(
    store: Store, visible: Visible = ALL, *, since: str, cluster_id: str = "", spec: str = ""
) -> tuple[Day, ...]:
    """Score over time, the oldest day first, of whole results. since: RFC 3339 in UTC. Raises StoreError."""
    day = func.substr(_result.finished_at, 1, 10)
    where = conditions(
        _result.finished_at >= since,
        _result.left_out == 0,
        visible.of_clusters(_subject.cluster_id),
        equal(_subject.cluster_id, cluster_id),
        equal(_subject.spec, spec),
    )
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
        .where(_result.left_out == 0)
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
