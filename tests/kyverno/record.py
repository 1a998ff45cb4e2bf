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
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple

from pytest_kspec.cli.asked import everything
from pytest_kspec.enforce.engines import Wanted, kyverno
from pytest_kspec.enforce.modes import Mode
from pytest_kspec.enforce.plan import enforcement_plan
from pytest_kspec.model.specfile import spec_from_part
from pytest_kspec.plan.catalog import load_catalog
from tests.kyverno import build

PATH = Path(__file__).parent / "RESULT.md"
CURRENT = "The policies that are generated today are those that were compared."
OLDER = "**The policies have changed since: run `make test-kyverno`.**"
_DIGEST = re.compile(r"^\| Policies \| `([0-9a-f]{16})` \|$", re.MULTILINE)
_NOW = datetime(2026, 1, 1, tzinfo=UTC)
_EXEMPT = [
    {"name": "a", "reason": "r", "containers": ["x*"], "resources": [{"kind": "Deployment", "name": "y"}]}
]


class Compared(NamedTuple):
    """One part of the comparison. api: of Kyverno; differences: how many verdicts are not the same."""

    api: str
    what: str
    specifications: int
    verdicts: int
    refused: int
    differences: int


def digest() -> str:
    """Of what is generated for everything that can be asked, by both of Kyverno's APIs, and of Kyverno's version."""
    catalog = load_catalog()
    found = hashlib.sha256(build.version().encode())
    for spec in everything():
        part = spec.model_dump(by_alias=True, exclude_unset=True) | {"policyExemptions": _EXEMPT}
        plan = enforcement_plan(spec_from_part(part, name="record"), catalog, now=_NOW)
        for api in kyverno.APIS:
            options = argparse.Namespace(kyverno_api=api)
            made = kyverno.generate(Wanted(plan, Mode.ENFORCE, "c", options))
            found.update(json.dumps([made.manifests, made.not_enforceable], sort_keys=True).encode())
    return found.hexdigest()[:16]


def write(parts: Sequence[Compared], *, kubernetes: str, day: str) -> None:
    """A new record."""
    rows = [
        f"| {part.api} | {part.what} | {part.specifications} | {part.verdicts} | {part.refused} | "
        f"{part.verdicts - part.differences} | {part.differences} |"
        for part in parts
    ]
    PATH.write_text(
        f"""# Kyverno's engine and a scan, compared

`make test-kyverno` writes this file. A verdict is one object and one specification; it agrees where Kyverno names the
same requirements and paths as a scan of the object that an API server makes of it, defaults included.

| | |
| --- | --- |
| Day | {day} |
| Kyverno | {build.version()}, its command `apply` |
| Kubernetes | {kubernetes} |
| Policies | `{digest()}` |

{CURRENT}

| API | cases | specifications | verdicts | refused | agree | differ |
| --- | --- | --- | --- | --- | --- | --- |
"""
        + "\n".join(rows)
        + "\n\n"
        + "".join(f"Not compared: {api}.\n\n" for api in kyverno.APIS if api not in {p.api for p in parts})
        + """Out of its sight: `namespaceSelector` (the command has no namespaces of a cluster), updates and
subresources (it only creates), and Kyverno's admission webhook itself.
""",
        encoding="utf-8",
    )


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
