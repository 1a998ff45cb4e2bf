"""One thing that a specification says of the value of a field, typed as the field is, and whether a value is so."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

from msgspec import Struct

from pytest_kspec.kube.fieldvalues import text_of, typed, values_of
from pytest_kspec.kube.patterns import Pattern
from pytest_kspec.kube.podfields import PodField
from pytest_kspec.rules.pods.values import EMPTY

CAPABILITIES_ADD = ("capabilities", "add")
CAPABILITIES_DROP = ("capabilities", "drop")


class Condition(Struct, frozen=True):
    """What is said, as a specification writes it: one of value, bounds, pattern and allowed; or exists alone."""

    value: Any = None
    min: Any = None
    max: Any = None
    pattern: str | None = None
    allowed: list[Any] | None = None
    exists: bool | None = None

    def as_entry(self) -> dict[str, Any]:
        """By the keys of a specification, unset ones left out."""
        names = ("value", "min", "max", "pattern", "allowed", "exists")
        return {name: got for name in names if (got := getattr(self, name)) is not None}

    @property
    def empty(self) -> bool:
        """Whether nothing is said of the value."""
        return (self.value, self.min, self.max, self.pattern, self.allowed) == (None,) * 5


class FieldTest(NamedTuple):
    """A condition on a field, typed. required: whether it must hold; else whether it must not.

    wanted: one of these; of a required list all of them. low, high: bounds. only: what a list may hold.
    exists: of an alternative that is about the field being set. kind, is_list: of the field, looked up once.
    """

    required: bool
    field: PodField
    kind: str
    is_list: bool
    wanted: tuple[Any, ...] = ()
    low: Any = None
    high: Any = None
    pattern: Pattern | None = None
    only: tuple[Any, ...] = ()
    exists: bool | None = None
    text: str = ""

    @classmethod
    def of(cls, field: PodField, condition: Condition, *, required: bool) -> FieldTest:
        """Type what is said. `fieldvalues.problems` has found nothing wrong with it."""
        kind = field.scalar
        given = [] if condition.value is None else values_of(condition.value, field)
        allowed = condition.allowed or ()
        low, high = (None if v is None else typed(kind, v) for v in (condition.min, condition.max))
        test = cls(
            required,
            field,
            kind,
            field.is_list,
            tuple(typed(kind, value) for value in given),
            low,
            high,
            None if condition.pattern is None else Pattern(condition.pattern),
            tuple(typed(kind, value) for value in allowed),
            condition.exists if condition.empty else None,
        )
        return test._replace(text=_text(test, condition, [text_of(v) for v in given]))

    @property
    def is_range(self) -> bool:
        """Whether it has bounds."""
        return self.low is not None or self.high is not None

    def meets(self, value: Any) -> bool:
        """Whether a value (of the right type; None for unset) is as the condition says."""
        if self.exists is not None:
            return (value not in EMPTY) == self.exists
        if self.is_list:
            return self._list_meets(value or ())
        return value is not None and self._one(value if self.pattern else typed(self.kind, value))

    def _one(self, value: Any) -> bool:
        if self.pattern is not None:
            return self.pattern.fullmatch(value)
        if self.is_range:
            return (self.low is None or value >= self.low) and (self.high is None or value <= self.high)
        return value in self.wanted

    def _list_meets(self, raw: Any) -> bool:
        items = raw if self.pattern else [typed(self.kind, item) for item in raw]
        if self.pattern is not None or self.is_range:
            return (all if self.required else any)(map(self._one, items))
        if self.field.path[-2:] == CAPABILITIES_ADD and not (self.required and self.wanted):
            # Runtimes take "sys_admin" and "CAP_SYS_ADMIN" for the same, and ALL holds every one.
            items = [capability(item) for item in items]
            if not self.only:
                return "ALL" in items or any(capability(wanted) in items for wanted in self.wanted)
            return {*items} <= {capability(item) for item in self.only}
        if self.only:
            return all(item in self.only for item in items)
        if not self.required:
            return any(wanted in items for wanted in self.wanted)
        if self.field.path[-2:] == CAPABILITIES_DROP and "ALL" in items:
            return True
        return all(wanted in items for wanted in self.wanted)

    def accepted(self, value: Any, condition: Condition) -> Iterator[Any]:
        """What would meet a required condition in place of `value`, as an object has it, best first."""
        there = value or []
        if self.only:
            yield [item for item in there if self._list_meets([item])] or None
        elif self.wanted and self.is_list:
            yield [*there, *(item for item in self.wanted if item not in there)]
        elif self.wanted:
            given = condition.value if isinstance(condition.value, list) else [condition.value]
            yield from ([str(item).strip() for item in given] if self.kind == "quantity" else self.wanted)
        elif self.is_range and not self.is_list:
            for bound, written in ((self.high, condition.max), (self.low, condition.min)):
                if bound is not None:
                    yield str(written).strip() if self.kind == "quantity" else bound
        elif self.exists is False:
            yield None


def capability(name: str) -> str:
    """A capability in one spelling: upper case, without `CAP_`."""
    # Of ASCII only, as a runtime: "ı" is no "I".
    return (name.upper() if name.isascii() else name).removeprefix("CAP_")


def _text(test: FieldTest, condition: Condition, values: list[str]) -> str:
    """What is expected, as text."""
    if test.exists is not None:
        return "set" if test.exists == test.required else "unset"
    of_list = test.is_list
    if test.only:
        return f"a list with only {', '.join(map(text_of, condition.allowed or ()))}"
    if test.pattern is not None:
        return _each(test, f"matching {test.pattern.text}")
    if test.is_range:
        if not test.required and not of_list and None in (test.low, test.high):
            bound = (
                f"below {text_of(condition.min)}" if test.high is None else f"above {text_of(condition.max)}"
            )
            return f"unset or {bound}"
        return _each(test, _range(condition))
    if of_list and test.required:
        return f"a list with {', '.join(values)}"
    choice = " or ".join(values)
    if of_list:
        return f"a list without {choice}"
    if not test.required:
        return f"not {choice}"
    return values[0] if len(values) == 1 else f"one of {', '.join(values)}"


def _each(test: FieldTest, text: str) -> str:
    if test.is_list:
        return f"a list with only values {text}" if test.required else f"a list without values {text}"
    return text if test.required else f"not {text}"


def _range(condition: Condition) -> str:
    low, high = text_of(condition.min), text_of(condition.max)
    if condition.min is None:
        return f"at most {high}"
    return f"at least {low}" if condition.max is None else f"from {low} to {high}"
