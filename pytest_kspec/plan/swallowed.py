"""Finds assertions and findings of a check whose exception is caught, and that nothing reports."""

from __future__ import annotations

import ast
from collections.abc import Callable, Collection, Iterator, Sequence
from typing import NamedTuple, TypeAlias, TypeGuard

from pytest_kspec.plan.idle import Function, Idle, bound_names, own, root_of

Reports: TypeAlias = Callable[..., bool]
"""Whether code may report something."""
LOGS = frozenset({"log", "logger", "logging", "warnings"})
_BROAD = frozenset({"AssertionError", "Exception", "BaseException"})


class _Guarded(NamedTuple):
    """What runs where an exception is caught. handler: what is done about it; after: what runs afterwards, or not."""

    line: int
    body: Sequence[ast.AST]
    handler: Sequence[ast.AST]
    after: Sequence[ast.AST] = ()


def swallowed(module: ast.Module, reports: Reports) -> Iterator[Idle]:
    """A finding that is caught: an assertion, or whatever goes wrong beside `findings`."""
    helpers = _asking(module)
    for function in ast.walk(module):
        if not isinstance(function, Function):
            continue
        for one in _guarded(function):
            asks = any(map(_is_findings, _walked(one.body))) or any(_verdicts(one.body, helpers))
            told = reports(*one.handler) or _leaves_a_trace(one.handler)
            if asks and not told and not _decides(one, reports, helpers):
                yield Idle(
                    one.line,
                    "an assertion or error is caught here, and nothing reports it",
                    "Catch the exception of one call only, or report it with findings.error(…).",
                )


def _walked(parts: Sequence[ast.AST]) -> Iterator[ast.AST]:
    return (node for part in parts for node in ast.walk(part))


def _asking(module: ast.Module) -> frozenset[str]:
    """Functions of the module that assert or use `findings`, themselves or by others of them."""
    functions = {node.name: node for node in ast.walk(module) if isinstance(node, Function)}
    others = {
        name for node in ast.walk(module) if not isinstance(node, Function) for name in bound_names(node)
    }
    left = {name: node for name, node in functions.items() if name not in others}
    found: set[str] = set()
    while more := {
        name
        for name, node in left.items()
        if any(map(_is_findings, ast.walk(node))) or any(_verdicts(node.body, found))
    }:
        found |= more
        left = {name: node for name, node in left.items() if name not in found}
    return frozenset(found)


def _verdicts(parts: Sequence[ast.AST], helpers: Collection[str]) -> Iterator[ast.Assert | ast.Call]:
    """Assertions, and calls of functions that assert, where nothing else is done with their value."""
    for node in _walked(parts):
        if isinstance(node, ast.Assert):
            yield node
        elif isinstance(node, ast.Expr):
            for one in ast.walk(node):
                if isinstance(one, ast.Call) and isinstance(one.func, ast.Name) and one.func.id in helpers:
                    yield one


def _is_findings(node: ast.AST) -> bool:
    return isinstance(node, ast.Name) and node.id == "findings"


def _leaves_a_trace(handler: Sequence[ast.AST]) -> bool:
    """What may be read later: a variable, an entry of a list, what a function returns."""
    kept = ast.Assign | ast.AugAssign | ast.AnnAssign | ast.NamedExpr
    return any(
        isinstance(node, kept)
        or (isinstance(node, ast.Return) and node.value is not None)
        or (isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and root_of(node) not in LOGS)
        for part in handler
        for node in ast.walk(part)
    )


def _decides(guarded: _Guarded, reports: Reports, helpers: frozenset[str]) -> bool:
    """Whether an assertion only tells which way to go: what follows it, or is left out, is known afterwards."""
    inside = list(_walked(guarded.body))
    if any(map(_is_findings, inside)):
        return False
    last = max((node.lineno, node.col_offset) for node in _verdicts(guarded.body, helpers))
    follows = [
        node for node in inside if isinstance(node, ast.stmt) and (node.lineno, node.col_offset) > last
    ]
    if _leaves_a_trace(follows):
        return True
    handled = _walked(guarded.handler)
    leaves = any(isinstance(node, ast.Return | ast.Break | ast.Continue) for node in [*follows, *handled])
    return leaves and (reports(*guarded.after) or _leaves_a_trace(guarded.after))


def _guarded(function: ast.AST) -> Iterator[_Guarded]:
    loops = [node for node in own(function) if isinstance(node, ast.For | ast.AsyncFor | ast.While)]
    silent = {
        target.id
        for node in own(function)
        if isinstance(node, ast.Assign) and _suppresses(node.value)
        for target in node.targets
        if isinstance(target, ast.Name)
    }
    for node in own(function):
        if isinstance(node, ast.Try | ast.TryStar):
            around = [one for one in loops if one.lineno < node.lineno and _ends(node) <= _ends(one)]
            after = [
                one
                for one in own(around[-1] if around and _goes_on(node) else function)
                if isinstance(one, ast.stmt) and one.lineno > _ends(node)
            ]
            for handler in node.handlers:
                if _is_broad(handler.type):
                    # `else` knows that nothing was caught: a check of what must not hold.
                    yield _Guarded(handler.lineno, node.body, [*handler.body, *node.orelse], after)
            for one in node.finalbody:
                if isinstance(one, ast.Return):
                    yield _Guarded(one.lineno, node.body, [])
        elif isinstance(node, ast.With):
            given = [item.context_expr for item in node.items]
            given += [arg for one in _walked(node.body) if _enters(one) for arg in one.args]
            if any(_suppresses(one) or (isinstance(one, ast.Name) and one.id in silent) for one in given):
                yield _Guarded(node.lineno, node.body, ())


def _ends(node: ast.stmt) -> int:
    return node.end_lineno or node.lineno


def _goes_on(node: ast.Try | ast.TryStar) -> bool:
    """Whether it leaves nothing but this turn of its loop."""
    return not any(isinstance(one, ast.Return | ast.Break) for one in own(node))


def _enters(node: ast.AST) -> TypeGuard[ast.Call]:
    """`stack.enter_context(…)`."""
    return isinstance(node, ast.Call) and ast.unparse(node.func).endswith(".enter_context")


def _suppresses(call: ast.AST) -> bool:
    if not isinstance(call, ast.Call) or ast.unparse(call.func).rpartition(".")[2] != "suppress":
        return False
    return any(_is_broad(one) for one in call.args)


def _is_broad(kind: ast.AST | None) -> bool:
    """Whether failed assertions are among these exceptions."""
    if isinstance(kind, ast.Tuple):
        return any(_is_broad(one) for one in kind.elts)
    return kind is None or ast.unparse(kind).removeprefix("builtins.") in _BROAD
