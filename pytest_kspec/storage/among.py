"""A column with one of many keys, as one parameter: a thousand parameters cost more in Python than the rows."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any

from sqlalchemy import ARRAY, ColumnElement, Dialect, Integer, Text, TypeDecorator, bindparam
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.compiler import SQLCompiler
from sqlalchemy.sql.expression import FunctionElement


class _Keys(TypeDecorator[Iterable[int]]):
    """An array in PostgreSQL, JSON in SQLite."""

    impl = Text
    cache_ok = True

    def load_dialect_impl(self, dialect: Dialect) -> Any:
        return dialect.type_descriptor(ARRAY(Integer()) if dialect.name == "postgresql" else Text())

    def process_bind_param(self, value: Iterable[int] | None, dialect: Dialect) -> Any:
        keys = list(value or ())
        return keys if dialect.name == "postgresql" else json.dumps(keys)


class _Among(FunctionElement[Any]):
    """What follows the column and its `IN` or `=`."""

    inherit_cache = True
    name = "among"


@compiles(_Among, "postgresql")
def _any(element: _Among, compiler: SQLCompiler, **more: Any) -> str:
    column, keys = element.clauses
    return f"{compiler.process(column, **more)} = ANY({compiler.process(keys, **more)})"


@compiles(_Among, "sqlite")
def _each(element: _Among, compiler: SQLCompiler, **more: Any) -> str:
    column, keys = element.clauses
    return f"{compiler.process(column, **more)} IN (SELECT value FROM json_each({compiler.process(keys, **more)}))"


def among(column: ColumnElement[int], keys: Iterable[int]) -> ColumnElement[Any]:
    """Whether a column of whole numbers has one of these, however many."""
    return _Among(column, bindparam(None, list(keys), type_=_Keys(), unique=True))
