"""`FieldRule` as CEL."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from pytest_kspec.rules.cel.builder import LIST_TEXT, CelBuilder, Judged, item_label, item_path, said
from pytest_kspec.rules.cel.text import concat, literal, one_of, optional
from pytest_kspec.rules.fieldpath import FieldPath

if TYPE_CHECKING:
    from pytest_kspec.rules.pods.fieldrule import FieldRule, PodCondition


def field_rule(rule: FieldRule, builder: CelBuilder) -> str:
    """`FieldRule`."""
    path = FieldPath(rule.field)
    if path.is_list:
        judge = _items(rule, path)
    else:

        def judge(target: str, where: str) -> Judged:
            return _value(rule, target, where)

    found = []
    if rule.inherits:
        found.append(builder.pod(lambda target, where: _own(rule, target, where, unset_is_bad=False)))
    if rule.over in ("pod", "pod and containers"):
        found.append(builder.pod(judge))
    if rule.over in ("containers", "pod and containers"):
        found.append(builder.containers(judge))
    if rule.over == "volumes":
        found.append(builder.volumes(judge))
    return unless(rule.unless, concat(found))


def unless(conditions: tuple[PodCondition, ...], problems: str) -> str:
    """No problems in pods for which one of the conditions holds."""
    for condition in conditions:
        field = optional("variables.spec", condition.field.split("."))
        problems = f"{field}.optMap(x, x == {literal(condition.value)}).orValue(false) ? [] : ({problems})"
    return problems


def _optional_value(rule: FieldRule, target: str) -> str:
    """The field; where it counts as set by its ancestor and is not there, the empty text."""
    keys = rule.field.split(".")
    if not rule.set_by:
        return optional(target, keys)
    ancestor = rule.set_by.split(".")
    rest = optional("a", keys[len(ancestor) :])
    return f'{optional(target, ancestor)}.optMap(a, {rest}.orValue(""))'


def _own(rule: FieldRule, target: str, where: str, *, unset_is_bad: bool) -> Judged:
    value = _optional_value(rule, target)
    some = [item for item in rule.allowed or rule.forbidden if item is not None]
    if not some:
        wrong = "true" if rule.allowed else "false"
    elif rule.allowed:
        wrong = f"!({one_of('x', some)})"
    else:
        wrong = one_of("x", some)
    bad = f"{value}.optMap(x, {wrong}).orValue({literal(unset_is_bad)})"
    shown = '"set"' if rule.value_type is dict else "string(x)"
    actual = f'{value}.optMap(x, {shown}).orValue("unset")'
    return bad, said(where, rule.field, actual, rule.expected)


def _value(rule: FieldRule, target: str, where: str) -> Judged:
    unset_is_bad = not rule.allows(None)
    bad, text = _own(rule, target, where, unset_is_bad=unset_is_bad)
    if rule.inherits and unset_is_bad:
        own, pod = _optional_value(rule, target), _optional_value(rule, "variables.spec")
        bad = f"({own}.hasValue() || !{pod}.hasValue()) && {bad}"
    return bad, text


def _items(rule: FieldRule, path: FieldPath) -> Callable[[str, str], Judged]:
    some = [item for item in rule.allowed or rule.forbidden if item is not None]
    wrong = f"!({one_of('x', some)})" if rule.allowed else one_of("x", some)

    def scalars(target: str, where: str) -> Judged:
        items = f"{optional(target, path.keys)}.orValue([])"
        return (
            f"{items}.exists(x, {wrong})",
            said(where, path.plain, LIST_TEXT.format(f"{items}.filter(x, {wrong})"), rule.expected),
        )

    def fields(target: str, where: str) -> Judged:
        items = f"{optional(target, path.keys)}.orValue([])"
        value = optional("i", path.item_keys or ())
        bad = f"{value}.optMap(x, {wrong}).orValue({literal(not rule.allows(None))})"
        label = item_label("i", f"{target}.{path.plain}")
        text = said(
            item_path(where, path.plain, label),
            ".".join(path.item_keys or ()),
            f'{value}.optMap(x, string(x)).orValue("unset")',
            rule.expected,
        )
        return f"{items}.exists(i, {bad})", f'{items}.map(i, {bad}, {text}).join("; ")'

    return fields if path.item_keys else scalars
