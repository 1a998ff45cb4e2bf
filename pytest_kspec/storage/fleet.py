"""Runs over a fleet in a store: which clusters a run was begun with, and what became of each, once.

Whoever comes first says what became of a cluster; all others change nothing. A worker that starts again reads what is
missing, and does that.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from sqlalchemy import Connection, and_, case, func, insert, select, update

import pytest_kspec
from pytest_kspec.errors import StoreError, UsageError
from pytest_kspec.results.outcome import Outcome
from pytest_kspec.results.result import ScanResult
from pytest_kspec.storage import fleetobjects, objects, schema
from pytest_kspec.storage.engine import Store
from pytest_kspec.storage.fleetrun import (
    LONGEST_REASON,
    Asked,
    StoredRun,
    StoredTarget,
    report_name,
    shards_in,
    stamp,
    sweep,
)
from pytest_kspec.storage.schema import plain_text
from pytest_kspec.storage.write import Upload, add, add_run, insert_into, prepare

_run, _target, _outcome = schema.fleet_runs.c, schema.targets.c, schema.outcomes.c
_NOBODY = Outcome.NOT_SCANNED.value
_ROWS = 500


def begin(
    store: Store,
    run: str,
    *,
    engine: str,
    document: Mapping[str, Any],
    targets: Sequence[StoredTarget],
    run_by: str = "",
) -> bool:
    """Freeze a run with its clusters; False where it is there already, and stays as it is. Raises StoreError."""
    now = stamp()
    head = {
        "id": run,
        "started_at": now,
        "finished_at": now,
        "tool_version": pytest_kspec.__version__,
        "run_by": plain_text(run_by),
    }
    expected = durations(store, [target.name for target in targets])
    if store.objects is not None:
        return fleetobjects.begin(store.objects, head, engine, document, targets, expected)

    def work(connection: Connection) -> bool:
        there = connection.execute(select(_run.id).where(_run.id == run)).scalar()
        if there is not None:
            return False
        return begin_rows(connection, head, engine, document, targets, expected)

    return store.write(work)


def begin_rows(
    connection: Connection,
    head: dict[str, Any],
    engine: str,
    document: Mapping[str, Any],
    targets: Sequence[StoredTarget],
    expected: Mapping[str, float],
) -> bool:
    """A run and its clusters; False where it is there already. head: as for `write.add_run`."""
    add_run(connection, head)
    row = {
        "id": head["id"],
        "created_at": head["started_at"],
        "engine": engine,
        "shards": shards_in(targets),
        "document": json.dumps(document, sort_keys=True),
    }
    new = insert_into(connection, schema.fleet_runs).on_conflict_do_nothing().returning(_run.id)
    if connection.execute(new, row).scalar() is None:
        return False
    rows = [
        {
            "run_id": head["id"],
            "position": target.position,
            "shard": target.shard,
            "name": plain_text(target.name),
            "ref": plain_text(target.ref),
            "labels": json.dumps(dict(target.labels), sort_keys=True) if target.labels else "",
            "expected_s": expected.get(target.name),
        }
        for target in targets
    ]
    for start in range(0, len(rows), _ROWS):
        connection.execute(insert(schema.targets), rows[start : start + _ROWS])
    return True


def durations(store: Store, names: Iterable[str]) -> dict[str, float]:
    """Seconds that each took when it was last scanned, for those that were. Raises StoreError."""
    wanted = {plain_text(name): name for name in names}
    joined = schema.outcomes.join(
        schema.targets, and_(_outcome.run_id == _target.run_id, _outcome.position == _target.position)
    )
    rank = func.row_number().over(partition_by=_target.name, order_by=_outcome.at.desc())
    ranked = (
        select(_target.name, _outcome.seconds, rank.label("rank"))
        .select_from(joined)
        .where(_outcome.outcome == Outcome.SCANNED.value)
        .subquery()
    )
    with store.read() as connection:
        rows = connection.execute(select(ranked.c.name, ranked.c.seconds).where(ranked.c.rank == 1)).all()
    return {wanted[row.name]: row.seconds for row in rows if row.name in wanted}


def find_run(store: Store, begins: str = "") -> StoredRun:
    """The run whose id begins so; the newest for "". Raises UsageError where there is none, or several; StoreError."""
    store.look_again()
    statement = select(_run.id).order_by(_run.created_at.desc(), _run.id).limit(2)
    if begins:
        statement = statement.where(_run.id.startswith(begins, autoescape=True))
    with store.read() as connection:
        found = connection.execute(statement).scalars().all()
    if begins in found:
        found = [begins]
    fix = "'kspec fleet list' shows the runs of a store."
    if not found:
        what = "no run over a fleet has this id." if begins else "the store has no run over a fleet."
        raise UsageError(what, where=begins or store.address.shown, fix=fix)
    if begins and len(found) > 1:
        raise UsageError("several runs have ids that begin with this.", where=begins, fix=fix)
    (run,) = _rows_of(store, 1, found[:1])
    return run


def order_of(store: Store, begins: str) -> StoredRun:
    """The same for a worker, which does not ask what became of clusters: all of them wait."""
    known = fleetobjects.order_of(store.objects, begins) if store.objects is not None else None
    return known or find_run(store, begins)


def runs(store: Store, *, limit: int = 20, ids: Sequence[str] = ()) -> tuple[StoredRun, ...]:
    """Runs over fleets, the newest first. Raises StoreError."""
    if store.objects is not None and ids and (known := fleetobjects.runs(store.objects, ids)):
        return known
    return _rows_of(store, limit, ids)


def _rows_of(store: Store, limit: int, ids: Sequence[str]) -> tuple[StoredRun, ...]:
    statement = select(schema.fleet_runs).order_by(_run.created_at.desc(), _run.id).limit(limit)
    if ids:
        statement = statement.where(_run.id.in_(ids))
    with store.read() as connection:
        rows = connection.execute(statement).mappings().all()
        first = (
            select(_outcome.run_id, _outcome.position, func.max(_outcome.outcome).label("outcome"))
            .where(_outcome.run_id.in_([row["id"] for row in rows]))
            .group_by(_outcome.run_id, _outcome.position)
            .subquery()
        )
        counted = (
            select(_target.run_id, func.coalesce(first.c.outcome, "").label("outcome"), func.count())
            .select_from(
                schema.targets.outerjoin(
                    first, and_(first.c.run_id == _target.run_id, first.c.position == _target.position)
                )
            )
            .where(_target.run_id.in_([row["id"] for row in rows]))
            .group_by(_target.run_id, "outcome")
        )
        counts: dict[str, dict[str, int]] = {}
        for run, outcome, count in connection.execute(counted):
            counts.setdefault(run, {})[outcome] = count
    return tuple(
        StoredRun(
            row["id"],
            row["created_at"],
            row["ended_at"] or "",
            row["engine"],
            row["shards"],
            json.loads(row["document"]),
            counts.get(row["id"], {}),
        )
        for row in rows
    )


def targets_of(store: Store, run: str, shard: int | None = None) -> tuple[StoredTarget, ...]:
    """The clusters of a run, or of one shard of it, in order. Raises StoreError."""
    if (
        store.objects is not None
        and (known := fleetobjects.targets_of(store.objects, run, shard)) is not None
    ):
        return known
    done = (
        select(func.count())
        .where(_outcome.run_id == _target.run_id, _outcome.position == _target.position)
        .correlate(schema.targets)
        .scalar_subquery()
    )
    statement = select(schema.targets, done.label("done")).where(_target.run_id == run)
    if shard is not None:
        statement = statement.where(_target.shard == shard)
    with store.read() as connection:
        rows = connection.execute(statement.order_by(_target.position)).mappings().all()
    return tuple(
        StoredTarget(
            row["position"],
            row["shard"],
            row["name"],
            row["ref"],
            json.loads(row["labels"]) if row["labels"] else {},
            row["attempts"],
            bool(row["done"]),
            row["returned"],
            row["forgiven"],
        )
        for row in rows
    )


def shards_of(store: Store, run: str) -> dict[str, int]:
    """How many shards of a run are `waiting` (a cluster has no outcome), `failed` (no worker came to one) and `done`.

    Raises StoreError.
    """
    first = (
        select(_outcome.position, func.max(case((_outcome.outcome == _NOBODY, 1), else_=0)).label("missed"))
        .where(_outcome.run_id == run)
        .group_by(_outcome.position)
        .subquery()
    )
    statement = (
        select(func.count(), func.count(first.c.position), func.coalesce(func.max(first.c.missed), 0))
        .select_from(schema.targets.outerjoin(first, first.c.position == _target.position))
        .where(_target.run_id == run)
        .group_by(_target.shard)
    )
    counts = {"waiting": 0, "failed": 0, "done": 0}
    with store.read() as connection:
        for clusters, concluded, missed in connection.execute(statement):
            counts["waiting" if concluded < clusters else "failed" if missed else "done"] += 1
    return counts


def settle(
    store: Store,
    run: str,
    position: int,
    asked: Iterable[Asked],
    outcome: Outcome,
    *,
    reason: str = "",
    seconds: float = 0.0,
) -> bool:
    """Say what became of a cluster of which there is no result; False where that is known already.

    Raises StoreError.
    """
    rows = outcome_rows(run, position, asked, outcome, reason, seconds)
    if store.objects is not None:
        return store.objects.say(run, position, fleetobjects.outcome(rows))
    return store.write(lambda connection: say_outcome(connection, rows) > 0)


def commit(
    store: Store,
    run: str,
    position: int,
    asked: Sequence[Asked],
    result: ScanResult,
    document: bytes,
    *,
    outcome: Outcome = Outcome.SCANNED,
    reason: str = "",
    place: str = "",
    seconds: float = 0.0,
    day: str = "",
    attempt: int = 0,
    attempts: int = 0,
) -> bool:
    """Store the result of a cluster with its outcome: the report first, then all rows in one transaction.

    outcome: one that is an error has a result of errors, where a worker could make it
    day: on which the run began; attempt: as for `report_name`; attempts: how many there were, of which no other report
    is left

    False where the outcome of this cluster is known already: nothing is added then. Raises StoreError.
    """
    name = report_name(run, day or stamp()[:10], position, attempt)
    several = bool(place) and not attempt
    upload = prepare(store, result, document, "" if several else place, run, name)
    rows = outcome_rows(run, position, asked, outcome, reason, seconds)
    if several:  # two workers may have a report of errors: the outcome names what is there
        upload.part["report"], upload.part["report_sha256"] = objects.put_once(place, name, document)
    if store.objects is not None:
        is_new = fleetobjects.commit(store.objects, run, position, rows, upload)
    else:
        is_new = store.write(lambda connection: commit_rows(connection, upload, rows))
    if not is_new and store.objects is None and (report := upload.part["report"]):
        with store.read() as connection:
            known = connection.execute(
                select(schema.parts.c.id).where(schema.parts.c.report == report)
            ).first()
        if known is None:  # this one came too late
            with contextlib.suppress(StoreError):
                objects.delete(report)
    if is_new:
        sweep(place, run, day or stamp()[:10], position, attempts, attempt)
    return is_new


def commit_rows(connection: Connection, upload: Upload, rows: Sequence[dict[str, Any]]) -> bool:
    """An outcome with its result; False where it is known already: nothing is added then."""
    if say_outcome(connection, rows) < len(rows):
        return False
    for cluster, key in zip(upload.clusters, add(connection, upload).keys, strict=True):
        mine = and_(
            _outcome.run_id == rows[0]["run_id"],
            _outcome.position == rows[0]["position"],
            _outcome.spec == plain_text(cluster.spec_name),
        )
        connection.execute(update(schema.outcomes).where(mine).values(result_id=key))
    return True


def end(store: Store, run: str) -> None:
    """Every cluster has an outcome; the first time counts. Raises StoreError."""
    if store.objects is not None:
        return  # that every cluster has one says it
    now = stamp()
    unended = and_(_run.id == run, _run.ended_at.is_(None))

    def work(connection: Connection) -> None:
        connection.execute(update(schema.fleet_runs).where(unended).values(ended_at=now))
        later = and_(schema.runs.c.id == run, schema.runs.c.finished_at < now)
        connection.execute(update(schema.runs).where(later).values(finished_at=now))

    store.write(work)


def outcome_rows(
    run: str,
    position: int,
    asked: Iterable[Asked],
    outcome: Outcome,
    reason: str = "",
    seconds: float = 0.0,
) -> list[dict[str, Any]]:
    """One for each specification."""
    now = stamp()
    return [
        {
            "run_id": run,
            "position": position,
            "spec": plain_text(one.name),
            "spec_sha256": one.sha256,
            "outcome": outcome.value,
            "reason": plain_text(" ".join(reason.split())[:LONGEST_REASON]),
            "at": now,
            "seconds": round(seconds, 3),
        }
        for one in asked
    ]


def say_outcome(connection: Connection, rows: Sequence[dict[str, Any]]) -> int:
    """Write them down, the first time; how many are new."""
    new = insert_into(connection, schema.outcomes).on_conflict_do_nothing().returning(_outcome.spec)
    return sum(connection.execute(new, row).scalar() is not None for row in rows)
