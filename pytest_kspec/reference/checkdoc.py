"""The check reference, `docs/checks.md`, from what the checks say about themselves; a test keeps it fresh.

Run as `python -m pytest_kspec.reference.checkdoc docs/checks.md` (`make docs`).
"""

from __future__ import annotations

import re
import sys
from itertools import groupby
from pathlib import Path

from pytest_kspec.checks.check import Check
from pytest_kspec.plan.checkset import load_checks
from pytest_kspec.reference.asked import asked_by, example_id

HEAD = """# Checks

This page describes every built-in check: what it examines, why, and how to fix a finding. `kspec explain ID`
prints the same information, `kspec checks` lists the checks. A check runs if a specification requires it.

This page is generated from the checks (`make docs`).
"""

AREAS = {
    "admission": "Admission",
    "kubernetes": "Kubernetes version",
    "network": "Network",
    "observability": "Observability",
    "podSecurity": "Pod Security Standards",
    "rbac": "RBAC",
    "workloads": "Workloads",
}


def render(checks: list[Check]) -> str:
    """The page."""
    by_area = [(area, list(members)) for area, members in groupby(checks, lambda c: c.id.partition(".")[0])]
    parts = [HEAD, "| Check | Severity | States |\n| --- | --- | --- |"]
    parts += [f"| [`{c.id}`](#{anchor_of(c.id)}) | {c.severity.value} | {c.title} |" for c in checks]
    for area, members in by_area:
        parts.append(f"\n## {AREAS.get(area, area)}")
        parts += [_section(check) for check in members]
    return "\n".join(parts) + "\n"


def anchor_of(id: str) -> str:
    """A heading's anchor, as GitHub makes it."""
    return re.sub(r"[^\w-]", "", id.lower())


def _section(check: Check) -> str:
    parts = [
        f"\n### {check.id}\n",
        f"**{check.title}.** Severity: {check.severity.value}.\n",
        f"{check.doc}\n",
    ]
    facts = check.about.facts if check.about else ()
    parts += [f"* {label}: {_code(' '.join(text.split()))}" for label, text in facts]
    parts.append(
        f"* Required by: {', '.join(f'`{key}`' for key in asked_by(check)) or 'every specification'}"
    )
    if example_id(check) != check.id:
        parts.append(f"* Item, for example: `{example_id(check)}`")
    if check.cluster_wide:
        parts.append("* About the whole cluster: `namespaceScope` does not limit it")
    if check.controls:
        controls = (f"{name} {', '.join(ids)}" for name, ids in sorted(check.controls.items()))
        parts.append(f"* Controls: {'; '.join(controls)}")
    parts.append(f"* Fix: {check.remediation}")
    if check.not_admission:
        parts.append(f"* Not enforced at admission: {check.not_admission}")
    notes = _notes(check)
    if notes:
        parts += ["", notes]
    return "\n".join(parts)


def _code(text: str) -> str:
    """Brackets, braces and stars of field paths mean themselves in Markdown."""
    return re.sub(r"([*_<>|\[\]])", r"\\\1", text)


def _notes(check: Check) -> str:
    """What the docstring of the module says after its summary."""
    _, _, rest = check.module_doc.partition("\n\n")
    return "\n\n".join(_code(" ".join(paragraph.split())) for paragraph in rest.split("\n\n"))


def main() -> None:
    """Write the page."""
    Path(sys.argv[1]).write_text(render(load_checks().checks), encoding="utf-8")


if __name__ == "__main__":
    main()
