"""Values in a store that no kspec wrote: looked for when a command failed for no known reason.

Each column has a type in `schema`, but SQLite keeps any value in any column. PostgreSQL refuses it.
"""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

from sqlalchemy import Boolean, Column, Float, Integer, LargeBinary, String

from pytest_kspec.errors import StoreError
from pytest_kspec.results.verdict import Severity, Verdict
from pytest_kspec.storage.schema import metadata

LOOK_S = 20.0
_LENGTH_OF_TIME = 20
_TIME = "[0-9][0-9][0-9][0-9]-[0-9][0-9]-[0-9][0-9]T[0-9][0-9]:[0-9][0-9]:[0-9][0-9]Z"
_DOCUMENTS = {"document", "event"}
_WORDS = {"severity": tuple(Severity), "verdict": tuple(Verdict)}


def wrong_cell(path: str) -> StoreError | None:
    """The first value of another type or form, with its table and row. None: there is none, or no time to find it."""
    deadline = time.monotonic() + LOOK_S
    try:
        with closing(sqlite3.connect(f"{Path(path).absolute().as_uri()}?mode=ro", uri=True)) as connection:
            connection.set_progress_handler(lambda: time.monotonic() > deadline, 100_000)
            there = {
                name for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")
            }
            for table, column, wrong, expected in _questions():
                if table in there and (found := connection.execute(wrong).fetchone()):
                    return StoreError(
                        f"the column {column} of row {found[0]} is not {expected}: the store was changed by "
                        "another program.",
                        where=f"{path}, table {table}",
                        fix="Restore the store from a backup, or remove the row.",
                    )
    except sqlite3.Error:
        return None
    return None


def _questions() -> Iterator[tuple[str, str, str, str]]:
    """Table, column, the statement that finds a wrong row, and what its values are."""
    for table in metadata.sorted_tables:
        for column in table.columns:
            right, expected = _right(column)
            if column.nullable:
                right = f'"{column.name}" IS NULL OR {right}'
            yield (
                table.name,
                column.name,
                f'SELECT rowid FROM "{table.name}" WHERE NOT ({right}) LIMIT 1',
                expected,
            )


def _right(column: Column[object]) -> tuple[str, str]:
    name, kind = f'"{column.name}"', column.type
    if isinstance(kind, Boolean):
        return f"(typeof({name}) = 'integer' AND {name} IN (0, 1))", "true or false"
    if isinstance(kind, Integer):
        return f"typeof({name}) = 'integer'", "an integer"
    if isinstance(kind, Float):
        return f"typeof({name}) IN ('integer', 'real')", "a number"
    if isinstance(kind, LargeBinary):
        return f"typeof({name}) = 'blob'", "bytes"
    text = f"typeof({name}) = 'text'"
    if isinstance(kind, String) and kind.length == _LENGTH_OF_TIME:
        return f"({text} AND {name} GLOB '{_TIME}')", "a time"
    if column.name in _DOCUMENTS:
        return f"({text} AND json_valid({name}))", "JSON"
    if words := _WORDS.get(column.name):
        return f"({text} AND {name} IN ({', '.join(map(repr, map(str, words)))}))", "one of " + ", ".join(
            words
        )
    return text, "text"
