"""YAML files of Kubernetes objects → plain data with line numbers, as `kubectl` reads them.

libyaml only: PyYAML's pure Python loader is seven times slower. Plain scalars are resolved as sigs.k8s.io/yaml does
(go-yaml v2, then JSON), so that what is evaluated is what arrives at the API server: `N` is false, `1e3` is the integer
1000, `1:30` and dates are text. Alias bombs and nesting that would overflow the C stack are refused before anything is
built.
"""

from __future__ import annotations

import base64
import math
import re
from collections.abc import Hashable, Iterable, Iterator, Sequence
from typing import Any, NamedTuple

import yaml

from pytest_kspec.errors import SourceUnavailable
from pytest_kspec.regexes import regex
from pytest_kspec.yamlfiles.reading import in_merge_order, refusal

MAX_YAML_BYTES = 64 << 20
MAX_DEPTH = 1000
MAX_EXPANSION = 1_000_000
"""Values that the aliases of one document may expand to."""

_MANY_OPENINGS = 5000
_DEEP_LINE = regex(rb"(?:[-?] +){20}")
_ANCHOR = regex(rb"(?:^|[\s\[{,:-])&([^\s,\[\]{}]+)", re.MULTILINE)
_TEMPLATE = regex(rb"\{\{-?\s*[.\w]")

_NUMBER = regex(r"[-+.0-9][-+.0-9A-Fa-fxXoObB_Nn]*\Z|[-+]?\.(?:inf|Inf|INF)\Z")
"""All that may be a number; `_number` decides."""
_GO_INT = regex(r"([-+]?)(0[xX][0-9a-fA-F]+|0[bB][01]+|0[oO]?[0-7]+|0|[1-9][0-9]*)")
_GO_FLOAT = regex(r"[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?")
_DOTTED = regex(r"\.[0-9](?:_?[0-9])*(?:[eE][-+]?[0-9](?:_?[0-9])*)?")
_NO_JSON = regex(r"[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN)")
_MERGE = "tag:yaml.org,2002:merge"


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
            fix="Split it, or convert it to JSON.",
        )
    try:
        text = raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = raw.count(b"\n", 0, error.start) + 1
        raise SourceUnavailable("this is not a UTF-8 text file.", where=f"{path}:{line}") from error
    anchors = _ANCHOR.findall(raw)
    try:
        if raw.count(b"[") + raw.count(b"{") > _MANY_OPENINGS or _DEEP_LINE.search(raw):
            _refuse_depth(text, path)
        loader = (_redefining(loader_class) if len(set(anchors)) < len(anchors) else loader_class)(text)
        try:
            while loader.check_node():
                node = loader.get_node()
                line = node.start_mark.line + 1
                if anchors:
                    _refuse_bomb(node, f"{path}:{line}")
                yield YamlDocument(line, loader.construct_document(node))
        finally:
            loader.dispose()
    except (yaml.reader.ReaderError, yaml.MarkedYAMLError) as error:
        what, at = refusal(error, text)
        marked = isinstance(error, yaml.MarkedYAMLError)
        helm = "Render the Helm chart first: helm template CHART > FILE."
        fix = helm if marked and _TEMPLATE.search(raw) else ""
        raise SourceUnavailable(what, where=f"{path}{at}", fix=fix) from error
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        what = "nested too deeply" if isinstance(error, RecursionError) else str(error).partition("\n")[0]
        raise SourceUnavailable(f"not valid YAML: {what}.", where=path) from error


_made: dict[str, type] = {}


def _loader_class(path: str) -> Any:
    if "loader" not in _made:
        base = getattr(yaml, "CSafeLoader", None)
        if base is None:
            raise SourceUnavailable(
                "PyYAML is installed without libyaml, which is needed to read large YAML files.",
                where=path,
                fix="Install a PyYAML wheel, or convert the manifests to JSON.",
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
        made.add_implicit_resolver("tag:yaml.org,2002:bool", re.compile(r"[yYnN]\Z"), list("yYnN"))  # type: ignore[attr-defined]
        made.add_implicit_resolver("tag:yaml.org,2002:int", _NUMBER, list("-+0123456789."))  # type: ignore[attr-defined]
        for name, construct in (
            ("int", _construct_number),
            ("float", _construct_number),
            ("bool", _construct_bool),
            ("binary", _construct_binary),
            ("map", _construct_map),
            ("set", _construct_map),
            ("omap", _construct_list),
            ("pairs", _construct_list),
            ("timestamp", base.construct_scalar),
            ("merge", base.construct_scalar),  # as a value; as a key it never comes here
        ):
            made.add_constructor(f"tag:yaml.org,2002:{name}", construct)  # type: ignore[attr-defined]
        _made["loader"] = made
    return _made["loader"]


def _redefining(base: Any) -> Any:
    """For a file that gives an anchor twice: as in go-yaml the later one holds; libyaml's composer refuses it."""
    if "redefining" not in _made:

        class Redefining(yaml.composer.Composer, base):  # type: ignore[misc]  # a class made at run time
            def __init__(self, text: str) -> None:
                yaml.composer.Composer.__init__(self)
                base.__init__(self, text)

            def compose_node(self, parent: Any, index: Any) -> Any:
                event = self.peek_event()
                if not isinstance(event, yaml.AliasEvent):
                    self.anchors.pop(event.anchor, None)
                return super().compose_node(parent, index)

        _made["redefining"] = Redefining
    return _made["redefining"]


def _construct_number(loader: Any, node: Any) -> int | float | str:
    text = loader.construct_scalar(node)
    if _NO_JSON.fullmatch(text):
        raise yaml.constructor.ConstructorError(
            None, None, f"{text} is not a number in JSON", node.start_mark
        )
    return number(text)


def number(text: str) -> int | float | str:
    """What a plain scalar is that begins with a digit, a sign or a dot; the text itself where it is no number.

    As go-yaml v2 resolves it, written as JSON, and read by the API server: a float without a fraction is an integer.
    """
    plain = text if text.startswith(".") else text.replace("_", "")
    value: int | float
    if found := _GO_INT.fullmatch(plain):
        digits = found[2].lower()
        value = int("0o" + digits[1:] if re.fullmatch("0[0-7]+", digits) else digits, 0)
        value = -value if found[1] == "-" else value
        if -(1 << 63) <= value < 1 << 64:
            return value
    if (_DOTTED if text.startswith(".") else _GO_FLOAT).fullmatch(plain):
        value = float(plain)  # Python and Go alike take `_` between digits, which is left in after a dot
        if math.isinf(value):  # out of range: go-yaml leaves it as text
            return text
        return int(value) if value.is_integer() and abs(value) < 1 << 63 else value
    return text


def _construct_bool(loader: Any, node: Any) -> bool | str:
    text: str = loader.construct_scalar(node)
    return loader.bool_values.get({"y": "yes", "n": "no"}.get(text.lower(), text.lower()), text)  # type: ignore[no-any-return]


def _construct_binary(loader: Any, node: Any) -> str:
    try:
        return base64.b64decode(loader.construct_scalar(node)).decode()
    except ValueError as error:
        raise yaml.constructor.ConstructorError(
            None, None, "!!binary is not the base64 of a text", node.start_mark
        ) from error


def _construct_list(loader: Any, node: Any) -> Iterator[list[Any]]:
    data: list[Any] = []
    yield data
    data.extend(loader.construct_sequence(node))


def _construct_map(loader: Any, node: Any) -> Iterator[dict[Any, Any]]:
    """As go-yaml v2 does: the later of a merged key and an own one holds. Two own ones are an error; keys are text."""
    data: dict[Any, Any] = {}
    yield data
    own = [key for key, _ in node.value if key.tag != _MERGE]
    merged = len(own) != len(node.value)
    # A node of its own: PyYAML merges into node.value, where what is merged looks like keys of the document.
    flat = (
        yaml.MappingNode(node.tag, list(in_merge_order(node.value, _merged)), node.start_mark)
        if merged
        else node
    )
    found = loader.construct_mapping(flat)
    if merged or len(found) != len(own) or any(type(key) is not str for key in found):
        _refuse_doubled((key, _key_text(loader.construct_object(key), key)) for key in own)
        found = {_key_text(key, node): value for key, value in found.items()}
    data.update(found)


_Pair = tuple[Any, Any]


def _merged(pair: _Pair) -> list[Sequence[_Pair]] | None:
    key, value = pair
    if key.tag != _MERGE:
        return None
    found: list[Sequence[_Pair]] = []
    for source in value.value if isinstance(value, yaml.SequenceNode) else (value,):
        if not isinstance(source, yaml.MappingNode):
            raise yaml.constructor.ConstructorError(
                None, None, "<< must have a mapping or a list of mappings as its value", source.start_mark
            )
        _refuse_doubled(((key, _node_text(key)) for key, _ in source.value if key.tag != _MERGE))
        found.append(source.value)
    return found


def _refuse_doubled(keys: Iterable[tuple[Any, Hashable]]) -> None:
    """keys: node and what it is."""
    seen = set()
    for key, name in keys:
        if name in seen:
            raise yaml.constructor.ConstructorError(
                None, None, f"the key {key.value!r} occurs twice", key.start_mark
            )
        seen.add(name)


def _node_text(key: Any) -> Hashable:
    """Of a key that is not constructed by itself: as written, since `on` beside `"true"` is seen where it is merged."""
    return key.value if isinstance(key, yaml.ScalarNode) else id(key)


def _key_text(key: Any, node: Any) -> str:
    """A key as JSON has it: `on:` is "true", `0x10:` is "16"."""
    if isinstance(key, str):
        return key
    if isinstance(key, bool):
        return str(key).lower()
    if isinstance(key, int | float):
        return f"{key}"
    raise yaml.constructor.ConstructorError(
        None, None, f"a {type(key).__name__} cannot be a key", node.start_mark
    )


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
            raise SourceUnavailable("an alias refers to a value that contains it.", where=where)
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
