"""The JSON report: the whole ScanResult, and the way back. Every other report can be made from it later.

Indented down to the findings, and one line for each of those: readable, and `diff` or `grep` show them whole.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec

from pytest_kspec.errors import UsageError
from pytest_kspec.files import read_bounded
from pytest_kspec.results.finding import plain
from pytest_kspec.results.result import API_VERSION, ScanResult

MAX_BYTES = 2 << 30
"""Of a report that is read; one of a thousand clusters with 1,000 findings each takes 800 MB."""
_LISTS = frozenset(
    {
        *("clusters", "checks", "findings", "exemptions", "notEvaluated", "frameworks", "controls"),
        *("fixed", "trend"),
    }
)
_FIX = "Use a file that was written by --kspec-report json:FILE."
_encode = msgspec.json.Encoder(enc_hook=str).encode
_encode_sorted = msgspec.json.Encoder(enc_hook=str, order="sorted").encode


def render(result: ScanResult) -> bytes:
    """The document as UTF-8 with a trailing newline. Keys come in the order of the docs, never by hash."""
    wire = result.to_wire()
    try:
        return _document(wire)
    except UnicodeEncodeError:  # lone surrogates, which UTF-8 cannot hold
        return _document(plain(wire))


def pretty(document: Any) -> bytes:
    """Any document of ours as indented JSON, with a trailing newline."""
    try:
        return msgspec.json.format(_encode(document), indent=1) + b"\n"
    except UnicodeEncodeError:  # lone surrogates, as above
        return msgspec.json.format(_encode(plain(document)), indent=1) + b"\n"


def _document(wire: dict[str, Any]) -> bytes:
    out: list[bytes] = []
    _write(out, wire, 0)
    out.append(b"\n")
    return b"".join(out)


def _write(out: list[bytes], value: Any, depth: int) -> None:
    if not (isinstance(value, dict) and _LISTS & value.keys()):
        if isinstance(value, dict) and isinstance(value.get("actual"), dict | list):
            value = {**value, "actual": msgspec.Raw(_sorted(value["actual"]))}
        out.append(_encode(value))
        return
    pad = b" " * (depth + 1)
    separator = b"{\n"
    for key, item in value.items():
        out += (separator, pad, _encode(key), b": ")
        if key in _LISTS and item and isinstance(item, list):
            between = b"[\n"
            for entry in item:
                out += (between, pad, b" ")
                _write(out, entry, depth + 2)
                between = b",\n"
            out += (b"\n", pad, b"]")
        else:
            _write(out, item, depth + 1)
        separator = b",\n"
    out += (b"\n", b" " * depth, b"}")


def _sorted(value: Any) -> bytes:
    try:
        return _encode_sorted(value)
    except TypeError:  # keys that cannot be compared, or are no text; no JSON from a cluster has them
        return _encode(repr(value))


def read(path: str | Path) -> ScanResult:
    """A ScanResult from a JSON report; "-" is standard input. Raises UsageError for anything else.

    Summaries are counted again.
    """
    return parse(content(path), str(path))


def content(path: str | Path) -> bytes:
    """The bytes of a report, for `parse` and for who keeps them too. Raises UsageError."""
    try:
        return read_bounded(path, MAX_BYTES)
    except OSError as error:
        raise UsageError(f"could not be read: {error.strerror}.", where=str(path), fix=_FIX) from error


def parse(document: bytes, where: str) -> ScanResult:
    """The same of bytes. where: what they are of, for errors."""
    try:
        data = msgspec.json.decode(document)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise UsageError(f"is not JSON: {error}.", where=where, fix=_FIX) from error
    if (
        not isinstance(data, dict)
        or data.get("kind") != "ScanResult"
        or data.get("apiVersion") != API_VERSION
    ):
        raise UsageError(f"is not a ScanResult of {API_VERSION}.", where=where, fix=_FIX)
    try:
        return ScanResult.from_wire(data)
    except (KeyError, ValueError, TypeError, AttributeError) as error:
        what = f"is not a complete ScanResult ({type(error).__name__}: {error})."
        raise UsageError(what, where=where, fix=_FIX) from error
