"""Finds what the source of a check asks, and whose answer is not used: `all(…)` as a statement, a condition that is
true whatever the cluster is like, an assertion whose failure is caught. Such a check passes.

Only what is certain counts: a call of anything that is not a well-known function may report something.
"""

from __future__ import annotations

import ast
import builtins
from collections.abc import Iterable, Iterator, Sequence

from pytest_kspec.plan.idle import (
    Function,
    Idle,
    Lazy,
    asked_of_each,
    bound_names,
    has_entries,
    own,
    root_of,
    tests,
)
from pytest_kspec.plan.swallowed import LOGS, swallowed
from pytest_kspec.plan.unused import unused

_QUESTIONS = frozenset({"all", "any", "bool", "callable", "hasattr", "isinstance", "issubclass", "len"})
_PREDICATES = frozenset({"startswith", "endswith", "__eq__", "issubset", "issuperset", "isdisjoint"})
_PREDICATES |= frozenset(name for name in dir(str) if name.startswith("is"))
_QUIET = _PREDICATES | {
    "append", "extend", "get", "items", "join", "keys", "lower", "upper", "removeprefix", "removesuffix",
    "setdefault", "split", "strip", "values",
}  # fmt: skip
"""Methods of Python's own types that report nothing."""
_CHANGE = frozenset({"append", "extend", "setdefault"})
_FIELDS = frozenset({"startswith", "endswith"})
"""What fields of a rule may be called."""
_MATCHES = "matches"
"""A method of resources; what else is called so may report something."""
_LEVELS = frozenset({"debug", "info", "warning", "error", "exception", "critical", "log", "warn"})
_TAKE_CALLS = frozenset({"map", "filter", "iter"})
_ACT = frozenset({"exec", "eval", "__import__", "getattr", "next", "compile", "globals", "locals", "vars"})
_GIVEN = frozenset({
    "cluster", "workloads", "pods", "containers", "namespaces", "nodes", "services", "network_policies", "rbac",
    "requirement", "spec", "exemptions", "findings",
})  # fmt: skip
"""Fixtures that report nothing by themselves."""
_COLLECTED = ast.ListComp | ast.SetComp | ast.DictComp
_READ = "Use assert, or findings.add(…)."


def unasked(module: ast.Module, checks: Iterable[ast.AST]) -> Idle | None:
    """The first such place in a module, or None. checks: its functions that are checks."""
    reports = _Reports(module)
    places = [
        *_thrown_away(module, reports),
        *_never_read(module, reports),
        *_constant(module, reports),
        *swallowed(module, reports),
        *unused(module, Lazy(module), reports),
    ]
    if not places:
        places = [*_silent(checks, reports)]
    return min(places, default=None)


class _Reports:
    """Whether code may report something: asserts, raises, uses `findings`, or calls what may."""

    def __init__(self, module: ast.Module) -> None:
        self.predicates: frozenset[str] = frozenset()
        """Functions of the module whose answer is all that a call of them is for."""
        bound = {name for node in ast.walk(module) for name in bound_names(node)}
        loops = [one for one in ast.walk(module) if isinstance(one, ast.For | ast.comprehension)]
        self._resources = {
            one.target.id for one in loops if isinstance(one.target, ast.Name) and root_of(one.iter) in _GIVEN
        }
        self._quiet = frozenset(dir(builtins)) - _ACT - bound
        self.globals = {name for node in own(module) for name in bound_names(node)}
        self._anything = self.globals | {name for node in ast.walk(module) for name in self._given_by(node)}
        arguments = {node.arg for node in ast.walk(module) if isinstance(node, ast.arg)}
        self._has_findings = "findings" in arguments | self.globals
        self.has_fixtures_for_all = any(
            (isinstance(node, ast.Attribute) and node.attr == "usefixtures")
            or (isinstance(node, ast.keyword) and node.arg == "autouse")
            for node in ast.walk(module)
        )
        self.predicates = self._predicates(module)

    def _predicates(self, module: ast.Module) -> frozenset[str]:
        bound = [name for node in ast.walk(module) for name in bound_names(node)]
        return frozenset(
            node.name
            for node in module.body
            if isinstance(node, ast.FunctionDef)
            and not node.decorator_list
            and bound.count(node.name) == 1
            and not self(*node.body)
            and (answers := [one.value for one in own(node) if isinstance(one, ast.Return)])
            and all(answer is not None and _is_verdict(answer, self) for answer in answers)
            and not any(_keeps(one) for one in ast.walk(node))
        )

    def __call__(self, *nodes: ast.AST) -> bool:
        return any(self._one(node) for given in nodes for node in ast.walk(given))

    def _one(self, node: ast.AST) -> bool:
        if isinstance(node, ast.Assert | ast.Raise | ast.Await | ast.Yield | ast.YieldFrom):
            return True
        if isinstance(node, ast.Name):
            return node.id == "findings" and self._has_findings
        if isinstance(node, ast.withitem):  # the end of a block that a name stands for
            return not isinstance(node.context_expr, ast.Call)
        return isinstance(node, ast.Call) and not self._is_quiet(node)

    def _is_quiet(self, call: ast.Call) -> bool:
        func = call.func
        passed = [word.value for word in call.keywords if word.arg in (None, "key", "default")]
        if isinstance(func, ast.Name):
            if func.id in _TAKE_CALLS:
                passed += call.args[:1]
            return func.id in self._quiet | self.predicates and all(
                self._is_quiet_function(one) for one in passed
            )
        if not isinstance(func, ast.Attribute):
            return False
        root = root_of(func.value)
        if root in LOGS and func.attr in _LEVELS:
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
        if attribute.attr in _FIELDS and root_of(attribute) not in self._resources | _GIVEN:
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


def _is_question(node: ast.AST, reports: _Reports) -> bool:
    """Whether its value is all that it is for."""
    if isinstance(node, ast.Call):
        if isinstance(node.func, ast.Name):
            return node.func.id in _QUESTIONS | reports.predicates
        return isinstance(node.func, ast.Attribute) and reports.is_predicate(node.func)
    if isinstance(node, ast.UnaryOp):
        return isinstance(node.op, ast.Not)
    return isinstance(node, ast.BoolOp | ast.Compare)


def _is_answer(node: ast.AST, reports: _Reports) -> bool:
    """The same of what is yes or no: `pod.name or pod.uid` is neither."""
    if isinstance(node, ast.BoolOp):
        return all(_is_answer(one, reports) for one in node.values)
    return _is_question(node, reports)


def _is_verdict(node: ast.AST, reports: _Reports) -> bool:
    """True, False, or what is one of them."""
    return _is_answer(node, reports) or (isinstance(node, ast.Constant) and isinstance(node.value, bool))


def _keeps(node: ast.AST) -> bool:
    """Whether it changes what is seen outside of its function."""
    if isinstance(node, ast.Attribute | ast.Subscript):
        return not isinstance(node.ctx, ast.Load) or getattr(node, "attr", "") in _CHANGE
    return isinstance(node, ast.Global | ast.Nonlocal)


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
                asks = isinstance(node.value, _COLLECTED) or _is_question(node.value, reports)
                if used.isdisjoint(names) and asks and not _acts(node.value, reports):
                    yield Idle(node.lineno, f"{names[0]} is never read", _READ)
            elif isinstance(node, Function) and not node.decorator_list and node.name not in used:
                yield Idle(node.lineno, f"{node.name} is never called", "Call it.")


def _uses(node: ast.AST) -> tuple[str, ...]:
    return (node.id,) if isinstance(node, ast.Name) and not isinstance(node.ctx, ast.Store) else ()


def _constant(module: ast.Module, reports: _Reports) -> Iterator[Idle]:
    """A condition that is true, or false, whatever the cluster is like."""
    for node in ast.walk(module):
        if isinstance(node, ast.Assert) and (what := _true(node.test)):
            yield Idle(node.lineno, f"{what} is always true", "Compare it with something.")
        for each in asked_of_each(node) if _is_call_of(node, "all") else ():
            if what := _true(each):
                yield Idle(each.lineno, f"{what} is always true", "Compare it with something.")
        for test, below in _conditions(node):
            if _is_false(test) and reports(*below):
                yield Idle(test.lineno, f"{ast.unparse(test)} is always false", "Remove what never runs.")
        for test in tests(node):
            if what := _truth(test, reports):
                yield Idle(test.lineno, f"{what} is always true", "Compare it with something, or call it.")
        for name, value in _answers_in_names(node) if isinstance(node, Function) else ():
            if what := _truth(value, reports):
                yield Idle(name.lineno, f"{name.id}, {what}, is always true", "Use all(…) or any(…).")


def _answers_in_names(function: ast.AST) -> Iterator[tuple[ast.Name, ast.expr]]:
    """Names that are asserted, with the only value that they have in their function."""
    values: dict[str, list[ast.expr | None]] = {}
    for node in own(function):
        if isinstance(node, ast.Assign) and len(node.targets) == 1 and isinstance(node.targets[0], ast.Name):
            values.setdefault(node.targets[0].id, []).append(node.value)
        for name in bound_names(node):
            values.setdefault(name, []).append(None)
    for node in own(function):
        if isinstance(node, ast.Assert) and isinstance(node.test, ast.Name):
            match values.get(node.test.id):
                case [ast.expr() as value, None]:
                    yield node.test, value


def _conditions(node: ast.AST) -> Iterator[tuple[ast.expr, Sequence[ast.AST]]]:
    """A condition, and what runs if it holds."""
    if isinstance(node, ast.If | ast.While):
        yield node.test, node.body
    elif isinstance(node, ast.IfExp):
        yield node.test, [node.body]
    elif isinstance(node, ast.ListComp | ast.SetComp | ast.GeneratorExp | ast.DictComp):
        made = [node.key, node.value] if isinstance(node, ast.DictComp) else [node.elt]
        yield from ((test, made) for one in node.generators for test in one.ifs)


def _is_false(test: ast.AST) -> bool:
    if isinstance(test, ast.BoolOp) and isinstance(test.op, ast.And):
        return any(map(_is_false, test.values))
    if isinstance(test, ast.List | ast.Tuple | ast.Dict):
        return not (test.keys if isinstance(test, ast.Dict) else test.elts)
    return isinstance(test, ast.Constant) and not test.value


def _is_call_of(node: ast.AST, name: str) -> bool:
    return isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == name


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
