"""JSON of a bundle, read more strictly than any reader must: two readers may not see two documents in it."""

from __future__ import annotations

import json
from typing import Any

from pytest_kspec.errors import EvidenceError


def read(raw: bytes, name: str, where: str) -> dict[str, Any]:
    """An object as plain data. Raises EvidenceError, also for a name that one object has twice.

    name: of the document, for the message; where: of the bundle
    """
    try:
        found = json.loads(raw.decode(), object_pairs_hook=_once, parse_constant=_no_constant)
    except (ValueError, RecursionError) as error:
        text = "nested too deeply" if isinstance(error, RecursionError) else str(error)
        raise EvidenceError(f"{name} could not be read: {text}.", where=where) from error
    if not isinstance(found, dict):
        raise EvidenceError(f"{name} is not an object.", where=where)
    return found


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name, value in pairs:
        if name in found:
            raise ValueError(f"an object has {json.dumps(name[:80])} twice")
        found[name] = value
    return found


def _no_constant(name: str) -> Any:
    raise ValueError(f"{name} is not JSON")
