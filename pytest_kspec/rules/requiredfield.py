"""`RequiredField` and `ForbiddenField`: any field of a container or pod, as a specification asks for it.

What is judged is what holds when the pod runs: a container's value, else the pod's where containers inherit
it, else the default. Without a value, a boolean is required (forbidden) to be true, and any other field to be
set. Fields that a kind of container, or the pod's operating system, cannot have are not asked of it.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from pytest_kspec.errors import Malformed
from pytest_kspec.model.podfields import EVERY, PodField, pod_field
from pytest_kspec.model.quantity import parse_quantity
from pytest_kspec.model.resources import Container, PodShape
from pytest_kspec.rules import poddefaults
from pytest_kspec.rules.base import Violation
from pytest_kspec.rules.fieldpath import malformed
from pytest_kspec.rules.podvalues import EMPTY, filled, inherited, places, walk
from pytest_kspec.rules.repair import UNSET, Edit, Steps, steps_of

_KINDS: dict[str, tuple[type, ...]] = {
    "bool": (bool,),
    "int": (int,),
    "string": (str,),
    "quantity": (str, int, float),
    "intorstring": (str, int),
}
HIDDEN = "(not shown)"  # values of fields that may hold credentials
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
class _FieldDemand(ABC):
    """What both have in common.

    key:    path of the field (`pytest_kspec.model.podfields`)
    value:  what it must (not) be; of a list one of them; for a list field all (required) or any (forbidden)
    exists: whether it must (not) be set
    """

    key: str
    value: Any = None
    exists: bool | None = None
    _field: PodField = field(init=False, repr=False, compare=False)
    _wanted: tuple[Any, ...] = field(init=False, repr=False, compare=False)
    _expected: str = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        found = pod_field(self.key)
        if found is None:
            raise ValueError(f"no Kubernetes Pod has the field {self.key!r}")
        problem = "" if self.value is None else found.value_problem(self.value)
        if problem:
            raise ValueError(problem)
        values = [] if self.value is None else self.value if isinstance(self.value, list) else [self.value]
        if found.type.startswith("[]") and isinstance(self.value, str):
            values = [part.strip() for part in self.value.split(",")]
        object.__setattr__(self, "_field", found)
        object.__setattr__(self, "_wanted", tuple(_typed(found.scalar, value) for value in values))
        object.__setattr__(self, "_expected", self._describe([_text(value) for value in values]))

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
    def wanted(self) -> tuple[Any, ...]:
        """The values of `value`, typed as the field; () for none."""
        return self._wanted

    @property
    def expected(self) -> str:
        """What is allowed, as text."""
        return self._expected

    @property
    def about_truth(self) -> bool:
        """Neither value nor exists, on a boolean: about it being true."""
        return self.value is None and self.exists is None and self._field.type == "bool"

    @property
    def needs_one(self) -> bool:
        """Of a field of list items: a list without items is a violation too."""
        return False

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
        found = [*self._values(pod, container, data, base)]
        if not found and self.needs_one:
            yield Violation(
                f"{base}.{'.'.join(self._field.path[: self._field.path.index(EVERY)])}",
                None,
                self._expected,
                name,
            )
        for path, source, written, stated, effective in found:
            if written is not None:
                self._check_type(source or path, written)
            if not self._holds(stated, effective):
                expected = f"{self._expected} (taken from {source})" if source else self._expected
                yield Violation(path, self._shown(written), expected, name)

    def _values(self, pod: PodShape, container: Container | None, data: Any, base: str) -> Iterator[_Found]:
        path = self._field.path
        for where, value in walk(data, path, base):
            source = ""
            if value in EMPTY and container is not None:
                source, value = inherited(pod, container, path, value)
            stated = filled(data, container, path) if value is None else value
            implied = pod.implied.get(path, poddefaults.IMPLIED.get(path))
            yield _Found(where, source, value, stated, implied if stated is None else stated)

    def _matches(self, value: Any) -> bool:
        kind = self._field.scalar
        if self._field.type.startswith("[]"):
            return self._list_matches([_typed(kind, item) for item in value or ()])
        return value is not None and _typed(kind, value) in self._wanted

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

    def _written(self, wanted: list[Any]) -> list[Any]:
        """Values of the specification as they are written in an object."""
        given = self.value if isinstance(self.value, list) else [self.value]
        kind = self._field.scalar
        return [str(item).strip() for item in given] if kind == "quantity" else wanted

    @abstractmethod
    def _accepted(self, value: Any) -> Iterator[Any]:
        """What would be accepted in place of `value`, best first."""

    @abstractmethod
    def _list_matches(self, items: list[Any]) -> bool:
        """Whether a list, typed as the field, is as `value` says."""

    @abstractmethod
    def _holds(self, stated: Any, effective: Any) -> bool:
        """Whether a value is as demanded: see `_Found`."""

    @abstractmethod
    def _describe(self, values: list[str]) -> str:
        """What is allowed, as text."""


@dataclass(frozen=True, slots=True)
class RequiredField(_FieldDemand):
    """Every container (or pod) must have the field so. `exists: false` asks for it to be unset."""

    @property
    def reason(self) -> str:
        """Short and constant."""
        return f"{self.key} is not as required"

    @property
    def needs_one(self) -> bool:
        """Of a field of list items: a list without items is a violation too."""
        return self.value is None and self.exists is not False

    def _accepted(self, value: Any) -> Iterator[Any]:
        if self.about_truth:
            yield True
        elif self._wanted and self._field.type.startswith("[]"):
            there = value or []
            yield [*there, *(item for item in self._wanted if item not in there)]
        elif self._wanted:
            yield from self._written([*self._wanted])
        if self.exists is False:
            yield UNSET

    def _list_matches(self, items: list[Any]) -> bool:
        if self._field.path[-2:] == ("capabilities", "drop") and "ALL" in items:
            return True
        return all(wanted in items for wanted in self._wanted)

    def _holds(self, stated: Any, effective: Any) -> bool:
        if self.about_truth:
            return effective is True
        if self.exists is False and stated in EMPTY:
            return True
        if self.value is not None:
            return self._matches(stated if self.exists else effective)
        return self.exists is not False and stated not in EMPTY

    def _describe(self, values: list[str]) -> str:
        if self.about_truth:
            return "true"
        if not values:
            return "unset" if self.exists is False else "set"
        if self._field.type.startswith("[]"):
            return f"contains {', '.join(values)}"
        text = values[0] if len(values) == 1 else f"one of {', '.join(values)}"
        return f"unset or {text}" if self.exists is False else text


@dataclass(frozen=True, slots=True)
class ForbiddenField(_FieldDemand):
    """No container (or pod) may have the field so. `exists: false` forbids leaving it unset."""

    @property
    def reason(self) -> str:
        """Short and constant."""
        return f"{self.key} is as forbidden"

    @property
    def needs_one(self) -> bool:
        """Of a field of list items: a list without items is a violation too."""
        return self.exists is False

    def _accepted(self, value: Any) -> Iterator[Any]:
        if self._field.type == "bool":
            yield from (other for other in (False, True) if self._holds(other, other))
        elif self._wanted and self._field.type.startswith("[]"):
            yield [item for item in value or () if not self._list_matches([item])] or UNSET
        yield UNSET

    def _list_matches(self, items: list[Any]) -> bool:
        if self._field.path[-2:] == ("capabilities", "add"):
            # Runtimes take "sys_admin" and "CAP_SYS_ADMIN" for the same, and ALL holds every one.
            items = [capability(item) for item in items]
            return "ALL" in items or any(capability(wanted) in items for wanted in self._wanted)
        return any(wanted in items for wanted in self._wanted)

    def _holds(self, stated: Any, effective: Any) -> bool:
        if self.about_truth:
            return effective is not True
        if self.exists is False and stated in EMPTY:
            return False
        if self.value is not None:
            return not self._matches(stated if self.exists else effective)
        return self.exists is False or stated in EMPTY

    def _describe(self, values: list[str]) -> str:
        if self.about_truth:
            return "false" if poddefaults.IMPLIED.get(self._field.path) else "unset or false"
        if not values:
            return "set" if self.exists is False else "unset"
        if self._field.type.startswith("[]"):
            return f"contains no {' or '.join(values)}"
        text = f"not {' or '.join(values)}"
        return f"set and {text}" if self.exists is False else text


def _check_scalar(path: str, value: Any, kind: str) -> None:
    allowed = _KINDS[kind]
    if type(value) not in allowed:
        malformed(path, value, allowed[0])
    if kind == "quantity":
        try:
            parse_quantity(str(value))
        except ValueError as error:
            raise Malformed(f"{path} is not a quantity such as 500m or 1Gi.") from error


def _typed(kind: str, value: Any) -> Any:
    """A value as comparable data of this type."""
    if kind == "bool":
        return value if isinstance(value, bool) else str(value).strip().lower() == "true"
    if kind == "int":
        return int(value)
    if kind == "quantity":
        return parse_quantity(str(value).strip())
    return _text(value)


def _text(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value).strip()


def capability(name: str) -> str:
    """A capability in one spelling: upper case, without `CAP_`."""
    # Of ASCII only, as a runtime: "ı" is no "I".
    return (name.upper() if name.isascii() else name).removeprefix("CAP_")
