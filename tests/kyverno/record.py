"""RESULT.md: what `make test-kyverno` saw last, and whether that was of the policies of today.

    python -m tests.kyverno.record       marks the record as current or as older; `make docs` does

The comparison takes minutes and a build of some ten, so it is no part of `make test`. A record that says of itself that
it is older is true; a test keeps it so.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import re
import sys
from collections.abc import Iterable
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple

from pytest_kspec.enforce.engines import Wanted, kyverno
from pytest_kspec.enforce.modes import Mode
from pytest_kspec.enforce.plan import enforcement_plan
from pytest_kspec.plan.checkset import load_checks
from pytest_kspec.reference.asked import everything
from pytest_kspec.spec.loading import spec_from_part
from tests.kyverno import build

PATH = Path(__file__).parent / "RESULT.md"
CURRENT = "The policies that are generated today are those that were compared."
OLDER = "**The policies have changed since: run `make test-kyverno`.**"
_DIGEST = re.compile(r"^\| Policies \| `([0-9a-f]{16})` \|$", re.MULTILINE)
PARTS = {
    "exemptions": "exemptions, levels and owners, in four namespaces",
    "fields": "required and forbidden fields, generated",
    "generated_pods": "Pod Security Standards, generated pods",
    "limits": "pods of 200 containers, ephemeral containers",
    "scope": "scopes and selectors of namespaces",
    "updates": "updates",
    "written_cases": "hand-written",
}
"""Module of `proof` → what is compared there."""
_NOW = datetime(2026, 1, 1, tzinfo=UTC)
_EXEMPT = [
    {"name": "a", "reason": "r", "containers": ["x*"], "resources": [{"kind": "Deployment", "name": "y"}]}
]


class Compared(NamedTuple):
    """One part of the comparison, in which nothing differed. api: of Kyverno; refused: how many of the verdicts."""

    api: str
    what: str
    specifications: int
    verdicts: int
    refused: int


def digest() -> str:
    """Of what is generated for everything that can be asked, by both of Kyverno's APIs, and of Kyverno's version."""
    checkset = load_checks()
    found = hashlib.sha256(build.version().encode())
    for spec in everything():
        part = spec.model_dump(by_alias=True, exclude_unset=True) | {"policyExemptions": _EXEMPT}
        plan = enforcement_plan(spec_from_part(part, name="record"), checkset, now=_NOW)
        for api in kyverno.APIS:
            options = argparse.Namespace(kyverno_api=api)
            made = kyverno.generate(Wanted(plan, Mode.ENFORCE, "c", options))
            found.update(json.dumps([made.manifests, made.not_enforceable], sort_keys=True).encode())
    return found.hexdigest()[:16]


def write(parts: Iterable[Compared], *, kubernetes: str, day: str) -> None:
    """Put these parts into the record; of what is there, what is of the same versions and policies stays."""
    head = f"""# Kyverno and a scan, compared

`make test-kyverno` writes this file, with what did not differ. A verdict is one request to an API server that Kyverno's
admission controller answers by the policies of one specification; it agrees where Kyverno names the same requirements
and paths as a scan of the object that the API server makes of the request, defaults included. Of scopes, updates and
200 containers it is whether the request is refused.

| | |
| --- | --- |
| Kyverno | {build.version()}, its admission controller |
| Kubernetes | {kubernetes} |
| Policies | `{digest()}` |

{CURRENT}

| API | cases | specifications | verdicts | of these refused | day |
| --- | --- | --- | --- | --- | --- |
"""
    rows = read(PATH.read_text(encoding="utf-8"), head) if PATH.exists() else {}
    rows |= {(part.api, part.what): (*part, day) for part in parts}
    lines = [f"| {' | '.join(str(cell) for cell in rows[key])} |\n" for key in sorted(rows)]
    PATH.write_text(head + "".join(lines), encoding="utf-8")


def read(text: str, head: str = "") -> dict[tuple[str, str], tuple[str | int, ...]]:
    """(API, cases) → cells of the rows of a record, none of one with another head."""
    if not text.startswith(head):
        return {}
    rows = [line.strip("| ").split(" | ") for line in text.splitlines()]
    return {(cells[0], cells[1]): tuple(cells) for cells in rows if cells[0] in kyverno.APIS}


def marked(text: str) -> str:
    """The record with the line that says whether it is of the policies of today."""
    found = _DIGEST.search(text)
    wanted = CURRENT if found is not None and found[1] == digest() else OLDER
    return text.replace(OLDER if wanted == CURRENT else CURRENT, wanted)


def main() -> int:
    """Mark the record."""
    text = PATH.read_text(encoding="utf-8")
    new = marked(text)
    if new != text:
        PATH.write_text(new, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
