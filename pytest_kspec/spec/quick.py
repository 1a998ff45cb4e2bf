"""Models from plain data that is right, by their declarations.

What is not right for sure is no error here: `Unsure`, and pydantic looks again (`twins`). So this knows types and
bounds as they are usually written, converts nothing, and says nothing about what is wrong. It takes nothing that
pydantic would refuse: `tests/spec/test_quick` compares.
"""

from __future__ import annotations

from collections.abc import Callable
from types import NoneType, SimpleNamespace, UnionType
from typing import Annotated, Any, Literal, TypeVar, Union, get_args, get_origin

from pytest_kspec.spec.declared import (
    REQUIRED,
    AfterValidator,
    BeforeValidator,
    Declared,
    Discriminator,
    PlainValidator,
    SpecModel,
    Tag,
    WithJsonSchema,
    bases_of,
    checks_fields,
    key_of,
    make,
    own_fields,
    validates_model,
)

M = TypeVar("M", bound=SpecModel)
Reader = Callable[[Any], Any]

_SAID = frozenset({"description", "json_schema_extra"})
"""Options of fields that are not about their values."""


class Unsure(ValueError):
    """It may be wrong, or right in a way that is not known here."""


class _Field:
    """A field of a model: where it is in the data, and what reads it."""

    def __init__(self, name: str, annotation: Any, declared: Declared | None) -> None:
        self.name = name
        self.key = key_of(name)
        self.default = REQUIRED if declared is None else declared.default
        self.factory = declared.default_factory if declared else None
        self.read = _reader(annotation)
        if declared is not None:
            self.read = _bounded(self.read, declared.options)
        self.checks: list[Callable[[Any, Any], Any]] = []


def read(model: type[M], data: Any) -> M:
    """The model of this data. Raises ValueError where it is not sure to be right: `Unsure`, or of a validator."""
    fields, validators = _plans.get(model) or _plan(model)
    if type(data) is not dict:
        raise Unsure
    values: dict[str, Any] = {}
    given = set()
    for field in fields:
        if field.key in data:
            value = field.read(data[field.key])
            for check in field.checks:
                value = check(value, SimpleNamespace(data=values))
            given.add(field.name)
        elif field.factory is not None:
            value = field.factory()
        elif field.default is REQUIRED:
            raise Unsure
        else:
            value = field.default
        values[field.name] = value
    if len(given) != len(data):
        raise Unsure  # a key that is not known
    made = make(model, values, frozenset(given))
    for validator in validators:
        made = validator(made)
    return made


_Plan = tuple[list[_Field], list[Callable[[Any], Any]]]
_plans: dict[type[SpecModel], _Plan] = {}


def _plan(model: type[SpecModel]) -> _Plan:
    """The fields of a model, and what looks at the whole. Made when a document has such a part."""
    fields: dict[str, _Field] = {}
    validators: dict[str, Callable[[Any], Any]] = {}
    checks: list[tuple[tuple[str, ...], Any]] = []
    for base in bases_of(model):
        fields |= {name: _Field(name, *declared) for name, declared in own_fields(base).items()}
        for name, value in vars(base).items():
            if validates_model(value):
                validators[name] = getattr(model, name)
            elif names := checks_fields(value):
                checks.append((names, getattr(model, name)))
    for names, check in checks:
        for name in names:
            fields[name].checks.append(check)
    _plans[model] = list(fields.values()), list(validators.values())
    return _plans[model]


def _reader(annotation: Any) -> Reader:
    """What reads a value of a type. Raises TypeError for a type that is not known here."""
    if annotation is Any:
        return _as_it_is
    if annotation is str:
        return _text
    if annotation in (int, bool):
        return _exactly(annotation)
    if isinstance(annotation, type) and issubclass(annotation, SpecModel):
        return lambda value: value if type(value) is annotation else read(annotation, value)
    origin, arguments = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        return _annotated(arguments[0], arguments[1:])
    if origin is Literal:
        return _one_of(arguments)
    if origin in (Union, UnionType):
        return _optional(arguments)
    if origin is list:
        return _list(_reader(arguments[0]))
    if origin is dict and arguments[0] is str:
        return _mapping(_reader(arguments[1]))
    raise TypeError(f"{annotation} is not known here")


def _annotated(inner: Any, said: tuple[Any, ...]) -> Reader:
    for one in said:
        if isinstance(one, Discriminator):
            return _tagged(inner, one)
    reader = _reader(inner)
    for one in said:
        if isinstance(one, Declared):
            reader = _bounded(reader, one.options)
        elif isinstance(one, PlainValidator):
            reader = one.func
        elif isinstance(one, BeforeValidator):
            reader = _then(one.func, reader)
        elif isinstance(one, AfterValidator):
            reader = _then(reader, one.func)
        elif not isinstance(one, Tag | WithJsonSchema):
            raise TypeError(f"{one!r} is not known here")
    return reader


def _as_it_is(value: Any) -> Any:
    return value


def _text(value: Any) -> str:
    if type(value) is not str:
        raise Unsure
    if not value.isascii():
        value.encode()  # half of a surrogate pair, as JSON may have it, is no text
    return value


def _exactly(kind: type) -> Reader:
    def reader(value: Any) -> Any:
        if type(value) is not kind:
            raise Unsure
        return value

    return reader


def _one_of(allowed: tuple[Any, ...]) -> Reader:
    def reader(value: Any) -> Any:
        if type(value) is not str or value not in allowed:
            raise Unsure
        return value

    return reader


def _optional(arguments: tuple[Any, ...]) -> Reader:
    inner = [one for one in arguments if one is not NoneType]
    if len(inner) != 1:
        raise TypeError(f"{arguments} needs a discriminator")
    reader = _reader(inner[0])
    return lambda value: None if value is None else reader(value)


def _tagged(union: Any, discriminator: Discriminator) -> Reader:
    readers = {}
    for one in get_args(union):
        kind, *said = get_args(one)
        tag = next(mark.tag for mark in said if isinstance(mark, Tag))
        readers[tag] = _annotated(kind, tuple(said))
    return lambda value: readers[discriminator.func(value)](value)


def _list(item: Reader) -> Reader:
    def reader(value: Any) -> Any:
        if type(value) is not list:
            raise Unsure
        return [item(one) for one in value]

    return reader


def _mapping(item: Reader) -> Reader:
    def reader(value: Any) -> Any:
        if type(value) is not dict:
            raise Unsure
        return {_text(key): item(one) for key, one in value.items()}

    return reader


def _then(first: Reader, second: Reader) -> Reader:
    return lambda value: second(first(value))


def _bounded(inner: Reader, options: dict[str, Any]) -> Reader:
    """Within bounds. `strict` needs nothing: types are exact here."""
    known = {name: option for name, option in options.items() if name not in _SAID}
    if not known.keys() <= {"strict", "ge", "le", "min_length", "max_length"}:
        raise TypeError(f"{', '.join(known)}: not all of these are known here")
    if not known.keys() - {"strict"}:
        return inner
    least, most = known.get("ge"), known.get("le")
    shortest, longest = known.get("min_length"), known.get("max_length")

    def reader(value: Any) -> Any:
        value = inner(value)
        if (least is not None and value < least) or (most is not None and value > most):
            raise Unsure
        if shortest is not None and len(value) < shortest:
            raise Unsure
        if longest is not None and len(value) > longest:
            raise Unsure
        return value

    return reader
