"""Finds what the source of a check only builds and never runs: a generator, a coroutine or a comparison whose value is
thrown away, an assertion of one, the future of an executor that nobody asks whether it raised.

The check looks as if it evaluated something, and what it would have found is not known.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator, Sequence
from typing import NamedTuple, TypeAlias

_LAZY = frozenset({"map", "filter", "zip", "enumerate", "reversed", "iter"})
_MODULES = {"itertools": None, "functools": frozenset({"partial"})}
"""Modules of which these functions, or all, give something that does nothing until it is used."""
_EXECUTORS = frozenset({"ThreadPoolExecutor", "ProcessPoolExecutor"})
_BEGIN = frozenset({"submit", "map"})
_TASKS = frozenset({"create_task", "ensure_future"})
_CALL = "call"
"""Of something that has no kind of its own to tell."""
_NEVER = "is built here and never runs"
Function: TypeAlias = ast.FunctionDef | ast.AsyncFunctionDef


class Idle(NamedTuple):
    """A place in a module. fix: what to do."""

    line: int
    what: str
    fix: str = "Use a loop, any(…) or all(…)."


def idle(module: ast.Module) -> Idle | None:
    """The first such place in a module of checks, or None."""
    lazy = Lazy(module)
    places = [*_unused(module, lazy), *_bare(module, lazy), *_forgotten(module), *_truth(module, lazy)]
    return min(places, default=None)


class Lazy:
    """What of a module does nothing when it is called. A name is taken for what it is in the scope of the call; for
    nothing where it may be something else as well.
    """

    def __init__(self, module: ast.Module) -> None:
        self._modules: dict[str, frozenset[str] | None] = {}
        self._methods: dict[str, str] = {}
        self._called: dict[int, str] = {}
        classes = {node.name for node in ast.walk(module) if isinstance(node, ast.ClassDef)}
        for node in ast.walk(module):
            if isinstance(node, ast.Import):
                for alias in node.names:
                    if alias.name in _MODULES:
                        self._modules[alias.asname or alias.name] = _MODULES[alias.name]
            elif isinstance(node, ast.ClassDef):
                for method in node.body:
                    if isinstance(method, Function):
                        _note(self._methods, method.name, _kind(method))
        self._classes, self._instances = classes, _instances(module, classes)
        self._look(module, (dict.fromkeys(_LAZY, _CALL), _bound(module)))

    def _look(self, node: ast.AST, scopes: tuple[dict[str, str], ...]) -> None:
        """Note what each call by name is."""
        for child in ast.iter_child_nodes(node):
            if isinstance(child, ast.Call) and isinstance(child.func, ast.Name):
                known = (names[child.func.id] for names in reversed(scopes) if child.func.id in names)
                self._called[id(child)] = next(known, "")
            inner = isinstance(child, Function | ast.Lambda)
            self._look(child, (*scopes, _bound(child)) if inner else scopes)

    def __call__(self, node: ast.AST) -> str:
        """What this makes that does nothing until it is used, or ""."""
        if isinstance(node, ast.GeneratorExp):
            return "a generator"
        if not isinstance(node, ast.Call):
            return ""
        kind = self._called.get(id(node), "")
        if isinstance(node.func, ast.Attribute):
            kind = self._of_attribute(node.func)
        if not kind:
            return ""
        return f"{'' if kind == _CALL else kind + ' '}{ast.unparse(node.func)}(…)"

    def _of_attribute(self, func: ast.Attribute) -> str:
        owner = func.value
        if isinstance(owner, ast.Name) and owner.id in self._modules:
            known = self._modules[owner.id]
            return _CALL if known is None or func.attr in known else ""
        is_ours = isinstance(owner, ast.Name) and owner.id in self._instances
        is_ours |= isinstance(owner, ast.Call) and ast.unparse(owner.func) in self._classes
        return self._methods.get(func.attr, "") if is_ours else ""


def _instances(module: ast.Module, classes: set[str]) -> set[str]:
    """Variables that are nothing but an object of a class of the module."""
    made, values = {"self", "cls"}, set()
    for node in ast.walk(module):
        if not isinstance(node, ast.Assign) or not isinstance(node.value, ast.Call):
            continue
        if ast.unparse(node.value.func) in classes:
            names = [target for target in node.targets if isinstance(target, ast.Name)]
            made |= {name.id for name in names}
            values |= {id(name) for name in names}
    others = {name for node in ast.walk(module) if id(node) not in values for name in bound_names(node)}
    return made - (others - {"self", "cls"})


def _bound(scope: ast.AST) -> dict[str, str]:
    """The names that a module or a function binds itself, with what a call of each makes that does nothing."""
    found: dict[str, str] = {}
    for node in own(scope):
        for name, kind in bound_names(node).items():
            _note(found, name, kind)
    return found


def _note(found: dict[str, str], name: str, kind: str) -> None:
    """Once it may be something else, it stays that."""
    found[name] = kind if found.get(name, kind) else ""


def bound_names(node: ast.AST) -> dict[str, str]:
    """The names that this node itself binds."""
    if isinstance(node, Function):
        return {node.name: _kind(node)}
    if isinstance(node, ast.ClassDef):
        return {node.name: ""}
    if isinstance(node, ast.arg):
        return {node.arg: ""}
    if isinstance(node, ast.Name):
        return {node.id: ""} if isinstance(node.ctx, ast.Store) else {}
    if isinstance(node, ast.ExceptHandler | ast.MatchAs | ast.MatchStar):
        return {node.name: ""} if node.name else {}
    if isinstance(node, ast.Import):
        return {(alias.asname or alias.name).partition(".")[0]: "" for alias in node.names}
    if isinstance(node, ast.ImportFrom):
        known = _MODULES.get(node.module or "", frozenset())
        return {
            alias.asname or alias.name: _CALL if known is None or alias.name in known else ""
            for alias in node.names
        }
    return {}


def _kind(function: Function) -> str:
    """Of a function that does nothing when it is called, or ""."""
    if function.decorator_list:
        return ""
    if isinstance(function, ast.AsyncFunctionDef):
        return "the coroutine"
    yields = any(isinstance(node, ast.Yield | ast.YieldFrom) for node in own(function))
    return "the generator" if yields else ""


def own(function: ast.AST) -> Iterator[ast.AST]:
    """The nodes of a function, without those of functions in it."""
    for node in ast.iter_child_nodes(function):
        yield node
        if not isinstance(node, Function | ast.Lambda | ast.ClassDef):
            yield from own(node)


def root_of(node: ast.AST) -> str:
    """`pod` of `pod.labels["a"]`, or ""."""
    while isinstance(node, ast.Attribute | ast.Subscript | ast.Call):
        node = node.func if isinstance(node, ast.Call) else node.value
    return node.id if isinstance(node, ast.Name) else ""


def _executors(scope: ast.AST) -> frozenset[str]:
    """Names of variables that are an executor."""
    found = set()
    for node in ast.walk(scope):
        pairs: list[tuple[ast.AST | None, ast.AST]] = []
        if isinstance(node, ast.Assign):
            pairs = [(target, node.value) for target in node.targets]
        elif isinstance(node, ast.withitem):
            pairs = [(node.optional_vars, node.context_expr)]
        for target, value in pairs:
            if isinstance(target, ast.Name) and isinstance(value, ast.Call) and _last(value) in _EXECUTORS:
                found.add(target.id)
    return frozenset(found)


def _last(call: ast.Call) -> str:
    """`submit` of `pool.submit(…)`, `map` of `map(…)`."""
    return call.func.attr if isinstance(call.func, ast.Attribute) else ast.unparse(call.func)


def _unused(module: ast.Module, lazy: Lazy) -> Iterator[Idle]:
    """A variable that is one, and that its function never reads."""
    for function in ast.walk(module):
        if not isinstance(function, Function):
            continue
        read = {
            node.id
            for node in ast.walk(function)
            if isinstance(node, ast.Name) and not isinstance(node.ctx, ast.Store)
        }
        shared = {
            name
            for node in own(function)
            if isinstance(node, ast.Global | ast.Nonlocal)
            for name in node.names
        }
        for node in own(function):
            if isinstance(node, ast.Assign):
                targets = node.targets
            elif isinstance(node, ast.AnnAssign) and node.value is not None:
                targets = [node.target]
            else:
                continue
            names = [target.id for target in targets if isinstance(target, ast.Name)]
            if len(names) < len(targets) or (read | shared).intersection(names):
                continue
            if node.value is not None and (what := lazy(node.value)):
                yield Idle(node.lineno, f"{what} {_NEVER}")


def _bare(module: ast.Module, lazy: Lazy) -> Iterator[Idle]:
    """A statement that throws its value away."""
    for node in ast.walk(module):
        if not isinstance(node, ast.Expr):
            continue
        value = node.value
        if what := lazy(value):
            yield Idle(node.lineno, f"{what} {_NEVER}")
        elif isinstance(value, ast.Compare):
            yield Idle(node.lineno, "this comparison has no effect", "Write assert in front of it.")
        elif isinstance(value, ast.Lambda):
            yield Idle(node.lineno, f"a function {_NEVER}")
        elif isinstance(value, ast.Attribute) and ast.unparse(value.value) == "findings":
            yield Idle(node.lineno, f"{ast.unparse(value)} is not called", "Call it.")


def _forgotten(module: ast.Module) -> Iterator[Idle]:
    """What runs elsewhere, and whose exceptions nobody asks for."""
    for scope in module.body:
        executors = _executors(scope)
        for node in ast.walk(scope):
            if not isinstance(node, ast.Expr):
                continue
            call = node.value.value if isinstance(node.value, ast.Await) else node.value
            if not isinstance(call, ast.Call) or not isinstance(call.func, ast.Attribute):
                continue
            owner, name = ast.unparse(call.func.value), call.func.attr
            if owner in executors and name in _BEGIN:
                fix = "Call result() of each future, or use the results of map."
            elif owner == "asyncio" and name in _TASKS and call is node.value:
                fix = "Wait for the task, for example in an asyncio.TaskGroup."
            elif owner == "asyncio" and name == "gather" and _keeps_exceptions(call):
                fix = "Leave return_exceptions out."
            else:
                continue
            yield Idle(
                node.lineno,
                f"the result of {owner}.{name}(…) is discarded, so that an exception in it is lost",
                fix,
            )


def _keeps_exceptions(call: ast.Call) -> bool:
    return any(
        word.arg == "return_exceptions" and getattr(word.value, "value", None) is True
        for word in call.keywords
    )


def _truth(module: ast.Module, lazy: Lazy) -> Iterator[Idle]:
    """What is true whatever it would yield, where a statement asks for it."""
    for node in ast.walk(module):
        for test in tests(node):
            if what := lazy(test):
                yield Idle(test.lineno, f"{what} is always true, whatever it would yield")
            elif isinstance(test, ast.Tuple) and has_entries(test.elts):
                yield Idle(test.lineno, "a tuple is always true")
            elif isinstance(test, ast.Lambda):
                yield Idle(test.lineno, "a function is always true, whatever it would return")


def has_entries(entries: Sequence[ast.expr | None]) -> bool:
    """Whether what is written has some for sure: `[*found]` and `{**found}` may have none."""
    return any(one is not None and not isinstance(one, ast.Starred) for one in entries)


def tests(node: ast.AST) -> tuple[ast.expr, ...]:
    """Expressions of which a node asks whether they are true."""
    if isinstance(node, ast.Assert | ast.If | ast.While | ast.IfExp):
        return (_last_of(node.test),)
    if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.Not):
        return (_last_of(node.operand),)
    if isinstance(node, ast.BoolOp):  # of the last one only what stands around it asks
        return tuple(node.values[:-1])
    if isinstance(node, ast.comprehension):
        return tuple(_last_of(test) for test in node.ifs)
    if isinstance(node, ast.Call) and ast.unparse(node.func) == "bool":
        return tuple(_last_of(value) for value in node.args)
    return tuple(asked_of_each(node))


def asked_of_each(node: ast.AST) -> Iterator[ast.expr]:
    """`p.ok` of `all(p.ok for p in pods)`. `any((p, 1) for p in pods if …)` asks whether there is one."""
    name = node.func.id if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) else ""
    for arg in node.args if isinstance(node, ast.Call) and name in ("all", "any") else ():
        if not isinstance(arg, ast.GeneratorExp | ast.ListComp | ast.SetComp):
            continue
        if name == "all" or not any(one.ifs for one in arg.generators):
            yield _last_of(arg.elt)


def _last_of(test: ast.expr) -> ast.expr:
    """`c` of `a and b or c`: what is asked whether it is true, beside the operands before."""
    while isinstance(test, ast.BoolOp):
        test = test.values[-1]
    return test
