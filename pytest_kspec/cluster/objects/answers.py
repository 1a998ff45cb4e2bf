"""Whether an answer is what was asked for. A 200 says little: only a list of the right kind is a list of that kind.

A list is read from both ends: what stands before its items and what stands behind them. Whoever decodes the items in
between then knows that there is nothing else: valid JSON in the middle leaves no room for a second `items`. So a list
of any size costs a look at its first and last bytes.
"""

from __future__ import annotations

import json
from typing import Any, NamedTuple, NoReturn

from pytest_kspec.kube.resources import ResourceType
from pytest_kspec.regexes import regex

Buffer = bytes | memoryview

MAX_EDGE_BYTES = 64 << 10
"""Of what stands before and behind the items of a list."""

MAX_TOKEN_CHARACTERS = 16 << 10
_KEYS = ("apiVersion", "kind", "metadata", "items")
_BLANK = " \t\r\n"
_SPACE = regex(rf"[{_BLANK}]*")
_MEMBER = regex(rf'[{_BLANK}]*"([^"\\]*)"[{_BLANK}]*:[{_BLANK}]*')
_CUTS = 8
_NOT_IN_NAMES = regex(r"[/%\x00-\x1f\x7f]")


class Wrong(Exception):
    """Something else than what was asked for. The text follows the name of what it is: "is a Status"."""


class ListHead(NamedTuple):
    """A list without its items. items: their text, to be decoded as an array; metadata: {} where there is none."""

    api_version: str
    kind: str
    metadata: dict[str, Any]
    has_metadata: bool
    items: Buffer

    @property
    def token(self) -> str:
        """`metadata.continue`. Raises Wrong."""
        token = self.metadata.get("continue", "")
        if not isinstance(token, str) or not token.isascii() or len(token) > MAX_TOKEN_CHARACTERS:
            raise Wrong("has a continue token that is not valid")
        return token


def media_type_problem(content_type: str) -> str:
    """Why a body of this `Content-Type` is not read as JSON, or "". Without one, the body alone says what it is."""
    name, *parameters = (part.strip().lower() for part in content_type.split(";"))
    if name not in ("", "application/json"):
        return f"has content type {name[:60]!r}"
    for parameter in parameters:
        key, _, value = parameter.partition("=")
        if key.strip() == "charset" and value.strip(' "') not in ("utf-8", "utf8"):
            return f"has character set {value[:20]!r}"
    return ""


def split_list(text: Buffer) -> ListHead:
    """Take a list apart without decoding its items. Raises Wrong, naming what it is instead."""
    text = memoryview(text)
    start = bytes(text[:MAX_EDGE_BYTES]).decode("latin-1")  # a character is a byte, so places stay right
    members, at = _before(start)
    if start.startswith("null", at):
        return _behind(text, at, [at + 4], members)
    if not start.startswith("[", at):
        raise Wrong("has `items` that are not a list")
    base = max(at, len(text) - MAX_EDGE_BYTES)
    tail = bytes(text[base:]).decode("latin-1")
    ends: list[int] = []
    end = len(tail)
    while len(ends) < _CUTS and (end := tail.rfind("]", 0, end)) >= 0:
        ends.append(base + end + 1)  # the last bracket, unless metadata behind the items have brackets too
    return _behind(text, at, ends, members)


def check_list(head: ListHead, api_version: str, list_kind: str) -> None:
    """Raises Wrong unless it is a list of this kind ("PodList"), and whole."""
    if (head.api_version, head.kind) != (api_version, list_kind):
        raise Wrong(f"is {_named(head.api_version, head.kind)}, not a {list_kind} of {api_version}")
    remaining = head.metadata.get("remainingItemCount")
    if not isinstance(remaining, int | None) or (remaining and not head.token):
        raise Wrong(f"is incomplete: {remaining} more items remain, but there is no continue token")


def check_kind(data: Any, api_version: str, kind: str) -> None:
    """Raises Wrong unless it is an object of this kind."""
    if not isinstance(data, dict):
        raise Wrong("is not a JSON object")
    if (data.get("apiVersion"), data.get("kind")) != (api_version, kind):
        raise Wrong(f"is {_named(data.get('apiVersion'), data.get('kind'))}, not a {kind} of {api_version}")


def check_object(data: Any, api_version: str, kind: str, name: str = "", namespace: str = "") -> None:
    """Raises Wrong unless it is the object of this kind and name. name, namespace: "" is not compared."""
    check_kind(data, api_version, kind)
    metadata = data.get("metadata")
    check_metadata(metadata)
    if name and metadata["name"] != name:
        raise Wrong(f"is the {kind} {_shown(metadata['name'])}")
    if namespace and metadata.get("namespace") != namespace:
        raise Wrong(f"is a {kind} in the namespace {_shown(metadata.get('namespace'))}")


def decode_once(text: bytes) -> Any:
    """A small JSON document in which no key occurs twice, so that there is one way to read it. Raises Wrong."""
    try:
        document = text.decode()
        data, end = _DECODER.raw_decode(document, _skip(document, 0))
    except (ValueError, RecursionError) as error:
        raise Wrong("could not be read") from error
    if document[end:].strip(_BLANK):
        raise Wrong("is not one complete JSON document")
    return data


def check_repeats(data: Any, sent: Any) -> None:
    """Raises Wrong if the answer repeats another question than `sent`: an API server returns the question.

    What is empty may be left out, and a question that is not repeated is not compared.
    """
    spec = data.get("spec")
    if spec is not None and _without_empty(_common(spec, sent)) != _without_empty(sent):
        raise Wrong("is the answer to another request")


def _common(found: Any, sent: Any) -> Any:
    """`found` without the keys that were not sent: an API server may add some."""
    if isinstance(found, dict) and isinstance(sent, dict):
        return {key: _common(found[key], value) for key, value in sent.items() if key in found}
    return found


def _without_empty(value: Any) -> Any:
    if isinstance(value, dict):
        kept = {key: _without_empty(one) for key, one in value.items()}
        return {key: one for key, one in kept.items() if one not in ("", None, [], {})}
    return value


def check_metadata(metadata: Any) -> None:
    """Raises Wrong unless it is what every object has: a name, and text where there is text."""
    if not has_name(metadata):
        raise Wrong("has no valid name")
    for key in ("namespace", "uid", "resourceVersion"):
        if not isinstance(metadata.get(key), str | None):
            raise Wrong(f"has a metadata.{key} that is not a string")
    for key in ("labels", "annotations"):
        texts = metadata.get(key)
        if not isinstance(texts, dict | None) or not all(isinstance(v, str) for v in (texts or {}).values()):
            raise Wrong(f"has metadata.{key} with values that are not strings")


def has_name(metadata: Any) -> bool:
    """Whether an object has a name as every API server demands one: a segment of a path."""
    name = metadata.get("name") if isinstance(metadata, dict) else None
    return isinstance(name, str) and name not in ("", ".", "..") and not _NOT_IN_NAMES.search(name)


def is_of(resource_type: ResourceType, api_version: Any, kind: Any) -> bool:
    """Whether an item of a list may say this of itself. Built-in kinds say nothing; versions may differ."""
    if kind is not None and kind != "" and kind != resource_type.kind:
        return False
    if not api_version:
        return api_version is None or api_version == ""
    return isinstance(api_version, str) and api_version.rpartition("/")[0] == resource_type.group


def _before(text: str) -> tuple[list[tuple[str, Any]], int]:
    """The members before `items`, and where its value begins."""
    at = _skip(text, 0)
    if not text.startswith("{", at):
        raise Wrong("is not a JSON object" if text.strip(_BLANK) else "is empty")
    members: list[tuple[str, Any]] = []
    try:
        while found := _MEMBER.match(text, at + 1):
            if found[1] == "items":
                return members, found.end()
            value, at = _DECODER.raw_decode(text, found.end())
            members.append((found[1], value))
            at = _skip(text, at)
            if not text.startswith(",", at):
                break
    except (ValueError, RecursionError):
        pass  # also a value that is longer than what is looked at
    said = dict(members)
    raise Wrong(f"is {_named(said.get('apiVersion'), said.get('kind'))} without `items` near its beginning")


def _behind(text: Buffer, start: int, ends: list[int], members: list[tuple[str, Any]]) -> ListHead:
    """The list whose items end at the first of these places behind which the document ends as one."""
    for end in ends:
        if len(text) - end > MAX_EDGE_BYTES:
            break
        rest = _members(bytes(text[end:]).decode("latin-1"))
        if rest is not None:
            return _head([*members, *rest], text[start:end])
    raise Wrong("is not one complete JSON document")


def _members(text: str) -> list[tuple[str, Any]] | None:
    """The members from behind a value to the end of the document; None if that is no end of one."""
    members: list[tuple[str, Any]] = []
    at = 0
    try:
        while True:
            at = _skip(text, at)
            if text.startswith("}", at):
                return None if text[at + 1 :].strip(_BLANK) else members
            found = _MEMBER.match(text, at + 1) if text.startswith(",", at) else None
            if found is None:
                return None
            value, at = _DECODER.raw_decode(text, found.end())
            members.append((found[1], value))
    except (ValueError, RecursionError):
        return None


def _head(members: list[tuple[str, Any]], items: Buffer) -> ListHead:
    found: dict[str, Any] = {}
    for key, value in [*members, ("items", None)]:
        if key in found:
            raise Wrong(f"has the key {key!r} twice")
        if key not in _KEYS:
            raise Wrong(f"has a key that is not allowed in a list: {_shown(key)}")
        found[key] = value
    metadata = found.get("metadata")
    if "metadata" in found and not isinstance(metadata, dict):
        raise Wrong("has `metadata` that are not an object")
    api_version, kind = found.get("apiVersion", ""), found.get("kind", "")
    if not isinstance(api_version, str) or not isinstance(kind, str):
        raise Wrong("has an apiVersion or a kind that is not a string")
    return ListHead(api_version, kind, metadata or {}, metadata is not None, items)


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a key occurs twice")
    return found


def _no_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not JSON")


_DECODER = json.JSONDecoder(object_pairs_hook=_once, parse_constant=_no_constant)


def _skip(text: str, at: int) -> int:
    found = _SPACE.match(text, at)
    return found.end() if found else at


def _named(api_version: Any, kind: Any) -> str:
    if not isinstance(kind, str) or not kind:
        return "an object without a kind"
    return f"a {_shown(kind)} of {_shown(api_version)}" if api_version else f"a {_shown(kind)}"


def _shown(value: Any) -> str:
    return " ".join(str(value).split())[:80]
