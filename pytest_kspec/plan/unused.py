"""Finds what the source of a check names, makes or collects, and does nothing with.

Such as `findings` without a call, a generator or function in a list that is thrown away, an exception that is not
raised, a list of what was found that nobody reads.

Only what is certain counts: what is returned, given to a function or kept in an object may be used there.
"""

from __future__ import annotations

import ast
import builtins
from collections.abc import Callable, Iterator

from pytest_kspec.plan.idle import Function, Idle, Lazy, bound_names, own

_LOOK = frozenset({
    "all", "any", "ascii", "bool", "enumerate", "format", "frozenset", "hash", "id", "iter", "len", "list", "print",
    "repr", "reversed", "set", "sorted", "str", "tuple", "zip",
})  # fmt: skip
"""Functions of Python that use nothing of what is given to them but itself: they call none of it."""
_RUN = frozenset({"all", "any", "enumerate", "frozenset", "list", "set", "sorted", "tuple", "zip"})
"""Those of them that run a generator."""
_HOLD = (
    ast.List | ast.Tuple | ast.Set | ast.Dict | ast.Starred | ast.JoinedStr | ast.FormattedValue | ast.ListComp
    | ast.SetComp | ast.DictComp | ast.GeneratorExp
)  # fmt: skip
_CONTAINERS = frozenset({"list", "set", "dict", "deque", "Counter", "defaultdict", "OrderedDict"})
_COLLECT = frozenset({"add", "append", "appendleft", "extend", "insert", "setdefault", "update"})
_OUTCOMES = frozenset({"pytest.fail", "pytest.skip", "pytest.xfail"})
_FINDINGS = "findings"
_CALL = "Call findings.add(…)."
_READ = "Use assert, or findings.add(…)."


def unused(module: ast.Module, lazy: Lazy, reports: Callable[..., bool]) -> Iterator[Idle]:
    """Such places in a module. reports: whether code may report something."""
    places = _Places(module)
    yield from _made(module, lazy, places)
    for function in ast.walk(module):
        if isinstance(function, Function):
            yield from _collected(function, places, reports)
            yield from _renamed(function)


class _Places:
    """Where the nodes of a module are, and what its names are."""

    def __init__(self, module: ast.Module) -> None:
        self.above: dict[ast.AST, ast.AST] = {}
        bound: dict[str, list[ast.AST]] = {}
        for node in ast.walk(module):
            for child in ast.iter_child_nodes(node):
                self.above[child] = node
            for name in bound_names(node):
                bound.setdefault(name, []).append(node)
        self.functions = {
            name
            for name, nodes in bound.items()
            if all(isinstance(node, Function) and not node.decorator_list for node in nodes)
        }
        own_names = {node.id for node in ast.walk(module) if isinstance(node, ast.Name)} & bound.keys()
        self.builtins = frozenset(dir(builtins)) - own_names - bound.keys()
        self._read: dict[ast.AST, frozenset[str]] = {}

    def is_used(self, node: ast.AST) -> bool:
        """Whether something may come of a value, other than a value that nobody looks at."""
        itself, runs = True, isinstance(node, ast.GeneratorExp | ast.Call)
        while True:
            above = self.above[node]
            if isinstance(above, ast.Expr):
                return False
            if isinstance(above, ast.If | ast.While | ast.Assert):
                return node is not above.test or isinstance(node, ast.Name)
            if isinstance(above, ast.Assign | ast.AnnAssign | ast.NamedExpr):
                targets = above.targets if isinstance(above, ast.Assign) else [above.target]
                if not all(isinstance(one, ast.Name) and not self._is_read(one) for one in targets):
                    return True
                if not isinstance(above, ast.NamedExpr):
                    return False
            elif isinstance(above, ast.IfExp):
                if node is above.test:
                    return isinstance(node, ast.Name)
            elif isinstance(above, ast.BoolOp):
                if node is not above.values[-1] and isinstance(node, ast.Name):
                    return True
            elif isinstance(above, ast.Call):
                name = above.func.id if isinstance(above.func, ast.Name) else ""
                if name not in _LOOK & self.builtins or node is above.func:
                    return True
                if itself and runs and name in _RUN:
                    return True
                itself = False
            elif isinstance(above, ast.Attribute):
                if self._is_called(above):
                    return True
                itself = False
            elif isinstance(above, _HOLD):
                itself = isinstance(above, ast.Starred) and itself
            else:
                return True
            node = above

    def _is_called(self, attribute: ast.Attribute) -> bool:
        above = self.above[attribute]
        return isinstance(above, ast.Call) and above.func is attribute

    def _is_read(self, name: ast.Name) -> bool:
        """Whether the function around it, or one in that, reads the variable."""
        around: ast.AST = name
        while not isinstance(around, Function | ast.ClassDef | ast.Module):
            around = self.above[around]
        if not isinstance(around, Function):
            return True
        if around not in self._read:
            self._read[around] = frozenset(_read_in(around))
        return name.id in self._read[around]


def _read_in(function: ast.AST) -> Iterator[str]:
    for node in ast.walk(function):
        if isinstance(node, ast.Name) and not isinstance(node.ctx, ast.Store):
            yield node.id
        elif isinstance(node, ast.Global | ast.Nonlocal):
            yield from node.names


def _made(module: ast.Module, lazy: Lazy, places: _Places) -> Iterator[Idle]:
    for node in ast.walk(module):
        what, fix = _inert(node, lazy, places)
        if what and not places.is_used(node):
            yield Idle(getattr(node, "lineno", 1), what, fix)


def _inert(node: ast.AST, lazy: Lazy, places: _Places) -> tuple[str, str]:
    """What a node is that does nothing by itself, and what to do about it."""
    if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Load):
        if node.id == _FINDINGS:
            return "findings is named here, and nothing is reported", _CALL
        if node.id in places.functions:
            return f"{node.id} is named here, and not called", "Call it."
        if node.id in places.builtins and _is_exception(node.id):
            return f"{node.id} is not raised", "Write raise in front of it."
    if isinstance(node, ast.Attribute) and ast.unparse(node) in _OUTCOMES:
        return f"{ast.unparse(node)} is named here, and not called", "Call it."
    if isinstance(node, ast.Lambda):
        return "a function is built here and never runs", "Call it."
    made = node.func.id if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) else ""
    if made in places.builtins and _is_exception(made):
        return f"{made}(…) is not raised", "Write raise in front of it."
    if what := lazy(node):
        return f"{what} is built here and never runs", "Use a loop, any(…) or all(…)."
    return "", ""


def _is_exception(name: str) -> bool:
    known = getattr(builtins, name, None)
    return isinstance(known, type) and issubclass(known, BaseException)


def _collected(function: ast.AST, places: _Places, reports: Callable[..., bool]) -> Iterator[Idle]:
    """A list, set or dict of the function that is filled, and that nothing reads."""
    made = {
        target.id: node
        for node in own(function)
        if isinstance(node, ast.Assign) and _is_container(node.value)
        for target in node.targets
        if isinstance(target, ast.Name)
    }
    filled = set()
    for node in ast.walk(function):
        if isinstance(node, ast.Global | ast.Nonlocal):
            for name in node.names:
                made.pop(name, None)
        elif isinstance(node, ast.Name) and node.id in made:
            if isinstance(node.ctx, ast.Store):
                if not _is_binding(node, places):
                    made.pop(node.id)
            elif (values := _stored(node, places)) is None or _tells(values, reports):
                made.pop(node.id)
            else:
                filled.add(node.id)
    for name in made.keys() & filled - {one.arg for one in ast.walk(function) if isinstance(one, ast.arg)}:
        yield Idle(made[name].lineno, f"{name} is filled and never read", _READ)


def _is_container(value: ast.AST) -> bool:
    if isinstance(value, ast.Call):
        return ast.unparse(value.func).rpartition(".")[2] in _CONTAINERS and not value.keywords
    return isinstance(value, ast.List | ast.Set | ast.Dict)


def _is_binding(name: ast.Name, places: _Places) -> bool:
    above = places.above[name]
    return isinstance(above, ast.AugAssign) or (isinstance(above, ast.Assign) and _is_container(above.value))


def _stored(name: ast.Name, places: _Places) -> list[ast.AST] | None:
    """What is put into it here; None where something else is done with it."""
    above = places.above[name]
    further = places.above[above]
    if isinstance(above, ast.Subscript) and above.value is name and isinstance(above.ctx, ast.Store):
        return [above.slice, getattr(further, "value", above.slice)]
    if not isinstance(above, ast.Attribute) or above.attr not in _COLLECT:
        return None
    if not isinstance(further, ast.Call) or further.func is not above:
        return None
    return [*further.args, *further.keywords] if isinstance(places.above[further], ast.Expr) else None


def _tells(values: list[ast.AST], reports: Callable[..., bool]) -> bool:
    """Whether what is put into it reports something by itself: a function or generator does not."""
    return reports(*(one for one in values if not isinstance(one, ast.Lambda | ast.GeneratorExp)))


def _renamed(function: ast.FunctionDef | ast.AsyncFunctionDef) -> Iterator[Idle]:
    """The fixture `findings` replaced by something of the check, which nobody reads after it."""
    arguments = [*function.args.posonlyargs, *function.args.args, *function.args.kwonlyargs]
    if _FINDINGS not in {one.arg for one in arguments}:
        return
    for node in own(function):
        if not isinstance(node, ast.Assign | ast.AnnAssign | ast.NamedExpr) or node.value is None:
            continue
        targets = node.targets if isinstance(node, ast.Assign) else [node.target]
        keeps = any(isinstance(one, ast.Name) and one.id == _FINDINGS for one in ast.walk(node.value))
        if not keeps and any(isinstance(one, ast.Name) and one.id == _FINDINGS for one in targets):
            yield Idle(
                node.lineno,
                "the fixture findings is replaced here, so that nothing is reported",
                "Choose another name.",
            )
