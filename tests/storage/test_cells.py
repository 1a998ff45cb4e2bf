"""A SQLite store whose values others changed: the first wrong one is named, with its row."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from pytest_kspec.cli.main import _or_broken, main
from pytest_kspec.storage.cells import wrong_cell
from pytest_kspec.storage.engine import open_store
from pytest_kspec.storage.recordings import Recording, keep
from tests.cli.conftest import POD, SPEC


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> str:
    monkeypatch.chdir(tmp_path)
    Path("spec.yaml").write_text(SPEC.format(spec="podSecurity: {enforce: baseline}"))
    Path("pod.yaml").write_text(POD)
    assert main(["scan", "spec.yaml", "--cluster", "pod.yaml", "-q", "--store", "runs.db"]) == 1
    capsys.readouterr()
    return "runs.db"


def change(store: str, statement: str) -> None:
    with closing(sqlite3.connect(store)) as connection:
        assert connection.execute(statement).rowcount
        connection.commit()


CHANGES = [
    ("kspec_results", "score", "'high'", "a number"),
    ("kspec_results", "passed", "x'00ff'", "an integer"),
    ("kspec_results", "finished_at", "'yesterday'", "a time"),
    ("kspec_checks", "severity", "'worst'", "one of low, medium, high, critical"),
    ("kspec_checks", "verdict", "''", "one of pass, fail, error, skip"),
    ("kspec_checks", "evaluated", "2", "true or false"),
    ("kspec_clusters", "name", "x'ff'", "text"),
    ("kspec_findings", "last_seen", "5", "a time"),
]


def test_the_first_wrong_value_is_named(store: str) -> None:
    assert wrong_cell(store) is None
    for table, column, value, expected in CHANGES:
        copy = f"{table}-{column}.db"
        Path(copy).write_bytes(Path(store).read_bytes())
        change(copy, f"UPDATE {table} SET {column} = {value} WHERE rowid = (SELECT max(rowid) FROM {table})")
        with closing(sqlite3.connect(copy)) as connection:
            (row,) = connection.execute(f"SELECT max(rowid) FROM {table}").fetchone()
        error = wrong_cell(copy)
        assert str(error) == (
            f"{copy}, table {table}: the column {column} of row {row} is not {expected}: the store was changed "
            "by another program. Restore the store from a backup, or remove the row."
        )
    Path("none.db").write_bytes(b"SQLite format 3\0 and nothing else")
    assert wrong_cell("none.db") is None


def test_bytes_are_bytes(store: str) -> None:
    with closing(open_store(store)) as made:
        keep(made, "uid", "me", Recording("kinds", "1.0", "2026-11-30T00:00:00Z", b"\x1f\x8b"))
    assert wrong_cell(store) is None
    change(store, "UPDATE kspec_drift_recordings SET content = 'text'")
    assert "kspec_drift_recordings: the column content of row 1 is not bytes" in str(wrong_cell(store))


@pytest.mark.parametrize("words", [("history",), ("dashboard",)], ids=" ".join)
def test_a_command_that_reads_it_says_so_in_one_line(
    words: tuple[str, ...], store: str, capsys: pytest.CaptureFixture[str]
) -> None:
    change(store, "UPDATE kspec_results SET score = 'high'")
    assert _or_broken([*words, "--store", store]) == 2
    said = capsys.readouterr()
    assert said.err.splitlines() == [
        "error: runs.db, table kspec_results: the column score of row 1 is not a number: the store was changed "
        "by another program. Restore the store from a backup, or remove the row."
    ]


def test_a_defect_stays_one_where_the_store_is_whole(
    store: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_args: object, **_more: object) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr("pytest_kspec.cli.commands.history.run", broken)
    assert _or_broken(["history", "--store", store]) == 2
    assert "ZeroDivisionError" in capsys.readouterr().err
