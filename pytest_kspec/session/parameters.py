"""What marks of pytest say of a check, for those that run it without an item: `parametrize`, `skip`, `usefixtures`."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import product
from typing import Any

import pytest
from _pytest.mark.structures import ParameterSet
from _pytest.python import IdMaker

from pytest_kspec.checks.check import Check
from pytest_kspec.errors import CheckError
from pytest_kspec.evaluate.run import Case


def cases_of(check: Check) -> Iterator[Case]:
    """One for each set of parameters, as pytest names and orders them; one without parameters if there are none.

    Raises CheckError for what only a session of pytest can resolve.
    """
    marks: list[pytest.Mark] = list(getattr(check.func, "pytestmark", ()))
    uses = tuple(str(name) for mark in marks if mark.name == "usefixtures" for name in mark.args)
    levels = [list(_sets(check, mark)) for mark in marks if mark.name == "parametrize"]
    for combined in product(*levels):
        arguments: dict[str, Any] = {}
        skip = _skip(marks, check)
        for _, part, more in combined:
            arguments |= part
            skip = skip or _skip(more, check)
        yield Case("-".join(id for id, _, _ in combined), arguments, skip, uses)


def _sets(check: Check, mark: pytest.Mark) -> Iterator[tuple[str, dict[str, Any], Sequence[pytest.Mark]]]:
    names, values, options = _arguments(*mark.args, **mark.kwargs)
    given = options.pop("ids", None)
    options.pop("scope", None)
    if options.pop("indirect", False) or options or not values:
        raise CheckError(
            f"check {check.id!r}: only a session of pytest can resolve this parametrize.",
            where=f"{check.path}:{check.line}",
        )
    sets = [ParameterSet.extract_from(value, force_tuple=len(names) == 1) for value in values]
    call = given if callable(given) else None
    ids = None if call is not None or given is None else list(given)
    made = IdMaker(names, sets, call, ids, None, None).make_unique_parameterset_ids()
    for id, one in zip(made, sets, strict=True):
        more = [m.mark if isinstance(m, pytest.MarkDecorator) else m for m in one.marks]
        yield str(id), dict(zip(names, one.values, strict=True)), more


def _arguments(
    argnames: str | Sequence[str], argvalues: Any, **options: Any
) -> tuple[list[str], list[Any], dict[str, Any]]:
    names = [part.strip() for part in argnames.split(",")] if isinstance(argnames, str) else list(argnames)
    return [name for name in names if name], list(argvalues), options


def _skip(marks: Sequence[pytest.Mark], check: Check) -> str:
    for mark in marks:
        if mark.name == "skip":
            return str(mark.kwargs.get("reason") or (mark.args[0] if mark.args else "unconditional skip"))
        if mark.name == "skipif":
            conditions = [*mark.args, *([mark.kwargs["condition"]] if "condition" in mark.kwargs else [])]
            if any(isinstance(condition, str) for condition in conditions):
                raise CheckError(
                    f"check {check.id!r}: a condition of skipif that is text is for a session of pytest only.",
                    where=f"{check.path}:{check.line}",
                )
            if any(conditions):
                return str(mark.kwargs.get("reason", ""))
    return ""
