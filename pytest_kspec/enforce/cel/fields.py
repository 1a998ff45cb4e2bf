"""`RequiredField` and `ForbiddenField` as CEL: inheritance and defaults as `pytest_kspec.rules.requiredfield` has them.

Admission sees objects after the API server has filled in defaults, but not in templates what it fills into pods only:
the tables of `poddefaults` are applied here as well.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from decimal import Decimal
from typing import NamedTuple

from pytest_kspec.enforce.cel.places import LISTS, Judged, Judging, extend
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
from pytest_kspec.model.podfields import EVERY, PodField
from pytest_kspec.rules import poddefaults
from pytest_kspec.rules.requiredfield import HIDDEN, ForbiddenField, RequiredField, capability

Demand = RequiredField | ForbiddenField
_NANO = Decimal(10) ** -9
_LARGEST = Decimal(2) ** 63 - 1
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
    lists = LISTS[:2] if first in poddefaults.NOT_EPHEMERAL else LISTS
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
    bad, text = _items(rule, base, before, after, where, depth=0)
    if not rule.needs_one:
        return bad, text
    none = f"!({_some_item(base, before, after, 0)})"
    absent = extend(where, f".{'.'.join(before)} is unset, must be {rule.expected}")
    return any_of([none, bad]), f"({none} ? {absent} : {text})"


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


def _some_item(base: str, before: Sequence[str], after: Sequence[str], depth: int) -> str:
    """Whether the innermost of these lists has an item."""
    variable = f"i{depth}"
    items = f"{optional(base, before)}.orValue([])"
    head, star, rest = _cut(after)
    inner = _some_item(variable, head, rest, depth + 1) if star else "true"
    return f"{items}.exists({variable}, {inner})"


def _cut(path: Sequence[str]) -> tuple[Sequence[str], bool, Sequence[str]]:
    if EVERY not in path:
        return path, False, ()
    at = list(path).index(EVERY)
    return path[:at], True, path[at + 1 :]


class _Type(NamedTuple):
    """How CEL handles values of one type of field. empty: of an optional; shown, equals: of a value."""

    empty: Callable[[str], str]
    shown: Callable[[str], str]
    matches: Callable[[str, Demand], str]


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
    if rule.value is not None:
        matches = kind.matches(stated if rule.exists else effective, rule)
        if rule.exists is not False:
            return matches if required else f"!({matches})"
        return (
            f"{kind.empty(stated)} || {matches}" if required else f"!({kind.empty(stated)}) && !({matches})"
        )
    set_wanted = (rule.exists is not False) == required
    return f"!({kind.empty(stated)})" if set_wanted else kind.empty(stated)


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
    if field.type.startswith("[]"):
        return _Type(
            lambda o: f"{o}.orValue([]).size() == 0",
            lambda x: LIST_TEXT.format(x) if field.scalar == "string" else f'string({x}.size()) + " items"',
            _list_matches,
        )
    if field.scalar == "string":
        return _Type(lambda o: f'{o}.orValue("") == ""', lambda x: x, _text_matches("x.trim()"))
    if field.scalar in ("bool", "int"):
        return _Type(lambda o: f"!{o}.hasValue()", lambda x: f"string({x})", _plain_matches)
    if field.scalar == "quantity":
        return _Type(lambda o: f"!{o}.hasValue()", lambda x: x, _quantity_matches)
    if field.scalar == "intorstring":
        return _Type(
            lambda o: f"!{o}.hasValue()", lambda x: f"string({x})", _text_matches("string(x).trim()")
        )
    return _Type(lambda o: f"{o}.optMap(x, dyn(x).size() == 0).orValue(true)", lambda x: '"set"', _no_match)


def _text_matches(value: str) -> Callable[[str, Demand], str]:
    return lambda o, rule: f"{o}.optMap(x, {value} in {literals(rule.wanted)}).orValue(false)"


def _plain_matches(o: str, rule: Demand) -> str:
    return f"{o}.optMap(x, x in {literals(rule.wanted)}).orValue(false)"


def _quantity_matches(o: str, rule: Demand) -> str:
    equal = [f"quantity(x).compareTo(quantity({literal(_quantity(value))})) == 0" for value in rule.wanted]
    return f"{o}.optMap(x, {any_of(equal)}).orValue(false)"


def _quantity(value: Decimal) -> str:
    """A quantity that Kubernetes reads exactly: it keeps nine decimals and 63 bits."""
    if value % _NANO or abs(value) > _LARGEST:
        raise NotExpressible(f"the API server cannot hold {value} exactly")
    text = format(value.normalize(), "f")
    return text if re.fullmatch(r"-?\d+(\.\d+)?", text) else str(value)


def _list_matches(o: str, rule: Demand) -> str:
    items, field = f"{o}.orValue([])", rule.target
    wanted = rule.wanted
    if field.scalar != "string":
        has = [f"{literal(value)} in {items}" for value in wanted]
        return all_of(has) if isinstance(rule, RequiredField) else any_of(has)
    if isinstance(rule, ForbiddenField):
        if field.path[-2:] == ("capabilities", "add"):
            names = sorted({"ALL", *(capability(value) for value in wanted)})
            both = [*names, *(f"CAP_{name}" for name in names)]
            return f"{items}.exists(x, x.trim().upperAscii() in {literals(both)})"
        return f"{items}.exists(x, x.trim() in {literals(wanted)})"
    every = all_of([f"{items}.exists(x, x.trim() == {literal(value)})" for value in wanted])
    if field.path[-2:] == ("capabilities", "drop"):
        return f'{items}.exists(x, x.trim() == "ALL") || {parenthesised(every)}'
    return every


def _no_match(o: str, rule: Demand) -> str:
    raise NotExpressible(f"{rule.key} holds no single value")
