"""Values that a specification gives for a field of a Pod: typed as the field is, or the reason why they cannot be.

The field decides: 1Gi is an amount where the field is a quantity, 5m five minutes where it is a number of seconds.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from pytest_kspec.kube.podfields import PodField
from pytest_kspec.kube.quantity import is_quantity, parse_quantity
from pytest_kspec.regexes import regex

_INTEGER = regex(r"[+-]?\d{1,19}", re.ASCII)
_DURATION = regex(
    r"(?=\d)((?P<h>\d{1,9})h)?((?P<m>\d{1,9})m)?((?P<s>\d{1,9})s)?", re.ASCII
)  # as Go writes it, whole seconds
_UNITS = {"h": 3600, "m": 60, "s": 1}
_BOUNDED = ("int", "quantity")


def is_field_value(value: Any) -> bool:
    """Whether a field can be compared with it: text, whole number, true, false, or a list of those."""
    return isinstance(value, str | int) or (
        isinstance(value, list) and all(isinstance(v, str | int) for v in value)
    )


def typed(kind: str, value: Any) -> Any:
    """A value as comparable data of this type: that of a specification, or of an object whose type was checked."""
    if kind == "bool":
        return value if isinstance(value, bool) else str(value).strip().lower() == "true"
    if kind == "int":
        return (
            _seconds(value)
            if isinstance(value, str) and not _INTEGER.fullmatch(value.strip())
            else int(value)
        )
    if kind == "quantity":
        return parse_quantity(str(value).strip())
    return text_of(value)


def text_of(value: Any) -> str:
    """A value as text, as YAML writes it."""
    return str(value).lower() if isinstance(value, bool) else str(value).strip()


def values_of(value: Any, field: PodField) -> list[Any]:
    """The single values of `value`: one, a list of them, or for a list of text "a, b"."""
    if isinstance(value, list):
        return value
    if field.is_list and isinstance(value, str):
        return [part.strip() for part in value.split(",")]
    return [value]


def problems(
    field: PodField, entry: Mapping[str, Any], *, required: bool
) -> Iterator[tuple[tuple[Any, ...], str]]:
    """(path in the entry, what is wrong) of an entry of workloads.containers whose `key` is this field.

    entry: by the keys of a specification; `readable` leaves out what the model finds wrong.
    """
    yield from _of_condition(field, entry)
    if not required:
        for name in ("allowed", "orUnset"):
            if entry.get(name):
                yield (name,), f"{name} can only be used in required"
    for index, alternative in enumerate(entry.get("anyOf") or ()):
        for path, text in _of_condition(field, alternative):
            yield ("anyOf", index, *path), text
        if not required and alternative.get("allowed"):
            yield ("anyOf", index, "allowed"), "allowed can only be used in required"


def readable(entry: Mapping[str, Any]) -> dict[str, Any]:
    """An entry as it is written, without what is of no type that a specification has there."""
    found: dict[str, Any] = {}
    for name, value in entry.items():
        if name == "anyOf":
            alternatives = value if isinstance(value, list) else []
            found[name] = [readable(one) if isinstance(one, Mapping) else {} for one in alternatives]
        elif name in ("min", "max"):
            if isinstance(value, str | int) and not isinstance(value, bool) and str(value).strip():
                found[name] = value
        elif name not in ("value", "allowed") or is_field_value(value):
            found[name] = value
    return found


def _of_condition(field: PodField, entry: Mapping[str, Any]) -> Iterator[tuple[tuple[Any, ...], str]]:
    value, allowed, pattern = entry.get("value"), entry.get("allowed"), entry.get("pattern")
    if value is not None and (text := _value_problem(field, value)):
        yield ("value",), text
    if pattern is not None and field.scalar != "string":
        yield ("pattern",), f"{field.key} {_is_a(field)}; pattern is for text"
    if allowed:
        if not field.is_list:
            yield ("allowed",), f"{field.key} is not a list; for one of several values write value: [a, b]"
        elif text := _value_problem(field, allowed):
            yield ("allowed",), text
    bounds = {}
    for name in ("min", "max"):
        bound = entry.get(name)
        if bound is None:
            continue
        if field.scalar not in _BOUNDED:
            yield (name,), f"{field.key} {_is_a(field)}; {name} is for numbers and quantities"
        elif text := _value_problem(field, bound):
            yield (name,), text
        else:
            bounds[name] = typed(field.scalar, bound)
    if len(bounds) == 2 and bounds["min"] > bounds["max"]:
        yield ("min",), f"min {text_of(entry['min'])} is above max {text_of(entry['max'])}"


def _value_problem(field: PodField, value: Any) -> str:
    """Why `value` cannot be compared with this field; "" if it can."""
    kind = field.scalar
    if not kind:
        return f"{field.key} does not have a single value; name a field of it, or use `exists`"
    values = value if isinstance(value, list) else [value]
    if not values:
        return "an empty list has no effect; add a value or use `exists`"
    for item in values:
        if isinstance(item, dict | list) or item is None:
            return f"{field.key} takes a {kind}, not {item!r}"
        text = str(item).strip()
        if kind == "bool" and text.lower() not in ("true", "false"):
            return f"{field.key} is a boolean: true or false, not {text!r}"
        if kind == "int" and not _is_integer(field, item, text):
            also = ", or a duration such as 90s or 5m" if field.is_seconds else ""
            return f"{field.key} is an integer{also}, not {text!r}"
        if kind == "quantity" and (isinstance(item, bool) or not is_quantity(text)):
            return f"{field.key} is a quantity such as 500m or 1Gi, not {text!r}"
    return ""


def _is_integer(field: PodField, item: Any, text: str) -> bool:
    if isinstance(item, bool | float):
        return False
    return bool(_INTEGER.fullmatch(text) or (field.is_seconds and _DURATION.fullmatch(text)))


def _seconds(text: str) -> int:
    match = _DURATION.fullmatch(text.strip())
    if match is None:
        raise ValueError(f"{text!r} is not a duration: write 90s, 5m or 1h30m")
    return sum(int(match[unit] or 0) * seconds for unit, seconds in _UNITS.items())


def _is_a(field: PodField) -> str:
    if not field.scalar:
        return "is an object"
    names = {"bool": "boolean", "int": "number", "string": "text", "quantity": "quantity"}
    name = names.get(field.scalar, "number or text")
    return f"is a list of {name} values" if field.is_list else f"is a {name}" if name != "text" else "is text"
