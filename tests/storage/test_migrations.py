"""A store of an older version is brought up to date with its data, once, whoever opens it first."""

from __future__ import annotations

import multiprocessing
import sqlite3
from multiprocessing.synchronize import Barrier
from pathlib import Path
from typing import Any

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import text

from pytest_kspec.errors import StoreError
from pytest_kspec.results.fingerprint import fingerprint
from pytest_kspec.results.observation import State
from pytest_kspec.storage import schema
from pytest_kspec.storage.address import parse_address
from pytest_kspec.storage.engine import Store, _engine, open_store
from pytest_kspec.storage.migrate import revision, upgrade
from pytest_kspec.storage.read import check_trend, findings, trend
from tests.reports.results import one

from .before import go_back
from .conftest import keep

OLD = (
    "INSERT INTO kspec_runs (id, started_at, finished_at, tool_version, run_by, score, passed, failed) VALUES "
    "('r1', '2025-01-01T00:00:00Z', '2025-01-01T00:00:10Z', '0.1', 'j.doe', 50.0, 1, 1)",
    "INSERT INTO kspec_clusters (id, run_id, name, spec, spec_version, source, version, uid, score, passed, failed,"
    " findings) VALUES (7, 'r1', 'prod-eu', 'strict', '1', 'live', 'v1.30.0', '', 50.0, 1, 1, 3)",
    "INSERT INTO kspec_checks (cluster_id, position, check_id, severity, verdict, reason, findings) VALUES "
    "(7, 0, 'images', 'high', 'fail', '', 3)",
    "INSERT INTO kspec_findings (id, spec, cluster, check_id, severity, what, first_seen, last_seen) VALUES "
    "('f1', 'strict', 'prod-eu', 'images', 'high', 'Pod a/b', '2024-12-31T00:00:00Z', '2025-01-01T00:00:10Z')",
)


@pytest.fixture
def old(url: str) -> str:
    """A store of the first revision, with data."""
    address = parse_address(url)
    if address.path:
        Path(address.path).parent.mkdir(parents=True)
        Path(address.path).touch()
    store = Store(address, _engine(address, empty=True))
    store.write(lambda connection: upgrade(connection, "old", "r0001"))
    for statement in OLD:
        store.write(lambda connection, statement=statement: connection.execute(text(statement)))
    if address.kind == "postgresql":  # what an autoincrement would have done
        store.write(
            lambda connection: connection.execute(
                text("SELECT setval(pg_get_serial_sequence('kspec_clusters', 'id'), 7)")
            )
        )
    with store.read() as connection:
        assert revision(connection) == "r0001"
    store.close()
    return url


def test_an_older_store_keeps_its_data(old: str) -> None:
    store = open_store(old)
    (point,) = trend(store)
    assert (point.cluster, point.score, point.findings, point.known) == ("prod-eu", 50.0, 3, 0)
    assert [p.verdict for p in check_trend(store, "images")] == ["fail"]
    (found,) = findings(store)
    assert (found.state, found.first_seen) == ("open", "2024-12-31T00:00:00Z")
    keep(store, one())
    assert len(trend(store)) == 2
    store.close()


def test_results_of_before_have_the_same_texts_as_new_ones(url: str) -> None:
    """What an upgrade makes of rows is what is written today."""
    store = open_store(url, create=True)
    keep(store, one())
    columns = "SELECT shape, verdicts, tally FROM kspec_results"
    with store.read() as connection:
        (written,) = connection.execute(text(columns)).all()
    assert all(written), written
    go_back(store, "r0008")
    store.close()
    store = open_store(url)
    with store.read() as connection:
        assert connection.execute(text(columns)).all() == [written]
    store.close()


def test_findings_of_before_are_recognised_by_name_and_get_the_identity_of_their_cluster(old: str) -> None:
    result = one()
    (cluster,) = result.clusters
    check = next(check for check in cluster.checks if check.open_findings)
    before = fingerprint(cluster.name, check.id, check.open_findings[0])
    store = store_of(old)
    for statement in (
        # Two clusters of one name, the finding of the one that was scanned when it was last seen.
        f"UPDATE kspec_findings SET id = '{before}', check_id = '{check.id}', last_seen = '2025-01-01T00:00:10Z'",
        f"UPDATE kspec_clusters SET uid = '{cluster.uid}'",
        "INSERT INTO kspec_runs (id, started_at, finished_at, tool_version, run_by) VALUES "
        "('r2', '2025-02-01T00:00:00Z', '2025-02-01T00:00:10Z', '0.1', '')",
        "INSERT INTO kspec_clusters (id, run_id, name, spec, spec_version, source, version, uid) VALUES "
        "(8, 'r2', 'prod-eu', 'strict', '1', 'live', 'v1.30.0', 'another')",
    ):
        store.write(lambda connection, statement=statement: connection.execute(text(statement)))
    store.close()
    store = open_store(old)
    (found,) = findings(store)
    assert (found.cluster_id, found.state, found.id, found.kind) == (cluster.uid, State.OPEN, before, "")
    assert [p.cluster_id for p in trend(store)] == [cluster.uid, "another"]
    keep(store, result)
    now = fingerprint(cluster.id, check.id, check.open_findings[0])
    (again,) = [f for f in findings(store) if f.first_seen == "2024-12-31T00:00:00Z"]
    assert (again.id, again.last_seen, again.kind != "") == (now, result.finished_at, True)
    assert before not in {f.id for f in findings(store)}
    store.close()


def test_an_old_finding_that_was_looked_for_since_is_fixed_and_else_unknown(old: str) -> None:
    store = store_of(old)
    for statement in (
        "UPDATE kspec_findings SET last_seen = '2024-12-31T00:00:00Z'",
        "INSERT INTO kspec_findings (id, spec, cluster, check_id, severity, what, first_seen, last_seen) VALUES "
        "('f2', 'strict', 'prod-eu', 'other', 'high', 'x', '2024-12-31T00:00:00Z', '2024-12-31T00:00:00Z')",
    ):
        store.write(lambda connection, statement=statement: connection.execute(text(statement)))
    store.close()
    store = open_store(old)
    assert [(f.id, f.state, f.resolved_at) for f in findings(store)] == [
        ("f2", State.UNKNOWN, ""),
        ("f1", State.FIXED, "2025-01-01T00:00:10Z"),
    ]
    store.close()


def store_of(url: str) -> Store:
    """A store as it is, without the upgrade."""
    address = parse_address(url)
    return Store(address, _engine(address))


def test_the_revisions_make_what_the_schema_says(old: str) -> None:
    store = open_store(old)
    with store.read() as connection:
        options = {"version_table": schema.VERSION_TABLE, "compare_type": True}
        context = MigrationContext.configure(connection, opts=options)
        assert compare_metadata(context, schema.metadata) == []
        assert revision(connection) == schema.HEAD == schema.REVISIONS[-1]
    store.close()


MANY = 4


def _open(url: str, together: Barrier) -> None:
    import alembic.command  # so that all of them are as fast

    assert alembic.command
    together.wait(60)
    open_store(url, create=True).close()


def test_many_make_it_at_once(url: str) -> None:
    open_by_many(url)


def test_many_upgrade_it_at_once(old: str) -> None:
    open_by_many(old)


def open_by_many(url: str) -> None:
    spawn = multiprocessing.get_context("spawn")
    together = spawn.Barrier(MANY)
    processes = [spawn.Process(target=_open, args=(url, together)) for _ in range(MANY)]
    for process in processes:
        process.start()
    for process in processes:
        process.join(60)
    assert [process.exitcode for process in processes] == [0] * MANY
    store = open_store(url)
    keep(store, one())
    store.close()


def test_an_upgrade_that_fails_leaves_the_old_store(old: str, monkeypatch: pytest.MonkeyPatch) -> None:
    from alembic import op

    def fail(*args: object) -> None:
        raise RuntimeError("power cut")

    seen = []

    def add_column(table: str, column: Any) -> None:
        seen.append(table)
        if len(seen) > 2:
            fail()
        real(table, column)

    real = op.add_column
    monkeypatch.setattr(op, "add_column", add_column)
    with pytest.raises(RuntimeError, match="power cut"):
        open_store(old)
    monkeypatch.undo()
    assert len(seen) == 3
    test_an_older_store_keeps_its_data(old)


def test_a_store_of_a_newer_version_is_refused(store: Store, url: str) -> None:
    store.write(lambda c: c.execute(text(f"UPDATE {schema.VERSION_TABLE} SET version_num = 'r9999'")))
    with pytest.raises(StoreError, match="revision r9999, which this version does not know"):
        open_store(url)


def test_sqlite_keeps_one_file_when_it_is_closed(tmp_path: Path) -> None:
    path = tmp_path / "results.db"
    store = open_store(str(path), create=True)
    keep(store, one())
    store.close()
    assert [p.name for p in tmp_path.iterdir()] == ["results.db"]
    with sqlite3.connect(path) as connection:
        assert connection.execute("PRAGMA journal_mode").fetchone() == ("wal",)
    connection.close()
