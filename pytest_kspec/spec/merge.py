"""How specifications are put together: what each merge strategy means for each kind of key.

`RULES` says what a list is; everything else follows from the value: mappings are merged key by key, scalars are one
value. docs/policies.md holds the same as a table, and a test compares them.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Sequence
from typing import Any, Literal

from msgspec import Struct
from msgspec.structs import replace

from pytest_kspec.spec.layers import Node, place
from pytest_kspec.spec.problems import shown
from pytest_kspec.yamlfiles.reading import KeyPath, Position, key_text

Strategy = Literal["merge", "override", "append"]

NOT_INHERITED = (
    "clusterRef",
    "clusterSelector",
    "namespaceScope",
    "timeBasedActivation",
    "enforcement",
    "webhooks",
)
"""A base says what is required; where, when and how it holds, each specification says for itself."""


class Rule(Struct, frozen=True):
    """What a list is.

    kind: "set":    each entry stands for itself
          "named":  entries with the same `keys` speak about the same thing
          "tree":   the same, and such entries are merged key by key
          "value":  the list as a whole is one value (an allow-list: more entries allow more)
          "whole":  a mapping that is one value
    """

    kind: Literal["set", "named", "tree", "value", "whole"]
    keys: tuple[str, ...] = ()


SET, VALUE, WHOLE = Rule("set"), Rule("value"), Rule("whole")

RULES: dict[str, Rule] = {
    "kubernetes.excludedVersions": SET,
    "podSecurity.exemptions": Rule("named", ("namespace",)),
    "network.requiredPolicies": Rule("named", ("name",)),
    "network.allowedServiceTypes": VALUE,
    "network.disallowedPorts": SET,
    "workloads.containers.required": Rule("named", ("key",)),
    "workloads.containers.forbidden": SET,
    "workloads.images.allowedRegistries": VALUE,
    "workloads.images.blockedRegistries": SET,
    "workloads.images.signatures": SET,
    "workloads.podTemplates": SET,
    "rbac.minimumRules": SET,
    "rbac.forbiddenRules": SET,
    "admission.required": Rule("named", ("type", "namePattern")),
    "admission.policies.requiredPolicies": Rule("named", ("name",)),
    "observability.metrics.providers": SET,
    "compliance.frameworks": Rule("tree", ("name",)),
    "compliance.frameworks[].controls": Rule("tree", ("id",)),
    "compliance.frameworks[].controls[].mappings": SET,
    "checks": SET,
    "annotationExemptions.checks": VALUE,
    "annotationExemptions.namespaces": VALUE,
    "policyExemptions": Rule("named", ("name",)),
    "clusterRef": WHOLE,
    "clusterSelector": WHOLE,
    "namespaceScope": WHOLE,
    "timeBasedActivation": WHOLE,
}

Conflict = Callable[[Position, str], None]
"""Called with the place and the text of a conflict."""


def overlay(lower: Node, upper: Node) -> Node:
    """A template's part with what the specification says over it: `merge`, with one base."""
    return combine([lower], upper, "merge", lambda _at, _text: None)


def combine(bases: Sequence[Node], own: Node, strategy: Strategy, conflict: Conflict) -> Node:
    """The specification with its bases, in their order. Conflicts are reported, and the first value is kept.

    override: what is said later holds: a later base over an earlier one, the specification over all. Lists as a whole.
    merge:    what the specification says holds; bases must not contradict each other. Lists are joined.
    append:   nothing that is inherited is changed, only added to: who says something else contradicts.
    """
    return _Merger(strategy, conflict).merge((), list(bases), own)


class _Merger:
    def __init__(self, strategy: Strategy, conflict: Conflict) -> None:
        self._strategy = strategy
        self._conflict = conflict

    def merge(self, path: KeyPath, bases: list[Node], own: Node | None) -> Node:
        nodes = [*bases, own] if own is not None else bases
        if len(nodes) == 1:
            return nodes[0]
        rule = RULES.get(_pattern(path), VALUE)
        if all(isinstance(node.value, dict) for node in nodes) and rule.kind != "whole":
            return self._mappings(path, bases, own, nodes)
        if all(isinstance(node.value, list) for node in nodes) and self._strategy != "override":
            if rule.kind == "set" or (rule.kind == "value" and self._strategy == "append"):
                return self._sets(nodes)
            if rule.keys:
                return self._named(path, rule, bases, own, nodes)
        return self._values(path, bases, own)

    def _mappings(self, path: KeyPath, bases: list[Node], own: Node | None, nodes: list[Node]) -> Node:
        keys = dict.fromkeys(key for node in nodes for key in node.value)
        found = {
            key: self.merge(
                (*path, key),
                [node.value[key] for node in bases if key in node.value],
                own.value.get(key) if own is not None else None,
            )
            for key in keys
        }
        return replace(nodes[-1], value=found)

    def _values(self, path: KeyPath, bases: list[Node], own: Node | None) -> Node:
        if self._strategy == "override":
            return own or bases[-1]
        if self._strategy == "merge" and own is not None:
            return own
        first, *others = [*bases, own] if own is not None else bases
        for other in others:
            if _exact(other.plain()) != _exact(first.plain()):
                self._differ(key_text(("spec", *path)), first, other, inherited=other is own)
        return first

    def _differ(self, key: str, first: Node, other: Node, *, inherited: bool) -> None:
        here, there = shown(other.value), shown(first.value)
        differ = f"{here} here, {there}" if here != there else "not the same as"
        what = (
            "mergeStrategy append does not change inherited values"
            if inherited
            else "both are bases: set the value in the specification itself, or use mergeStrategy override"
        )
        self._conflict(other.at, f"{key}: {differ} at {place(first.at)}; {what}.")

    def _sets(self, nodes: list[Node]) -> Node:
        found: list[Node] = []
        seen: set[str] = set()
        for entry in (entry for node in nodes for entry in node.value):
            exact = _exact(entry.plain())
            if exact not in seen:
                seen.add(exact)
                found.append(entry)
        return replace(nodes[-1], value=found)

    def _named(
        self, path: KeyPath, rule: Rule, bases: list[Node], own: Node | None, nodes: list[Node]
    ) -> Node:
        layers = [_by_identity(node.value, rule.keys) for node in bases]
        mine = _by_identity(own.value, rule.keys) if own is not None else {}
        found: list[Node] = []
        for identity in dict.fromkeys(name for layer in (*layers, mine) for name in layer):
            inherited = [layer[identity] for layer in layers if identity in layer]
            here = mine.get(identity)
            groups = [*inherited, here] if here is not None else inherited
            if rule.kind == "tree" and all(len(group) == 1 for group in groups):
                below = [group[0] for group in inherited]
                found.append(self.merge((*path, 0), below, here[0] if here is not None else None))
            else:
                named = " ".join(part for part in identity if part)
                found += self._group(f"{key_text(('spec', *path))}[{named}]", inherited, here)
        return replace(nodes[-1], value=found)

    def _group(self, key: str, inherited: list[list[Node]], own: list[Node] | None) -> list[Node]:
        """All entries of one identity: those of one layer hold."""
        if own is not None and (self._strategy == "merge" or not inherited):
            return own
        first, *others = [*inherited, own] if own is not None else inherited
        exact = [_exact(entry.plain()) for entry in first]
        for other in others:
            if [_exact(entry.plain()) for entry in other] != exact:
                self._differ(key, first[0], other[0], inherited=other is own)
        return first


def _by_identity(entries: Iterable[Node], keys: tuple[str, ...]) -> dict[tuple[str, ...], list[Node]]:
    found: dict[tuple[str, ...], list[Node]] = {}
    for entry in entries:
        values = [entry.get(key) for key in keys]
        identity = tuple(str(value.plain()) if value is not None else "" for value in values)
        if not any(identity):  # malformed: validation says so
            identity = (_exact(entry.plain()),)
        found.setdefault(identity, []).append(entry)
    return found


def _exact(plain: Any) -> str:
    """Text that is equal for equal values only: 1 is not true; the order of keys is nothing."""
    return json.dumps(plain, sort_keys=True, default=repr)


def _pattern(path: KeyPath) -> str:
    text = ""
    for part in path:
        text += "[]" if isinstance(part, int) else f".{part}"
    return text.removeprefix(".")
