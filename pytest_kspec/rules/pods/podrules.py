"""Rules that name a field and its values cannot say: a list that must hold an item, annotations, volume
types.

`AllOf` puts several rules under one reason, `CustomRule` is the way out for what no vocabulary says, and
`Versioned` holds the revisions of a rule.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

from msgspec import Struct

from pytest_kspec.kube.resources import SECURITY_ANNOTATION, SECURITY_PREFIXES, PodShape
from pytest_kspec.rules.base import Rule, Violation
from pytest_kspec.rules.fieldpath import FieldPath, malformed, path_of
from pytest_kspec.rules.pods.fieldrule import Over, PodCondition, container_name, facets, targets, violation
from pytest_kspec.rules.repair.repair import UNSET, Edit, Repairable, steps_of

if TYPE_CHECKING:
    from pytest_kspec.rules.cel.builder import CelBuilder


class RequiredItem(Struct, frozen=True, kw_only=True):
    """A list of texts (`field`, without `[]`) must contain `item`."""

    field: str
    item: str
    over: Over
    reason: str
    unless: tuple[PodCondition, ...] = ()

    @property
    def expected(self) -> str:
        """What is allowed, as text."""
        return f"a list with {self.item}" + "".join(f", unless {condition.text}" for condition in self.unless)

    @property
    def reads(self) -> tuple[str, ...]:
        """See `Rule`."""
        return facets(self.field.partition(".")[0], self.over, self.unless)

    def evaluate(self, pod: PodShape) -> Sequence[Violation]:
        """See `Rule`."""
        for condition in self.unless:
            if condition.holds(pod):
                return ()
        path = FieldPath(f"{self.field}[]")
        found = []
        expected = self.expected
        for data, where in targets(pod, self.over):
            items = path.get(data, where)
            if items is None or self.item not in [value for _, value in path.items(data, where, str)]:
                found.append(violation(where, self.field, items, expected))
        return found

    def to_cel(self, builder: CelBuilder) -> str:
        """See `Expressible`."""
        from pytest_kspec.rules.pods.podrules_cel import required_item

        return required_item(self, builder)

    def repairs(self, violation: Violation, pod: PodShape) -> Iterator[Edit]:
        """See `Repairable`."""
        path = FieldPath(f"{self.field}[]")
        for data, where in targets(pod, self.over):
            if (violation.path, violation.container) == (
                f"{path_of(where)}.{self.field}",
                container_name(where),
            ):
                yield Edit((*steps_of(where), *path.keys), [*(path.get(data, where) or ()), self.item])


class AnnotationRule(Struct, frozen=True, kw_only=True):
    """Annotations of the pod and the values that they may have where they are there.

    key:        the whole key; or, with a `*` at its end, any key that begins so
    allowed:    values; one that ends in `*` allows any value that begins so
    containers: with a `*`: only keys that end in the name of a container of the pod
    """

    key: str
    allowed: tuple[str, ...]
    reason: str
    containers: bool = False

    def __post_init__(self) -> None:
        """Raises ValueError for a key that a shape does not keep: such a rule would pass without having looked."""
        if self.key != SECURITY_ANNOTATION and not self.key.startswith(SECURITY_PREFIXES):
            raise ValueError(
                f"annotation {self.key!r}: rules see those of seccomp and AppArmor only;"
                " read others in the check, from workload.raw"
            )

    @property
    def expected(self) -> str:
        """What is allowed, as text."""
        return "unset or " + " or ".join(value for value in self.allowed if value)

    def evaluate(self, pod: PodShape) -> Sequence[Violation]:
        """See `Rule`."""
        if not pod.annotations:
            return ()
        expected = self.expected
        concerns = self._keys(pod).__contains__ if self.containers else self._matches_key
        return [
            Violation(f"metadata.annotations[{key}]", value, expected)
            for key, value in sorted(pod.annotations.items())
            if concerns(key) and not any(_matches(value, allowed) for allowed in self.allowed)
        ]

    def to_cel(self, builder: CelBuilder) -> str:
        """See `Expressible`."""
        from pytest_kspec.rules.pods.podrules_cel import annotation_rule

        return annotation_rule(self, builder)

    def repairs(self, violation: Violation, pod: PodShape) -> Iterator[Edit]:
        """See `Repairable`. Without the annotation the default holds, which is always allowed."""
        key = violation.path.removeprefix("metadata.annotations[").removesuffix("]")
        yield Edit(("metadata", "annotations", key), UNSET)

    def _matches_key(self, key: str) -> bool:
        return _matches(key, self.key)

    def _keys(self, pod: PodShape) -> frozenset[str]:
        """Those of the pod's containers: made once a pod, which may have thousands of either."""
        prefix = self.key.removesuffix("*")
        return frozenset(prefix + container_name(where) for _, where in targets(pod, "containers"))


class VolumeTypes(Struct, frozen=True, kw_only=True):
    """The only types that volumes may have. One without any type is an emptyDir: so the API server has it."""

    allowed: tuple[str, ...]
    reason: str

    @property
    def expected(self) -> str:
        """What is allowed, as text."""
        return f"only {', '.join(self.allowed)}"

    def evaluate(self, pod: PodShape) -> Sequence[Violation]:
        """See `Rule`. A type that this version does not know is not allowed."""
        found = []
        expected = self.expected
        for volume, where in targets(pod, "volumes"):
            for kind, value in volume.items():
                if kind == "name" or value is None:
                    continue
                if type(value) is not dict:
                    malformed(f"{where}.{kind}", value, dict)
                if kind not in self.allowed:
                    found.append(violation(where, kind, value, expected))
        return found

    def to_cel(self, builder: CelBuilder) -> str:
        """See `Expressible`."""
        from pytest_kspec.rules.pods.podrules_cel import volume_types

        return volume_types(self, builder)


class AllOf(Struct, frozen=True):
    """Several rules with one reason; the parts' own reasons are not shown."""

    reason: str
    rules: tuple[Rule, ...]

    @property
    def reads(self) -> tuple[str, ...]:
        """See `Rule`; () where one of the rules does not say."""
        parts = [getattr(rule, "reads", ()) for rule in self.rules]
        return tuple(dict.fromkeys(name for part in parts for name in part)) if all(parts) else ()

    def evaluate(self, pod: PodShape) -> Sequence[Violation]:
        """See `Rule`."""
        return [violation for rule in self.rules for violation in rule.evaluate(pod)]

    def to_cel(self, builder: CelBuilder) -> str:
        """See `Expressible`."""
        from pytest_kspec.rules.pods.podrules_cel import all_of_rules

        return all_of_rules(self, builder)

    def repairs(self, violation: Violation, pod: PodShape) -> Iterator[Edit]:
        """See `Repairable`: those of the part whose violation it is."""
        for rule in self.rules:
            if isinstance(rule, Repairable) and violation in rule.evaluate(pod):
                yield from rule.repairs(violation, pod)


class CustomRule(Struct, frozen=True, kw_only=True):
    """A rule that the other kinds of rules cannot express.

    python: pod shape → violations
    cel:    the same as a CEL expression that is true where nothing is violated; None: has no admission form
    """

    python: Callable[[PodShape], Sequence[Violation]]
    reason: str
    cel: str | None = None

    def evaluate(self, pod: PodShape) -> Sequence[Violation]:
        """See `Rule`."""
        return self.python(pod)

    def to_cel(self, builder: CelBuilder) -> str:
        """See `Expressible`."""
        from pytest_kspec.rules.pods.podrules_cel import custom_rule

        return custom_rule(self, builder)


class Versioned(Struct, frozen=True, eq=False):
    """Revisions of a rule, by the first Kubernetes minor that each holds for; ascending."""

    revisions: Mapping[int, Rule]

    def __post_init__(self) -> None:
        minors = list(self.revisions)
        if not minors or minors != sorted(minors):
            raise ValueError(f"revisions must ascend: {minors}")

    @property
    def since(self) -> int:
        """The first minor that has the rule."""
        return next(iter(self.revisions))

    def at(self, minor: int) -> Rule | None:
        """The revision for Kubernetes 1.`minor`; None before the first."""
        found = None
        for since, rule in self.revisions.items():
            if since <= minor:
                found = rule
        return found


def _matches(text: str, pattern: str) -> bool:
    return text.startswith(pattern[:-1]) if pattern.endswith("*") else text == pattern
