"""Lists of what was ever found, over all runs: findings, and differences that looks for drift found.

As in `listing`, everything is narrowed to what the viewer may see in the statement itself.
"""

from __future__ import annotations

from typing import Any

from sqlalchemy import Row, case, func, literal, select

from pytest_kspec.results.observation import State
from pytest_kspec.results.order import WORST_SEVERITIES_FIRST
from pytest_kspec.storage import schema
from pytest_kspec.storage.cut import FIRST, Cut, conditions, counted, equal, rank, words
from pytest_kspec.storage.drift import event_of
from pytest_kspec.storage.engine import Store
from pytest_kspec.storage.rows import DriftRow, FindingRow, Listed
from pytest_kspec.storage.visible import ALL, Visible

_subject, _cluster, _found = schema.subjects.c, schema.clusters.c, schema.findings.c

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
    where = conditions(
        visible.of_findings(),
        equal(_subject.cluster_id, cluster_id),
        equal(_subject.spec, spec),
        equal(_found.check_id, check),
        equal(_found.severity, severity),
        equal(_found.namespace, namespace),
        equal(_found.fingerprint, fingerprint),
        words(text, _found.what, _found.message, _found.check_id, _cluster.name),
    )
    there = case({state.value: state.rank for state in State}, value=_found.state)
    severe = rank(_found.severity, WORST_SEVERITIES_FIRST)
    rows = (
        select(
            _cluster.name, _subject.cluster_id, _subject.spec, _found.check_id, _found.severity, _found.state,
            _found.what, _found.message, _found.kind, _found.namespace, _found.name, _found.path,
            _found.container, _found.reason, _found.first_seen, _found.last_seen,
            func.coalesce(_found.resolved_at, literal("")), _found.fingerprint,
        )
        .select_from(_FINDINGS)
        .where(*where)
        .order_by(
            there, rank(_found.state, State), severe, _found.first_seen, _cluster.name, _found.check_id,
            _found.what, _found.id,
        )
    )  # fmt: skip
    return counted(store, rows, _found.state, state, cut, lambda row: FindingRow(*row))


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
    where = conditions(
        visible.of_clusters(table.cluster_id),
        equal(table.cluster_id, cluster_id),
        equal(table.spec, spec),
        equal(table.severity, severity),
        words(text, table.cluster, table.event),
    )
    is_state = case((table.cleared_at.is_(None), "present"), else_="cleared")
    severe = rank(table.severity, WORST_SEVERITIES_FIRST)
    rows = (
        select(schema.drift, is_state.label("state"))
        .where(*where)
        .order_by(case((table.cleared_at.is_(None), 0), else_=1), severe, table.last_seen.desc(), table.id)
    )
    return counted(store, rows, is_state, state, cut, lambda row: _drift_row(row, store))


def _drift_row(row: Row[Any], store: Store) -> DriftRow:
    event = event_of(row.event, store)
    resource = event.get("resource") or {}
    place = "/".join(part for part in (resource.get("namespace"), resource.get("name")) if part)
    return DriftRow(
        row.cluster,
        row.cluster_id,
        row.spec,
        row.type,
        row.severity,
        str(event.get("drift_kind", "")),
        row.state,
        f"{resource.get('kind', '')} {place}".strip(),
        str(event.get("message", "")),
        row.first_seen,
        row.last_seen,
        row.cleared_at or "",
    )


def drifted(store: Store, visible: Visible, spec: str) -> dict[str, int]:
    """How many differences are present, by identity of the cluster. Raises StoreError.

    A cluster of which no difference was ever stored is not there: the store does not say whether anybody looked.
    """
    table = schema.drift.c
    where = conditions(table.spec == spec, visible.of_clusters(table.cluster_id))
    present = func.sum(case((table.cleared_at.is_(None), 1), else_=0))
    statement = select(table.cluster_id, present).where(*where).group_by(table.cluster_id)
    with store.read() as connection:
        return {row[0]: row[1] for row in connection.execute(statement)}
