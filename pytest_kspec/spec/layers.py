"""Data in which every value knows the file, line and column that it was written at.

A specification may be put together of several files. Merging plain data would lose where a value came from, and with
it every error message and every finding that points at the line that asks for something.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from msgspec import Struct
from msgspec.structs import replace

from pytest_kspec.yamlfiles.reading import Document, KeyPath, Position


class Node(Struct, frozen=True):
    """One value. value: dict[str, Node], list[Node] or a scalar.

    at:     where the value starts; the path in it is never empty
    key_at: where its key is; of a list entry, where its value starts
    """

    value: Any
    at: Position
    key_at: Position

    def plain(self) -> Any:
        """The value without places."""
        if isinstance(self.value, dict):
            return {key: node.plain() for key, node in self.value.items()}
        return [node.plain() for node in self.value] if isinstance(self.value, list) else self.value

    def get(self, key: str) -> Node | None:
        """The value of a key, None if there is none."""
        return self.value.get(key) if isinstance(self.value, dict) else None

    def without(self, *keys: str) -> Node:
        """The same mapping without these keys."""
        if not isinstance(self.value, dict):
            return self
        return replace(self, value={key: node for key, node in self.value.items() if key not in keys})

    def leaves(self, path: KeyPath = ()) -> Iterator[tuple[KeyPath, Node]]:
        """Scalars, and empty mappings and lists, with their paths."""
        entries: Any = ()
        if isinstance(self.value, dict):
            entries = self.value.items()
        elif isinstance(self.value, list):
            entries = enumerate(self.value)
        for part, node in entries:
            yield from node.leaves((*path, part))
        if not entries:
            yield path, self


def place(position: Position) -> str:
    """`file:line:column`."""
    return f"{position.path}:{position.line}:{position.column}"


def read(document: Document, base: KeyPath = ()) -> Node:
    """The part of a document at this path."""
    data = document.data
    for part in base:
        data = data[part]

    def node(value: Any, path: KeyPath) -> Node:
        at = located(document, document.value_position(path))
        key_at = located(document, document.key_position(path))
        if isinstance(value, dict):
            value = {key: node(inner, (*path, key)) for key, inner in value.items()}
        elif isinstance(value, list):
            value = [node(inner, (*path, index)) for index, inner in enumerate(value)]
        return Node(value, at, key_at)

    return node(data, base)


def replaced(document: Document, base: KeyPath, part: Node) -> Document:
    """The same document with another part at this path. What is wrong in the rest of it stays wrong."""
    made = Document(
        document.path, sha256=document.sha256, problems=list(document.problems), nulls=list(document.nulls)
    )
    inside = len(base)
    for positions, kept in ((document.keys, made.keys), (document.values, made.values)):
        kept.update({path: at for path, at in positions.items() if path[:inside] != base or path == base})

    def add(node: Node, path: KeyPath) -> Any:
        if path != base:
            made.values[path] = node.at
            if path and isinstance(path[-1], str):
                made.keys[path] = node.key_at
        if isinstance(node.value, dict):
            return {key: add(inner, (*path, key)) for key, inner in node.value.items()}
        if isinstance(node.value, list):
            return [add(inner, (*path, index)) for index, inner in enumerate(node.value)]
        return node.value

    made.data = _set(document.data, base, add(part, base))
    return made


def _set(data: Any, path: KeyPath, value: Any) -> Any:
    if not path:
        return value
    return {**data, path[0]: _set(data[path[0]], path[1:], value)}


def located(document: Document, position: Position) -> Position:
    """The position, knowing its file."""
    return position if position.path else position._replace(path=document.path)
