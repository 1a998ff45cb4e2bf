"""Fields of plain data by path, with types: the only way in which rules read objects.

`FieldPath("securityContext.capabilities.add[]")` walks maps and lists as Kubernetes does: a key that is
missing or null is unset, at whatever depth. Anything else of a type that Kubernetes does not allow there
raises `Malformed`, naming path and types but never the value, which may be secret: never a pass, never an
AttributeError.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, NoReturn

from pytest_kspec.errors import KspecError, Malformed
from pytest_kspec.kube.resources import Container

Where = str | Container
"""Where data is in a pod. A container's path is put together only when a message needs it."""

_TYPE_NAMES = {
    bool: "a boolean",
    int: "an integer",
    float: "a number",
    str: "text",
    list: "a list",
    dict: "a map",
    type(None): "null",
}


def type_name(kind: type) -> str:
    """A type as people say it: "a boolean", "text", "a map", "null"."""
    return _TYPE_NAMES.get(kind, kind.__name__)


def not_allowed(path: str, found: Any) -> str:
    """What to say of a value that the shape of a pod holds where Kubernetes allows nothing like it.

    found: the value, or an error that says it all
    """
    if isinstance(found, KspecError):
        return str(found)
    return f"{path} is {type_name(type(found))}, which Kubernetes does not allow there"


def malformed(path: str, found: Any, allowed: type) -> NoReturn:
    """Raise Malformed: the value at `path` is not of the type that Kubernetes allows there."""
    raise Malformed(f"{path} is {type_name(type(found))}; Kubernetes allows only {type_name(allowed)} there.")


def path_of(where: Where) -> str:
    """The path as text."""
    return where if isinstance(where, str) else where.path


def _resolve(data: Any, keys: tuple[str, ...], where: Where) -> Any:
    value = data
    for key in keys:
        if type(value) is not dict:
            _no_map(data, keys, where)
        value = value.get(key)
        if value is None:
            return None
    return value


def _no_map(data: Any, keys: tuple[str, ...], where: Where) -> NoReturn:
    path = path_of(where)
    for key in keys:
        if type(data) is not dict:
            break
        data = data[key]
        path = f"{path}.{key}"
    malformed(path, data, dict)


@dataclass(frozen=True, slots=True)
class FieldPath:
    """A path below an object: keys joined by dots; one `[]` after a key means every item of that list."""

    text: str
    keys: tuple[str, ...] = field(init=False, repr=False, compare=False)
    item_keys: tuple[str, ...] | None = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        head, brackets, tail = self.text.partition("[]")
        keys = tuple(head.split("."))
        item_keys = tuple(tail[1:].split(".")) if tail else ()
        if not all((*keys, *item_keys)) or "[" in tail or (tail and not tail.startswith(".")):
            raise ValueError(f"{self.text!r} is not a field path such as 'ports[].hostPort'")
        object.__setattr__(self, "keys", keys)
        object.__setattr__(self, "item_keys", item_keys if brackets else None)

    @property
    def is_list(self) -> bool:
        """True when it has `[]`, so that it stands for any number of values."""
        return self.item_keys is not None

    @property
    def plain(self) -> str:
        """The text up to `[]`: the list itself."""
        return ".".join(self.keys)

    def get(self, data: Any, where: Where, kind: type | None = None) -> Any:
        """The value, None for unset; for a list path the list. where: the path of `data`, for messages."""
        value = _resolve(data, self.keys, where)
        if value is not None:
            expected = list if self.item_keys is not None else kind
            if expected is not None and type(value) is not expected:
                malformed(f"{path_of(where)}.{self.plain}", value, expected)
        return value

    def items(self, data: Any, where: Where, kind: type) -> Iterator[tuple[str, Any]]:
        """(path, value) for each item of a list path; an item that is a map goes by its `name`."""
        item_keys = self.item_keys
        if item_keys is None:
            raise ValueError(f"{self.text!r} is not a list path")
        for index, item in enumerate(self.get(data, where) or ()):
            path = f"{path_of(where)}.{self.plain}[{item_label(item, index)}]"
            value = item if item is None else _resolve(item, item_keys, path)
            if value is not None and type(value) is not kind:
                malformed(".".join((path, *item_keys)), value, kind)
            yield ".".join((path, *item_keys)), value


def item_label(item: Any, index: int) -> str:
    """How a path names an item of a list: its `name`, or its index where it has none."""
    name = item.get("name") if type(item) is dict else None
    return name if type(name) is str and name else str(index)
