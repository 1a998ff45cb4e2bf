"""What pages about a fleet ask of a store, at 1,000 clusters, on SQLite and on PostgreSQL.

python -m benchmarks.store      3 runs of 1,000 clusters: 40 requirements and 20 findings each

Each query is timed as a whole, objects included, and its plan is asked for: which of the large tables are read from end
to end. A page of a thousand clusters has all their newest results; every other one must find its rows by an index.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from msgspec.structs import replace
from sqlalchemy import event

from benchmarks.results import fleet
from pytest_kspec.results.fingerprint import fingerprint
from pytest_kspec.results.result import ScanResult
from pytest_kspec.storage import listing, pages, read
from pytest_kspec.storage.engine import Store, open_store
from pytest_kspec.storage.write import store_result
from tests.storage.servers import NoServer, Postgres

CLUSTERS, CHECKS, FINDINGS = 1_000, 40, 20
RUNS = 3
ROUNDS = 3
LARGE = ("kspec_checks", "kspec_findings", "kspec_observations", "kspec_frameworks", "kspec_results")
GOAL_S = {"fleet": 1.0, "requirement": 1.0}
"""Of pages about all clusters; of one cluster or one finding it is 0.1 s."""


def fill(store: Store) -> ScanResult:
    """Three days of one scan a day. Returns the newest result."""
    made = fleet(CLUSTERS, CHECKS, CLUSTERS * FINDINGS)
    first = datetime(2026, 11, 20, 6, tzinfo=UTC)
    for number in range(RUNS):
        moment = (first + timedelta(days=number)).strftime("%Y-%m-%dT%H:%M:%SZ")
        made = replace(made, started_at=moment, finished_at=moment)
        store_result(store, made, b"run %d" % number)
    return made


def queries(store: Store, newest: ScanResult) -> dict[str, Callable[[], Any]]:
    """The pages, by what they are about."""
    cluster = newest.clusters[CLUSTERS // 2]
    check = next(check for check in cluster.checks if check.findings)
    one = fingerprint(cluster.id, check.id, check.findings[0])
    of_cluster = read.Query(cluster=cluster.name)
    return {
        "fleet": lambda: pages.newest(store),
        "cluster": lambda: listing.requirement_results(store, cluster_id=cluster.id),
        "requirement": lambda: pages.requirement(store, check.id),
        "finding": lambda: pages.observations(store, one),
        "trend": lambda: read.trend(store, of_cluster),
        "findings of a cluster": lambda: read.findings(store, of_cluster),
    }


@contextmanager
def statements(store: Store) -> Iterator[list[tuple[str, Any]]]:
    """The SQL that is sent meanwhile, with its parameters."""
    sent: list[tuple[str, Any]] = []

    def note(_connection: Any, _cursor: Any, sql: str, parameters: Any, *_: Any) -> None:
        if sql.lstrip().upper().startswith(("SELECT", "WITH")):
            sent.append((sql, parameters))

    with store.read() as connection:
        engine = connection.engine
    event.listen(engine, "before_cursor_execute", note)
    try:
        yield sent
    finally:
        event.remove(engine, "before_cursor_execute", note)


def scanned(store: Store, sent: list[tuple[str, Any]]) -> list[str]:
    """Which large tables these statements read from end to end."""
    found: dict[str, None] = {}
    with store.read() as connection:
        explain = "EXPLAIN " if connection.dialect.name == "postgresql" else "EXPLAIN QUERY PLAN "
        for sql, parameters in sent:
            for row in connection.exec_driver_sql(explain + sql, parameters):
                line = f" {row[-1]} "
                found |= {t: None for t in LARGE if f"Seq Scan on {t} " in line or f" SCAN {t} " in line}
    return list(found)


def measure(name: str, store: Store) -> None:
    """Fill it, and print its rows."""
    began = time.perf_counter()
    newest = fill(store)
    took = (time.perf_counter() - began) / RUNS
    print(f"{name + ': a run of 1,000 clusters':40}{took:8.2f} s")
    if name == "PostgreSQL":
        with store.read() as connection:
            connection.exec_driver_sql("ANALYZE")
    for page, ask in queries(store, newest).items():
        with statements(store) as sent:
            rows = len(ask())
        times = []
        for _ in range(ROUNDS):
            began = time.perf_counter()
            ask()
            times.append(time.perf_counter() - began)
        whole = ", ".join(scanned(store, sent)) or "none"
        goal = GOAL_S.get(page, 0.1)
        print(
            f"  {page:24}{rows:8,} rows{min(times):10.4f} s   goal: {goal} s; read in whole: {whole}",
            flush=True,
        )


def main() -> None:
    """Print the table."""
    with tempfile.TemporaryDirectory() as folder:
        store = open_store(str(Path(folder, "results.db")), create=True)
        measure("SQLite", store)
        store.close()
    try:
        with Postgres() as server:
            store = open_store(server.database("bench"), create=True)
            measure("PostgreSQL", store)
            store.close()
    except NoServer as error:
        print(error)


if __name__ == "__main__":
    main()
