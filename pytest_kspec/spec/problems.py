"""Every problem of a document as one line: file:line:column, key path, what is wrong, what is allowed, did
you mean.

pydantic finds the problems; this module says them in the user's words and finds their place in the file.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Iterator, Mapping
from functools import cache
from typing import TYPE_CHECKING, Any, TypeVar, cast, get_args

from pytest_kspec.errors import SpecError
from pytest_kspec.regexes import regex
from pytest_kspec.spec.declared import SpecModel
from pytest_kspec.yamlfiles.reading import Document, KeyPath, Position, key_text

if TYPE_CHECKING:
    from pydantic import BaseModel, ValidationError

M = TypeVar("M", bound="SpecModel | BaseModel")

SHOWN = 60
PLACES = 3
"""A key that stands in more places than these belongs to many things, such as `name`: nothing is suggested."""
SHORTEST = 5
"""Letters of a key that may be the end of another one."""
_KEY_PREFIX = regex(r"([A-Za-z]+(?:\[\d+\])?(?:\.[A-Za-z]+)*): ")
_YAML_1_1 = {"yes": "true", "on": "true", "y": "true", "no": "false", "off": "false", "n": "false"}
_NAMES = {bool: "true or false", str: "text", int: "a number", list: "a list", dict: "a mapping"}
# Where an API server may write `key: null` by itself.
_NULL_ALLOWED = ("metadata", "status")


class Problems:
    """Collects the problems of one document (or of its part at `base`); sorted by place, each once."""

    def __init__(self, document: Document, base: KeyPath = ()) -> None:
        self._document = document
        self._base = base
        self._found: set[tuple[Position, str]] = set()
        self._without_value: set[KeyPath] = set()
        if base:
            return
        for at, path, text in document.problems:
            self._found.add((at, f"{key_text(path)}: {text}" if path else text))
        self._without_value = {path for path in document.nulls if path[0] not in _NULL_ALLOWED}
        for path in self._without_value:
            self.add(path, "has no value: add a value or remove the key.", at_key=True)

    def add(self, path: KeyPath, text: str, *, at_key: bool = False) -> None:
        """A problem of the value at this path (or of the key itself)."""
        document = self._document
        path = self._base + path
        at = document.key_position(path) if at_key else document.value_position(path)
        self._found.add((at, f"{key_text(path)}: {text}" if path else text))

    def validate(self, model: type[M]) -> M | None:
        """The model of the data; None (and problems) if it is not valid."""
        data = self._document.data
        for part in self._base:
            data = data[part]
        try:
            return _validated(model, data)
        except ValueError as error:
            from pytest_kspec.spec.twins import problems_of, twin_model

            described = twin_model(model) if issubclass(model, SpecModel) else model
            for problem in problems_of(error):
                path = tuple(part for part in problem["loc"] if not str(part).startswith("("))
                if path not in self._without_value:  # said already
                    _translate(described, problem, path, self)
        return None

    def require(self, found: M | None) -> M:
        """The valid model. Raises SpecError if there is any problem."""
        place = self._document.path
        found_here = sorted(self._found, key=lambda problem: (problem[0].path or place, problem))
        lines = tuple(f"{self._document.where(at)}: {text}" for at, text in found_here)
        if lines or found is None:
            raise SpecError("this is not valid.", where=self._document.path, problems=lines)
        return found


def _validated(model: type[M], data: Any) -> M:
    if issubclass(model, SpecModel):
        return model.model_validate(data)
    from pytest_kspec.spec.twins import without_plugins

    with without_plugins():
        found: M = cast("Any", model).model_validate(data)
        return found


def field_problems(error: ValidationError, base: str) -> list[str]:
    """Each problem of plain data, such as a part of a custom resource: key path and what is wrong."""
    return [
        f"{key_text((base, *problem['loc']))}: {problem['msg'].removeprefix('Value error, ').removesuffix('.')}"
        for problem in error.errors(include_input=False, include_url=False, include_context=False)
    ]


def _translate(model: type[BaseModel], error: Mapping[str, Any], path: KeyPath, problems: Problems) -> None:
    kind: str = error["type"]
    context: Mapping[str, Any] = error.get("ctx") or {}
    value = error["input"]
    if kind == "missing":
        problems.add(path, "required key is missing.", at_key=True)
    elif kind == "extra_forbidden":
        parent = model_at(model, path[:-1])
        key = str(path[-1])
        here = keys_of(parent) if parent else []
        hint = _elsewhere(model, key, here, value) or _hint(key, here)
        problems.add(path, f"unknown key.{hint}", at_key=True)
    elif kind == "literal_error":
        allowed = _quoted(context["expected"])
        problems.add(
            path, f"{shown(value)} is not allowed; allowed: {', '.join(allowed)}.{suggest(value, allowed)}"
        )
    elif kind in ("value_error", "assertion_error"):
        text = str(context["error"])
        inner = _KEY_PREFIX.match(text)
        if inner:
            path = (*path, *_parts(inner[1]))
            text = text[inner.end() :]
        problems.add(path, text, at_key=not isinstance(value, str))
    else:
        problems.add(path, _type_text(kind, context, value))


def _type_text(kind: str, context: Mapping[str, Any], value: Any) -> str:
    found = shown(value)
    if kind == "bool_type":
        hint = f" Did you mean {_YAML_1_1[value.lower()]}?" if str(value).lower() in _YAML_1_1 else ""
        return f"must be true or false, found {found}.{hint}"
    if kind.startswith("string_too_short"):
        return "must not be empty."
    if kind == "too_short":
        return "must not be an empty list."
    if kind.startswith("string"):
        quote = " Put it in quotes." if isinstance(value, bool | float) else ""
        return f"must be a string, found {found}.{quote}"
    if kind.startswith("int"):
        return f"must be an integer, found {found}."
    if kind == "greater_than_equal":
        return f"must be at least {context['ge']}, found {found}."
    if kind == "less_than_equal":
        return f"must be at most {context['le']}, found {found}."
    if kind in ("list_type", "iterable_type"):
        return f"must be a list, found {found}."
    if kind in ("model_type", "model_attributes_type", "dict_type"):
        return f"must be an object, found {found}."
    return f"{kind.replace('_', ' ')}, found {found}."


def shown(value: Any) -> str:
    """A value in an error message: scalars quoted and cut, others by their type."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, int | float):
        return str(value)
    if isinstance(value, str):
        return repr(value if len(value) <= SHOWN else value[: SHOWN - 1] + "…")
    return _NAMES.get(type(value), "nothing" if value is None else "something else")


def suggest(value: Any, allowed: Iterable[str]) -> str:
    """` Did you mean 'x'?` or ""."""
    names = {name.lower(): name for name in allowed}
    near = difflib.get_close_matches(str(value)[:100].lower(), names, 1, 0.6)
    return f" Did you mean {names[near[0]]!r}?" if near else ""


def _hint(key: str, allowed: Iterable[str]) -> str:
    names = list(allowed)
    return suggest(key, names) or (f" Allowed here: {', '.join(names)}." if names else "")


def _elsewhere(model: type[BaseModel], key: str, allowed: Iterable[str], value: Any) -> str:
    """Where a key that stands at the wrong level belongs: ` It belongs at spec.network.defaultDeny.`, or "".

    allowed: the keys of its level, of which one may be meant: `policyExemptions` by `exemptions`. value: if it has
    keys, what they belong to is meant.
    """
    ends = key[:1].upper() + key[1:] if len(key) >= SHORTEST else ""
    places, longer = [], []
    for path in _paths_of(model):
        name = path.rsplit(".", 1)[-1].removesuffix("[]")
        if name == key:
            places.append(path)
        elif ends and name.endswith(ends) and path.count(".") <= 1:
            longer.append(path)
    if not 0 < len(places) <= PLACES:
        return ""
    meant = [*longer, *places]
    chosen = [path for path in meant if _takes(model, path, value)] or meant
    here = {name: repr(name) for name in allowed}
    shown = [here.get(path.rsplit(".", 1)[-1].removesuffix("[]"), path.removesuffix("[]")) for path in chosen]
    if len(shown) == 1 and shown[0] not in here.values():
        return f" It belongs at {shown[0]}."
    return f" Did you mean {' or '.join(shown)}?"


def _takes(model: type[BaseModel], path: str, value: Any) -> bool:
    """Whether a value has only keys of what stands at this path; True of what has none."""
    if path.endswith("[]") is not isinstance(value, list):
        return False
    entries = [entry for entry in (value if isinstance(value, list) else [value]) if isinstance(entry, dict)]
    found = model_at(model, tuple(path.replace("[]", "").split(".")))
    known = set(keys_of(found)) if found is not None else set()
    return all(entry.keys() <= known for entry in entries)


@cache
def _paths_of(model: type[BaseModel]) -> tuple[str, ...]:
    """Every key below a model, as `spec.network.requiredPolicies[].name`, a model within itself left out."""

    def below(model: type[BaseModel], prefix: str, above: tuple[type[BaseModel], ...]) -> Iterator[str]:
        for name, field in model.model_fields.items():
            many = "[]" if "list[" in str(field.annotation) or "tuple[" in str(field.annotation) else ""
            path = f"{prefix}{field.alias or name}{many}"
            yield path
            inner = model_of(field.annotation)
            if inner is not None and inner not in above:
                yield from below(inner, f"{path}.", (*above, inner))

    return tuple(sorted(below(model, "", (model,)), key=lambda path: (path.count("."), path)))


def keys_of(model: type[BaseModel]) -> list[str]:
    """The keys of a model as they are written."""
    return [field.alias or name for name, field in model.model_fields.items()]


def model_of(annotation: Any) -> type[BaseModel] | None:
    """The model inside `Model | None`, `list[Model]` and the like."""
    if isinstance(annotation, type) and hasattr(annotation, "model_fields"):
        return annotation
    for argument in get_args(annotation):
        found = model_of(argument)
        if found is not None:
            return found
    return None


def model_at(model: type[BaseModel], path: KeyPath) -> type[BaseModel] | None:
    """The model that a key path leads to, None if it leads to a scalar."""
    current: type[BaseModel] | None = model
    for part in path:
        if isinstance(part, int) or current is None:
            continue
        fields = {field.alias or name: field for name, field in current.model_fields.items()}
        current = model_of(fields[part].annotation) if part in fields else None
    return current


def _quoted(expected: str) -> list[str]:
    return re.findall(r"'([^']*)'", expected)


def _parts(text: str) -> KeyPath:
    """Key path of a text: `a[0].b` is ("a", 0, "b")."""
    return tuple(int(part) if part.isdigit() else part for part in re.findall(r"[^.\[\]]+", text))
