"""An open store: connections, transactions that are repeated where the database asks for it, errors without secrets.

What `write` returns from is committed: to SQLite's log with every byte on the disk, or as PostgreSQL acknowledged it.
"""

from __future__ import annotations

import contextlib
import os
import random
import sqlite3
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from sqlalchemy import Connection, Engine, create_engine, event
from sqlalchemy.exc import DBAPIError, SQLAlchemyError
from sqlalchemy.pool import NullPool

from pytest_kspec.errors import NoStore, StoreError
from pytest_kspec.files import refuse_link
from pytest_kspec.storage.address import Address, parse_address
from pytest_kspec.storage.migrate import is_current, revision, upgrade
from pytest_kspec.storage.schema import VERSION_TABLE

if TYPE_CHECKING:
    from pytest_kspec.storage.objectruns import ObjectRuns

BUSY_S = 30.0
"""How long a writer waits for another one, and a connection for its server."""
_AGAIN = frozenset({"40001", "40P01"})  # serialization failure, deadlock: the same once more is right
_READS = "kspec_reads"
opened: deque[Address] = deque(maxlen=8)
"""Of this command, the last ones: where to look for the cause when a command fails for no known reason (`cells`)."""
T = TypeVar("T")


class Store:
    """A store that is up to date. Made by `open_store`; thread-safe, and one may be open in any number of processes."""

    def __init__(self, address: Address, engine: Engine) -> None:
        self.address = address
        self._engine = engine
        self.before_write: Callable[[Connection], object] | None = None
        """What each transaction of `write` begins with; it raises StoreError if nothing may be written."""
        self.objects: ObjectRuns | None = None
        """Where runs over fleets are kept, if that is not in tables."""
        self._together = threading.local()

    def write(self, work: Callable[[Connection], T]) -> T:
        """Run `work` in a transaction, again where the database asks for it; committed when this returns.

        Raises StoreError.
        """
        deadline = time.monotonic() + BUSY_S
        while True:
            try:
                with self._engine.begin() as connection:
                    if self.before_write is not None:
                        self.before_write(connection)
                    return work(connection)
            except DBAPIError as error:
                if not _may_succeed(error) or time.monotonic() > deadline:
                    raise _store_error(error, self.address) from error
                time.sleep(random.uniform(0.01, 0.1))
            except SQLAlchemyError as error:
                raise _store_error(error, self.address) from error

    def rehearse(self, work: Callable[[Connection], T]) -> T:
        """What `work` returns; nothing that it changes is kept. Raises StoreError."""

        def undone(connection: Connection) -> T:
            with connection.begin_nested() as changes:
                done = work(connection)
                changes.rollback()
                return done

        return self.write(undone)

    @contextmanager
    def read(self) -> Iterator[Connection]:
        """A connection that sees one state of the store. Raises StoreError."""
        shared: Connection | None = getattr(self._together, "connection", None)
        if shared is not None:
            yield shared
            return
        try:
            with self._engine.connect().execution_options(**{_READS: True}) as connection:
                yield connection
        except SQLAlchemyError as error:
            raise _store_error(error, self.address) from error

    @contextmanager
    def together(self) -> Iterator[None]:
        """All that this thread reads within is of one state of the store, and one connection. Raises StoreError."""
        options: dict[str, Any] = {_READS: True}
        if self.address.kind == "postgresql":
            options["isolation_level"] = "REPEATABLE READ"
        try:
            with self._engine.connect().execution_options(**options) as connection:
                self._together.connection = connection
                try:
                    yield
                finally:
                    self._together.connection = None
        except SQLAlchemyError as error:
            raise _store_error(error, self.address) from error

    def look_again(self) -> None:
        """What was written by others is seen from now on; always so where a database is read."""

    def close(self) -> None:
        """Give back connections."""
        self._engine.dispose()


def open_store(url: str, *, option: str = "--kspec-store", create: bool = False) -> Store:
    """Open a store, and bring it up to date.

    create: make SQLite's file, and tables in an empty database; without it they must be there, since what reads would
    take an empty store for a fleet without clusters. Raises UsageError (the address), StoreError, NoStore.
    """
    return open_address(parse_address(url, option=option), create=create)


def open_address(address: Address, *, create: bool = False) -> Store:
    """The same of an address that was read. Raises StoreError, NoStore."""
    if create and address.kind == "sqlite":
        _make_file(address)
    store = Store(address, _engine(address, empty=create))
    try:
        with store.read() as connection:
            if not create and not revision(connection):
                raise _no_store("the database has no tables of kspec.", address)
            current = is_current(connection, address.shown)
        if not current:
            store.write(lambda connection: upgrade(connection, address.shown))
    except BaseException:
        store.close()
        raise
    opened.append(address)
    return store


def _make_file(address: Address) -> None:
    """An empty file where there is none. Raises StoreError."""
    try:
        refuse_link(Path(address.path))
        os.makedirs(os.path.dirname(address.path) or ".", mode=0o700, exist_ok=True)
        # SQLite gives its journals the permissions of the file.
        with contextlib.suppress(FileExistsError):
            os.close(os.open(address.path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600))
    except OSError as error:
        raise StoreError(f"cannot be opened: {error.strerror}.", where=address.shown) from error


def _no_store(what: str, address: Address) -> NoStore:
    return NoStore(
        what,
        where=address.shown,
        fix="Check the address. 'kspec scan SPEC --store URL' or 'kspec fleet scan' creates a store.",
    )


def _engine(address: Address, *, empty: bool = False) -> Engine:
    """empty: SQLite's file may be empty."""
    if address.kind == "sqlite":
        path = Path(address.path).absolute()
        engine = create_engine(
            "sqlite://", poolclass=NullPool, hide_parameters=True, creator=lambda: _open_file(path, address)
        )
        event.listen(engine, "connect", lambda connection, _: _prepare_sqlite(connection, address, empty))
        event.listen(engine, "begin", _begin_sqlite)
        return engine
    timeout = {"connect_timeout": int(BUSY_S)}
    return create_engine(address.url, poolclass=NullPool, hide_parameters=True, connect_args=timeout)


def _open_file(path: Path, address: Address) -> sqlite3.Connection:
    """The file as it is: SQLite by itself would make an empty one in the place of a file that is gone."""
    try:
        refuse_link(path)
        if not path.exists():
            raise _no_store("the store does not exist.", address)
        if not path.is_file():
            raise StoreError("it is not a file.", where=address.shown)
    except OSError as error:
        raise StoreError(f"cannot be opened: {error.strerror}.", where=address.shown) from error
    return sqlite3.connect(f"{path.as_uri()}?mode=rw", uri=True, timeout=BUSY_S, check_same_thread=False)


def _prepare_sqlite(connection: sqlite3.Connection, address: Address, empty: bool) -> None:
    """One file and its log; a commit is on the disk when it returns. Python's own transactions are off.

    What is not a store is left as it is. Raises StoreError.
    """
    connection.isolation_level = None
    cursor = connection.cursor()
    try:
        tables = {name for (name,) in cursor.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
        if tables and VERSION_TABLE not in tables:
            raise _no_store("it is a database of another program, not a store of kspec.", address)
        if not tables and not empty:
            raise _no_store("the file is empty, not a store of kspec.", address)
        deadline = time.monotonic() + BUSY_S
        # Changing the mode does not wait for other connections as statements do.
        while cursor.execute("PRAGMA journal_mode").fetchone()[0] != "wal":
            try:
                cursor.execute("PRAGMA journal_mode = WAL")
            except sqlite3.OperationalError:
                if time.monotonic() > deadline:
                    raise
                time.sleep(0.02)
        cursor.execute("PRAGMA synchronous = FULL")
        cursor.execute("PRAGMA foreign_keys = ON")
    finally:
        cursor.close()


def _begin_sqlite(connection: Connection) -> None:
    """A writer takes the lock at once: one that reads first, and writes later, could not wait for another."""
    reads = connection.get_execution_options().get(_READS)
    connection.exec_driver_sql("BEGIN" if reads else "BEGIN IMMEDIATE")


def _may_succeed(error: DBAPIError) -> bool:
    return getattr(error.orig, "sqlstate", None) in _AGAIN


def _store_error(error: SQLAlchemyError, address: Address) -> StoreError:
    cause = error.orig if isinstance(error, DBAPIError) and error.orig is not None else error
    text = " ".join(address.redact(str(cause)).split()) or type(cause).__name__
    fix = "Check that the server is reachable and that this user may write to it."
    if address.kind == "sqlite":
        fix = "Check that it is a kspec store and that you may write to it and its folder."
    elif any(word in text for word in ("SSL", "certificate", "sslmode", "sslroot")):
        fix = (
            "Add ?sslrootcert=FILE with the authority of the server; without TLS ?sslmode=disable is needed."
        )
    return StoreError(f"{text.rstrip('.')}.", where=address.shown, fix=fix)
