"""Finds each `@check` that is not among the collected checks: one that never runs looks like one that passes.

The same holds for what a check only builds (`idle`), and for what it asks and does not use (`unasked`).

Importing a module notes each check that is made. Reading the source finds those that importing does not make: in a
function that nobody calls, or in a file that nobody imports.
"""

from __future__ import annotations

import ast
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple, TypeAlias

from pytest_kspec.checks.check import Check
from pytest_kspec.errors import CheckError
from pytest_kspec.plan.idle import idle
from pytest_kspec.plan.unasked import unasked

_PACKAGE = "pytest_kspec"
_Definition: TypeAlias = ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef
_FIX = "Make it a function of a module test_*.py; fixtures and parameters do what classes do."


class Place(NamedTuple):
    """Where a check is defined. line: of its first decorator."""

    path: Path
    line: int


def refuse_uncollected(
    collected: Iterable[Check], made: Iterable[Check], modules: Iterable[Path], others: Iterable[Path]
) -> None:
    """Raises CheckError for the first check that is made or written and not collected.

    made: by importing; modules: files that were imported; others: Python files beside them
    """
    found = {_place(check) for check in collected}
    imported = {path.resolve() for path in modules}
    problems: dict[Place, str] = {}
    sources = [source for path in [*modules, *others] if (source := _read(path.resolve())) is not None]
    for source in sources:
        for function, what in source.written:
            place = Place(source.path, min(one.lineno for one in function.decorator_list))
            if place in found or (not what and place.path in imported):
                continue  # a function of a module that is not made is under an `if` that does not hold
            problems[place] = what or "its file is not called test_*.py or *_test.py, and is not collected"
    for check in made:
        if (place := _place(check)) in found or place in problems:
            continue
        if place.path in imported:
            problems[place] = "its name is used for something else, or a decorator above @check hides it"
        else:
            problems[place] = "its file is not collected: name it test_*.py, or name the file itself"
    for place, what in sorted(problems.items()):
        raise CheckError(f"a check is not collected: {what}.", where=f"{place.path}:{place.line}", fix=_FIX)
    for source in sources:
        _refuse_idle(source)


def _place(check: Check) -> Place:
    return Place((check.path or Path()).resolve(), check.line)


class _Source(NamedTuple):
    """A file of checks. written: its functions and classes with `@check`, and what they are in: "" at the top."""

    path: Path
    tree: ast.Module
    written: list[tuple[_Definition, str]]


def _read(path: Path) -> _Source | None:
    """None: nothing in it can be a check."""
    try:
        source = path.read_bytes()
        if _PACKAGE.encode() not in source:
            return None
        tree = ast.parse(source)
    except (OSError, SyntaxError, ValueError) as error:
        raise CheckError(f"could not be read: {type(error).__name__}: {error}", where=str(path)) from error
    return _Source(path, tree, list(_decorated(tree, _names(tree), "")))


def _refuse_idle(source: _Source) -> None:
    found = idle(source.tree) or unasked(source.tree, [function for function, _ in source.written])
    if found is not None:
        raise CheckError(
            f"a check does not do what it seems to: {found.what}.",
            where=f"{source.path}:{found.line}",
            fix=found.fix,
        )


def _names(tree: ast.AST) -> frozenset[str]:
    """How this module calls the decorator: `check`, `pytest_kspec.check`, or by another name."""
    names = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and (node.module or "").partition(".")[0] == _PACKAGE:
            names |= {alias.asname or alias.name for alias in node.names if alias.name == "check"}
        elif isinstance(node, ast.Import):
            for alias in node.names:
                if alias.name.partition(".")[0] == _PACKAGE:
                    names.add(f"{alias.asname or _PACKAGE}.check")
    return frozenset(names)


def _decorated(tree: ast.AST, names: frozenset[str], what: str) -> Iterator[tuple[_Definition, str]]:
    for node in ast.iter_child_nodes(tree):
        inside = what
        if isinstance(node, _Definition):
            if any(
                isinstance(one, ast.Call) and ast.unparse(one.func) in names for one in node.decorator_list
            ):
                yield node, what
            kind = "class" if isinstance(node, ast.ClassDef) else "function"
            inside = f"it is in the {kind} {node.name}"
        yield from _decorated(node, names, inside)
