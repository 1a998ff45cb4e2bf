"""Drift over time: each difference once, from when it was first seen until a look no longer found it."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, delete, func, or_, select, update

from pytest_kspec.errors import StoreError
from pytest_kspec.storage import schema
from pytest_kspec.storage.engine import Store
from pytest_kspec.storage.read import ALL, Query
from pytest_kspec.storage.schema import plain_text
from pytest_kspec.storage.write import insert_into

_IDS = 500
_OPEN = schema.drift.c.cleared_at.is_(None)


@dataclass(frozen=True, slots=True)
class Difference:
    """What is stored of one. key: what makes it the same at the next look; event: plain data, as JSON shows it."""

    key: str
    type: str
    severity: str
    event: Mapping[str, Any]

    @property
    def digest(self) -> str:
        """The key, in one length."""
        return digest_of(self.key)


@dataclass(frozen=True, slots=True)
class StoredDrift:
    """A difference over time. Times are RFC 3339; cleared_at: "" while it is there."""

    cluster: str
    cluster_id: str
    spec: str
    first_seen: str
    last_seen: str
    cleared_at: str
    event: Mapping[str, Any]


def digest_of(key: str) -> str:
    """A key of any length in one length, as the store has it."""
    return hashlib.sha256(key.encode("utf-8", "surrogatepass")).hexdigest()[:32]


def record(
    store: Store,
    cluster_id: str,
    cluster: str,
    spec: str,
    at: str,
    differences: Sequence[Difference],
    compared: Collection[str],
    still: Collection[str] = (),
) -> int:
    """Store what a look found; how many differences are new.

    compared: types that were compared in whole: what of them is not found any more is cleared
    still:    keys of what is there, though it is not found to differ: it is not cleared
    Raises StoreError.
    """
    place = plain_text(cluster_id), plain_text(spec)
    found = {one.digest: one for one in differences}

    def work(connection: Connection) -> int:
        table = schema.drift.c
        mine = (table.cluster_id == place[0], table.spec == place[1], _OPEN)
        there = {digest_of(key) for key in still}
        known = set(connection.execute(select(table.key).where(*mine)).scalars())
        open_rows = connection.execute(
            select(table.id, table.key).where(*mine, table.type.in_(compared), table.last_seen <= at)
        ).all()
        gone = [row.id for row in open_rows if row.key not in found and row.key not in there]
        for start in range(0, len(gone), _IDS):
            some = gone[start : start + _IDS]
            connection.execute(update(schema.drift).where(table.id.in_(some)).values(cleared_at=at))
        for digest, one in sorted(found.items()):
            row = {
                "cluster_id": place[0],
                "cluster": plain_text(cluster),
                "spec": place[1],
                "key": digest,
                "type": one.type,
                "severity": one.severity,
                "first_seen": at,
                "last_seen": at,
                "event": plain_text(json.dumps(one.event)),
            }
            statement = insert_into(connection, schema.drift)
            new = statement.excluded
            later = {name: new[name] for name in ("cluster", "severity", "last_seen", "event")}
            connection.execute(
                statement.on_conflict_do_update(
                    index_elements=["cluster_id", "spec", "key"],
                    index_where=_OPEN,
                    set_=later,
                    where=new.last_seen >= table.last_seen,
                ),
                row,
            )
        return len(found.keys() - known)

    return store.write(work)


def open_keys(store: Store, cluster_id: str, spec: str, type: str) -> frozenset[str]:
    """Digests (`Difference.digest`) of the differences of this type that are there. Raises StoreError."""
    table = schema.drift.c
    mine = (table.cluster_id == plain_text(cluster_id), table.spec == plain_text(spec), table.type == type)
    with store.read() as connection:
        return frozenset(connection.execute(select(table.key).where(*mine, _OPEN)).scalars())


def history(store: Store, query: Query = ALL) -> tuple[StoredDrift, ...]:
    """Differences that were there at `since` or later, oldest first. Raises StoreError."""
    table = schema.drift.c
    statement = select(schema.drift).order_by(table.first_seen, table.id)
    if query.cluster:
        statement = statement.where(or_(table.cluster == query.cluster, table.cluster_id == query.cluster))
    if query.spec:
        statement = statement.where(table.spec == query.spec)
    if query.since:
        ended = func.coalesce(table.cleared_at, table.last_seen)
        statement = statement.where(or_(_OPEN, ended >= query.since))
    with store.read() as connection:
        return tuple(
            StoredDrift(
                cluster=row["cluster"],
                cluster_id=row["cluster_id"],
                spec=row["spec"],
                first_seen=row["first_seen"],
                last_seen=row["last_seen"],
                cleared_at=row["cleared_at"] or "",
                event=event_of(row["event"], store),
            )
            for row in connection.execute(statement).mappings()
        )


def event_of(text: str, store: Store) -> Mapping[str, Any]:
    """A stored difference. Raises StoreError for what this did not write."""
    try:
        found = json.loads(text)
    except (ValueError, TypeError, RecursionError):
        found = None
    if not isinstance(found, dict):
        raise StoreError("a difference in it cannot be read.", where=store.address.shown)
    return found


def corrections(store: Store, cluster_id: str, spec: str, since: str) -> Mapping[str, int]:
    """Object → how often it was corrected at `since` or later. Raises StoreError."""
    table = schema.drift_corrections.c
    mine = (table.cluster_id == cluster_id, table.spec == spec, table.corrected_at >= since)
    with store.read() as connection:
        return Counter(connection.execute(select(table.object).where(*mine)).scalars())


def note_correction(store: Store, cluster_id: str, spec: str, name: str, at: str) -> None:
    """Remember a correction. Raises StoreError."""
    row = {
        "cluster_id": plain_text(cluster_id),
        "spec": plain_text(spec),
        "object": plain_text(name),
        "corrected_at": at,
    }
    store.write(lambda connection: connection.execute(schema.drift_corrections.insert(), row))


def forget(connection: Connection, before: str) -> None:
    """What was cleared, or corrected, before this time goes."""
    table, corrected = schema.drift.c, schema.drift_corrections.c
    connection.execute(delete(schema.drift).where(table.cleared_at < before))
    connection.execute(delete(schema.drift_corrections).where(corrected.corrected_at < before))


@dataclass(frozen=True, slots=True)
class LastRun:
    """The newest result of a specification on a cluster.

    checks:   id of a requirement → (whether it was evaluated, why not)
    findings: fingerprints of all that it found, exempted ones too
    """

    run: str
    finished_at: str
    tool_version: str
    spec_version: str
    checks: Mapping[str, tuple[bool, str]]
    findings: frozenset[str]


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which run a later one is compared with: the newest, or the newest until a time, else the first after it.

    Of these versions, begun after `since` and ended before `before`. Times are RFC 3339, whole seconds.
    """

    until: str
    since: str
    before: str
    tool_version: str
    spec_version: str


def last_run(store: Store, cluster_id: str, spec: str, wanted: Wanted | None = None) -> LastRun | None:
    """None where the store has no whole result of it, or none that is wanted. Raises StoreError.

    A partial one is never compared with: what it left out would be new.
    """
    result, subject, run, check = (
        schema.results.c,
        schema.subjects.c,
        schema.runs.c,
        schema.checks.c,
    )
    joined = schema.results.join(schema.subjects, result.subject_id == subject.id).join(
        schema.runs, result.run_id == run.id
    )
    several = (
        select(result.id, result.run_id, result.finished_at, result.spec_version, run.tool_version)
        .select_from(joined)
        .where(subject.cluster_id == plain_text(cluster_id), subject.spec == plain_text(spec))
        .where(result.left_out == 0)
    )
    latest = (result.finished_at.desc(), result.id.desc())
    if wanted is None:
        choices = [several.order_by(*latest)]
    else:
        several = several.where(
            run.tool_version == wanted.tool_version,
            result.spec_version == plain_text(wanted.spec_version),
            run.started_at > wanted.since,
            result.finished_at < wanted.before,
        )
        newest = several.where(result.finished_at <= wanted.until).order_by(*latest)
        choices = [newest, several.order_by(result.finished_at, result.id)]
    with store.read() as connection:
        rows = (connection.execute(one.limit(1)).first() for one in choices)
        row = next((one for one in rows if one is not None), None)
        if row is None:
            return None
        checks = connection.execute(
            select(check.check_id, check.evaluated, check.reason).where(check.result_id == row.id)
        ).all()
        found = schema.observations.join(
            schema.findings, schema.observations.c.finding_id == schema.findings.c.id
        )
        fingerprints = connection.execute(
            select(schema.findings.c.fingerprint)
            .select_from(found)
            .where(schema.observations.c.result_id == row.id)
        ).scalars()
        return LastRun(
            run=row.run_id,
            finished_at=row.finished_at,
            tool_version=row.tool_version,
            spec_version=row.spec_version,
            checks={one.check_id: (one.evaluated, one.reason) for one in checks},
            findings=frozenset(fingerprints),
        )
