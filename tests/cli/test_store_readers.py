"""What reads a store never makes one: a store that is not there would be shown as a fleet without clusters."""

from __future__ import annotations

import hashlib
import sqlite3
import uuid
from contextlib import closing
from pathlib import Path

import pytest

from pytest_kspec.reports import json
from pytest_kspec.results.order import canonical
from pytest_kspec.storage.engine import open_store
from tests.reports.results import one
from tests.storage.conftest import keep
from tests.storage.conftest import postgres as postgres
from tests.storage.servers import Postgres

from .conftest import Kspec

READERS = (
    ("history", "--store"),
    ("history", "get", "r1", "--store"),
    ("history", "prune", "--keep", "30d", "--store"),
    ("history", "rewrap", "--store"),
    ("alert", "list", "--store"),
    ("alert", "list", "--all", "-o", "json", "--store"),
    ("dashboard", "--store"),
    ("dashboard", "-o", "json", "--store"),
    ("dashboard", "--serve", "--no-auth", "--port", "0", "--store"),
    ("drift", "history", "--store"),
    ("fleet", "list", "--store"),
    ("fleet", "status", "--store"),
    ("fleet", "report", "--store"),
    ("report", "--from", "result.json", "--to", "html:page.html", "--history"),
)
EMPTY = "the file is empty, not a store of kspec."
MALFORMED = "database disk image is malformed."
NO_DATABASE = "file is not a database."


def _foreign(path: Path) -> None:
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("CREATE TABLE notes (id INTEGER)")
        connection.commit()


def _whole(path: Path) -> bytes:
    """A store with a result."""
    with closing(open_store(str(path), create=True)) as store:
        keep(store, one())
    return path.read_bytes()


def _half(path: Path) -> None:
    whole = _whole(path)
    path.write_bytes(whole[: len(whole) // 2])


def _head(path: Path) -> None:
    path.write_bytes(_whole(path)[:50])


STATES = {
    "missing": (lambda path: None, "the store does not exist."),
    "empty": (lambda path: path.touch(), EMPTY),
    "half": (_half, MALFORMED),
    "head": (_head, MALFORMED),
    "text": (lambda path: path.write_text("notes " * 1000), NO_DATABASE),
    "foreign": (_foreign, "it is a database of another program, not a store of kspec."),
}


def _state(folder: Path) -> dict[str, str]:
    return {one.name: hashlib.sha256(one.read_bytes()).hexdigest() for one in folder.iterdir()}


@pytest.mark.parametrize("state", STATES)
@pytest.mark.parametrize("words", READERS, ids=" ".join)
def test_what_is_not_a_store_is_said_and_left_as_it_is(
    kspec: Kspec, tmp_path: Path, words: tuple[str, ...], state: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("result.json").write_bytes(json.render(canonical(one())))
    make, says = STATES[state]
    make(tmp_path / "results.db")
    before = _state(tmp_path)
    said = kspec(*words, "results.db")
    assert (said.code, said.out) == (2, "")
    assert says in said.err
    assert _state(tmp_path) == before


@pytest.mark.parametrize("words", [one for one in READERS if "--serve" not in one], ids=" ".join)
def test_a_database_without_tables_is_said_and_gets_none(
    kspec: Kspec, tmp_path: Path, words: tuple[str, ...], postgres: Postgres, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("result.json").write_bytes(json.render(canonical(one())))
    url = postgres.database(f"bare{uuid.uuid4().hex[:12]}")
    for _ in "ab":
        said = kspec(*words, url)
        assert (said.code, said.out) == (2, "")
        assert "the database has no tables of kspec." in said.err


def test_a_database_of_another_program_gets_no_tables(kspec: Kspec, tmp_path: Path) -> None:
    """Also from what writes: a wrong path must not change the data of others."""
    _foreign(tmp_path / "notes.db")
    before = _state(tmp_path)
    (tmp_path / "r").mkdir()
    (tmp_path / "r" / "result.json").write_bytes(json.render(canonical(one())))
    said = kspec("history", "add", tmp_path / "r" / "result.json", "--store", tmp_path / "notes.db")
    assert (said.code, said.out) == (2, "")
    assert "it is a database of another program, not a store of kspec." in said.err
    (tmp_path / "r" / "result.json").unlink()
    (tmp_path / "r").rmdir()
    assert _state(tmp_path) == before
