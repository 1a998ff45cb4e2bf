"""Finds what the source of a check asks, and whose answer is not used: `all(…)` as a statement, a condition that is
true whatever the cluster is like, an assertion whose failure is caught. Such a check passes.

Only what is certain counts: a call of anything that is not a well-known function may report something.
"""

from __future__ import annotations

import ast
import builtins
from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

from pytest_kspec.plan.idle import Function, Idle, bound_names, has_entries, own, tests

_QUESTIONS = frozenset({"all", "any", "bool", "callable", "hasattr", "isinstance", "issubclass", "len"})
_PREDICATES = frozenset({"startswith", "endswith", "__eq__", "issubset", "issuperset", "isdisjoint"})
_PREDICATES |= frozenset(name for name in dir(str) if name.startswith("is"))
_QUIET = _PREDICATES | {
    "append", "extend", "get", "items", "join", "keys", "lower", "upper", "removeprefix", "removesuffix",
    "setdefault", "split", "strip", "values",
}  # fmt: skip
"""Methods of Python's own types that report nothing."""
_FIELDS = frozenset({"startswith", "endswith"})
"""What fields of a rule may be called."""
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
        self.globals = {name for node in own(module) for name in bound_names(node)}
        self._anything = self.globals | {name for node in ast.walk(module) for name in self._given_by(node)}
        self.has_fixtures_for_all = any(
            (isinstance(node, ast.Attribute) and node.attr == "usefixtures")
            or (isinstance(node, ast.keyword) and node.arg == "autouse")
            for node in ast.walk(module)
        )

    def __call__(self, *nodes: ast.AST) -> bool:
        return any(self._one(node) for given in nodes for node in ast.walk(given))

    def _one(self, node: ast.AST) -> bool:
        if isinstance(node, ast.Assert | ast.Raise | ast.Await | ast.Yield | ast.YieldFrom):
            return True
        if isinstance(node, ast.Name):
            return node.id == "findings"
        if isinstance(node, ast.withitem):  # the end of a block that a name stands for
            return not isinstance(node.context_expr, ast.Call)
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
        return quiet and root not in self.globals and not call.keywords

    def _given_by(self, node: ast.AST) -> set[str]:
        """Names of what others made: a parameter, what `with` gives, the value of a call. It may report something."""
        if isinstance(node, ast.arg):
            return {node.arg} - _GIVEN
        if isinstance(node, ast.withitem) and node.optional_vars is not None:
            return {one.id for one in ast.walk(node.optional_vars) if isinstance(one, ast.Name)}
        if (
            isinstance(node, ast.Assign)
            and isinstance(node.value, ast.Call)
            and not self._is_quiet(node.value)
        ):
            return {one.id for one in node.targets if isinstance(one, ast.Name)}
        return set()

    def may_be_anything(self, node: ast.AST) -> bool:
        """Whether its methods may be other ones than those of text: `soft.startswith(…)`."""
        return isinstance(node, ast.Name) and node.id in self._anything

    def is_method(self, attribute: ast.Attribute) -> bool:
        """Whether it is a method for sure, and no field of this name."""
        if attribute.attr in _FIELDS and _root(attribute) not in self._resources | _GIVEN:
            return False
        return self.is_predicate(attribute) and not self.may_be_anything(attribute.value)

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


def _is_answer(node: ast.AST, reports: _Reports) -> bool:
    """The same of what is yes or no: `pod.name or pod.uid` is neither."""
    if isinstance(node, ast.BoolOp):
        return all(_is_answer(one, reports) for one in node.values)
    return _is_question(node, reports)


def _thrown_away(module: ast.Module, reports: _Reports) -> Iterator[Idle]:
    for node in ast.walk(module):
        if (
            isinstance(node, ast.Expr)
            and _is_question(node.value, reports)
            and not _acts(node.value, reports)
        ):
            yield Idle(node.lineno, f"the value of {_shown(node.value)} is not used", _READ)


def _acts(value: ast.AST, reports: _Reports) -> bool:
    """`pod.matches(…)` reports nothing, whatever it is asked about; its arguments may. A walrus keeps a value."""
    if any(isinstance(node, ast.NamedExpr) for node in ast.walk(value)):
        return True
    if isinstance(value, ast.Call) and isinstance(value.func, ast.Attribute):
        inner = value.func.value
        return reports.may_be_anything(inner) or reports(inner, *value.args, *value.keywords)
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
    if isinstance(test, ast.ListComp | ast.SetComp) and _is_answer(test.elt, reports):
        return "" if any(one.ifs for one in test.generators) else "a list of answers"
    if isinstance(test, ast.Attribute) and reports.is_method(test):
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
    entries = test.keys if isinstance(test, ast.Dict) else getattr(test, "elts", ())
    if isinstance(test, ast.List | ast.Set | ast.Dict) and has_entries(entries):
        return "a list or dict with entries"
    if isinstance(test, ast.BoolOp) and isinstance(test.op, ast.Or):
        return next(filter(None, map(_true, test.values)), "")
    return ""


class _Guarded(NamedTuple):
    """What runs where an exception is caught. handler: what is done about it; after: what runs afterwards, or not."""

    line: int
    body: Sequence[ast.AST]
    handler: Sequence[ast.AST]
    after: Sequence[ast.AST] = ()


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
            told = reports(*one.handler) or _leaves_a_trace(one.handler)
            if asks and not told and not _decides(one, reports):
                yield Idle(
                    one.line,
                    "an assertion or error is caught here, and nothing reports it",
                    "Catch the exception of one call only, or report it with findings.error(…).",
                )


def _is_findings(node: ast.AST) -> bool:
    return isinstance(node, ast.Name) and node.id == "findings"


def _leaves_a_trace(handler: Sequence[ast.AST]) -> bool:
    """What may be read later: a variable, an entry of a list, what a function returns."""
    kept = ast.Assign | ast.AugAssign | ast.AnnAssign | ast.NamedExpr
    return any(
        isinstance(node, kept)
        or (isinstance(node, ast.Return) and node.value is not None)
        or (isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and _root(node) not in _LOGS)
        for part in handler
        for node in ast.walk(part)
    )


def _decides(guarded: _Guarded, reports: _Reports) -> bool:
    """Whether an assertion only tells which way to go: what follows it, or is left out, is known afterwards."""
    inside = [node for part in guarded.body for node in ast.walk(part)]
    if any(map(_is_findings, inside)):
        return False
    last = max((node.lineno, node.col_offset) for node in inside if isinstance(node, ast.Assert))
    follows = [
        node for node in inside if isinstance(node, ast.stmt) and (node.lineno, node.col_offset) > last
    ]
    if _leaves_a_trace(follows):
        return True
    handled = [node for part in guarded.handler for node in ast.walk(part)]
    leaves = any(isinstance(node, ast.Return | ast.Break | ast.Continue) for node in [*follows, *handled])
    return leaves and (reports(*guarded.after) or _leaves_a_trace(guarded.after))


def _guarded(function: ast.AST) -> Iterator[_Guarded]:
    loops = [node for node in own(function) if isinstance(node, ast.For | ast.AsyncFor | ast.While)]
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
        elif isinstance(node, ast.With) and any(_suppresses(item.context_expr) for item in node.items):
            yield _Guarded(node.lineno, node.body, ())


def _ends(node: ast.stmt) -> int:
    return node.end_lineno or node.lineno


def _goes_on(node: ast.Try | ast.TryStar) -> bool:
    """Whether it leaves nothing but this turn of its loop."""
    return not any(isinstance(one, ast.Return | ast.Break) for one in own(node))


def _suppresses(call: ast.AST) -> bool:
    if not isinstance(call, ast.Call) or ast.unparse(call.func).rpartition(".")[2] != "suppress":
        return False
    return any(_is_broad(one) for one in call.args)


def _is_broad(kind: ast.AST | None) -> bool:
    """Whether failed assertions are among these exceptions."""
    if isinstance(kind, ast.Tuple):
        return any(_is_broad(one) for one in kind.elts)
    return kind is None or ast.unparse(kind).removeprefix("builtins.") in _BROAD


def _silent(checks: Iterable[ast.AST], reports: _Reports) -> Iterator[Idle]:
    """A check that can report nothing, by itself or by fixtures of its own. What it returns is refused when it runs."""
    if reports.has_fixtures_for_all:
        return
    for check in checks:
        if (
            not isinstance(check, Function)
            or len(check.decorator_list) > 1
            or all(map(_is_nothing, check.body))
        ):
            continue
        arguments = [*check.args.posonlyargs, *check.args.args, *check.args.kwonlyargs]
        returns = any(isinstance(node, ast.Return) and node.value is not None for node in own(check))
        if (
            not returns
            and {one.arg for one in arguments} <= _GIVEN - reports.globals
            and not reports(*check.body)
        ):
            yield Idle(
                check.lineno, f"{check.name} asserts nothing and adds no finding: it would always pass", _READ
            )


def _is_nothing(node: ast.stmt) -> bool:
    """As the body of a check that a rule has instead."""
    return isinstance(node, ast.Pass) or (isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant))
