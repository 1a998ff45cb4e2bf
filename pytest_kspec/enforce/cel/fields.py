"""`RequiredField` and `ForbiddenField` as CEL: inheritance and defaults as `rules.pods.requiredfield` has them.

Admission sees objects after the API server has filled in defaults, but not in templates what it fills into pods only:
the tables of `poddefaults` are applied here as well.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from pytest_kspec.enforce.cel.places import TEMPLATE_LISTS, Judged, Judging, extend
from pytest_kspec.enforce.cel.podrules import LIST_TEXT, item_label, item_path
from pytest_kspec.enforce.cel.text import (
    NotExpressible,
    all_of,
    any_of,
    literal,
    literals,
    optional,
    parenthesised,
)
from pytest_kspec.kube.podfields import EVERY, PodField
from pytest_kspec.kube.quantity import plain
from pytest_kspec.kube.resources import CONTAINER_LISTS
from pytest_kspec.rules import poddefaults
from pytest_kspec.rules.pods.fieldtest import CAPABILITIES_ADD, CAPABILITIES_DROP, FieldTest, capability
from pytest_kspec.rules.pods.requiredfield import HIDDEN, ForbiddenField, RequiredField

Demand = RequiredField | ForbiddenField
_SMALLEST, _LARGEST = -(2**63), 2**63 - 1  # of CEL's integers, and of a Pod's
_SIDECAR = 'c.?restartPolicy.orValue("") == "Always"'


def field_demand(rule: Demand, judging: Judging) -> str:
    """Either rule, on the pod or on its containers."""
    target = rule.target
    if target.level == "pod":
        problems = judging.pod(lambda base, where: _judge(rule, base, where, in_pod=True))
    else:
        problems = _containers(rule, judging)
    return _where_os_allows(target, problems)


def _containers(rule: Demand, judging: Judging) -> str:
    def judge(base: str, where: str) -> Judged:
        return _judge(rule, base, where, in_pod=False)

    first = rule.target.path[0]
    lists = TEMPLATE_LISTS if first in poddefaults.NOT_EPHEMERAL else CONTAINER_LISTS
    if first not in poddefaults.NOT_INIT:
        return judging.containers(judge, lists)
    some = judging.containers(judge, [name for name in lists if name != "initContainers"])
    return f"{judging.containers(judge, ['initContainers'], only=_SIDECAR)} + {some}"


def _where_os_allows(target: PodField, problems: str) -> str:
    """As `poddefaults.os_allows`: fields that pods of an operating system must leave unset are not asked of them."""
    refused = [
        name for name in ("windows", "linux") if not poddefaults.os_has(name, target.level, target.path)
    ]
    for name in refused:
        problems = f"variables.os == {literal(name)} ? [] : ({problems})"
    return problems


def _judge(rule: Demand, base: str, where: str, *, in_pod: bool) -> Judged:
    """(bad, text) for one container or pod; a path through lists goes through each of their items."""
    before, star, after = _cut(rule.target.path)
    if not star:
        return _leaf(rule, base, rule.target.path, where, in_pod=in_pod)
    if not in_pod and _inherits(rule.target.path):
        raise NotExpressible(f"{rule.key} is inherited item by item, which CEL cannot say")
    return _items(rule, base, before, after, where, depth=0)


def _items(
    rule: Demand, base: str, before: Sequence[str], after: Sequence[str], where: str, depth: int
) -> Judged:
    variable = f"i{depth}"
    items = f"{optional(base, before)}.orValue([])"
    label = item_label(variable, ".".join([base, *before]))
    path = item_path(where, ".".join(before), label)
    head, star, rest = _cut(after)
    if star:
        bad, text = _items(rule, variable, head, rest, path, depth + 1)
    else:
        bad, text = _leaf(rule, variable, after, path, in_pod=True, steps=rule.target.path)
    return f"{items}.exists({variable}, {bad})", f'{items}.map({variable}, {bad}, {text}).join("; ")'


def _cut(path: Sequence[str]) -> tuple[Sequence[str], bool, Sequence[str]]:
    if EVERY not in path:
        return path, False, ()
    at = list(path).index(EVERY)
    return path[:at], True, path[at + 1 :]


class _Type(NamedTuple):
    """How CEL handles values of one type of field. empty, meets: of an optional; shown: of a value."""

    empty: Callable[[str], str]
    shown: Callable[[str], str]
    meets: Callable[[str, FieldTest], str]


def _leaf(
    rule: Demand,
    base: str,
    path: Sequence[str],
    where: str,
    *,
    in_pod: bool,
    steps: tuple[str, ...] | None = None,
) -> Judged:
    """One value. steps: its whole path in the container or pod, where `base` is an item of a list in it."""
    whole = steps or rule.target.path
    kind = _type_of(rule.target)
    own = optional(base, path)
    written = own
    inherited = "" if in_pod else _inherited(base, whole, own, kind)
    if inherited:
        written = f"({kind.empty(own)} ? {inherited} : {own})"
    stated = written
    filled = _filled(base, whole, in_pod=in_pod, in_item=steps is not None)
    if filled is not None:
        stated = f"{written}.or(optional.of({filled}))"
    effective = stated
    implied = poddefaults.IMPLIED.get(whole)
    if implied is not None:
        effective = f"{stated}.or(optional.of({literal(implied)}))"
    bad = f"!({_holds(rule, stated, effective, kind)})"
    if rule.is_secret:
        actual = f'({written}.hasValue() ? {literal(HIDDEN)} : "unset")'
    else:
        actual = f'{written}.optMap(x, {kind.shown("x")}).orValue("unset")'
    end = literal(f", must be {rule.expected}")
    if inherited:
        taken = literal(f", must be {rule.expected} (taken from elsewhere)")
        end = f"({kind.empty(own)} && !({kind.empty(written)}) ? {taken} : {end})"
    name = ".".join(path)
    return bad, f"{extend(where, f'.{name} is ' if name else ' is ')} + {actual} + {end}"


def _holds(rule: Demand, stated: str, effective: str, kind: _Type) -> str:
    """As `_holds` of the rules."""
    required = isinstance(rule, RequiredField)
    if rule.about_truth:
        return f"{effective}.orValue(false) == {literal(required)}"
    empty = kind.empty(stated)
    if not rule.tests:
        return empty if rule.unset_is else f"!({empty})"
    met = any_of(
        [
            kind.meets(stated if rule.exists else effective, test)
            if test.exists is None
            else (f"!({empty})" if test.exists else empty)
            for test in rule.tests
        ]
    )
    held = met if required else f"!({met})"
    if rule.unset_is is None:
        return held
    return any_of([empty, held]) if rule.unset_is else all_of([f"!({empty})", held])


def _inherits(path: Sequence[str]) -> bool:
    return path[0] == "resources" or (
        path[0] == "securityContext" and len(path) > 1 and path[1] in poddefaults.INHERITED
    )


def _inherited(base: str, path: tuple[str, ...], own: str, kind: _Type) -> str:
    """As `podvalues.inherited`: CEL of an optional; "" where nothing is taken over."""
    if not _inherits(path):
        return ""
    sources = [optional("variables.spec", path)]
    if path[:2] == ("resources", "requests"):
        swapped = ("resources", "limits", *path[2:])
        sources = [optional(base, swapped), *sources, optional("variables.spec", swapped)]
    found = own
    for source in reversed(sources):
        found = f"(!({kind.empty(source)}) ? {source} : {found})"
    if path[0] == "securityContext" and path[1] != "windowsOptions" and len(path) > 2:
        found = f"({optional(base, path[:2])}.hasValue() ? {own} : {found})"
    return found


def _filled(base: str, path: tuple[str, ...], *, in_pod: bool, in_item: bool) -> str | None:
    """As `_filled` of the rules, but for `imagePullPolicy`: the API server writes it into pods and templates."""
    if in_item:
        value = poddefaults.FILLED_CONTAINER.get(path)
        return None if value is None else literal(value)
    if in_pod:
        value = poddefaults.FILLED_POD.get(path)
        return None if value is None else literal(value)
    if len(path) == 2 and path[0] in poddefaults.PROBES:
        # Filled in where there is a probe; the API server has done so in templates too.
        return None
    value = poddefaults.FILLED_CONTAINER.get(path)
    return None if value is None else literal(value)


def _type_of(field: PodField) -> _Type:
    if field.is_list:
        return _Type(
            lambda o: f"{o}.orValue([]).size() == 0",
            lambda x: LIST_TEXT.format(x) if field.scalar == "string" else f'string({x}.size()) + " items"',
            _list_meets,
        )
    if field.scalar == "string":
        return _Type(lambda o: f'{o}.orValue("") == ""', lambda x: x, _scalar_meets)
    if field.scalar in ("bool", "int", "intorstring"):
        return _Type(lambda o: f"!{o}.hasValue()", lambda x: f"string({x})", _scalar_meets)
    if field.scalar == "quantity":
        return _Type(lambda o: f"!{o}.hasValue()", lambda x: x, _scalar_meets)
    return _Type(lambda o: f"{o}.optMap(x, dyn(x).size() == 0).orValue(true)", lambda x: '"set"', _no_match)


def _scalar_meets(o: str, test: FieldTest) -> str:
    return f"{o}.optMap(x, {_one_meets(test)}).orValue(false)"


def _one_meets(test: FieldTest) -> str:
    """Of one value, `x`: as `FieldTest._one`."""
    kind = test.field.scalar
    if test.pattern is not None:
        return f"x.matches({literal(_whole(test.pattern.text))})"
    if test.is_range:
        return _within(test)
    if kind == "quantity":
        equal = [f"quantity(x).compareTo(quantity({literal(plain(value))})) == 0" for value in test.wanted]
        return any_of(equal)
    return f"{_plain_x(kind)} in {literals(_possible(kind, test.wanted))}"


def _plain_x(kind: str) -> str:
    return {"string": "x.trim()", "intorstring": "string(x).trim()"}.get(kind, "x")


def _possible(kind: str, values: Sequence[Any]) -> Sequence[Any]:
    """Without numbers that no field can have, since CEL cannot write them."""
    return [value for value in values if kind != "int" or _SMALLEST <= value <= _LARGEST]


def _within(test: FieldTest) -> str:
    bounds = []
    for operator, bound in ((">=", test.low), ("<=", test.high)):
        if bound is None:
            continue
        if test.field.scalar == "quantity":
            bounds.append(f"quantity(x).compareTo(quantity({literal(plain(bound))})) {operator} 0")
        elif _SMALLEST <= bound <= _LARGEST:
            bounds.append(f"x {operator} {literal(bound)}")
        elif (bound > 0) == (operator == ">="):
            return "false"  # beyond what a field can hold
    return all_of(bounds)


def _whole(pattern: str) -> str:
    if "\\Q" in pattern:
        raise NotExpressible(r"its pattern has \Q, which hides what would be put around it")
    return f"^(?:{pattern})$"


def _list_meets(o: str, test: FieldTest) -> str:
    """As `FieldTest._list_meets`."""
    items, wanted, kind = f"{o}.orValue([])", test.wanted, test.field.scalar
    if test.pattern is not None or test.is_range:
        return f"{items}.{'all' if test.required else 'exists'}(x, {_one_meets(test)})"
    if test.field.path[-2:] == CAPABILITIES_ADD and not (test.required and wanted):
        names = {capability(value) for value in test.only or ("ALL", *wanted)}
        if not all(name.isascii() for name in names):
            raise NotExpressible("CEL changes the case of ASCII letters only")
        both = [*sorted(names), *(f"CAP_{name}" for name in sorted(names))]
        return f"{items}.{'all' if test.only else 'exists'}(x, x.trim().upperAscii() in {literals(both)})"
    if test.only:
        return f"{items}.all(x, {_plain_x(kind)} in {literals(_possible(kind, test.only))})"
    if not test.required:
        return f"{items}.exists(x, {_plain_x(kind)} in {literals(_possible(kind, wanted))})"
    if len(_possible(kind, wanted)) < len(wanted):
        return "false"
    every = all_of([f"{items}.exists(x, {_plain_x(kind)} == {literal(value)})" for value in wanted])
    if test.field.path[-2:] == CAPABILITIES_DROP:
        return f'{items}.exists(x, x.trim() == "ALL") || {parenthesised(every)}'
    return every


def _no_match(o: str, test: FieldTest) -> str:
    raise NotExpressible(f"{test.field.key} holds no single value")
