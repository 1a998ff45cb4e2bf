"""Objects of the last good run of a DriftConfig or a command: one recording for each, which a newer one replaces."""

from __future__ import annotations

from dataclasses import dataclass, field

from sqlalchemy import Connection, delete, select, update

from pytest_kspec.cluster.limits import MIB, size
from pytest_kspec.errors import StoreError
from pytest_kspec.storage import schema
from pytest_kspec.storage.engine import Store
from pytest_kspec.storage.schema import plain_text
from pytest_kspec.storage.write import insert_into

LARGEST = 8 * MIB
"""Bytes of an archive that are kept."""


@dataclass(frozen=True, slots=True)
class Recording:
    """kinds: digest of those that are recorded; recorded_at: RFC 3339; content: an archive of `kspec snapshot`."""

    kinds: str
    tool_version: str
    recorded_at: str
    content: bytes = field(repr=False)


def keep(store: Store, cluster_id: str, owner: str, made: Recording) -> bool:
    """Keep it in the place of the one before, unless that is newer: then not, and False.

    Raises StoreError, also for what is too large.
    """
    if len(made.content) > LARGEST:
        raise StoreError(
            f"the recorded objects take {size(len(made.content))}, and at most {size(LARGEST)} are kept.",
            where=store.address.shown,
            fix="Name fewer kinds.",
        )
    values = {
        "kinds": made.kinds,
        "tool_version": plain_text(made.tool_version),
        "recorded_at": made.recorded_at,
        "used_at": made.recorded_at,
        "content": made.content,
    }

    def work(connection: Connection) -> bool:
        statement = insert_into(connection, schema.recordings)
        done = connection.execute(
            statement.on_conflict_do_update(
                index_elements=["cluster_id", "owner"],
                set_={name: statement.excluded[name] for name in values},
                where=statement.excluded.recorded_at >= schema.recordings.c.recorded_at,
            ),
            {"cluster_id": plain_text(cluster_id), "owner": plain_text(owner), **values},
        )
        return bool(done.rowcount)

    return store.write(work)


def find(store: Store, cluster_id: str, owner: str, at: str) -> Recording | None:
    """The one that is kept; it is used `at` (RFC 3339), which is written down once a day. Raises StoreError."""
    table = schema.recordings.c
    mine = (table.cluster_id == plain_text(cluster_id), table.owner == plain_text(owner))
    with store.read() as connection:
        row = connection.execute(select(schema.recordings).where(*mine)).first()
    if row is None:
        return None
    if row.used_at[:10] < at[:10]:
        later = update(schema.recordings).where(*mine, table.used_at < at).values(used_at=at)
        store.write(lambda connection: connection.execute(later))
    return Recording(row.kinds, row.tool_version, row.recorded_at, bytes(row.content))


def forget(connection: Connection, before: str) -> None:
    """What was not compared with since this time goes."""
    connection.execute(delete(schema.recordings).where(schema.recordings.c.used_at < before))
