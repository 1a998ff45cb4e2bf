"""Retention: a run stays as long as any rule keeps it."""

from __future__ import annotations

from pathlib import Path

import pytest
from sqlalchemy import func, select

from pytest_kspec.errors import StoreError
from pytest_kspec.results.observation import State
from pytest_kspec.storage import schema
from pytest_kspec.storage.engine import Store
from pytest_kspec.storage.prune import prune
from pytest_kspec.storage.read import findings, trend

from .conftest import keep
from .test_store import APP, SIDE, run


def days(store: Store) -> list[str]:
    return [point.finished_at[8:10] + point.cluster for point in trend(store)]


@pytest.fixture
def filled(store: Store, tmp_path: Path) -> Store:
    for day in (1, 2, 3, 4):
        keep(store, run(day, *((SIDE, APP) if day < 3 else (APP,))), str(tmp_path / "reports"))
    keep(store, run(1, APP, name="b"))
    return store


@pytest.mark.parametrize(
    ("since", "newest", "left"),
    [
        ("2026-11-03T00:00:00Z", 0, ["03a", "04a"]),
        ("", 1, ["01b", "04a"]),
        ("", 2, ["01b", "03a", "04a"]),
        ("2026-11-02T00:00:00Z", 1, ["01b", "02a", "03a", "04a"]),
        ("", 99, ["01a", "01b", "02a", "03a", "04a"]),
        ("2027-01-01T00:00:00Z", 0, []),
    ],
)
def test_what_is_left(filled: Store, tmp_path: Path, since: str, newest: int, left: list[str]) -> None:
    would = prune(filled, since=since, newest=newest, dry_run=True)
    assert len(days(filled)) == 5
    done = prune(filled, since=since, newest=newest)
    assert would == done
    assert (days(filled), done.kept, len(done.runs)) == (left, len(left), 5 - len(left))
    files = list((tmp_path / "reports").rglob("*.gz"))
    assert len(files) == sum("a" in day for day in left)
    with filled.read() as connection:
        for table in (schema.results, schema.checks, schema.frameworks):
            assert connection.execute(select(func.count()).select_from(table)).scalar() == len(left)


def test_findings_that_only_old_runs_had_go_and_others_keep_their_first_time(filled: Store) -> None:
    assert prune(filled, since="2026-11-03T00:00:00Z").findings == 1  # that of cluster b
    assert [f.state for f in findings(filled)] == [State.OPEN, State.FIXED]
    assert prune(filled, since="2026-11-04T00:00:00Z").findings == 1
    (found,) = findings(filled)
    assert (found.cluster, found.what.rpartition(".containers")[2]) == ("a", "[app].image")
    assert (found.first_seen[8:10], found.last_seen[8:10]) == ("01", "04")


def test_a_report_that_cannot_be_deleted_is_said_and_keeps_no_row(filled: Store, tmp_path: Path) -> None:
    first = next((tmp_path / "reports").glob("2026-11-01"))
    (file,) = first.iterdir()
    file.unlink()
    file.mkdir()
    (file / "in the way").touch()
    with pytest.raises(StoreError, match="2026-11-01"):
        prune(filled, newest=1)
    assert days(filled) == ["01b", "04a"]
    assert not any(p.is_file() for p in (tmp_path / "reports").glob("2026-11-02/*"))
