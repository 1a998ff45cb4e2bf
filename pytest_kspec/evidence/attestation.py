"""Attestations of a scan: the in-toto statement of `reports/intoto` about the bytes of a JSON report.

Nothing of an attestation is believed because somebody signed it: it must be what the result says, to the last test.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from typing import Any

from pytest_kspec.errors import EvidenceError, UsageError
from pytest_kspec.evidence import compare, document
from pytest_kspec.files import read_bounded
from pytest_kspec.reports import intoto, json
from pytest_kspec.results.order import canonical

SUFFIX = ".intoto.json"
MAX_BYTES = 64 << 20
"""Of an attestation: about half a million tests."""

COUNTED = ((intoto.PASSED, "passed"), (intoto.WARNED, "warned"), (intoto.FAILED, "failed"))


def read_file(path: str) -> bytes:
    """All of an attestation. Raises UsageError."""
    try:
        return read_bounded(path, MAX_BYTES)
    except OSError as error:
        raise UsageError(f"could not be read: {error.strerror or error}.", where=path) from error


def attest(result: bytes, where: str) -> bytes:
    """The statement about a JSON report. Raises UsageError for anything else, EvidenceError for an ambiguous one."""
    made = _statement(result, where)
    if not all("digest" in entry for entry in made["predicate"]["configuration"]):
        raise UsageError(
            "the result does not name the specification that was checked.",
            where=where,
            fix="Scan again with this version; specifications must be files.",
        )
    return json.pretty(made)


def read(raw: bytes, where: str) -> dict[str, Any]:
    """A statement of ours as plain data, whose values may be anything. Raises EvidenceError."""
    found = document.read(raw, "the attestation", where)
    types = found.get("_type"), found.get("predicateType")
    if types != (intoto.STATEMENT, intoto.PREDICATE) or not isinstance(found.get("predicate"), dict):
        raise EvidenceError(f"this is not a statement with the predicate {intoto.PREDICATE}.", where=where)
    return found


def verify(found: Mapping[str, Any], result: bytes, where: str, result_where: str) -> list[str]:
    """A line for each part that is not what the result says. Raises EvidenceError where it is about another result.

    found: from `read`; result: the JSON report; where, result_where: the two files
    """
    digest = hashlib.sha256(result).hexdigest()
    if _digests(found.get("subject")) != [digest]:
        raise EvidenceError(
            f"it is not about {result_where}: the SHA-256 differs.",
            where=where,
            fix="Name the JSON report that was attested, byte for byte, with --result.",
        )
    try:
        wanted = _statement(result, result_where)
    except UsageError as error:
        raise EvidenceError(error.what, where=result_where) from error
    lines = list(_differences(found, wanted))
    if not all("digest" in entry for entry in wanted["predicate"]["configuration"]):
        lines.append("predicate.configuration: the digest of a specification is missing")
    return lines


def _statement(result: bytes, where: str) -> dict[str, Any]:
    document.read(result, "the result", where)  # two readers may not see two results in it
    parsed = json.parse(result, where)
    return intoto.statement(canonical(parsed), hashlib.sha256(result).hexdigest())


def _digests(subject: Any) -> list[Any]:
    if not isinstance(subject, list):
        return []
    found = [entry.get("digest") if isinstance(entry, dict) else None for entry in subject]
    return [digest.get("sha256") if isinstance(digest, dict) else None for digest in found]


def _differences(found: Mapping[str, Any], wanted: Mapping[str, Any]) -> Iterator[str]:
    yield from _parts(found, wanted, "")
    yield from _parts(found["predicate"], wanted["predicate"], "predicate.")


def _parts(found: Mapping[str, Any], wanted: Mapping[str, Any], path: str) -> Iterator[str]:
    for key in sorted({*found, *wanted}):
        if f"{path}{key}" == "predicate":
            continue
        if key not in wanted:
            yield f"{path}{compare.shown(key)}: does not belong there"
        elif key in intoto.LISTS:
            yield from _tests(found.get(key), wanted[key], f"{path}{key}")
        elif not compare.same_text(found.get(key), wanted[key]):
            yield f"{path}{key}: is not what the result says"


def _tests(found: Any, wanted: list[str], path: str) -> Iterator[str]:
    if not isinstance(found, list) or not all(isinstance(name, str) for name in found):
        yield f"{path}: is not a list of names"
        return
    there, due = set(found), set(wanted)
    yield from (f"{path}: {compare.shown(name)} is missing" for name in wanted if name not in there)
    yield from (
        f"{path}: {compare.shown(name)} is not what the result says" for name in found if name not in due
    )
    if there == due and found != wanted:
        yield f"{path}: is in another order, or has names twice"
