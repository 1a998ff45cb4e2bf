"""`RequiredField` and `ForbiddenField`: any field of a container or pod, as a specification asks for it.

What is judged is what holds when the pod runs: a container's value, else the pod's where containers inherit
it, else the default. Where nothing is said of the value, a boolean is required (forbidden) to be true, and
any other field to be set. A path through a list is about each item that there is. Fields that a kind of
container, or the pod's operating system, cannot have are not asked of it.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple, Self

from pytest_kspec.errors import Malformed
from pytest_kspec.kube.fieldvalues import problems
from pytest_kspec.kube.podfields import PodField, pod_field
from pytest_kspec.kube.quantity import parse_quantity
from pytest_kspec.kube.resources import Container, PodShape
from pytest_kspec.redaction.marker import holds_redacted
from pytest_kspec.rules import poddefaults
from pytest_kspec.rules.base import Violation
from pytest_kspec.rules.fieldpath import malformed
from pytest_kspec.rules.pods.fieldtest import Condition, FieldTest
from pytest_kspec.rules.pods.values import EMPTY, HIDDEN, filled, inherited, places, walk
from pytest_kspec.rules.repair.repair import UNSET, Edit, Steps, steps_of

if TYPE_CHECKING:
    from pytest_kspec.rules.cel.builder import CelBuilder

_KINDS: dict[str, tuple[type, ...]] = {
    "bool": (bool,),
    "int": (int,),
    "string": (str,),
    "quantity": (str, int, float),
    "intorstring": (str, int),
}
# What a program is, and what it needs: no value of a specification can know.
_PERSONAL = frozenset(
    {
        "args",
        "command",
        "containerPort",
        "env",
        "envFrom",
        "image",
        "name",
        "resources",
        "volumes",
        "workingDir",
    }
)


class _Found(NamedTuple):
    """A field of one container or pod.

    source:    where it is written if not at `path`: a container's value may be its pod's
    written:   what is there; stated: the same, or what the API server writes; effective: what holds
    """

    path: str
    source: str
    written: Any
    stated: Any
    effective: Any


@dataclass(frozen=True, slots=True)
class FieldDemand(ABC):
    """What both have in common.

    key:     path of the field (`pytest_kspec.kube.podfields`)
    value:   what it must (not) be; of a list one of them; for a list field all (required) or any (forbidden)
    exists:  whether it must (not) be set
    min, max: bounds of a number, or of a quantity
    pattern: regular expression (RE2) that the whole text matches
    allowed: what a list may hold (required only)
    any_of:  alternatives of all these, one of which holds for each value
    or_unset: whether it may be unset too (required only)

    Of value, bounds, pattern, allowed and any_of one may be given. Raises ValueError for what cannot be.
    """

    key: str
    value: Any = None
    exists: bool | None = None
    min: Any = None
    max: Any = None
    pattern: str | None = None
    allowed: list[Any] | None = None
    any_of: tuple[Condition, ...] = ()
    or_unset: bool = False
    _field: PodField = field(init=False, repr=False, compare=False)
    _tests: tuple[tuple[FieldTest, Condition], ...] = field(init=False, repr=False, compare=False)
    _expected: str = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        found = pod_field(self.key)
        if found is None:
            raise ValueError(f"{self.key!r} is not a field of a Kubernetes Pod")
        condition = Condition(self.value, self.min, self.max, self.pattern, self.allowed)
        entry: dict[str, Any] = condition.as_entry() | ({"orUnset": True} if self.or_unset else {})
        given = {
            "value": self.value,
            "bounds": self.max if self.min is None else self.min,
            "pattern": self.pattern,
            "allowed": self.allowed,
            "any_of": self.any_of or None,
        }
        said = [name for name, what in given.items() if what is not None]
        if len(said) > 1:
            raise ValueError(f"{' and '.join(said)} contradict each other; write them as alternatives")
        entry["anyOf"] = [alternative.as_entry() for alternative in self.any_of]
        for _, problem in problems(found, entry, required=self.required):
            raise ValueError(problem)
        asked = self.any_of or (() if condition.empty else (condition,))
        tests = tuple((FieldTest.of(found, one, required=self.required), one) for one in asked)
        object.__setattr__(self, "_field", found)
        object.__setattr__(self, "_tests", tests)
        object.__setattr__(self, "_expected", self._describe([test.text for test, _ in tests]))

    @classmethod
    def of(cls, entry: Any) -> Self:
        """Of an entry of `workloads.containers` of a specification."""
        return cls(
            entry.key,
            entry.value,
            entry.exists,
            entry.min,
            entry.max,
            entry.pattern,
            entry.allowed,
            tuple(
                Condition(one.value, one.min, one.max, one.pattern, one.allowed, one.exists)
                for one in entry.any_of or ()
            ),
            entry.or_unset,
        )

    @property
    @abstractmethod
    def required(self) -> bool:
        """Whether what is said must hold; else it must not."""

    @property
    def reads(self) -> tuple[str, ...]:
        """See `Rule`."""
        level, path = self._field.level, self._field.path
        found = [f"spec.{path[0]}", "spec.os"]
        if level != "pod":
            found += [f"containers.{path[0]}", "containers.restartPolicy"]
        if path == ("imagePullPolicy",):
            found.append("containers.image")
        return tuple(found)

    @property
    def target(self) -> PodField:
        """The field that `key` names."""
        return self._field

    @property
    def tests(self) -> tuple[FieldTest, ...]:
        """What is said of each value: one of these must (not) hold; () for nothing."""
        return tuple(test for test, _ in self._tests)

    @property
    def expected(self) -> str:
        """What is allowed, as text."""
        return self._expected

    @property
    def about_truth(self) -> bool:
        """Nothing is said of the value, nor exists, on a boolean: about it being true."""
        return not self._tests and self.exists is None and self._field.type == "bool"

    @property
    def unset_is(self) -> bool | None:
        """Whether an unset field is as it must be, whatever is said of its value; None: the value decides."""
        return None

    @property
    def is_secret(self) -> bool:
        """Whether its values may hold credentials, so that no message shows them."""
        path = self._field.path
        return path[-1] in ("command", "args") or path[0] == "env" or path[-2:] == ("httpHeaders", "value")

    def evaluate(self, pod: PodShape) -> Sequence[Violation]:
        """All violations, in the order of the object. Raises Malformed for a field of an impossible type."""
        target = self._field
        if not poddefaults.os_allows(pod, target.level, target.path):
            return ()
        if target.level == "pod":
            return [*self._judge(pod, None, "spec")]
        return [
            violation
            for container in pod.containers
            if poddefaults.can_carry(container, target.path[0])
            for violation in self._judge(pod, container, container.path)
        ]

    def to_cel(self, builder: CelBuilder) -> str:
        """See `Expressible`."""
        from pytest_kspec.rules.pods.requiredfield_cel import field_demand

        return field_demand(self, builder)

    def repairs(self, violation: Violation, pod: PodShape) -> Iterator[Edit]:
        """See `Repairable`."""
        path = self._field.path
        if _PERSONAL & {path[0], path[-1]} or self._field.scalar == "intorstring":
            return
        holders: list[tuple[Any, str, Steps, str]] = [
            (c.raw, c.path, steps_of(c), c.name) for c in pod.containers
        ]
        if self._field.level == "pod":
            holders = [(pod.spec, "spec", steps_of("spec"), "")]
        for data, base, steps, name in holders:
            if name == violation.container:
                for where, place, value in places(data, path, base, steps):
                    if where == violation.path:
                        yield from (Edit(place, accepted) for accepted in self._accepted(value))

    def _judge(self, pod: PodShape, container: Container | None, base: str) -> Iterator[Violation]:
        name = container.name if container else ""
        data = container.raw if container else pod.spec
        for path, source, written, stated, effective in self._values(pod, container, data, base):
            if written is not None:
                self._check_type(source or path, written)
                if self._tests and holds_redacted(written):
                    raise Malformed(f"{source or path} was redacted when the cluster was recorded.")
            if not self._holds(stated, effective):
                expected = f"{self._expected} (taken from {source})" if source else self._expected
                yield Violation(path, self._shown(written), expected, name)

    def _values(self, pod: PodShape, container: Container | None, data: Any, base: str) -> Iterator[_Found]:
        path = self._field.path
        for where, value in walk(data, path, base):
            source = ""
            if value in EMPTY and value is not None and (value != "" or self._field.type == "bool"):
                self._check_type(where, value)  # before something else is taken in its place
            if value in EMPTY and container is not None:
                source, value = inherited(pod, container, path, value)
            stated = filled(data, container, path) if value is None else value
            implied = pod.implied.get(path, poddefaults.IMPLIED.get(path))
            yield _Found(where, source, value, stated, implied if stated is None else stated)

    def _meets(self, stated: Any, value: Any) -> bool:
        return any(test.meets(value if test.exists is None else stated) for test, _ in self._tests)

    def _check_type(self, path: str, value: Any) -> None:
        kind = self._field.type
        if kind.startswith("[]"):
            if type(value) is not list:
                malformed(path, value, list)
            if self._field.scalar:
                for index, item in enumerate(value):
                    _check_scalar(f"{path}[{index}]", item, self._field.scalar)
        elif self._field.scalar:
            _check_scalar(path, value, kind)
        elif type(value) is not dict:
            malformed(path, value, dict)

    def _shown(self, value: Any) -> Any:
        return HIDDEN if self.is_secret and value is not None else value

    @abstractmethod
    def _accepted(self, value: Any) -> Iterator[Any]:
        """What would be accepted in place of `value`, best first."""

    def _holds(self, stated: Any, effective: Any) -> bool:
        """Whether a value is as demanded: see `_Found`."""
        if self.about_truth:
            return (effective is True) == self.required
        unset = stated in EMPTY
        if unset and self.unset_is is not None:
            return self.unset_is
        if self._tests:
            return self._meets(stated, stated if self.exists else effective) == self.required
        return self.unset_is is False

    @abstractmethod
    def _describe(self, values: list[str]) -> str:
        """What is allowed, as text. values: that of each test."""


@dataclass(frozen=True, slots=True)
class RequiredField(FieldDemand):
    """Every container (or pod) must have a field that matches. `exists: false` requires it to be unset."""

    @property
    def required(self) -> bool:
        """See above."""
        return True

    @property
    def reason(self) -> str:
        """Short and constant."""
        return f"{self.key} is not as required"

    @property
    def unset_is(self) -> bool | None:
        """See above."""
        if self.or_unset or self.exists is False:
            return True
        return None if self._tests else False

    def _accepted(self, value: Any) -> Iterator[Any]:
        if self.about_truth:
            yield True
        for test, condition in self._tests:
            yield from test.accepted(value, condition)
        if self.unset_is:
            yield UNSET

    def _describe(self, values: list[str]) -> str:
        if self.about_truth:
            return "true"
        if not values:
            return "unset" if self.exists is False else "set"
        return " or ".join(["unset"] * bool(self.unset_is) + values)


@dataclass(frozen=True, slots=True)
class ForbiddenField(FieldDemand):
    """No container (or pod) may have a field that matches. `exists: false` forbids leaving it unset."""

    @property
    def required(self) -> bool:
        """See above."""
        return False

    @property
    def reason(self) -> str:
        """Short and constant."""
        return f"{self.key} is as forbidden"

    @property
    def unset_is(self) -> bool | None:
        """See above."""
        if self.exists is False:
            return False
        return None if self._tests else True

    def _accepted(self, value: Any) -> Iterator[Any]:
        if self._field.type == "bool":
            yield from (other for other in (False, True) if self._holds(other, other))
        elif self._field.is_list and any(test.wanted for test, _ in self._tests):
            yield [item for item in value or () if not self._meets([item], [item])] or UNSET
        yield UNSET

    def _describe(self, values: list[str]) -> str:
        if self.about_truth:
            return "false" if poddefaults.IMPLIED.get(self._field.path) else "unset or false"
        if not values:
            return "set" if self.exists is False else "unset"
        return " and ".join(["set"] * bool(self.exists is False) + values)


def _check_scalar(path: str, value: Any, kind: str) -> None:
    allowed = _KINDS[kind]
    if type(value) not in allowed:
        malformed(path, value, allowed[0])
    if kind == "quantity":
        try:
            parse_quantity(str(value).strip())
        except ValueError as error:
            raise Malformed(f"{path} is not a quantity such as 500m or 1Gi.") from error
