"""`FieldTest` as CEL: how values of one type of field are compared and shown."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from pytest_kspec.kube.podfields import PodField
from pytest_kspec.kube.quantity import plain
from pytest_kspec.rules.cel.builder import shown_list
from pytest_kspec.rules.cel.text import NotExpressible, all_of, any_of, literal, literals, parenthesised
from pytest_kspec.rules.pods.fieldtest import CAPABILITIES_ADD, CAPABILITIES_DROP, FieldTest, capability

_SMALLEST, _LARGEST = -(2**63), 2**63 - 1  # of CEL's integers, and of a Pod's


class FieldType(NamedTuple):
    """How CEL handles values of one type of field, each as an optional."""

    empty: Callable[[str], str]
    shown: Callable[[str], str]
    meets: Callable[[str, FieldTest], str]


def type_of(field: PodField) -> FieldType:
    """How CEL handles the values of this field."""
    if field.is_list:
        return FieldType(
            lambda o: f"{o}.orValue([]).size() == 0",
            shown_list if field.scalar == "string" else _shown('string(x.size()) + " items"'),
            _list_meets,
        )
    if field.scalar == "string":
        return FieldType(lambda o: f'{o}.orValue("") == ""', _shown("x"), _scalar_meets)
    if field.scalar in ("bool", "int", "intorstring"):
        return FieldType(lambda o: f"!{o}.hasValue()", _shown("string(x)"), _scalar_meets)
    if field.scalar == "quantity":
        return FieldType(lambda o: f"!{o}.hasValue()", _shown("x"), _scalar_meets)
    return FieldType(lambda o: f"{o}.optMap(x, dyn(x).size() == 0).orValue(true)", _shown('"set"'), _no_match)


def _shown(text: str) -> Callable[[str], str]:
    """text: CEL of the value `x`."""
    return lambda o: f'{o}.optMap(x, {text}).orValue("unset")'


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
        raise NotExpressible(r"its pattern has \Q, which cannot be embedded in another expression")
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
    raise NotExpressible(f"{test.field.key} does not have a single value")
