"""YAML (and so JSON) files with the position of every key and value, read safely.

Specifications need what `yaml.safe_load` throws away: line and column, the text of a scalar (`1.30` is a
version, not 1.3; `no` is a word, not False), duplicate keys. So the tree is built here from libyaml's events.
Nothing is constructed from tags, size, depth and the expansion of aliases are bounded, and problems are
collected rather than raised one by one.
"""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

import yaml
from msgspec import Struct, field

from pytest_kspec.errors import SpecError
from pytest_kspec.files import open_named

MAX_BYTES = 1 << 20
MAX_DEPTH = 64
MAX_VALUES = 100_000
LONGEST_SHOWN = 60

_LOADER: type = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_NULLS = frozenset(("", "~", "null", "Null", "NULL"))
_BOOLS = {"true": True, "True": True, "TRUE": True, "false": False, "False": False, "FALSE": False}
_INT = re.compile(r"0|-?[1-9][0-9]{0,17}")
_TAG = "tag:yaml.org,2002:"
_SCALAR_TAGS = frozenset(_TAG + name for name in ("str", "int", "float", "bool", "null", "timestamp"))

KeyPath = tuple[str | int, ...]


class Position(NamedTuple):
    """Line and column, both from 1; `path` where a document is put together of several files."""

    line: int
    column: int
    path: str = ""


class _Node(Struct):
    """One value. `content`: text of a scalar, list of nodes, or list of (key text, key position, node)."""

    at: Position
    content: Any
    plain: bool = False


_Entry = tuple[str, Position, bool, _Node]
"""Key, where it is, whether it is `<<`, value."""
_E = TypeVar("_E")


class Document(Struct):
    """A file's one document.

    data:     plain dict, list, str, int, bool; a number that is not a plain integer stays text. Keys without
              a value are left out and listed in `nulls`.
    problems: (position, key path, text) of what was wrong but did not stop the reading
    sha256:   digest of the file's bytes, "" for text that came from elsewhere
    """

    path: str
    data: Any = None
    sha256: str = ""
    problems: list[tuple[Position, KeyPath, str]] = field(default_factory=list)
    nulls: list[KeyPath] = field(default_factory=list)
    keys: dict[KeyPath, Position] = field(default_factory=dict)
    values: dict[KeyPath, Position] = field(default_factory=dict)

    def key_position(self, path: KeyPath) -> Position:
        """Where the key is written (a list entry: where its value starts) or its nearest known ancestor."""
        while path:
            found = self.keys.get(path) or self.values.get(path)
            if found:
                return found
            path = path[:-1]
        return self.values.get((), Position(1, 1))

    def value_position(self, path: KeyPath) -> Position:
        """Where the value starts; the nearest known ancestor's key otherwise."""
        return self.values.get(path) or self.key_position(path)

    def where(self, position: Position) -> str:
        """`file:line:column`."""
        return f"{position.path or self.path}:{position.line}:{position.column}"


def key_text(path: KeyPath) -> str:
    """("spec", "checks", 0) → "spec.checks[0]"."""
    text = ""
    for part in path:
        if isinstance(part, int):
            text += f"[{part}]"
        else:
            name = part if len(part) <= LONGEST_SHOWN else part[: LONGEST_SHOWN - 1] + "…"
            name = name if name.isprintable() else repr(name)
            text += f".{name}" if text else name
    return text


def read_document(path: str | Path, *, named: bool = False) -> Document:
    """Read a file of one YAML document. Raises SpecError where nothing sensible can be read at all.

    named: by another file, and not by the user, who may give a pipe
    """
    name = str(path)
    file = Path(path)
    try:
        if os.path.isdir(file):
            raise SpecError("this is a folder, not a file.", where=name)
        with open_named(file) if named else file.open("rb") as stream:
            raw = stream.read(MAX_BYTES + 1)
    except FileNotFoundError as error:
        raise SpecError("the file does not exist.", where=name) from error
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else str(error)
        raise SpecError(f"could not be read: {reason}.", where=name) from error
    if len(raw) > MAX_BYTES:
        raise SpecError(f"the file is larger than {MAX_BYTES // 1024} KiB.", where=name)
    try:
        text = raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = raw.count(b"\n", 0, error.start) + 1
        raise SpecError("this is not a UTF-8 text file.", where=f"{name}:{line}") from error
    document = parse_document(text, name)
    document.sha256 = hashlib.sha256(raw).hexdigest()
    return document


def refusal(error: yaml.reader.ReaderError | yaml.MarkedYAMLError, text: str) -> tuple[str, str]:
    """What is wrong with a text that PyYAML refuses, as a sentence, and where: `:LINE:COLUMN`, `:LINE` or ""."""
    if isinstance(error, yaml.reader.ReaderError):
        line = text.count("\n", 0, error.position) + 1
        return "the file contains a control character: not a text file?", f":{line}"
    mark = error.problem_mark or error.context_mark
    at = f":{mark.line + 1}:{mark.column + 1}" if mark else ""
    return f"not valid YAML: {yaml_problem(error, text)}.", at


def parse_document(text: str, path: str) -> Document:
    """The same for text that is at hand; `path` is what errors call it."""
    document = Document(path)
    try:
        root = _Builder(text, document).build()
    except (yaml.reader.ReaderError, yaml.MarkedYAMLError) as error:
        what, at = refusal(error, text)
        raise SpecError(what, where=f"{path}{at}") from error
    except (UnicodeError, yaml.YAMLError) as error:
        raise SpecError(
            "not valid YAML: it contains characters that cannot be decoded.", where=path
        ) from error
    if root is None:
        raise SpecError("the file is empty.", where=path)
    try:
        document.data = _Expander(document).expand(root)
    except RecursionError as error:  # a chain of merges
        raise SpecError("not valid YAML: nested too deeply.", where=path) from error
    return document


def yaml_problem(error: yaml.MarkedYAMLError, text: str) -> str:
    """What is wrong with the YAML, in words. libyaml does not say that a character is a tab."""
    mark = error.problem_mark
    if mark is not None and error.problem and ("token" in error.problem or "tab" in error.problem):
        lines = text.splitlines()
        line = lines[mark.line] if mark.line < len(lines) else ""
        if "\t" in line[: mark.column + 1][-1:] or line[: mark.column].endswith("\t"):
            return "a tab is used for indentation; YAML allows only spaces"
    return ", ".join(part for part in (error.context, error.problem) if part)


class _Builder:
    """Events → nodes. An alias is the node that it refers to, so building costs what the file is long."""

    def __init__(self, text: str, document: Document) -> None:
        self._events: Iterator[Any] = yaml.parse(text, Loader=_LOADER)
        self._document = document
        self._anchors: dict[str, _Node] = {}
        self._open: set[str] = set()
        self._count = 0

    def build(self) -> _Node | None:
        root: _Node | None = None
        for event in self._events:
            if isinstance(event, yaml.DocumentStartEvent):
                if root is not None:
                    raise self._stop(
                        event, "a second document starts here: a file must contain one document."
                    )
                root = self._node(next(self._events), 0)
                if root.plain and root.content in _NULLS:
                    root = None
        return root

    def _stop(self, event: Any, what: str) -> SpecError:
        return SpecError(what, where=self._document.where(_position(event)))

    def _node(self, event: Any, depth: int) -> _Node:
        self._count += 1
        if self._count > MAX_VALUES:
            raise self._stop(event, f"the file contains more than {MAX_VALUES} values.")
        if depth > MAX_DEPTH:
            raise self._stop(event, f"nested deeper than {MAX_DEPTH} levels.")
        if isinstance(event, yaml.AliasEvent):
            if event.anchor in self._open:
                raise self._stop(event, f"alias *{event.anchor} refers to a value that contains it.")
            if event.anchor not in self._anchors:
                raise self._stop(event, f"alias *{event.anchor} refers to an undefined anchor.")
            return self._anchors[event.anchor]
        anchor = event.anchor
        if anchor:
            self._open.add(anchor)
        node = _Node(_position(event), None)
        if isinstance(event, yaml.ScalarEvent):
            node.content = event.value
            node.plain = (
                event.implicit[0] if event.tag is None else event.tag != _TAG + "str" and event.tag != "!"
            )
            self._tag(event, _SCALAR_TAGS)
        elif isinstance(event, yaml.SequenceStartEvent):
            self._tag(event, {_TAG + "seq"})
            node.content = []
            while not isinstance(event := next(self._events), yaml.SequenceEndEvent):
                node.content.append(self._node(event, depth + 1))
        else:
            self._tag(event, {_TAG + "map"})
            node.content = ()
            node.content = tuple(self._entries(depth + 1))
        if anchor:
            self._open.discard(anchor)
            self._anchors[anchor] = node
        return node

    def _tag(self, event: Any, allowed: Any) -> None:
        if event.tag is not None and event.tag != "!" and event.tag not in allowed:
            shown = key_text((event.tag.replace(_TAG, "!!"),))
            self._document.problems.append((_position(event), (), f"tag {shown} is not allowed."))

    def _entries(self, depth: int) -> Iterator[_Entry]:
        while not isinstance(event := next(self._events), yaml.MappingEndEvent):
            key = self._node(event, depth)
            value = self._node(next(self._events), depth)
            if isinstance(key.content, str):
                yield key.content, _position(event), key.plain and key.content == "<<", value
            else:
                self._document.problems.append((_position(event), (), "a key must be a string."))


def _position(event: Any) -> Position:
    return Position(event.start_mark.line + 1, event.start_mark.column + 1)


class _Expander:
    """Nodes → plain data and positions by key path; follows aliases and `<<` merges within a bound."""

    def __init__(self, document: Document) -> None:
        self._document = document
        self._count = 0
        self._compared: set[int] = set()  # ids of mappings, which the tree keeps

    def expand(self, node: _Node, path: KeyPath = ()) -> Any:
        document = self._document
        self._spend(1 if len(path) <= MAX_DEPTH else MAX_VALUES)
        document.values[path] = node.at
        content = node.content
        if isinstance(content, str):
            return _scalar(content) if node.plain else content
        if isinstance(content, list):
            found = []
            for index, entry in enumerate(content):
                value = self.expand(entry, (*path, index))
                if value is None:
                    document.nulls.append((*path, index))
                found.append(value)
            return found
        return self._mapping(node, path)

    def _spend(self, values: int) -> None:
        self._count += values
        if self._count > MAX_VALUES:
            raise SpecError(
                f"its aliases expand to more than {MAX_VALUES} values.", where=self._document.path
            )

    def _mapping(self, node: _Node, path: KeyPath) -> dict[str, Any]:
        document = self._document
        found: dict[str, Any] = {}
        chosen: dict[str, tuple[Position, _Node]] = {}
        self._refuse_doubled(node, path)
        for key, at, _, value_node in in_merge_order(node.content, lambda entry: self._merged(entry, path)):
            self._spend(1)
            chosen[key] = (at, value_node)
        for key, (at, value_node) in chosen.items():
            here = (*path, key)
            document.keys[here] = at
            value = self.expand(value_node, here)
            if value is None:
                document.nulls.append(here)
            else:
                found[key] = value
        return found

    def _refuse_doubled(self, node: _Node, path: KeyPath) -> None:
        if id(node) in self._compared:
            return
        self._compared.add(id(node))
        seen: dict[str, Position] = {}
        for key, at, merge, _ in node.content:
            if merge:
                continue
            if key in seen:
                text = f"this key is already defined at line {seen[key].line}."
                self._document.problems.append((at, (*path, key), text))
            else:
                seen[key] = at

    def _merged(self, entry: _Entry, path: KeyPath) -> list[Sequence[_Entry]] | None:
        """What `<<: *base` or `<<: [*one, *two]` merges; None of any other entry."""
        _, at, merge, source = entry
        if not merge:
            return None
        found: list[Sequence[_Entry]] = []
        for part in source.content if isinstance(source.content, list) else [source]:
            if isinstance(part.content, tuple):
                self._spend(1 + len(part.content))
                self._refuse_doubled(part, path)
                found.append(part.content)
            else:
                self._document.problems.append(
                    (at, path, "'<<' must have a mapping or a list of mappings as its value.")
                )
        return found


def in_merge_order(
    entries: Sequence[_E], merged: Callable[[_E], Sequence[Sequence[_E]] | None]
) -> Iterator[_E]:
    """The entries of a mapping with those of its merges in their places: of equal keys the last one holds.

    So does kubectl read `<<` (go-yaml v2): what is merged replaces a key that is written before it; of a list of
    merges the first holds, so it comes last. merged: what an entry merges, None where it is an ordinary one.
    """
    for entry in entries:
        sources = merged(entry)
        if sources is None:
            yield entry
            continue
        for source in reversed(sources):
            yield from in_merge_order(source, merged)


def _scalar(text: str) -> Any:
    """YAML 1.2 core schema without floats: what is not exactly one integer keeps its text."""
    if text in _NULLS:
        return None
    if text in _BOOLS:
        return _BOOLS[text]
    return int(text) if _INT.fullmatch(text) else text
