"""The pydantic model of a declared one (`declared`): what is wrong in a document, and JSON Schema.

Made when something is not right, or when somebody asks for a schema; what is right is read without (`quick`).
"""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import UnionType, new_class
from typing import Annotated, Any, TypeVar, Union, get_args, get_origin

import pydantic
from pydantic.alias_generators import to_camel

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
    checks_fields,
    field_values,
    make,
    own_fields,
    validates_model,
)

M = TypeVar("M", bound=SpecModel)

_twins: dict[type[SpecModel], type[pydantic.BaseModel]] = {}
_of_twins: dict[type[pydantic.BaseModel], type[SpecModel]] = {}


class StrictModel(pydantic.BaseModel):
    """Unknown keys are errors; names are snake_case, keys camelCase; a number where text is asked is text."""

    model_config = pydantic.ConfigDict(
        extra="forbid",
        frozen=True,
        alias_generator=to_camel,
        coerce_numbers_to_str=True,
        hide_input_in_errors=True,
        defer_build=True,  # only what is used is built
    )


_PLUGINS = "PYDANTIC_DISABLE_PLUGINS"
_building = threading.RLock()


@contextmanager
def without_plugins() -> Iterator[None]:
    """Plugins of pydantic see our models not. Looking for them reads the metadata of every installed package."""
    with _building:
        kept = os.environ.get(_PLUGINS)
        os.environ[_PLUGINS] = "__all__"
        try:
            yield
        finally:
            if kept is None:
                del os.environ[_PLUGINS]
            else:
                os.environ[_PLUGINS] = kept


def validate(model: type[M], data: Any) -> M:
    """The model of plain data, in which models may stand. Raises pydantic.ValidationError with all that is wrong."""
    with without_plugins():
        found: M = _declared(twin_model(model).model_validate(_twin(data)))
        return found


def problems_of(error: ValueError) -> list[Any]:
    """What pydantic found. Raises the error where it is none of pydantic's."""
    if not isinstance(error, pydantic.ValidationError):
        raise error
    return error.errors(include_url=False, include_input=True)


def twin(model: SpecModel) -> pydantic.BaseModel:
    """The same as its pydantic model."""
    made: pydantic.BaseModel = _twin(model)
    return made


def twin_model(model: type[SpecModel]) -> type[pydantic.BaseModel]:
    """The pydantic model of it. From any thread: there is one of each, as those that hold it know no other."""
    with _building:
        return _twins.get(model) or _make_twin(model)


def _make_twin(model: type[SpecModel]) -> type[pydantic.BaseModel]:
    bases = tuple(twin_model(base) for base in model.__bases__ if base is not SpecModel) or (StrictModel,)
    fields = own_fields(model)
    content: dict[str, Any] = {
        name: _marked(value)
        for name, value in vars(model).items()
        if not name.startswith("__") and name not in fields
    }
    content |= {name: _field(declared) for name, (_, declared) in fields.items() if declared is not None}
    content |= {
        "__module__": model.__module__,
        "__qualname__": model.__qualname__,
        "__doc__": model.__doc__,
        "__annotations__": {name: pydantic_type(annotation) for name, (annotation, _) in fields.items()},
    }
    made: type[pydantic.BaseModel] = new_class(
        model.__name__, bases, exec_body=lambda body: body.update(content)
    )
    _twins[model], _of_twins[made] = made, model
    return made


def pydantic_type(annotation: Any) -> Any:
    """The type as pydantic takes it, with its own validators and models."""
    if isinstance(annotation, type) and issubclass(annotation, SpecModel):
        return twin_model(annotation)
    origin, arguments = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        return Annotated[(pydantic_type(arguments[0]), *map(_said, arguments[1:]))]
    if origin in (Union, UnionType):
        return Union[tuple(map(pydantic_type, arguments))]  # noqa: UP007 - made of parts
    if origin in (list, dict):
        return origin[tuple(map(pydantic_type, arguments))]
    return annotation


def _said(one: Any) -> Any:
    match one:
        case Declared():
            return _field(one)
        case Discriminator():
            return pydantic.Discriminator(one.func)
        case PlainValidator():
            return pydantic.PlainValidator(one.func)
        case BeforeValidator():
            return pydantic.BeforeValidator(one.func)
        case AfterValidator():
            return pydantic.AfterValidator(one.func)
        case WithJsonSchema():
            return pydantic.WithJsonSchema(one.schema)
        case Tag():
            return pydantic.Tag(one.tag)
    return one


def _field(declared: Declared) -> Any:
    default: dict[str, Any] = {}
    if declared.default_factory is not None:
        default = {"default_factory": declared.default_factory}
    elif declared.default is not REQUIRED:
        default = {"default": declared.default}
    return pydantic.Field(**default, **declared.options)


def _marked(value: Any) -> Any:
    if validates_model(value):
        return pydantic.model_validator(mode="after")(value)
    if names := checks_fields(value):
        return pydantic.field_validator(*names)(value)
    return value


def _declared(value: Any) -> Any:
    """What was validated, as declared models."""
    if isinstance(value, pydantic.BaseModel):
        values = {name: _declared(part) for name, part in vars(value).items()}
        return make(_of_twins[type(value)], values, frozenset(value.model_fields_set))
    if isinstance(value, list):
        return [_declared(one) for one in value]
    if isinstance(value, dict):
        return {key: _declared(one) for key, one in value.items()}
    return value


def _twin(value: Any) -> Any:
    if isinstance(value, SpecModel):
        values = {name: _twin(part) for name, part in field_values(value).items()}
        return twin_model(type(value)).model_construct(set(value.model_fields_set), **values)
    if isinstance(value, list):
        return [_twin(one) for one in value]
    if isinstance(value, dict):
        return {key: _twin(one) for key, one in value.items()}
    return value
