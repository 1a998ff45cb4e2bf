"""How models of specifications are declared: with the words of pydantic, which is not imported for them.

A declaration is the one definition of a model. `quick` reads by it what is right, and that is nearly every document;
`twins` makes the pydantic model of it, which finds what is wrong, says so, and writes JSON Schema. pydantic and what it
builds of 50 models are a third of what a scan of few pods costs.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from inspect import get_annotations
from typing import Any, Self, TypeVar

F = TypeVar("F")
M = TypeVar("M", bound="SpecModel")

REQUIRED: Any = ...
_VALIDATES, _CHECKS = "__validates_model__", "__checks_fields__"


class Declared:
    """What is said of a field: its default, and options of pydantic's `Field` by their names."""

    def __init__(
        self, default: Any, default_factory: Callable[[], Any] | None, options: dict[str, Any]
    ) -> None:
        self.default = default
        self.default_factory = default_factory
        self.options = options


def Field(
    default: Any = REQUIRED, *, default_factory: Callable[[], Any] | None = None, **options: Any
) -> Any:
    """As pydantic's: the default of a field, its description, its bounds."""
    return Declared(default, default_factory, options)


class AfterValidator:
    """A function that a value of the right type goes through; it raises ValueError."""

    def __init__(self, func: Callable[[Any], Any]) -> None:
        self.func = func


class BeforeValidator(AfterValidator):
    """The same before the type is looked at."""


class PlainValidator(AfterValidator):
    """The same in place of the type."""


class Discriminator(AfterValidator):
    """Tells by the value which one of a union it is: the name of its `Tag`."""


class Tag:
    """The name of one in a union."""

    def __init__(self, tag: str) -> None:
        self.tag = tag


class WithJsonSchema:
    """What JSON Schema says of the type."""

    def __init__(self, schema: dict[str, Any]) -> None:
        self.schema = schema


def model_validator(*, mode: str) -> Callable[[F], F]:
    """Of a method that looks at the whole model, after its fields, and returns it; it raises ValueError."""
    assert mode == "after"

    def mark(method: F) -> F:
        setattr(method, _VALIDATES, True)
        return method

    return mark


def field_validator(*names: str) -> Callable[[F], F]:
    """Of a class method of (value, info) for the fields of these names; `info.data` has the fields before them."""

    def mark(method: F) -> F:
        setattr(method, _CHECKS, names)
        return method

    return mark


def validates_model(method: object) -> bool:
    """Whether it is marked by `model_validator`."""
    return getattr(method, _VALIDATES, False) is True


def checks_fields(method: object) -> tuple[str, ...]:
    """The fields that it is marked for by `field_validator`."""
    return getattr(method, _CHECKS, ())


class SpecModel:
    """Unknown keys are errors; names are snake_case, keys camelCase; a number where text is asked is text.

    Instances are values: equal if their fields are, never changed.
    """

    model_fields_set: frozenset[str]

    def __init_subclass__(cls) -> None:
        declared = {name: value for name, value in vars(cls).items() if isinstance(value, Declared)}
        for name in declared:
            delattr(cls, name)
        setattr(cls, _OWN, declared)

    def __init__(self, **data: Any) -> None:
        """Of keys as they are written. Raises pydantic.ValidationError."""
        vars(self).update(vars(type(self).model_validate(data)))

    @classmethod
    def model_validate(cls, data: Any) -> Self:
        """The model of plain data. Raises pydantic.ValidationError with everything that is wrong."""
        from pytest_kspec.spec.quick import read

        try:
            return read(cls, data)
        except (ValueError, AssertionError):
            from pytest_kspec.spec.twins import validate

            return validate(cls, data)

    def model_copy(self, *, update: Mapping[str, Any] | None = None) -> Self:
        """The same with other values of these fields, which nothing looks at."""
        changed = dict(update or {})
        return make(type(self), {**field_values(self), **changed}, self.model_fields_set | changed.keys())

    def by_key(self) -> dict[str, Any]:
        """Its values by their keys, as they are written; those that are left out have their defaults."""
        return {key_of(name): value for name, value in field_values(self).items()}

    def model_dump(self, **how: Any) -> dict[str, Any]:
        """Plain data, as pydantic writes it."""
        from pytest_kspec.spec.twins import twin

        return twin(self).model_dump(**how)

    def model_dump_json(self, **how: Any) -> str:
        """The same as JSON."""
        from pytest_kspec.spec.twins import twin

        return twin(self).model_dump_json(**how)

    def __setattr__(self, name: str, value: Any) -> None:
        raise AttributeError(f"{type(self).__name__} is not changed: {name}")

    def __eq__(self, other: object) -> bool:
        if type(self) is not type(other):
            return NotImplemented
        return field_values(self) == field_values(other)

    def __hash__(self) -> int:
        return hash((type(self), *field_values(self).values()))

    def __repr__(self) -> str:
        fields = ", ".join(f"{name}={value!r}" for name, value in field_values(self).items())
        return f"{type(self).__name__}({fields})"


_OWN = "__declared_fields__"
_SET = "model_fields_set"


def make(model: type[M], values: Mapping[str, Any], given: frozenset[str]) -> M:
    """The model with these values. given: names of those that were written, and are no defaults."""
    made = model.__new__(model)
    vars(made).update(values)
    vars(made)[_SET] = given
    return made


def field_values(model: object) -> dict[str, Any]:
    """Its fields and their values, without what it knows beside them."""
    return {name: value for name, value in vars(model).items() if name[0] != "_" and name != _SET}


def bases_of(model: type[SpecModel]) -> list[type[SpecModel]]:
    """The model and those that it is made of, the first one first."""
    return [one for one in reversed(model.__mro__) if issubclass(one, SpecModel) and one is not SpecModel]


def own_fields(model: type[SpecModel]) -> dict[str, tuple[Any, Declared | None]]:
    """The fields that it adds to those it is made of: name → its type, and what is said of it."""
    declared: dict[str, Declared] = getattr(model, _OWN)
    return {
        name: (annotation, declared.get(name))
        for name, annotation in get_annotations(model, eval_str=True).items()
        if name[0] != "_"
    }


def key_of(name: str) -> str:
    """The key that a field is written as."""
    first, *rest = name.split("_")
    return first + "".join(word.capitalize() for word in rest)
