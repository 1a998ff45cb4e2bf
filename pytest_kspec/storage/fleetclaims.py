"""Two names of one cluster in a run: it is scanned under one of them, and under the next where that fails."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from sqlalchemy import Connection, and_, delete, func, insert, or_, select, update

from pytest_kspec.errors import StoreError
from pytest_kspec.results.outcome import Outcome
from pytest_kspec.storage import fleetobjects, naming, objects, schema
from pytest_kspec.storage.engine import Store
from pytest_kspec.storage.fleet import outcome_rows, say_outcome
from pytest_kspec.storage.fleetrun import Asked, gave_way, preference, same_as
from pytest_kspec.storage.objectruns import ObjectRuns
from pytest_kspec.storage.settle import settle

_target, _outcome = schema.targets.c, schema.outcomes.c
_part, _result, _subject = schema.parts.c, schema.results.c, schema.subjects.c


class Claim(NamedTuple):
    """Who a cluster is scanned as. holder: the other name, "" where it is this one.

    waits: what becomes of it under the other name is not known yet, and is to be waited for in that name's shard
    """

    holder: str = ""
    waits: bool = False


def claim(store: Store, run: str, position: int, cluster_id: str, asked: Sequence[Asked]) -> Claim:
    """Say which cluster a target is. Raises StoreError.

    A second name is a duplicate once the first was scanned, or has its result where it is preferred. It takes its place
    where that failed: then the first is the duplicate, and its result of errors is removed, so that a cluster has one
    result. Until then the second moves to the shard of the first, whose worker comes to it last.
    """
    if store.objects is not None:
        return _claim_object(store.objects, run, position, cluster_id, asked)
    reports: list[str] = []

    def work(connection: Connection) -> Claim:
        del reports[:]
        mine = and_(_target.run_id == run, _target.position == position)
        holder = (
            select(_target.position, _target.name, _target.ref, _target.shard)
            .where(_target.run_id == run, _target.cluster_id == cluster_id)
            .with_for_update()  # no outcome of it comes between this look and what follows from it
        )
        found = connection.execute(holder).one_or_none()
        if found is not None and found.position != position:
            known = set(
                connection.execute(
                    select(_outcome.outcome).where(
                        _outcome.run_id == run, _outcome.position == found.position
                    )
                ).scalars()
            )
            if not known:
                connection.execute(update(schema.targets).where(mine).values(shard=found.shard))
                return Claim(found.name, waits=True)
            name, ref = connection.execute(select(_target.name, _target.ref).where(mine)).one()
            if not all(Outcome(one).is_error for one in known):
                reason = same_as(found.name)
                said = say_outcome(connection, outcome_rows(run, position, asked, Outcome.DUPLICATE, reason))
                if said and preference(name, ref) < preference(found.name, found.ref):
                    _exchange(connection, run, found.position, position, name, cluster_id)
                return Claim(found.name)
            reports.extend(_give_way(connection, run, found.position, name))
        connection.execute(update(schema.targets).where(mine).values(cluster_id=cluster_id))
        return Claim()

    try:
        claimed = store.write(work)
    except StoreError:
        # Another worker claimed it at the same moment: the constraint holds, and now there is a holder.
        claimed = store.write(work)
    for report in reports:
        with contextlib.suppress(StoreError):
            objects.delete(report)
    return claimed


def _claim_object(
    there: ObjectRuns, run: str, position: int, cluster_id: str, asked: Sequence[Asked]
) -> Claim:
    state = there.state(run)
    assert state is not None, "a worker has read it"
    held = there.hold(run, position, cluster_id, state)
    if held.holder == position:
        return Claim()
    name = str(state.head["targets"][held.holder]["name"])
    if not held.waits:
        rows = outcome_rows(run, position, asked, Outcome.DUPLICATE, same_as(name))
        there.say(run, position, fleetobjects.outcome(rows) | {"of": cluster_id})
    return Claim(name, held.waits)


def _exchange(connection: Connection, run: str, position: int, to: int, name: str, cluster_id: str) -> None:
    """The result is that of the other name, which is preferred, and the name that has it is the duplicate.

    position: that has the result; to, name: the other one
    """
    of = {at: and_(_outcome.run_id == run, _outcome.position == at) for at in (position, to)}
    duplicates = connection.execute(select(schema.outcomes).where(of[to])).mappings().all()
    found = connection.execute(select(schema.outcomes).where(of[position])).mappings().all()
    connection.execute(delete(schema.outcomes).where(or_(of[to], of[position])))
    rows = [dict(row) | {"position": to} for row in found]
    rows += [dict(row) | {"position": position, "reason": same_as(name)} for row in duplicates]
    connection.execute(insert(schema.outcomes), rows)
    for at, value in ((position, None), (to, cluster_id)):
        target = and_(_target.run_id == run, _target.position == at)
        connection.execute(update(schema.targets).where(target).values(cluster_id=value))
    keys = [row["result_id"] for row in found if row["result_id"] is not None]
    connection.execute(update(schema.results).where(_result.id.in_(keys)).values(name=name))
    for cluster, at in connection.execute(
        select(_subject.cluster_id, _result.finished_at)
        .join(schema.results, _result.subject_id == _subject.id)
        .where(_result.id.in_(keys))
    ).all():
        naming.name(connection, cluster, name, at)


def _give_way(connection: Connection, run: str, position: int, name: str) -> list[str]:
    """The scan under this name failed: it is a duplicate of `name` from now on. Full reports that are left over."""
    theirs = and_(_target.run_id == run, _target.position == position)
    connection.execute(update(schema.targets).where(theirs).values(cluster_id=None))
    outcomes = and_(_outcome.run_id == run, _outcome.position == position)
    rows = connection.execute(
        select(_outcome.spec, _outcome.reason, _outcome.result_id).where(outcomes)
    ).all()
    for row in rows:
        connection.execute(
            update(schema.outcomes)
            .where(outcomes, _outcome.spec == row.spec)
            .values(
                outcome=Outcome.DUPLICATE.value,
                reason=gave_way(name, row.reason),
                result_id=None,
            )
        )
    return _remove_results(connection, run, [row.result_id for row in rows if row.result_id is not None])


def _remove_results(connection: Connection, run: str, keys: Iterable[int]) -> list[str]:
    of_results = select(_result.part_id, _result.subject_id).where(_result.id.in_(list(keys)))
    found = connection.execute(of_results).all()
    uploads = and_(_part.run_id == run, _part.id.in_({row.part_id for row in found}))
    reports = list(connection.execute(select(_part.report).where(uploads, _part.report != "")).scalars())
    connection.execute(delete(schema.parts).where(uploads))
    for subject in sorted({row.subject_id for row in found}):
        newest = select(func.max(_result.finished_at)).where(_result.subject_id == subject)
        at = connection.execute(newest).scalar()
        this = _subject.id == subject
        if at is None:
            cluster = connection.execute(
                delete(schema.subjects).where(this).returning(_subject.cluster_id)
            ).scalar()
            others = select(_subject.id).where(_subject.cluster_id == cluster).exists()
            connection.execute(delete(schema.clusters).where(schema.clusters.c.id == cluster, ~others))
        else:
            connection.execute(update(schema.subjects).where(this).values(newest_at=at))
            settle(connection, subject, again=True)
    return reports
