"""Finds what a check only builds and never runs: a generator whose value is thrown away, an assertion of one.

The check looks as if it evaluated something, and what it would have found is not known.
"""

from __future__ import annotations

import ast

_LAZY = ("map", "filter", "zip", "enumerate", "reversed", "iter")


def idle(function: ast.AST) -> tuple[int, str] | None:
    """Line and description of the first such place in a function, or None."""
    for node in ast.walk(function):
        if isinstance(node, ast.Expr) and (what := _lazy(node.value)):
            return node.lineno, f"{what} is built here and never runs"
        for test in _tests(node):
            if what := _lazy(test):
                return test.lineno, f"{what} is always true, whatever it would yield"
            if isinstance(test, ast.Tuple) and test.elts:
                return test.lineno, "a tuple is always true"
            if isinstance(test, ast.Lambda):
                return test.lineno, "a function is always true, whatever it would return"
    return None


def _tests(node: ast.AST) -> tuple[ast.expr, ...]:
    """Expressions of which a node asks whether they are true."""
    if isinstance(node, ast.Assert | ast.If | ast.While | ast.IfExp):
        return (node.test,)
    if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.Not):
        return (node.operand,)
    return ()


def _lazy(node: ast.expr) -> str:
    """What kind of iterator this makes that does nothing until it is used, or ""."""
    if isinstance(node, ast.GeneratorExp):
        return "a generator"
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in _LAZY:
        return f"{node.func.id}(…)"
    return ""
