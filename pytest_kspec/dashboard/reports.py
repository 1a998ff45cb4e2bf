"""ComplianceReports of a cluster as what pages read, where no store is given: a small store of them, made anew.

The pages have one kind of query. What a cluster keeps of results, some reports of each specification, fits into a
store of SQLite in a private folder, which is brought up to date before it is read, at most every REFRESH_S.
"""

from __future__ import annotations

import logging
import shutil
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import msgspec
from sqlalchemy import Connection, delete, update

from pytest_kspec.cluster.writing.access import Access
from pytest_kspec.crds.names import NAMESPACE
from pytest_kspec.crds.objects.compliancereport import API_VERSION, KIND
from pytest_kspec.crds.objects.reported import NotAReport, Reported, read
from pytest_kspec.errors import NotServed, SourceError, StoreError
from pytest_kspec.results.result import ScanResult
from pytest_kspec.shown import printable
from pytest_kspec.storage import schema, verdicts
from pytest_kspec.storage.engine import Store, open_store
from pytest_kspec.storage.prune import forget
from pytest_kspec.storage.write import store_result

log = logging.getLogger("kspec.dashboard")

REFRESH_S = 15.0
T = TypeVar("T")


class ReportsSource:
    """access: the cluster; namespace: of its reports. Thread-safe."""

    def __init__(
        self, access: Access, namespace: str = NAMESPACE, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._access, self._namespace, self._clock = access, namespace, clock
        self._lock = threading.Lock()
        self._begin()

    def _begin(self) -> None:
        self._folder = Path(tempfile.mkdtemp(prefix="kspec-dashboard-"))
        self._store: Store | None = None
        self._known: dict[str, str] = {}
        self._bad: set[str] = set()
        self._read_at: float | None = None

    @property
    def name(self) -> str:
        """For people."""
        return f"ComplianceReports in {self._namespace} of {self._access.name}"

    def read(self, ask: Callable[[Store], T]) -> T:
        """Ask it. Raises StoreError where the reports cannot be read."""
        return ask(self._current())

    def close(self) -> None:
        """Remove what was made."""
        if self._store is not None:
            self._store.close()
        shutil.rmtree(self._folder, ignore_errors=True)

    def _current(self) -> Store:
        with self._lock:
            path = self._folder / "reports.db"
            if self._store is not None and not path.exists():
                self.close()  # temporary folders are cleaned, and a server runs for months
                self._begin()
                path = self._folder / "reports.db"
            if self._store is None:
                self._store = open_store(str(path), create=True)
            if self._read_at is None or self._clock() - self._read_at >= REFRESH_S:
                self._refresh(self._store)
                self._read_at = self._clock()
            return self._store

    def _refresh(self, store: Store) -> None:
        """Raises StoreError. What could not be read leaves everything as it was, and is tried again."""
        try:
            found = self._access.do(lambda w: w.list(API_VERSION, KIND, namespace=self._namespace))
        except SourceError as error:
            fix = "Install the definitions: kspec crds | kubectl apply --server-side -f -"
            raise StoreError(
                f"the ComplianceReports of {self._access.name} could not be read: {error.what}",
                where=error.where,
                fix=fix if isinstance(error, NotServed) else error.fix,
            ) from error
        # Who serves those of the default namespace needs no right to read it.
        if not found and not self._known and self._namespace != NAMESPACE:
            self._check_namespace()
        # The oldest first: what is stored in order settles at once.
        there = {_key(one): one for one in found}
        gone = [run for key, run in self._known.items() if key not in there]
        if gone:

            def leave(connection: Connection) -> None:
                connection.execute(delete(schema.runs).where(schema.runs.c.id.in_(gone)))
                forget(connection)

            store.write(leave)
        self._known = {key: run for key, run in self._known.items() if key in there}
        self._bad &= set(there)
        for key, one in there.items():
            if key not in self._known and key not in self._bad:
                self._add(store, key, one)

    def _check_namespace(self) -> None:
        """A namespace that does not exist has no reports, as one in which nothing was scanned. Raises StoreError."""
        try:
            there = self._access.do(lambda w: w.find("v1", "Namespace", self._namespace))
        except SourceError:
            return  # who may list reports may not be one who may read namespaces
        if there is None:
            raise StoreError(
                f"the namespace {printable(self._namespace)} does not exist in {printable(self._access.name)}.",
                where="--namespace",
                fix="Use --namespace with the one that the operator or 'kspec scan --report cr:NAMESPACE' writes to.",
            )

    def _add(self, store: Store, key: str, one: dict[str, Any]) -> None:
        name = str(one["metadata"].get("name"))
        try:
            reported = read(one)
            run = store_result(
                store,
                ScanResult("", reported.finished_at, reported.finished_at, (reported.cluster,)),
                msgspec.json.encode(one),
                run=key[:64],
            ).run
        except (NotAReport, StoreError) as error:
            self._bad.add(key)
            log.warning("the ComplianceReport %s is not shown: %s", name, error)
            return
        if reported.truncated:
            store.write(lambda connection: _exact(connection, run, reported))
        self._known[key] = run


def _key(one: dict[str, Any]) -> str:
    """Of an object and its content: reports are replaced, seldom changed."""
    metadata = one["metadata"]
    return f"{metadata.get('uid', '')}.{metadata.get('resourceVersion', '')}"


def _exact(connection: Connection, run: str, reported: Reported) -> None:
    """The totals of a report that leaves findings out: the rows were counted from those that it has."""
    result, check = schema.results.c, schema.checks.c
    key = connection.execute(schema.results.select().where(result.run_id == run)).one().id
    numbers = zip(reported.findings, reported.exempt, strict=True)
    for position, (findings, exempt) in enumerate(numbers):
        connection.execute(
            update(schema.checks)
            .where(check.result_id == key, check.position == position)
            .values(findings=findings, exempt=exempt)
        )
    connection.execute(
        update(schema.results)
        .where(result.id == key)
        .values(
            findings=sum(reported.findings),
            exempt=sum(reported.exempt),
            tally=verdicts.tally(reported.findings),
        )
    )
