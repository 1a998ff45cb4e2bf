"""Finds what the source of a check asks, and whose answer is not used: `all(…)` as a statement, a condition that is
true whatever the cluster is like, an assertion whose failure is caught. Such a check passes.

Only what is certain counts: a call of anything that is not a well-known function may report something.
"""

from __future__ import annotations

import ast
import builtins
from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

from pytest_kspec.plan.idle import Function, Idle, bound_names, own, tests

_QUESTIONS = frozenset({"all", "any", "bool", "callable", "hasattr", "isinstance", "issubclass", "len"})
_PREDICATES = frozenset({"startswith", "endswith", "__eq__", "issubset", "issuperset", "isdisjoint"})
_PREDICATES |= frozenset(name for name in dir(str) if name.startswith("is"))
_QUIET = _PREDICATES | {
    "append", "extend", "get", "items", "join", "keys", "lower", "upper", "removeprefix", "removesuffix",
    "setdefault", "split", "strip", "values",
}  # fmt: skip
"""Methods of Python's own types that report nothing."""
_MATCHES = "matches"
"""A method of resources; what else is called so may report something."""
_LOGS = frozenset({"log", "logger", "logging"})
_LEVELS = frozenset({"debug", "info", "warning", "error", "exception", "critical", "log"})
_TAKE_CALLS = frozenset({"map", "filter", "iter"})
_ACT = frozenset({"exec", "eval", "__import__", "getattr", "next", "compile", "globals", "locals", "vars"})
_BROAD = frozenset({"AssertionError", "Exception", "BaseException"})
_GIVEN = frozenset({
    "cluster", "workloads", "pods", "containers", "namespaces", "nodes", "services", "network_policies", "rbac",
    "requirement", "spec", "exemptions", "findings",
})  # fmt: skip
"""Fixtures that report nothing by themselves."""
_READ = "Use assert, or findings.add(…)."


def unasked(module: ast.Module, checks: Iterable[ast.AST]) -> Idle | None:
    """The first such place in a module, or None. checks: its functions that are checks."""
    reports = _Reports(module)
    places = [
        *_thrown_away(module, reports),
        *_never_read(module, reports),
        *_constant(module, reports),
        *_swallowed(module, reports),
    ]
    if not places:
        places = [*_silent(checks, reports)]
    return min(places, default=None)


class _Reports:
    """Whether code may report something: asserts, raises, uses `findings`, or calls what may."""

    def __init__(self, module: ast.Module) -> None:
        bound = {name for node in ast.walk(module) for name in bound_names(node)}
        loops = [one for one in ast.walk(module) if isinstance(one, ast.For | ast.comprehension)]
        self._resources = {
            one.target.id for one in loops if isinstance(one.target, ast.Name) and _root(one.iter) in _GIVEN
        }
        self._quiet = frozenset(dir(builtins)) - _ACT - bound
        self._globals = {name for node in own(module) for name in bound_names(node)}

    def __call__(self, *nodes: ast.AST) -> bool:
        return any(self._one(node) for given in nodes for node in ast.walk(given))

    def _one(self, node: ast.AST) -> bool:
        if isinstance(node, ast.Assert | ast.Raise | ast.Await | ast.Yield | ast.YieldFrom):
            return True
        if isinstance(node, ast.Name):
            return node.id == "findings"
        return isinstance(node, ast.Call) and not self._is_quiet(node)

    def _is_quiet(self, call: ast.Call) -> bool:
        func = call.func
        passed = [word.value for word in call.keywords if word.arg in (None, "key", "default")]
        if isinstance(func, ast.Name):
            if func.id in _TAKE_CALLS:
                passed += call.args[:1]
            return func.id in self._quiet and all(self._is_quiet_function(one) for one in passed)
        if not isinstance(func, ast.Attribute):
            return False
        root = _root(func.value)
        if root in _LOGS and func.attr in _LEVELS:
            return True
        quiet = func.attr in _QUIET or self.is_predicate(func)
        return quiet and root not in self._globals and not call.keywords

    def is_predicate(self, method: ast.Attribute) -> bool:
        """Whether its value is all that a call of it is for."""
        if method.attr == _MATCHES:
            return isinstance(method.value, ast.Name) and method.value.id in self._resources
        return method.attr in _PREDICATES

    def _is_quiet_function(self, node: ast.AST) -> bool:
        if isinstance(node, ast.Lambda | ast.Constant):  # the body of a function is walked, too
            return True
        return isinstance(node, ast.Name) and node.id in self._quiet


def _root(node: ast.AST) -> str:
    """`pod` of `pod.labels["a"]`, or ""."""
    while isinstance(node, ast.Attribute | ast.Subscript | ast.Call):
        node = node.func if isinstance(node, ast.Call) else node.value
    return node.id if isinstance(node, ast.Name) else ""


def _is_question(node: ast.AST, reports: _Reports) -> bool:
    """Whether its value is all that it is for."""
    if isinstance(node, ast.Call):
        if isinstance(node.func, ast.Name):
            return node.func.id in _QUESTIONS
        return isinstance(node.func, ast.Attribute) and reports.is_predicate(node.func)
    if isinstance(node, ast.UnaryOp):
        return isinstance(node.op, ast.Not)
    return isinstance(node, ast.BoolOp | ast.Compare)


def _thrown_away(module: ast.Module, reports: _Reports) -> Iterator[Idle]:
    for node in ast.walk(module):
        if (
            isinstance(node, ast.Expr)
            and _is_question(node.value, reports)
            and not _acts(node.value, reports)
        ):
            yield Idle(node.lineno, f"the value of {_shown(node.value)} is not used", _READ)


def _acts(value: ast.AST, reports: _Reports) -> bool:
    """`pod.matches(…)` reports nothing, whatever it is asked about; its arguments may."""
    if isinstance(value, ast.Call) and isinstance(value.func, ast.Attribute):
        return reports(value.func.value, *value.args, *value.keywords)
    return reports(value)


def _shown(node: ast.AST) -> str:
    if isinstance(node, ast.Call):
        return f"{ast.unparse(node.func)}(…)"
    return "this condition"


def _never_read(module: ast.Module, reports: _Reports) -> Iterator[Idle]:
    """A verdict in a variable, or a function, that the function around it never uses."""
    for function in ast.walk(module):
        if not isinstance(function, Function):
            continue
        used = {name for node in ast.walk(function) for name in _uses(node)}
        used |= {
            name
            for node in own(function)
            if isinstance(node, ast.Global | ast.Nonlocal)
            for name in node.names
        }
        for node in own(function):
            if isinstance(node, ast.Assign) and all(isinstance(one, ast.Name) for one in node.targets):
                names = [one.id for one in node.targets if isinstance(one, ast.Name)]
                if (
                    used.isdisjoint(names)
                    and _is_question(node.value, reports)
                    and not _acts(node.value, reports)
                ):
                    yield Idle(node.lineno, f"{names[0]} is never read", _READ)
            elif isinstance(node, Function) and not node.decorator_list and node.name not in used:
                yield Idle(node.lineno, f"{node.name} is never called", "Call it.")


def _uses(node: ast.AST) -> tuple[str, ...]:
    return (node.id,) if isinstance(node, ast.Name) and not isinstance(node.ctx, ast.Store) else ()


def _constant(module: ast.Module, reports: _Reports) -> Iterator[Idle]:
    """A condition that is true whatever the cluster is like."""
    for node in ast.walk(module):
        if isinstance(node, ast.Assert) and (what := _true(node.test)):
            yield Idle(node.lineno, f"{what} is always true", "Compare it with something.")
        for test in tests(node):
            if what := _truth(test, reports):
                yield Idle(test.lineno, f"{what} is always true", "Compare it with something, or call it.")


def _truth(test: ast.AST, reports: _Reports) -> str:
    """Of what stands where a condition does, and is none."""
    if isinstance(test, ast.Constant) and isinstance(test.value, str) and test.value:
        return f"the text {test.value[:30]!r}"
    if isinstance(test, ast.JoinedStr) and any(isinstance(one, ast.Constant) for one in test.values):
        return "this text"
    if isinstance(test, ast.ListComp | ast.SetComp) and _is_question(test.elt, reports):
        return "" if any(one.ifs for one in test.generators) else "a list of answers"
    if isinstance(test, ast.Attribute) and reports.is_predicate(test):
        return f"{ast.unparse(test)} without a call"
    return ""


def _true(test: ast.AST) -> str:
    """Of what may stand in `while`, and asserts nothing."""
    if (
        isinstance(test, ast.Constant)
        and test.value is not ...
        and test.value
        and not isinstance(test.value, str)
    ):
        return repr(test.value)
    if isinstance(test, ast.List | ast.Set | ast.Dict) and ast.unparse(test) not in ("[]", "{}"):
        return "a list or dict with entries"
    return ""


class _Guarded(NamedTuple):
    """What runs where an exception is caught. handler: what is done about it."""

    line: int
    body: Sequence[ast.AST]
    handler: Sequence[ast.AST]


def _swallowed(module: ast.Module, reports: _Reports) -> Iterator[Idle]:
    """A finding that is caught: an assertion, or whatever goes wrong beside `findings`."""
    for function in ast.walk(module):
        if not isinstance(function, Function):
            continue
        for one in _guarded(function):
            asks = any(
                isinstance(node, ast.Assert) or _is_findings(node)
                for part in one.body
                for node in ast.walk(part)
            )
            if asks and not reports(*one.handler) and not _leaves_a_trace(one.handler):
                yield Idle(
                    one.line,
                    "an assertion or error is caught here, and nothing reports it",
                    "Catch the exception of one call only, or report it with findings.error(…).",
                )


def _is_findings(node: ast.AST) -> bool:
    return isinstance(node, ast.Name) and node.id == "findings"


def _leaves_a_trace(handler: Sequence[ast.AST]) -> bool:
    """What may be read later: a variable, an entry of a list, what a function returns."""
    kept = ast.Assign | ast.AugAssign | ast.AnnAssign
    return any(
        isinstance(node, kept)
        or (isinstance(node, ast.Return) and node.value is not None)
        or (isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and _root(node) not in _LOGS)
        for part in handler
        for node in ast.walk(part)
    )


def _guarded(function: ast.AST) -> Iterator[_Guarded]:
    for node in own(function):
        if isinstance(node, ast.Try):
            for handler in node.handlers:
                if _is_broad(handler.type):
                    # `else` knows that nothing was caught: a check of what must not hold.
                    yield _Guarded(handler.lineno, node.body, [*handler.body, *node.orelse])
        elif isinstance(node, ast.With) and any(_suppresses(item.context_expr) for item in node.items):
            yield _Guarded(node.lineno, node.body, ())


def _suppresses(call: ast.AST) -> bool:
    if not isinstance(call, ast.Call) or ast.unparse(call.func).rpartition(".")[2] != "suppress":
        return False
    return any(_is_broad(one) for one in call.args)


def _is_broad(kind: ast.AST | None) -> bool:
    """Whether failed assertions are among these exceptions."""
    if isinstance(kind, ast.Tuple):
        return any(_is_broad(one) for one in kind.elts)
    return kind is None or (isinstance(kind, ast.Name) and kind.id in _BROAD)


def _silent(checks: Iterable[ast.AST], reports: _Reports) -> Iterator[Idle]:
    """A check that can report nothing, by itself or by fixtures of its own. What it returns is refused when it runs."""
    for check in checks:
        if (
            not isinstance(check, Function)
            or len(check.decorator_list) > 1
            or all(map(_is_nothing, check.body))
        ):
            continue
        arguments = [*check.args.posonlyargs, *check.args.args, *check.args.kwonlyargs]
        returns = any(isinstance(node, ast.Return) and node.value is not None for node in own(check))
        if not returns and {one.arg for one in arguments} <= _GIVEN and not reports(*check.body):
            yield Idle(
                check.lineno, f"{check.name} asserts nothing and adds no finding: it would always pass", _READ
            )


def _is_nothing(node: ast.stmt) -> bool:
    """As the body of a check that a rule has instead."""
    return isinstance(node, ast.Pass) or (isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant))
