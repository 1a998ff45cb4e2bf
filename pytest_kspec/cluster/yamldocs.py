"""YAML files of Kubernetes objects → plain data with line numbers, as `kubectl` reads them.

libyaml only: PyYAML's pure Python loader is seven times slower. Times and `1:30` stay text, as in
Kubernetes' own YAML. Alias bombs and nesting that would overflow the C stack are refused before anything is
built.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any, NamedTuple

import yaml

from pytest_kspec.errors import SourceUnavailable

MAX_YAML_BYTES = 64 << 20
MAX_DEPTH = 1000
MAX_EXPANSION = 1_000_000
"""Values that the aliases of one document may expand to."""

_MANY_OPENINGS = 5000
_DEEP_LINE = re.compile(rb"(?:[-?] +){20}")
_ANCHOR = re.compile(rb"(?:^|[\s\[{,:-])&\S", re.MULTILINE)
_TEMPLATE = re.compile(rb"\{\{-?\s*[.\w]")

_INT = re.compile(r"[-+]?(?:0b[01_]+|0x[0-9a-fA-F_]+|0o?[0-7_]+|0|[1-9][0-9_]*)")
_FLOAT = re.compile(
    r"[-+]?(?:[0-9][0-9_]*\.[0-9_]*(?:[eE][-+]?[0-9]+)?|[0-9][0-9_]*[eE][-+]?[0-9]+|\.[0-9][0-9_]*(?:[eE][-+]?[0-9]+)?)"
)


class YamlDocument(NamedTuple):
    """One document. line: where it starts, from 1."""

    line: int
    data: Any


def yaml_documents(raw: bytes, path: str) -> Iterator[YamlDocument]:
    """All documents of a file. Raises SourceUnavailable naming file and line."""
    loader_class = _loader_class(path)
    if len(raw) > MAX_YAML_BYTES:
        raise SourceUnavailable(
            f"the YAML is larger than {MAX_YAML_BYTES >> 20} MiB.",
            where=path,
            fix="Split it, or give it as JSON.",
        )
    try:
        text = raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = raw.count(b"\n", 0, error.start) + 1
        raise SourceUnavailable("this is not a text file in UTF-8.", where=f"{path}:{line}") from error
    aliases = _ANCHOR.search(raw) is not None
    try:
        if raw.count(b"[") + raw.count(b"{") > _MANY_OPENINGS or _DEEP_LINE.search(raw):
            _refuse_depth(text, path)
        loader = loader_class(text)
        try:
            while loader.check_node():
                node = loader.get_node()
                line = node.start_mark.line + 1
                if aliases:
                    _refuse_bomb(node, f"{path}:{line}")
                yield YamlDocument(line, loader.construct_document(node))
        finally:
            loader.dispose()
    except yaml.reader.ReaderError as error:
        line = text.count("\n", 0, error.position) + 1
        raise SourceUnavailable(
            "a control character is in the file: not a text file?", where=f"{path}:{line}"
        ) from error
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        at = f":{mark.line + 1}:{mark.column + 1}" if mark else ""
        what = ", ".join(part for part in (error.context, error.problem) if part)
        helm = "Render the Helm chart first: helm template CHART > FILE." if _TEMPLATE.search(raw) else ""
        raise SourceUnavailable(f"not valid YAML: {what}.", where=f"{path}{at}", fix=helm) from error
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        what = "nested too deeply" if isinstance(error, RecursionError) else str(error).partition("\n")[0]
        raise SourceUnavailable(f"not valid YAML: {what}.", where=path) from error


_made: dict[str, type] = {}


def _loader_class(path: str) -> Any:
    if "loader" not in _made:
        base = getattr(yaml, "CSafeLoader", None)
        if base is None:
            raise SourceUnavailable(
                "PyYAML has no libyaml here, and without it YAML takes minutes.",
                where=path,
                fix="Install a PyYAML wheel, or give the manifests as JSON.",
            )
        made = type("_Loader", (base,), {})
        made.yaml_implicit_resolvers = {  # type: ignore[attr-defined]  # PyYAML keeps them on the class
            first: [
                (tag, pattern)
                for tag, pattern in resolvers
                if tag.rpartition(":")[2] not in ("timestamp", "int", "float", "value")
            ]
            for first, resolvers in base.yaml_implicit_resolvers.items()
        }
        # types-PyYAML knows these on loaders of its own only.
        digits = list("-+0123456789.")
        made.add_implicit_resolver("tag:yaml.org,2002:int", re.compile(_INT.pattern + r"\Z"), digits)  # type: ignore[attr-defined]
        made.add_implicit_resolver("tag:yaml.org,2002:float", re.compile(_FLOAT.pattern + r"\Z"), digits)  # type: ignore[attr-defined]
        made.add_constructor("tag:yaml.org,2002:int", _construct_int)  # type: ignore[attr-defined]
        made.add_constructor("tag:yaml.org,2002:map", _construct_map)  # type: ignore[attr-defined]
        _made["loader"] = made
    return _made["loader"]


def _construct_int(loader: Any, node: Any) -> int:
    text = loader.construct_scalar(node).replace("_", "")
    sign, digits = (-1, text[1:]) if text[:1] == "-" else (1, text.removeprefix("+"))
    if len(digits) > 1 and digits[0] == "0" and digits[1].isdigit():
        digits = "0o" + digits[1:]  # 0644 is octal, as kubectl reads it
    return sign * int(digits, 0)


def _construct_map(loader: Any, node: Any) -> Iterator[dict[Any, Any]]:
    """As PyYAML does, but a duplicate key is an error instead of the last one's victory."""
    data: dict[Any, Any] = {}
    yield data
    merged = any(key.tag == "tag:yaml.org,2002:merge" for key, _ in node.value)
    found = loader.construct_mapping(node)
    if len(found) != len(node.value) and not merged:
        seen = set()
        for key, _ in node.value:
            if key.value in seen:
                raise yaml.constructor.ConstructorError(
                    None, None, f"the key {key.value!r} is there twice", key.start_mark
                )
            seen.add(key.value)
    if any(type(key) is bool for key in found):  # `on:` is the key "true", as kubectl reads it
        found = {str(key).lower() if type(key) is bool else key: value for key, value in found.items()}
    data.update(found)


def _refuse_depth(text: str, path: str) -> None:
    depth = 0
    for event in yaml.parse(text, Loader=_loader_class(path)):
        if isinstance(event, yaml.CollectionStartEvent):
            depth += 1
            if depth > MAX_DEPTH:
                at = f":{event.start_mark.line + 1}" if event.start_mark else ""
                raise SourceUnavailable(f"nested deeper than {MAX_DEPTH} levels.", where=f"{path}{at}")
        elif isinstance(event, yaml.CollectionEndEvent):
            depth -= 1


def _refuse_bomb(root: Any, where: str) -> None:
    """Count what the document expands to, each node once."""
    sizes: dict[int, int] = {}
    open_nodes: set[int] = set()

    def size(node: Any) -> int:
        known = sizes.get(id(node))
        if known is not None:
            return known
        if id(node) in open_nodes:
            raise SourceUnavailable("an alias refers to a value that it is itself part of.", where=where)
        total = 1
        if not isinstance(node, yaml.ScalarNode):
            open_nodes.add(id(node))
            for entry in node.value:
                total += size(entry[0]) + size(entry[1]) if isinstance(entry, tuple) else size(entry)
            open_nodes.discard(id(node))
        if total > MAX_EXPANSION:
            raise SourceUnavailable(f"its aliases expand to more than {MAX_EXPANSION} values.", where=where)
        sizes[id(node)] = total
        return total

    size(root)
