"""`FieldRule`: one field of containers, of the pod, or of volumes, and the values that it may have.

Data, not code: scan, webhook and admission policies derive what they do from these attributes, so that
they cannot disagree. Unset is a value like any other and written None.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from dataclasses import field as attribute
from typing import TYPE_CHECKING, Any, Literal

from pytest_kspec.errors import Malformed
from pytest_kspec.kube.resources import PodShape
from pytest_kspec.rules.base import Violation
from pytest_kspec.rules.fieldpath import FieldPath, Where, item_label, malformed, not_allowed, path_of
from pytest_kspec.rules.repair.repair import UNSET, Edit, steps_of

if TYPE_CHECKING:
    from pytest_kspec.rules.cel.builder import CelBuilder

Over = Literal["containers", "pod", "pod and containers", "volumes"]
Holder = tuple[dict[str, Any], Where]
"""What a rule looks at: the object, and where it is in the pod."""


@dataclass(frozen=True, slots=True)
class PodCondition:
    """True of a pod whose field (below `spec`) has this value. `text` says it in an "unless" clause."""

    field: str
    value: Any
    text: str
    _path: FieldPath = attribute(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "_path", FieldPath(self.field))

    def holds(self, pod: PodShape) -> bool:
        """Whether this pod is one."""
        found = self._path.get(pod.spec, "spec", type(self.value))
        return found is not None and found == self.value


WINDOWS = PodCondition("os.name", "windows", "spec.os.name is windows")
"""`unless` of a rule that does not concern pods of Windows."""

USER_NAMESPACE = PodCondition("hostUsers", False, "spec.hostUsers is false")
"""`unless` of a rule that does not concern pods with a user namespace of their own."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FieldRule:
    """A field and its allowed (or its forbidden) values.

    field:     path below each object looked at ("securityContext.privileged"); `[]` means every item of a
               list
    over:      "containers" is always all three lists; "pod" is the pod's `spec`; "volumes" is each of
               `spec.volumes`
    reason:    short and constant
    allowed:   the only values it may have; None is unset. Items of a list of plain values are never unset.
    forbidden: instead of `allowed`: the values it may not have
    set_by:    an ancestor of the field: where it is there, the field counts as set, with "" for a missing
               text
    inherits:  (over="containers") a container without the field has the pod's value; the pod's own value
               is judged too
    unless:    pods to which the rule does not apply
    """

    field: str
    over: Over
    reason: str
    allowed: tuple[Any, ...] = ()
    forbidden: tuple[Any, ...] = ()
    set_by: str = ""
    inherits: bool = False
    unless: tuple[PodCondition, ...] = ()
    _path: FieldPath = attribute(init=False, repr=False, compare=False)
    _set_by: FieldPath | None = attribute(init=False, repr=False, compare=False)
    _kind: type = attribute(init=False, repr=False, compare=False)
    _text: str = attribute(default="", init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        if bool(self.allowed) == bool(self.forbidden):
            raise ValueError(f"{self.field}: give either allowed or forbidden values")
        if self.inherits and self.over != "containers":
            raise ValueError(f"{self.field}: only containers inherit")
        if self.set_by and not self.field.startswith(f"{self.set_by}."):
            raise ValueError(f"{self.field}: {self.set_by} is not an ancestor of it")
        kinds = {type(value) for value in (*self.allowed, *self.forbidden) if value is not None}
        if len(kinds) > 1:
            raise ValueError(f"{self.field}: values of different types")
        path = FieldPath(self.field)
        if path.is_list and (self.set_by or self.inherits):
            raise ValueError(f"{self.field}: a list path has neither set_by nor inherits")
        object.__setattr__(self, "_path", path)
        object.__setattr__(self, "_set_by", FieldPath(self.set_by) if self.set_by else None)
        object.__setattr__(self, "_kind", kinds.pop() if kinds else dict)

    @property
    def value_type(self) -> type:
        """bool, int, str; dict where only unset is allowed."""
        return self._kind

    @property
    def expected(self) -> str:
        """What is allowed, as text: "unset or false". Made when it is needed first, for all violations."""
        if not self._text:
            object.__setattr__(self, "_text", self._describe())
        return self._text

    def _describe(self) -> str:
        if self.forbidden:
            text = f"not {_choice(self.forbidden)}"
        elif self._path.is_list and not self._path.item_keys:
            text = f"only {', '.join(map(str, self.allowed))}"
        else:
            text = _choice(self.allowed)
        if self.inherits:
            text += ", or unset with such a value in the pod's securityContext"
        return f"{text}{_unless(self.unless)}"

    @property
    def reads(self) -> tuple[str, ...]:
        """See `Rule`."""
        return facets(self._path.keys[0], self.over, self.unless, pod_too=self.inherits)

    def evaluate(self, pod: PodShape) -> Sequence[Violation]:
        """See `Rule`."""
        for condition in self.unless:
            if condition.holds(pod):
                return ()
        path, kind, set_by = self._path, self._kind, self._set_by
        if path.item_keys is not None:
            return self._evaluate_lists(pod)
        found: list[Violation] = []
        inherited: Any = None
        if self.inherits:
            inherited = path.get(pod.spec, "spec", kind)
            if inherited is None and set_by is not None and set_by.get(pod.spec, "spec") is not None:
                inherited = ""
            if inherited is not None and not self.allows(inherited):
                found.append(self._violation("spec", inherited))
        for data, where in targets(pod, self.over):
            value = path.get(data, where, kind)
            if value is None:
                if set_by is not None and set_by.get(data, where) is not None:
                    value = ""
                elif inherited is not None:
                    continue  # The pod's value was judged above, once.
            if not self.allows(value):
                found.append(self._violation(where, value))
        return found

    def allows(self, value: Any) -> bool:
        """Whether the field may have this value of its type; None is unset."""
        return value in self.allowed if self.allowed else value not in self.forbidden

    def to_cel(self, builder: CelBuilder) -> str:
        """See `Expressible`."""
        from pytest_kspec.rules.pods.fieldrule_cel import field_rule

        return field_rule(self, builder)

    def repairs(self, violation: Violation, pod: PodShape) -> Iterator[Edit]:
        """See `Repairable`. What a volume holds in place of what is not allowed is for a person to say."""
        holders = [] if self.over == "volumes" else targets(pod, self.over)
        if self.inherits:
            holders = [(pod.spec, "spec"), *holders]
        for data, where in holders:
            base, field = path_of(where), (*steps_of(where), *self._path.keys)
            if violation.container != container_name(where):
                continue
            if self._path.item_keys:
                labels = [path for path, _ in self._path.items(data, where, self._kind)]
                if violation.path in labels:
                    yield from self._repair_item(data, where, field, labels.index(violation.path))
            elif violation.path == f"{base}.{self._path.plain}":
                if self._path.item_keys is None:
                    yield from (Edit(field, value) for value in self._accepted())
                else:
                    items = self._path.items(data, where, self._kind)
                    yield Edit(field, [value for _, value in items if self.allows(value)] or UNSET)

    def _accepted(self) -> Iterator[Any]:
        """A value that says what is meant, then none."""
        yield from [value for value in self.allowed if value is not None and (value or value is False)][:1]
        if self.allows(None):
            yield UNSET

    def _repair_item(
        self, data: Any, where: Where, field: tuple[str | int, ...], index: int
    ) -> Iterator[Edit]:
        """Without the field where that is allowed, else without the item."""
        assert self._path.item_keys
        if self.allows(None):
            yield Edit((*field, index, *self._path.item_keys), UNSET)
        else:
            items = self._path.get(data, where) or []
            yield Edit(field, [*items[:index], *items[index + 1 :]] or UNSET)

    def _violation(self, where: Where, actual: Any) -> Violation:
        return violation(where, self._path.plain, actual, self.expected)

    def _evaluate_lists(self, pod: PodShape) -> list[Violation]:
        found: list[Violation] = []
        for data, where in targets(pod, self.over):
            if self._path.get(data, where) is None:
                continue
            items = self._path.items(data, where, self._kind)
            bad = [(path, value) for path, value in items if not self.allows(value)]
            if self._path.item_keys:
                name, expected = container_name(where), self.expected
                found.extend(Violation(path, value, expected, name) for path, value in bad)
            elif bad:
                found.append(self._violation(where, [value for _, value in bad]))
        return found


def facets(
    key: str, over: Over, unless: tuple[PodCondition, ...], *, pod_too: bool = False
) -> tuple[str, ...]:
    """What a rule about this key reads: see `Rule`."""
    read = []
    if over == "volumes":
        read.append("spec.volumes")
    if over in ("containers", "pod and containers"):
        read.append(f"containers.{key}")
    if over in ("pod", "pod and containers") or pod_too:
        read.append(f"spec.{key}")
    return (*read, *(f"spec.{condition.field.partition('.')[0]}" for condition in unless))


def container_name(where: Where) -> str:
    """The container's name, "" outside of containers."""
    return "" if isinstance(where, str) else where.name


def violation(where: Where, field: str, actual: Any, expected: str) -> Violation:
    """One violation by a field of the object there."""
    return Violation(f"{path_of(where)}.{field}", actual, expected, container_name(where))


def targets(pod: PodShape, over: Over) -> list[Holder]:
    """The objects that a rule looks at, in the pod's order. Raises Malformed where one of them is no map."""
    found: list[Holder] = []
    if over in ("pod", "pod and containers"):
        found.append((pod.spec, "spec"))
    if over in ("containers", "pod and containers"):
        if pod.malformed:
            raise Malformed(not_allowed(*pod.malformed[0]))
        found.extend([(container.raw, container) for container in pod.containers])
    if over == "volumes":
        volumes = pod.spec.get("volumes")
        if volumes is not None and type(volumes) is not list:
            malformed("spec.volumes", volumes, list)
        for index, volume in enumerate(volumes or ()):
            path = f"spec.volumes[{item_label(volume, index)}]"
            if type(volume) is not dict:
                malformed(path, volume, dict)
            found.append((volume, path))
    return found


def _choice(values: tuple[Any, ...]) -> str:
    # An empty text means the same as unset; saying both confuses.
    shown = [value for value in values if value != "" or None not in values]
    words = ["unset" if value is None else _word(value) for value in shown]
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} or {words[-1]}"


def _word(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value) or '""'


def _unless(conditions: tuple[PodCondition, ...]) -> str:
    return "".join(f", unless {condition.text}" for condition in conditions)
