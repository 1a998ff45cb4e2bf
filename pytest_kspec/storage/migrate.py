"""Brings a store up to date when it is opened: one transaction under a lock, so that a kill leaves the old one."""

from __future__ import annotations

from pathlib import Path

from sqlalchemy import Connection, column, inspect, select, table, text

from pytest_kspec.errors import NewerStore
from pytest_kspec.storage.schema import HEAD, REVISIONS, VERSION_TABLE

_LOCK = 0x6B737065  # "kspe", a key of PostgreSQL's advisory locks
_MIGRATIONS = Path(__file__).with_name("migrations")


def revision(connection: Connection) -> str:
    """The revision of a store, or "" for one that has none of our tables."""
    if not inspect(connection).has_table(VERSION_TABLE):
        return ""
    return connection.execute(select(column("version_num")).select_from(table(VERSION_TABLE))).scalar() or ""


def is_current(connection: Connection, where: str) -> bool:
    """Raises NewerStore, StoreError."""
    found = revision(connection)
    if found and found not in REVISIONS:
        raise NewerStore(
            f"the store has revision {found}, which this version does not know.",
            where=where,
            fix="Use the version of pytest-kspec that wrote it, or a newer one.",
        )
    return found == HEAD


def upgrade(connection: Connection, where: str, target: str = HEAD) -> None:
    """Upgrade inside the caller's transaction, which holds SQLite's write lock; PostgreSQL's is taken here."""
    if connection.dialect.name == "postgresql":
        connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": _LOCK})
    if is_current(connection, where):
        return  # another process did it while this one waited
    from alembic import command
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", str(_MIGRATIONS).replace("%", "%%"))
    config.set_main_option("path_separator", "os")
    config.attributes["connection"] = connection
    command.upgrade(config, target)
