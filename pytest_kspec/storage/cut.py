"""One page of a list of rows: filtered, counted and cut in the database, so that it costs what it shows."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, TypeVar

from sqlalchemy import ColumnElement, Select, and_, case, func, or_

from pytest_kspec.storage.engine import Store
from pytest_kspec.storage.rows import Listed

MOST_ROWS = 500
"""Rows of one page."""
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Cut:
    """A page of a list. number: from 1; size: rows, at most MOST_ROWS."""

    number: int = 1
    size: int = 100

    def of(self, statement: Select[Any]) -> Select[Any]:
        """The statement for the rows of this page."""
        return statement.limit(self.size).offset((self.number - 1) * self.size)


FIRST = Cut()


def conditions(*given: ColumnElement[bool] | None) -> list[ColumnElement[bool]]:
    """Those that there are."""
    return [condition for condition in given if condition is not None]


def equal(column: Any, wanted: str) -> ColumnElement[bool] | None:
    """No condition where nothing is wanted."""
    found: ColumnElement[bool] = column == wanted
    return found if wanted else None


def part(column: Any, text: str) -> ColumnElement[bool] | None:
    """The text as it is, in any case; no condition without one."""
    found: ColumnElement[bool] = column.icontains(text, autoescape=True)
    return found if text else None


def words(text: str, *columns: Any) -> ColumnElement[bool] | None:
    """Every word in one of these columns, in any case; no condition without a word."""
    wanted = text.split()[:8]
    if not wanted:
        return None
    return and_(*(or_(*(column.icontains(word, autoescape=True) for column in columns)) for word in wanted))


def rank(column: Any, values: Iterable[str]) -> ColumnElement[Any]:
    """Sorts by the place of the column's value among these."""
    return case({value: place for place, value in enumerate(values)}, value=column)


def listed(store: Store, rows: Select[Any], cut: Cut, make: Callable[[Any], T]) -> Listed[T]:
    """rows: with the number of all of them as the last column; a page behind the last one is empty.

    Raises StoreError.
    """
    with store.read() as connection:
        found = connection.execute(cut.of(rows)).all()
        if found or cut.number == 1:
            total = int(found[0][-1]) if found else 0
        else:
            first = connection.execute(rows.limit(1)).first()
            total = int(first[-1]) if first else 0
    return Listed(tuple(make(row[:-1]) for row in found), total)


def counted(
    store: Store, rows: Select[Any], by: ColumnElement[Any], wanted: str, cut: Cut, make: Callable[[Any], T]
) -> Listed[T]:
    """The same, with the number of rows by each value of `by`. wanted: the value that rows are to have; "": any.

    Raises StoreError.
    """
    numbers = rows.with_only_columns(by, func.count(), maintain_column_froms=True).order_by(None).group_by(by)
    with store.read() as connection:
        counts = {row[0]: row[1] for row in connection.execute(numbers)}
        total = counts.get(wanted, 0) if wanted else sum(counts.values())
        asked = rows.where(by.in_([wanted])) if wanted else rows
        return Listed(tuple(make(row) for row in connection.execute(cut.of(asked))), total, counts)
