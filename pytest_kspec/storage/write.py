"""Puts a result into a store: the report first, then everything else in one transaction. Twice is once."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import Connection, Table, case, insert
from sqlalchemy.dialects import postgresql, sqlite

from pytest_kspec.errors import StoreError
from pytest_kspec.model.baseline import subject
from pytest_kspec.model.fingerprint import fingerprint
from pytest_kspec.model.result import ClusterResult, ScanResult
from pytest_kspec.model.trend import TrendPoint
from pytest_kspec.storage import objects, schema
from pytest_kspec.storage.engine import Store

_ROWS = 500
"""Rows of one statement: below the limits on parameters of both databases."""


def store_result(store: Store, result: ScanResult, document: bytes, place: str = "") -> str:
    """Store a run; returns its id when it is committed. A run that is there already is left as it is.

    document: the JSON report, whose digest names the run; place: where to keep it (`objects.check_place`), or ""
    Raises StoreError.
    """
    digest = hashlib.sha256(document).hexdigest()
    finished = _moment(result.finished_at, store)
    started = _moment(result.started_at, store)
    run_id = digest[:32]
    report = objects.put(place, f"{finished[:10]}/{run_id}.json.gz", document) if place else ""
    run = {
        "id": run_id,
        "started_at": started,
        "finished_at": finished,
        "tool_version": _text(result.tool_version),
        "run_by": _text(result.run_by),
        "report": report,
        "report_sha256": digest if report else "",
        **_counts(TrendPoint.of(cluster, finished) for cluster in result.clusters),
        "score": result.summary.score,
    }
    rows = sorted(_finding_rows(result, finished).values(), key=lambda row: (row["id"], row["spec"]))

    def work(connection: Connection) -> None:
        new = _insert(connection, schema.runs).on_conflict_do_nothing().returning(schema.runs.c.id)
        if connection.execute(new, run).first() is None:
            return
        for cluster in result.clusters:
            _add_cluster(connection, run_id, cluster)
        _see(connection, rows)

    store.write(work)
    return run_id


def _insert(connection: Connection, table: Table) -> Any:
    """Both dialects have the same ON CONFLICT, and SQLAlchemy has it twice."""
    return (postgresql if connection.dialect.name == "postgresql" else sqlite).insert(table)


def _add_cluster(connection: Connection, run_id: str, cluster: ClusterResult) -> None:
    point = TrendPoint.of(cluster, "")
    row = {
        "run_id": run_id,
        "name": _text(cluster.name),
        "spec": _text(cluster.spec_name),
        "spec_version": _text(cluster.spec_version),
        "source": _text(cluster.source),
        "version": _text(cluster.version),
        "uid": _text(cluster.uid),
        **_counts([point]),
        "score": point.score,
    }
    key = connection.execute(insert(schema.clusters).returning(schema.clusters.c.id), row).scalar_one()
    checks = [
        {
            "cluster_id": key,
            "position": position,
            "check_id": _text(check.id),
            "severity": check.severity.value,
            "verdict": check.verdict.value,
            "reason": _text(check.reason),
            "findings": len(check.open_findings),
            "exempt": len(check.exempted_findings),
            "known": len(check.known_findings),
        }
        for position, check in enumerate(cluster.checks)
    ]
    frameworks = []
    for framework in cluster.frameworks:
        summary = framework.summary
        frameworks.append(
            {
                "cluster_id": key,
                "framework": _text(framework.id),
                "name": _text(framework.name),
                "version": _text(framework.version),
                "score": summary.score,
                "coverage": summary.coverage,
                "met": summary.met,
                "not_met": summary.not_met,
                "not_evaluated": summary.not_evaluated,
                "manual": summary.manual,
            }
        )
    for table, rows in ((schema.checks, checks), (schema.frameworks, frameworks)):
        for some in _parts(rows):
            connection.execute(insert(table), some)


def _finding_rows(result: ScanResult, seen: str) -> dict[tuple[str, str], dict[str, Any]]:
    """One row a fingerprint and specification; where several findings share one, an open one speaks for them."""
    rows: dict[tuple[str, str], dict[str, Any]] = {}
    rank = ("open", "known", "exempt")
    for cluster in result.clusters:
        for check in cluster.checks:
            for finding in check.findings:
                key = (fingerprint(cluster.name, check.id, finding), _text(cluster.spec_name))
                known = rows.get(key)
                if known is not None and rank.index(known["status"]) <= rank.index(finding.status.value):
                    continue
                rows[key] = {
                    "id": key[0],
                    "spec": key[1],
                    "cluster": _text(cluster.name),
                    "check_id": _text(check.id),
                    "severity": check.severity.value,
                    "what": _text(subject(finding)),
                    "status": finding.status.value,
                    "first_seen": seen,
                    "last_seen": seen,
                }
    return rows


def _see(connection: Connection, rows: Sequence[dict[str, Any]]) -> None:
    """First and last time that each was seen, whatever the order in which runs are stored.

    Rows come sorted, so that two writers lock them in one order.
    """
    statement = _insert(connection, schema.findings)
    table, new = schema.findings.c, statement.excluded
    later = new.last_seen >= table.last_seen
    values = {
        name: case((later, new[name]), else_=table[name])
        for name in ("severity", "what", "status", "check_id", "last_seen")
    }
    values["first_seen"] = case((new.first_seen < table.first_seen, new.first_seen), else_=table.first_seen)
    statement = statement.on_conflict_do_update(index_elements=["id", "spec"], set_=values)
    for some in _parts(rows):
        connection.execute(statement, some)


def _parts(rows: Sequence[dict[str, Any]]) -> Iterator[Sequence[dict[str, Any]]]:
    for start in range(0, len(rows), _ROWS):
        yield rows[start : start + _ROWS]


def _counts(points: Iterable[TrendPoint]) -> dict[str, int]:
    """The counts of several clusters together."""
    points = list(points)
    return {name: sum(getattr(point, name) for point in points) for name in schema.COUNTS}


def _text(text: str) -> str:
    """The text as PostgreSQL can hold it: without NUL and lone surrogates."""
    return (
        text.replace("\0", "\ufffd").encode("utf-8", "replace").decode() if not text.isprintable() else text
    )


def _moment(text: str, store: Store) -> str:
    """RFC 3339 in UTC to the second, of one length."""
    try:
        moment = datetime.fromisoformat(text)
    except ValueError as error:
        raise StoreError(f"the result has no time: {text!r}.", where=store.address.shown) from error
    return moment.replace(tzinfo=moment.tzinfo or UTC).astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
