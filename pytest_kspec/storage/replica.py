"""A store in S3: runs over fleets as objects, and all that is over as an SQLite database that is an object, too.

    PLACE/runs/…        what workers write (`objectruns`)      PLACE/reports/…   full reports
    PLACE/rows/NUMBER   the database, each version once; the newest counts

Whoever reads makes the rows of runs that ended since, by the code that writes them into other stores, and keeps the
database as its next version. Of two who do that at once one is told that there is such a version, and begins again.
"""

from __future__ import annotations

import contextlib
import os
import re
import sqlite3
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

from msgspec import structs
from sqlalchemy import Connection, select, update

from pytest_kspec.errors import DamagedObject, KspecError, NoStore, StoreError, UsageError
from pytest_kspec.results.result import ScanResult
from pytest_kspec.storage import fleet, objectforms, objects, schema
from pytest_kspec.storage.address import Address
from pytest_kspec.storage.engine import Store, open_address
from pytest_kspec.storage.fleetobjects import targets_in
from pytest_kspec.storage.objectruns import ObjectRuns, State
from pytest_kspec.storage.write import Upload, prepare

_ROWS = "rows"
_VERSION = re.compile(rf"{_ROWS}/[0-9]{{12}}")
_KEPT_S = 3600.0
"""Older versions that were replaced go; no sooner, so that nobody who began with one makes its successor anew."""
_LONGEST_S = 1800.0
_LARGEST = 4 << 30
_AT_ONCE = 8
_TRIES = 20
T = TypeVar("T")
Parse = Callable[[bytes, str], ScanResult]
"""A full report, and where it is for errors, to a result."""


class ReplicaStore(Store):
    """Asks for nothing before something is read or written. Workers of a run need no row, and read none."""

    objects: ObjectRuns

    def __init__(self, address: Address, parse: Parse, *, create: bool) -> None:
        self.address = address
        self.before_write = None
        self.objects = ObjectRuns(address.url)
        self._parse, self._create = parse, create
        self._together = threading.local()
        self._folder: tempfile.TemporaryDirectory[str] | None = None
        self._view: Store | None = None

    def look_again(self) -> None:
        """What was written by others is seen from now on."""
        if self._view is not None:
            self._view.close()
            self._view = None

    def close(self) -> None:
        """Remove what was copied."""
        self.look_again()
        if self._folder is not None:
            self._folder.cleanup()
            self._folder = None

    @contextmanager
    def read(self) -> Iterator[Connection]:
        """A connection that sees one state of the store. Raises StoreError."""
        with self._viewed().read() as connection:
            yield connection

    @contextmanager
    def together(self) -> Iterator[None]:
        """All that this thread reads within is of one state of the store. Raises StoreError."""
        with self._viewed().together():
            yield

    def write(self, work: Callable[[Connection], T]) -> T:
        """Run `work` on the newest version, and keep the next one; again where somebody else did. Raises StoreError."""
        self.look_again()
        for _ in range(_TRIES):
            began = time.monotonic()
            number, path = self._newest()
            with contextlib.closing(_open(path)) as store:
                done = store.write(work)
            if self._keep(number + 1, path, began):
                return done
        raise self._never(f"other processes changed this store during each of {_TRIES} attempts.")

    def rehearse(self, work: Callable[[Connection], T]) -> T:
        """What `work` returns for all runs, also those that have not ended; nothing is kept. Raises StoreError."""
        self.look_again()
        return self._viewed().rehearse(work)

    # -- inside --------------------------------------------------------------------------------------------

    def _never(self, what: str) -> StoreError:
        return StoreError(what, where=self.address.shown, fix="Try again later.")

    def _viewed(self) -> Store:
        if self._view is None:
            self._view = self._look()
        return self._view

    def _look(self) -> Store:
        """The newest version, with the rows of runs that ended since, and of runs that have not ended."""
        for _ in range(_TRIES):
            began = time.monotonic()
            number, path = self._newest()
            store = _open(path)
            try:
                ended, others = self._unknown(store)
                whole = [one for one in ended if self._is_folded(store, *one)]
                others += [one for one in ended if one not in whole and self.objects.head(one[0]) is not None]
                if whole:
                    with contextlib.suppress(
                        UsageError, StoreError
                    ):  # who may only read sees it all nevertheless
                        if not self._keep(number + 1, path, began):
                            store.close()
                            continue
                for run, state in others:
                    self._fold(store, run, state)
            except BaseException:
                store.close()
                raise
            return store
        raise self._never(f"other processes changed this store during each of {_TRIES} attempts.")

    def _newest(self) -> tuple[int, Path]:
        """The newest version in a file, with its number; an empty database for 0. Raises StoreError, NoStore."""
        journal = self.objects.journal
        content = None
        for _ in range(_TRIES):
            names = list(filter(_VERSION.fullmatch, journal.names(f"{_ROWS}/")))
            if not names:
                break
            content = journal.read_bytes(names[-1], _LARGEST)
            if content is not None:  # else it was replaced by newer ones since
                break
        else:
            raise self._never(f"the database was replaced during each of {_TRIES} attempts to read it.")
        path = self._file()
        if content is None:
            if not self._create and not self.objects.ids():
                raise NoStore(
                    "there is no store of kspec at this place.",
                    where=self.address.shown,
                    fix="Check the address. 'kspec fleet scan' creates a store.",
                )
            open_address(_address(path, self.address), create=True).close()
            return 0, path
        where = f"{self.address.shown}/{names[-1]}"
        _unpack(content, names[-1], where, path)
        return int(names[-1].rpartition("/")[2]), path

    def _file(self) -> Path:
        try:
            if self._folder is None:
                self._folder = tempfile.TemporaryDirectory(prefix="kspec-store-")
            handle, name = tempfile.mkstemp(dir=self._folder.name, suffix=".db")
            os.close(handle)
            Path(name).unlink()
        except OSError as error:
            raise _no_copy(error, str(error.filename or self.address.shown)) from error
        return Path(name)

    def _keep(self, number: int, path: Path, began: float) -> bool:
        """Keep the database as this version; False where there is one already, or may have been.

        began: when the one before was read. Raises StoreError, UsageError.
        """
        name = f"{_ROWS}/{number:012}"
        content = objects.pack(_content(path), name, 1)
        journal = self.objects.journal
        journal.prove()
        if time.monotonic() - began > _LONGEST_S or not journal.create_bytes(name, content):
            return False
        with contextlib.suppress(StoreError):
            journal.delete_older(f"{_ROWS}/", _KEPT_S)
        return True

    def _unknown(self, store: Store) -> tuple[list[tuple[str, State]], list[tuple[str, State]]]:
        """Runs without rows: those that ended, in the order in which they began, and the others."""
        with store.read() as connection:
            known = set(connection.execute(select(schema.fleet_runs.c.id)).scalars())
        found = []
        for run in self.objects.ids():
            if run not in known and (state := self.objects.state(run)) is not None:
                found.append((run, state))
            elif run not in known and run in self.objects.ids():  # not pruned meanwhile
                raise StoreError(
                    "a run is damaged: the object 'run' is gone, and others are there.",
                    where=f"{self.address.shown}/runs/{run}",
                    fix="Restore it, or remove the others.",
                )
        found.sort(key=lambda one: (one[1].head["head"]["started_at"], one[0]))
        return [one for one in found if one[1].is_ended], [one for one in found if not one[1].is_ended]

    def _is_folded(self, store: Store, run: str, state: State) -> bool:
        """Make the rows of a run; False where its objects are damaged, which may be restored. Raises StoreError."""
        try:
            self._fold(store, run, state, strict=True)
        except DamagedObject:
            return False
        return True

    def _fold(self, store: Store, run: str, state: State, *, strict: bool = False) -> None:
        """Make the rows of a run. strict: DamagedObject where a cluster has failed otherwise. Raises StoreError."""
        said = self.objects.outcomes(run, state, strict=strict)
        order = sorted(said, key=lambda position: (said[position]["at"], position))
        head = dict(state.head["head"])
        targets = targets_in(state)

        def work(connection: Connection) -> None:
            expected = {one["name"]: one["expected"] for one in state.head["targets"] if one["expected"]}
            called = {one["position"]: one["name"] for one in state.head["targets"]}
            fleet.begin_rows(
                connection, head, state.head["engine"], state.head["document"], targets, expected
            )
            with ThreadPoolExecutor(_AT_ONCE) as pool:
                for start in range(0, len(order), _AT_ONCE):
                    some = [said[position] for position in order[start : start + _AT_ONCE]]
                    uploads = list(pool.map(lambda one: self._upload(store, run, one), some))
                    for position, one, upload in zip(order[start:], some, uploads, strict=False):
                        if not isinstance(upload, DamagedObject):
                            _say(connection, run, position, one, _named(upload, called[position]))
                        elif strict:
                            raise upload
                        else:
                            _say(connection, run, position, objectforms.lost(state.head, upload, one), None)
            ended = max((one["at"] for one in said.values()), default="")
            if state.is_ended:
                mine = schema.fleet_runs.c.id == run
                connection.execute(update(schema.fleet_runs).where(mine).values(ended_at=ended))

        store.write(work)

    def _upload(self, store: Store, run: str, one: dict[str, Any]) -> Upload | DamagedObject | None:
        """The result of an outcome, read, or why it cannot be; None where it has none. Raises StoreError."""
        if not one["report"]:
            return None
        try:
            document = objects.get(one["report"], one["sha256"])
        except DamagedObject as error:
            return error
        try:
            result = self._parse(document, one["report"])
        except KspecError as error:
            raise StoreError(error.what, where=one["report"], fix=error.fix) from error
        upload = prepare(store, result, document, "", run)
        upload.part.update(report=one["report"], report_sha256=one["sha256"])
        return upload


def _say(connection: Connection, run: str, position: int, one: dict[str, Any], upload: Upload | None) -> None:
    rows = [
        {
            "run_id": run,
            "position": position,
            "spec": spec,
            "spec_sha256": sha256,
            **{name: one[name] for name in ("outcome", "reason", "at", "seconds")},
        }
        for spec, sha256 in one["specs"]
    ]
    if upload is None:
        fleet.say_outcome(connection, rows)
    else:
        fleet.commit_rows(connection, upload, rows)
    if cluster := one.get("cluster"):
        mine = (schema.targets.c.run_id == run, schema.targets.c.position == position)
        connection.execute(update(schema.targets).where(*mine).values(cluster_id=cluster))


def _named(upload: Upload | None, name: str) -> Upload | None:
    """Under the name that the result has now."""
    if upload is None:
        return None
    return upload._replace(clusters=[structs.replace(one, name=name) for one in upload.clusters])


def _open(path: Path) -> Store:
    return open_address(_address(path, None))


def _address(path: Path, shown: Address | None) -> Address:
    return Address("sqlite", f"sqlite:///{path}", shown.shown if shown else str(path), str(path))


def _content(path: Path) -> bytes:
    """The whole database as its file: nothing of it is in the log any more. Raises StoreError."""
    try:
        with contextlib.closing(sqlite3.connect(path)) as connection:
            (is_left, *_) = connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
        if is_left:
            raise StoreError("the copy of the store is in use.", where=str(path))
        return path.read_bytes()
    except sqlite3.Error as error:
        raise StoreError(f"{error}.", where=str(path)) from error
    except OSError as error:
        raise _no_copy(error, str(path)) from error


def _unpack(content: bytes, name: str, where: str, path: Path) -> None:
    try:
        with path.open("wb") as out:
            out.writelines(objects.unpack(content, name, _LARGEST, where, "database"))
    except OSError as error:
        raise _no_copy(error, str(path)) from error


def _no_copy(error: OSError, where: str) -> StoreError:
    return StoreError(
        f"the store cannot be copied there: {error.strerror}.",
        where=where,
        fix="Set TMPDIR to a folder with room for it.",
    )
