"""JSON files as kubectl reads them: several documents, whole numbers, and keys that are there twice."""

from __future__ import annotations

import json
import re
from typing import Any

from pytest_kspec.cluster.objects.answers import Buffer
from pytest_kspec.errors import SourceUnavailable
from pytest_kspec.regexes import regex

MAX_COMPARED_BYTES = 4 << 20
"""Size up to which keys are compared: of larger files, which tools write, the last of two equal keys counts."""
MAX_TEXTS_BYTES = 64 << 20
"""Size up to which a file may hold several documents; one list may be larger."""

# Behind a key, or in a list: `image:1.2` within a text is neither, and every manifest has one.
_MAY_BE_WHOLE = regex(rb"(?:\"\s*:|[,\[])\s*-?[0-9]+(?:\.[0-9]|[eE])")
_STRING_OR_NUMBER = regex(rb'"(?:[^"\\]|\\.)*"|-?[0-9]+(?:\.[0-9]+)?(?:[eE][-+]?[0-9]+)?')
_BETWEEN = regex(r"(?:\s|^---[^\n{\[]*$)*", re.MULTILINE)


def json_texts(raw: Buffer) -> list[bytes] | None:
    """The documents of a file that holds more than one; None where it is no JSON after all, or too large.

    Between documents there may be white space or a line of `---`.
    """
    if len(raw) > MAX_TEXTS_BYTES:
        return None
    try:
        text = bytes(raw).decode("utf-8-sig")
    except UnicodeDecodeError:
        return None
    decoder = json.JSONDecoder()
    found = []
    at = _end(text, 0)
    while at < len(text):
        try:
            _, end = decoder.raw_decode(text, at)
        except (ValueError, RecursionError):
            return None
        found.append(text[at:end].encode())
        at = _end(text, end)
    return found if len(found) > 1 else None


def whole_numbers(raw: Buffer) -> Buffer:
    """`80.0` and `8e1` as `80`, which is what kubectl sends; files over MAX_COMPARED_BYTES stay as they are."""
    if len(raw) > MAX_COMPARED_BYTES or not _MAY_BE_WHOLE.search(raw):
        return raw
    return _STRING_OR_NUMBER.sub(_whole, raw)


def _whole(found: re.Match[bytes]) -> bytes:
    text = found[0]
    if text.startswith(b'"') or text.lstrip(b"-").isdigit():
        return text
    value = float(text)
    return b"%d" % value if value.is_integer() and abs(value) < 1 << 63 else text


def _end(text: str, at: int) -> int:
    found = _BETWEEN.match(text, at)
    return found.end() if found else at


def refuse_doubled_keys(raw: Buffer, path: str) -> None:
    """Raise SourceUnavailable where an object has a key twice. What is no JSON is left to who decodes it."""
    if len(raw) > MAX_COMPARED_BYTES:
        return

    def pairs(found: list[tuple[str, Any]]) -> None:
        if len(found) > 1 and len({key for key, _ in found}) != len(found):
            seen = set()
            for key, _ in found:
                if key in seen:
                    raise SourceUnavailable(f"not valid JSON: the key {key!r} occurs twice.", where=path)
                seen.add(key)

    try:
        json.loads(bytes(raw), object_pairs_hook=pairs)
    except (ValueError, RecursionError):
        return
