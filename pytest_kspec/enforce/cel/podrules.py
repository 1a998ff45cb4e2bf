"""Rules of the Pod Security vocabulary as CEL: fields, items, annotations, volume types."""

from __future__ import annotations

from collections.abc import Callable

from pytest_kspec.enforce.cel.places import Judged, Judging, extend, path_to, said
from pytest_kspec.enforce.cel.text import (
    all_of,
    any_of,
    concat,
    literal,
    literals,
    one_of,
    optional,
)
from pytest_kspec.rules.fieldpath import FieldPath
from pytest_kspec.rules.pods.fieldrule import FieldRule, PodCondition
from pytest_kspec.rules.pods.podrules import AnnotationRule, RequiredItem, VolumeTypes
from pytest_kspec.rules.servicerules import CONTAINER_PORTS, PortRule

LIST_TEXT = '"[\'" + {}.join("\', \'") + "\']"'
"""A list of texts as a scan shows it."""


def field_rule(rule: FieldRule, judging: Judging) -> str:
    """`FieldRule`."""
    path = FieldPath(rule.field)
    if path.is_list:
        judge = _items(rule, path)
    else:

        def judge(target: str, where: str) -> Judged:
            return _value(rule, target, where)

    found = []
    if rule.inherits:
        found.append(judging.pod(lambda target, where: _own(rule, target, where, unset_is_bad=False)))
    if rule.over in ("pod", "pod and containers"):
        found.append(judging.pod(judge))
    if rule.over in ("containers", "pod and containers"):
        found.append(judging.containers(judge))
    if rule.over == "volumes":
        found.append(judging.volumes(judge))
    return unless(rule.unless, concat(found))


def required_item(rule: RequiredItem, judging: Judging) -> str:
    """`RequiredItem`."""
    keys = rule.field.split(".")

    def judge(target: str, where: str) -> Judged:
        items = optional(target, keys)
        actual = f'({items}.hasValue() ? {LIST_TEXT.format(f"{items}.value()")} : "unset")'
        bad = f"!({literal(rule.item)} in {items}.orValue([]))"
        return bad, said(where, rule.field, actual, rule.expected)

    found = []
    if rule.over in ("pod", "pod and containers"):
        found.append(judging.pod(judge))
    if rule.over in ("containers", "pod and containers"):
        found.append(judging.containers(judge))
    return unless(rule.unless, concat(found))


def annotation_rule(rule: AnnotationRule, judging: Judging) -> str:
    """`AnnotationRule`."""
    prefix = rule.key.removesuffix("*")
    if rule.containers:
        names = concat([f"variables.{name}.map(c, c.name)" for name in judging.place.lists])
        concerns = f"k.startsWith({literal(prefix)}) && k.substring({len(prefix)}) in ({names})"
    elif rule.key.endswith("*"):
        concerns = f"k.startsWith({literal(prefix)})"
    else:
        concerns = f"k == {literal(rule.key)}"
    value = "variables.annotations[k]"
    plain = [text for text in rule.allowed if not text.endswith("*")]
    begins = [text[:-1] for text in rule.allowed if text.endswith("*")]
    allowed = any_of(
        [*([one_of(value, plain)] if plain else []), *(f"{value}.startsWith({literal(b)})" for b in begins)]
    )
    where = path_to(f"{judging.place.path}metadata.annotations", "k")
    text = f"{extend(where, ' is ')} + {value} + {literal(f', must be {rule.expected}')}"
    return f"variables.annotations.map(k, {all_of([concerns, f'!({allowed})'])}, {text})"


def volume_types(rule: VolumeTypes, judging: Judging) -> str:
    """`VolumeTypes`. The keys of a volume are read as of a map: a type that is not known is not allowed."""
    known = literals(("name", *rule.allowed))

    def judge(target: str, where: str) -> Judged:
        texts = f"{extend(where, '.')} + k + {literal(f' is set, must be {rule.expected}')}"
        return (
            f"dyn({target}).exists(k, !(k in {known}))",
            f'dyn({target}).map(k, !(k in {known}), {texts}).join("; ")',
        )

    return judging.volumes(judge)


def port_rule(rule: PortRule, judging: Judging) -> str:
    """`PortRule` on containers."""
    ports = sorted(set(rule.ports))

    def judge(target: str, where: str) -> Judged:
        entries = f"{target}.?ports.orValue([])"
        bad, texts = [], []
        for field in CONTAINER_PORTS:
            value = optional("p", [field])
            wrong = one_of(f"{value}.orValue(0)", ports)
            label = item_label("p", f"{target}.ports")
            text = said(item_path(where, "ports", label), field, f"string(p.{field})", rule.expected)
            bad.append(f"{entries}.exists(p, {wrong})")
            texts.append(f"{entries}.map(p, {wrong}, {text})")
        return any_of(bad), f'({concat(texts)}).join("; ")'

    return judging.containers(judge)


def unless(conditions: tuple[PodCondition, ...], problems: str) -> str:
    """No problems in pods for which one of the conditions holds."""
    for condition in conditions:
        field = optional("variables.spec", condition.field.split("."))
        problems = f"{field}.optMap(x, x == {literal(condition.value)}).orValue(false) ? [] : ({problems})"
    return problems


def item_path(where: str, items: str, label: str) -> str:
    """CEL of the path of an item of a list field."""
    return f"{extend(where, f'.{items}[')} + {label} + {literal(']')}"


def item_label(item: str, items: str) -> str:
    """CEL of how a path names an item of a list: its `name`, or its index where it has none."""
    return f'({item}.?name.orValue("") != "" ? {item}.name : string({items}.indexOf({item})))'


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
