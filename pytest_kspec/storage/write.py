"""Puts a result into a store: the report first, then everything else in one transaction. Twice is once."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from sqlalchemy import Connection, Table, case, func, insert, select, update
from sqlalchemy.dialects import postgresql, sqlite

from pytest_kspec.errors import StoreError
from pytest_kspec.results.baseline import subject as subject_of
from pytest_kspec.results.finding import FindingStatus
from pytest_kspec.results.fingerprint import fingerprint
from pytest_kspec.results.moments import moment
from pytest_kspec.results.result import ClusterResult, ScanResult
from pytest_kspec.storage import naming, objects, origins, schema, verdicts
from pytest_kspec.storage.engine import Store
from pytest_kspec.storage.newest import renew
from pytest_kspec.storage.schema import plain_text
from pytest_kspec.storage.settle import settle

_ROWS = 500
"""Rows of one statement: below the limits on parameters of both databases."""
_NAMED = 3


@dataclass(frozen=True, slots=True)
class Stored:
    """What became of an upload that is committed.

    run:     id of the run
    results: how many results are new; 0 where all were there already
    twice:   names of clusters that the result holds twice by one specification: two names of one cluster
    """

    run: str
    results: int
    twice: tuple[str, ...] = ()


def store_result(store: Store, result: ScanResult, document: bytes, place: str = "", run: str = "") -> Stored:
    """Store a result, or one part of a run that has several; committed when it returns.

    A result of a specification on a cluster is stored once a run: what is there already stays as it is.

    document: the JSON report, whose digest names the part, and the run where none is named
    place:    where to keep it (`objects.check_place`), or ""
    run:      id of the run that this is a part of, at most 64 characters
    Raises StoreError; for manifests that are not those that the store knows by their name, after the others are stored.
    """
    upload = prepare(store, result, document, place, run)
    added = store.write(lambda connection: add(connection, upload))
    if added.refused:
        raise _joined(added.refused, f"The other results are stored as run {upload.head['id'][:12]}.")
    return Stored(upload.head["id"], sum(key is not None for key in added.keys), upload.twice)


def _joined(refused: Sequence[StoreError], then: str = "") -> StoreError:
    """All of them as one. then: a sentence behind them."""
    texts = [one.what.removesuffix(".") for one in refused[:_NAMED]]
    if more := len(refused) - len(texts):
        texts.append(f"{more} more were not stored")
    return StoreError(f"{'; '.join(texts)}.{then and ' '}{then}", where=refused[0].where, fix=refused[0].fix)


class Added(NamedTuple):
    """What a transaction does. keys: of each result in the order of `clusters`, None where the run has it already, or
    where it is refused.
    """

    keys: list[int | None]
    refused: tuple[StoreError, ...] = ()


class Upload(NamedTuple):
    """What goes into a store in one transaction. head, part: rows; twice: as in `Stored`; where: the store."""

    head: dict[str, Any]
    part: dict[str, Any]
    clusters: list[ClusterResult]
    twice: tuple[str, ...]
    where: str = ""


def prepare(
    store: Store, result: ScanResult, document: bytes, place: str, run: str, name: str = ""
) -> Upload:
    """All that happens before the transaction, as `store_result`: the report is where it is kept. Raises StoreError.

    name: of the report below its place; "": by the day and its digest
    """
    digest = hashlib.sha256(document).hexdigest()
    started, finished = _moments(result, store)
    part_id = digest[:32]
    run_id = plain_text(run) or part_id
    if len(run_id) > 64:
        raise StoreError("the id of a run has at most 64 characters.", where=store.address.shown)
    name = name or f"{finished[:10]}/{part_id}.json.gz"
    report = objects.put(place, name, document) if place else ""
    head = {
        "id": run_id,
        "started_at": started,
        "finished_at": finished,
        "tool_version": plain_text(result.tool_version),
        "run_by": plain_text(result.run_by),
    }
    part = {"run_id": run_id, "id": part_id, "report": report, "report_sha256": digest if report else ""}
    return Upload(head, part, *_once(result.clusters), store.address.shown)


def add(connection: Connection, upload: Upload) -> Added:
    """In the caller's transaction. Manifests that are not those that the store knows by their name are refused.

    Raises StoreError where that is all.
    """
    add_run(connection, upload.head)
    why = [
        origins.claim(connection, insert_into(connection, schema.origins), cluster, upload.where)
        for cluster in upload.clusters
    ]
    refused = tuple(one for one in why if one is not None)
    if refused and len(refused) == len(upload.clusters):
        raise _joined(refused)
    accepted = [cluster for cluster, one in zip(upload.clusters, why, strict=True) if one is None]
    _describe(connection, accepted, upload.head["finished_at"])
    connection.execute(insert_into(connection, schema.parts).on_conflict_do_nothing(), upload.part)
    run_id, part_id, finished = upload.head["id"], upload.part["id"], upload.head["finished_at"]
    keys = [
        _add_result(connection, run_id, part_id, cluster, finished) if one is None else None
        for cluster, one in zip(upload.clusters, why, strict=True)
    ]
    return Added(keys, refused)


def _once(clusters: Iterable[ClusterResult]) -> tuple[list[ClusterResult], tuple[str, ...]]:
    """Each subject once, in the order in which every writer locks them."""
    found: dict[tuple[str, str], ClusterResult] = {}
    twice = []
    for cluster in clusters:
        key = (plain_text(cluster.id), plain_text(cluster.spec_name))
        if key in found:
            twice.append(cluster.name)
        else:
            found[key] = cluster
    return [found[key] for key in sorted(found)], tuple(twice)


def insert_into(connection: Connection, table: Table) -> Any:
    """Both dialects have the same ON CONFLICT, and SQLAlchemy has it twice."""
    return (postgresql if connection.dialect.name == "postgresql" else sqlite).insert(table)


def add_run(connection: Connection, head: dict[str, Any]) -> None:
    """A run, or its times where it is there already: from the first start to the last end."""
    statement = insert_into(connection, schema.runs)
    old, new = schema.runs.c, statement.excluded
    grown = {
        "started_at": case((new.started_at < old.started_at, new.started_at), else_=old.started_at),
        "finished_at": case((new.finished_at > old.finished_at, new.finished_at), else_=old.finished_at),
    }
    connection.execute(statement.on_conflict_do_update(index_elements=["id"], set_=grown), head)


def _add_result(
    connection: Connection, run_id: str, part_id: str, cluster: ClusterResult, finished: str
) -> int | None:
    """One specification on one cluster; its key, or None where the run has it already."""
    subject, before = _subject(connection, cluster, finished)
    point, summary = cluster.point(""), cluster.summary
    row = {
        "run_id": run_id,
        "part_id": part_id,
        "subject_id": subject,
        "finished_at": finished,
        "name": plain_text(cluster.name),
        "spec_version": plain_text(cluster.spec_version),
        "source": plain_text(cluster.source),
        "version": plain_text(cluster.version),
        "score": point.score,
        "weight": summary.weight,
        "weight_met": summary.weight_met,
        **{name: getattr(point, name) for name in schema.COUNTS},
        "left_out": point.left_out,
        **verdicts.texts(
            [
                verdicts.Row(
                    plain_text(check.id), check.severity.value, check.verdict.value, len(check.open_findings)
                )
                for check in cluster.checks
            ]
        ),
    }
    new = insert_into(connection, schema.results).on_conflict_do_nothing().returning(schema.results.c.id)
    key = connection.execute(new, row).scalar()
    if key is None:
        return None
    _add_rows(connection, key, cluster)
    _see(connection, key, subject, cluster, finished)
    naming.name(connection, plain_text(cluster.id), plain_text(cluster.name), finished)
    renew(connection, schema.subjects.c.id == subject)
    now = connection.execute(
        select(schema.subjects.c.newest_at).where(schema.subjects.c.id == subject)
    ).scalar_one()
    settle(connection, subject, again=now > finished or now < before)
    return int(key)


def _subject(connection: Connection, cluster: ClusterResult, finished: str) -> tuple[int, str]:
    """Its key, and when its newest result ended before this one. Its row is locked from here on: results are stored in
    turn.
    """
    identity = plain_text(cluster.id)
    statement = insert_into(connection, schema.clusters)
    old, new = schema.clusters.c, statement.excluded
    later = new.last_seen >= old.last_seen
    values: dict[str, Any] = {
        name: case((later, new[name]), else_=old[name]) for name in ("source", "version", "last_seen")
    }
    values["first_seen"] = case((new.first_seen < old.first_seen, new.first_seen), else_=old.first_seen)
    connection.execute(
        statement.on_conflict_do_update(index_elements=["id"], set_=values),
        {
            "id": identity,
            "name": plain_text(cluster.name),
            "source": plain_text(cluster.source),
            "version": plain_text(cluster.version),
            "first_seen": finished,
            "last_seen": finished,
        },
    )
    known = insert_into(connection, schema.subjects)
    mine = schema.subjects.c
    row = connection.execute(
        known.on_conflict_do_update(
            index_elements=["cluster_id", "spec"], set_={"newest_at": mine.newest_at}
        ).returning(mine.id, mine.newest_at),
        {"cluster_id": identity, "spec": plain_text(cluster.spec_name), "newest_at": finished},
    ).one()
    return row.id, row.newest_at


def _add_rows(connection: Connection, key: int, cluster: ClusterResult) -> None:
    checks = [
        {
            "result_id": key,
            "position": position,
            "check_id": plain_text(check.id),
            "severity": check.severity.value,
            "verdict": check.verdict.value,
            "evaluated": cluster.looked_at(check),
            "reason": plain_text(check.reason),
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
                "result_id": key,
                "framework": plain_text(framework.id),
                "name": plain_text(framework.name),
                "version": plain_text(framework.version),
                "score": summary.score,
                "coverage": summary.coverage,
                "met": summary.met,
                "not_met": summary.not_met,
                "not_evaluated": summary.not_evaluated,
                "manual": summary.manual,
                "partly_met": summary.partly_met,
                "in_part": summary.in_part,
            }
        )
    exemptions = [
        {
            "result_id": key,
            "position": position,
            **{
                name: plain_text(getattr(use, name))
                for name in ("name", "reason", "approver", "expires_at", "location", "state")
            },
            "matched": use.matched,
        }
        for position, use in enumerate(cluster.exemptions)
    ]
    for table, rows in (
        (schema.checks, checks),
        (schema.frameworks, frameworks),
        (schema.exemptions, exemptions),
    ):
        for some in in_parts(rows):
            connection.execute(insert(table), some)


def _describe(connection: Connection, clusters: Iterable[ClusterResult], seen: str) -> None:
    """Titles of requirements, of which a fleet has few: only what is new or says something else is written.

    Before any subject is locked, and in order: two writers wait for each other in one direction only.
    """
    told = {
        plain_text(check.id): {"title": plain_text(check.title), "remediation": plain_text(check.remediation)}
        for cluster in clusters
        for check in cluster.checks
    }
    table = schema.requirements.c
    for some in in_parts([{"check_id": name} for name in sorted(told)]):
        names = [row["check_id"] for row in some]
        rows = connection.execute(select(schema.requirements).where(table.check_id.in_(names))).mappings()
        there = {row["check_id"]: dict(row) for row in rows}
        changed = [
            {"check_id": name, **told[name], "seen_at": seen}
            for name in names
            if name not in there or _is_newer(told[name], seen, there[name])
        ]
        if changed:
            statement = insert_into(connection, schema.requirements)
            new = statement.excluded
            values = {name: new[name] for name in ("title", "remediation", "seen_at")}
            later = new.seen_at >= table.seen_at
            statement = statement.on_conflict_do_update(index_elements=["check_id"], set_=values, where=later)
            connection.execute(statement, changed)


def _is_newer(told: dict[str, str], seen: str, there: Mapping[str, Any]) -> bool:
    return seen >= there["seen_at"] and any(there[name] != text for name, text in told.items())


def _finding_rows(cluster: ClusterResult, subject: int, seen: str) -> dict[str, dict[str, Any]]:
    """Rows by fingerprint; where several findings share one, an open one speaks for them."""
    rows: dict[str, dict[str, Any]] = {}
    for check in cluster.checks:
        for finding in check.findings:
            key = fingerprint(cluster.id, check.id, finding)
            known = rows.get(key)
            if known is not None and FindingStatus(known["state"]).rank <= finding.status.rank:
                continue
            owner = finding.owner
            rows[key] = {
                "subject_id": subject,
                "fingerprint": key,
                "check_id": plain_text(check.id),
                "severity": check.severity.value,
                "api_group": plain_text(owner.group),
                "kind": plain_text(owner.kind),
                "namespace": plain_text(owner.namespace),
                "name": plain_text(owner.name),
                "path": plain_text(finding.path),
                "container": plain_text(finding.container),
                "what": plain_text(subject_of(finding)),
                "message": plain_text(finding.message),
                "state": finding.status.value,
                "first_seen": seen,
                "last_seen": seen,
                "legacy": False,
            }
    return rows


def _see(connection: Connection, key: int, subject: int, cluster: ClusterResult, seen: str) -> None:
    """First and last time that each was seen, whatever the order in which results are stored."""
    rows = _finding_rows(cluster, subject, seen)
    if not rows:
        return
    _take_over(connection, subject, cluster)
    statement = insert_into(connection, schema.findings)
    table, new = schema.findings.c, statement.excluded
    later = new.last_seen >= table.last_seen
    newer = (
        "check_id",
        "severity",
        "api_group",
        "kind",
        "namespace",
        "name",
        "path",
        "container",
        "what",
        "message",
    )
    values = {name: case((later, new[name]), else_=table[name]) for name in (*newer, "state", "last_seen")}
    values["first_seen"] = case((new.first_seen < table.first_seen, new.first_seen), else_=table.first_seen)
    statement = statement.on_conflict_do_update(index_elements=["subject_id", "fingerprint"], set_=values)
    for some in in_parts([rows[name] for name in sorted(rows)]):
        connection.execute(statement, some)
        names = [row["fingerprint"] for row in some]
        keys = connection.execute(
            select(table.id, table.fingerprint).where(
                table.subject_id == subject, table.fingerprint.in_(names)
            )
        ).all()
        observed = [
            {"result_id": key, "finding_id": row.id, "status": rows[row.fingerprint]["state"]} for row in keys
        ]
        connection.execute(insert(schema.observations), observed)


def _take_over(connection: Connection, subject: int, cluster: ClusterResult) -> None:
    """Findings of before r0003 have fingerprints by the cluster's name; one that is seen again gets its own."""
    table = schema.findings.c
    old = select(table.fingerprint).where(table.subject_id == subject, table.legacy)
    legacy = set(connection.execute(old).scalars())
    if not legacy:
        return
    for check in cluster.checks:
        for finding in check.findings:
            before = fingerprint(cluster.name, check.id, finding)
            if before not in legacy:
                continue
            legacy.discard(before)
            now = fingerprint(cluster.id, check.id, finding)
            there = select(func.count()).where(table.subject_id == subject, table.fingerprint == now)
            if connection.execute(there).scalar_one() == 0:
                mine = (table.subject_id == subject, table.fingerprint == before)
                change = update(schema.findings).where(*mine)
                connection.execute(change.values(fingerprint=now, legacy=False))


def in_parts(rows: Sequence[dict[str, Any]]) -> Iterator[Sequence[dict[str, Any]]]:
    """As many at a time as one statement takes."""
    for start in range(0, len(rows), _ROWS):
        yield rows[start : start + _ROWS]


def _moments(result: ScanResult, store: Store) -> tuple[str, str]:
    """Start and end in UTC to the second, of one length. Raises StoreError."""
    started, finished = moment(result.started_at), moment(result.finished_at)
    if started is None or finished is None:
        wrong = result.started_at if started is None else result.finished_at
        raise StoreError(f"the result has no valid time: {wrong!r}.", where=store.address.shown)
    shown = (one.strftime("%Y-%m-%dT%H:%M:%SZ") for one in (started, finished))
    return next(shown), next(shown)
