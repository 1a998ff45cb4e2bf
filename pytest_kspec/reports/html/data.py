"""The page's data: every finding as a few numbers that point into one list of texts, for the script to search and draw.

Written as JSON in a script element that no browser runs. 50,000 findings take some 3 MB.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any

from pytest_kspec.reports.html.frameworks import View
from pytest_kspec.reports.html.rows import Entry, Portion, Row
from pytest_kspec.reports.shared import text, words
from pytest_kspec.results.finding import AppliedExemption, Finding, FindingStatus
from pytest_kspec.results.verdict import Severity, Verdict

STATUSES = list(FindingStatus)
VERDICTS = list(Verdict)
SEVERITIES = list(Severity)


def render(rows: Iterable[Row], views: Iterable[View]) -> str:
    """JSON without a `<`, so that nothing in it ends its element.

    texts:      every text once
    owners:     [kind, "namespace/name"] as numbers of texts
    exemptions: [name, reason, who, anchor] as numbers of texts
    clusters:   [{"id": anchor, "name", "checks": [[anchor behind the cluster's, verdict, severity, texts to search,
                findings]]}]; a finding is ten numbers: status, owner, resource, path, found, expected, message, count,
                exemption, fix; -1 where there is none
    frameworks: [{"id": anchor, "columns": [cluster], "rows": [[control, title, a letter for each column]],
                "links": [[check, number of its anchor] …]}]; see `html_frameworks`
    """
    table = _Table()
    clusters = [
        {
            "id": row.anchor,
            "name": table.text(row.name),
            "checks": [table.entry(row, entry) for entry in row.entries],
        }
        for row in rows
    ]
    document = {
        "texts": list(table.texts),
        "owners": list(table.owners.values()),
        "exemptions": list(table.exemptions.values()),
        "verdicts": [v.value for v in VERDICTS],
        "severities": [s.value for s in SEVERITIES],
        "statuses": [s.value for s in STATUSES],
        "clusters": clusters,
        "frameworks": [view.matrix() for view in views if len(view.results) > 1],
    }
    return json.dumps(document, ensure_ascii=False, separators=(",", ":")).replace("<", "\\u003c")


class _Table:
    """Texts, owners and exemptions with their numbers."""

    def __init__(self) -> None:
        self.texts: dict[str, int] = {}
        self.owners: dict[Any, list[int]] = {}
        self.exemptions: dict[tuple[str, AppliedExemption], list[int]] = {}
        self._owner_numbers: dict[Any, int] = {}
        self._exemption_numbers: dict[Any, int] = {}

    def text(self, one: str) -> int:
        return self.texts.setdefault(one, len(self.texts))

    def entry(self, row: Row, entry: Entry) -> list[Any]:
        check = entry.check
        said = [check.title, check.id, check.reason, check.location, check.remediation, words.controls(check)]
        return [
            entry.anchor[len(row.anchor) + 1 :],
            VERDICTS.index(check.verdict),
            SEVERITIES.index(check.severity),
            [self.text(text.printable(one)) for one in said if one],
            self._findings(row, entry.all),
        ]

    def _findings(self, row: Row, found: Portion) -> list[int]:
        numbers: list[int] = []
        for finding in found.open:
            numbers += self._finding(finding, 0, -1)
        for finding in found.known:
            numbers += self._finding(finding, 1, -1)
        for exemption, group in found.exempted:
            number = self._exemption(row, exemption)
            for finding in group:
                numbers += self._finding(finding, 2, number)
        return numbers

    def _finding(self, finding: Finding, status: int, exemption: int) -> Iterable[int]:
        owner = self._owner_numbers.get(finding.owner)
        if owner is None:
            owner = self._owner_numbers[finding.owner] = len(self.owners)
            self.owners[finding.owner] = [self.text(one) for one in owner_name(finding)]
        changed = shows_change(finding)
        return (
            status,
            owner,
            self.text(text.printable(str(finding.resource))) if finding.resource != finding.owner else -1,
            self.text(text.printable(finding.path)) if finding.path else -1,
            self.text(text.value(finding.actual)) if changed else -1,
            self.text(text.printable(finding.expected)) if changed and finding.expected else -1,
            self.text(text.printable(finding.message)),
            finding.count,
            exemption,
            self.text(patch(finding.fix)) if finding.fix is not None else -1,
        )

    def _exemption(self, row: Row, exemption: AppliedExemption) -> int:
        key = (row.anchor, exemption)
        number = self._exemption_numbers.get(key)
        if number is None:
            number = self._exemption_numbers[key] = len(self.exemptions)
            said = (
                text.printable(exemption.name),
                text.printable_lines(exemption.reason),
                terms(exemption),
                row.exemption_anchors.get(exemption.name, ""),
            )
            self.exemptions[key] = [self.text(one) for one in said]
        return number


def owner_name(finding: Finding) -> tuple[str, str]:
    """("Deployment", "shop/web"); ("Cluster", "") for the cluster itself."""
    owner = finding.owner
    name = f"{owner.namespace}/{owner.name}" if owner.namespace else owner.name
    return text.printable(owner.kind) or "Cluster", text.printable(name)


def shows_change(finding: Finding) -> bool:
    """Whether there is something to say about what was found and what is expected."""
    return bool(finding.path or finding.actual is not None or finding.expected)


def patch(fix: Any) -> str:
    """The patch as JSON, which `kubectl patch --patch-file` and `kubectl create -f` take."""
    plain = json.dumps(fix, ensure_ascii=False, indent=2)
    # What could hide in a text, such as a change of direction, is seen, and JSON still.
    return plain if plain.replace("\n", "").isprintable() else json.dumps(fix, indent=2)


def terms(exemption: AppliedExemption) -> str:
    """`Approved by j.doe@example.com, until 31 March 2027, 00:00 UTC`."""
    approved = (
        f"Approved by {text.printable(exemption.approver)}" if exemption.approver else "No approver given"
    )
    until = f"until {words.moment(exemption.expires_at)}" if exemption.expires_at else "no end date"
    return f"{approved}, {until}"
