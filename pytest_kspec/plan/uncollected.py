"""Finds each `@check` that is not among the collected checks: one that never runs looks like one that passes.

The same holds for what a check only builds (`idle`), and for what it asks and does not use (`unasked`).

Importing a module notes each check that is made. Reading the source finds those that importing does not make: in a
function that nobody calls, or in a file that nobody imports.
"""

from __future__ import annotations

import ast
from collections.abc import Collection, Iterable, Iterator
from pathlib import Path
from typing import NamedTuple, TypeAlias

from pytest_kspec.checks.check import Check
from pytest_kspec.checks.reads import BY_FIXTURE, OPEN
from pytest_kspec.errors import CheckError
from pytest_kspec.plan.idle import idle, own
from pytest_kspec.plan.unasked import unasked

_PACKAGE = "pytest_kspec"
_MARKS = ("pytest.mark.", "mark.")
_Definition: TypeAlias = ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef
_FIX = "Make it a function of a module test_*.py; fixtures and parameters do what classes do."
_DID_NOT_RUN = "the code that defines it did not run, because of a condition or an exception"
_NO_DECORATOR = "it is a test of the cluster without @check"
_FIXES = {
    _DID_NOT_RUN: "Define it always, and call pytest.skip(reason) in it: reports then state that it was skipped.",
    _NO_DECORATOR: "Decorate it with @pytest_kspec.check(…), or choose a name that does not start with test.",
}
_FIXTURES = OPEN | BY_FIXTURE.keys() | {"findings"}


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
    found = {_place(check): check for check in collected}
    # One of several definitions of a name, as for several versions of a library, is enough.
    named = {(place.path, check.func.__name__) for place, check in found.items()}
    made = list(made)
    created = {_place(check) for check in made}
    imported = {path.resolve() for path in modules}
    problems: dict[Place, str] = {}
    sources = [source for path in [*modules, *others] if (source := _read(path.resolve())) is not None]
    for source in sources:
        for function, what in source.written:
            place = Place(source.path, min(one.lineno for one in function.decorator_list))
            if place in found:
                continue
            if what:
                problems[place] = what
            elif place.path not in imported:
                problems[place] = "its file is not called test_*.py or *_test.py, and is not collected"
            elif place not in created and (place.path, function.name) not in named:
                problems[place] = _DID_NOT_RUN
        if source.path in imported:
            problems |= {Place(source.path, line): what for line, what in _undecorated(source, created)}
    for check in made:
        if (place := _place(check)) in found or place in problems:
            continue
        if place.path in imported:
            problems[place] = "its name is used for something else, or a decorator above @check hides it"
        else:
            problems[place] = "its file is not collected: name it test_*.py, or name the file itself"
    for place, what in sorted(problems.items()):
        fix = _FIXES.get(what, _FIX)
        raise CheckError(f"a check is not collected: {what}.", where=f"{place.path}:{place.line}", fix=fix)
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
    """How this module calls the decorator: `check`, `pytest_kspec.check`, or by a name that it gives to it."""
    names = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and (node.module or "").partition(".")[0] == _PACKAGE:
            names |= {alias.asname or alias.name for alias in node.names if alias.name == "check"}
        elif isinstance(node, ast.Import):
            for alias in node.names:
                if alias.name.partition(".")[0] == _PACKAGE:
                    names.add(f"{alias.asname or _PACKAGE}.check")
    given = list(_given(tree))
    while more := {name for name, value in given if _is_decorator(value, names)} - names:
        names |= more
    return frozenset(names)


def _undecorated(source: _Source, created: Collection[Place]) -> Iterator[tuple[int, str]]:
    """Lines of tests as pytest would collect them that ask for the cluster, and are no check."""
    written = {id(function) for function, _ in source.written}
    tops = [
        one for node in own(source.tree) for one in (node.body if isinstance(node, ast.ClassDef) else [node])
    ]
    for node in tops:
        if not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) or not node.name.startswith("test"):
            continue
        line = min(one.lineno for one in (*node.decorator_list, node))
        arguments = [*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs]
        is_marked = all(ast.unparse(one).startswith(_MARKS) for one in node.decorator_list)
        if id(node) in written or Place(source.path, line) in created or not is_marked:
            continue
        if not _FIXTURES.isdisjoint(one.arg for one in arguments):
            yield line, _NO_DECORATOR


def _given(tree: ast.AST) -> Iterator[tuple[str, ast.expr]]:
    """Names and what they are given: by an assignment, or as what a function returns."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Assign | ast.AnnAssign | ast.NamedExpr) and node.value is not None:
            for target in node.targets if isinstance(node, ast.Assign) else [node.target]:
                if isinstance(target, ast.Name):
                    yield target.id, node.value
        elif isinstance(node, ast.FunctionDef):
            for one in ast.walk(node):
                if isinstance(one, ast.Return) and one.value is not None:
                    yield node.name, one.value


def _is_decorator(value: ast.expr, names: Collection[str]) -> bool:
    """`check`, `check(…)`, `partial(check, …)` or `lambda id: check(id=id, …)`."""
    if isinstance(value, ast.Lambda):
        value = value.body
    if isinstance(value, ast.Call):
        is_partial = ast.unparse(value.func).rpartition(".")[2] == "partial" and bool(value.args)
        value = value.args[0] if is_partial else value.func
    return isinstance(value, ast.Name | ast.Attribute) and ast.unparse(value) in names


def _decorated(tree: ast.AST, names: frozenset[str], what: str) -> Iterator[tuple[_Definition, str]]:
    for node in ast.iter_child_nodes(tree):
        inside = what
        if isinstance(node, _Definition):
            decorators = [one.func if isinstance(one, ast.Call) else one for one in node.decorator_list]
            if any(ast.unparse(one) in names for one in decorators):
                yield node, what
            kind = "class" if isinstance(node, ast.ClassDef) else "function"
            inside = f"it is in the {kind} {node.name}"
        yield from _decorated(node, names, inside)
