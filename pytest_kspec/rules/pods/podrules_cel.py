"""`RequiredItem`, `AnnotationRule`, `VolumeTypes`, `AllOf` and `CustomRule` as CEL."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pytest_kspec.rules.cel.builder import CelBuilder, Judged, extend, path_to, problems, said, shown_list
from pytest_kspec.rules.cel.text import (
    NotExpressible,
    all_of,
    any_of,
    concat,
    literal,
    literals,
    one_of,
    optional,
)
from pytest_kspec.rules.pods.fieldrule_cel import unless

if TYPE_CHECKING:
    from pytest_kspec.rules.pods.podrules import AllOf, AnnotationRule, CustomRule, RequiredItem, VolumeTypes


def required_item(rule: RequiredItem, builder: CelBuilder) -> str:
    """`RequiredItem`."""
    keys = rule.field.split(".")

    def judge(target: str, where: str) -> Judged:
        items = optional(target, keys)
        bad = f"!({literal(rule.item)} in {items}.orValue([]))"
        return bad, said(where, rule.field, shown_list(items), rule.expected)

    found = []
    if rule.over in ("pod", "pod and containers"):
        found.append(builder.pod(judge))
    if rule.over in ("containers", "pod and containers"):
        found.append(builder.containers(judge))
    return unless(rule.unless, concat(found))


def annotation_rule(rule: AnnotationRule, builder: CelBuilder) -> str:
    """`AnnotationRule`."""
    prefix = rule.key.removesuffix("*")
    if rule.containers:
        names = concat([f"variables.{name}.map(c, c.name)" for name in builder.place.lists])
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
    where = path_to(f"{builder.place.path}metadata.annotations", "k")
    text = f"{extend(where, ' is ')} + {value} + {literal(f', must be {rule.expected}')}"
    return f"variables.annotations.map(k, {all_of([concerns, f'!({allowed})'])}, {text})"


def volume_types(rule: VolumeTypes, builder: CelBuilder) -> str:
    """`VolumeTypes`. The keys of a volume are read as of a map: a type that is not known is not allowed."""
    known = literals(("name", *rule.allowed))

    def judge(target: str, where: str) -> Judged:
        texts = f"{extend(where, '.')} + k + {literal(f' is set, must be {rule.expected}')}"
        return (
            f"dyn({target}).exists(k, !(k in {known}))",
            f'dyn({target}).map(k, !(k in {known}), {texts}).join("; ")',
        )

    return builder.volumes(judge)


def all_of_rules(rule: AllOf, builder: CelBuilder) -> str:
    """`AllOf`."""
    return concat([problems(part, builder) for part in rule.rules])


def custom_rule(rule: CustomRule, builder: CelBuilder) -> str:
    """`CustomRule`."""
    if rule.cel is None:
        raise NotExpressible("its rule is Python without a CEL form (`cel=`)")
    if builder.exempt("x"):
        raise NotExpressible("an exemption names containers, which a rule with its own CEL cannot exclude")
    return f"({rule.cel}) ? [] : [{literal(f'{builder.base} has {rule.reason}')}]"
