"""What the HTML page shows of each cluster: its groups of requirements, and how many findings stand in the page itself.

A browser takes seconds for the markup of 50,000 findings. Those of the worst clusters, up to STATIC in all, are markup
that needs no script; all of them are in the page's data, which the script draws from where it is asked to.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from typing import NamedTuple

from pytest_kspec.reports.shared import fleet, words
from pytest_kspec.reports.shared.text import baseline_notes, printable
from pytest_kspec.reports.shared.titles import cluster_titles, unique
from pytest_kspec.results.evidence import ExemptionUse
from pytest_kspec.results.finding import AppliedExemption, Finding, FindingStatus
from pytest_kspec.results.order import WORST_SEVERITIES_FIRST, worst_first
from pytest_kspec.results.result import CheckResult, ClusterResult, ScanResult, Summary
from pytest_kspec.results.verdict import Verdict

STATIC = 2_000
"""Findings that are markup; more are in the data only."""
Exempted = list[tuple[AppliedExemption, list[Finding]]]


class Portion(NamedTuple):
    """Findings of one requirement by status, in the order of the page."""

    open: list[Finding]
    known: list[Finding]
    exempted: Exempted

    @property
    def size(self) -> int:
        """How many."""
        return len(self.open) + len(self.known) + sum(len(group) for _, group in self.exempted)

    def first(self, limit: int) -> Portion:
        """At most so many of them."""
        found, known = self.open[:limit], self.known[: max(limit - len(self.open), 0)]
        room = limit - len(found) - len(known)
        exempted: Exempted = []
        for exemption, group in self.exempted:
            if room > 0:
                exempted.append((exemption, group[:room]))
                room -= len(group)
        return Portion(found, known, exempted)


class Entry(NamedTuple):
    """One requirement on one cluster. part: what is markup of all its findings; left: how many more there are."""

    check: CheckResult
    anchor: str
    all: Portion
    part: Portion
    left: int
    counts: dict[str, int]

    @property
    def amount(self) -> str:
        """`12 findings, 3 known, 1 exempted`, or ""."""
        found = self.counts
        said = [f"{found['open']:,} finding{'s' if found['open'] != 1 else ''}"] if found["open"] else []
        said += [f"{found['known']:,} known"] if found["known"] else []
        said += [f"{found['exempt']:,} exempted"] if found["exempt"] else []
        return ", ".join(said)


class Group(NamedTuple):
    """Requirements of one verdict (and, where they failed, one severity) on one cluster."""

    title: str
    verdict: str
    entries: list[Entry]
    open: bool


class Row(NamedTuple):
    """One cluster: its line in the overview and its section. uses: its exemptions with their anchors."""

    cluster: ClusterResult
    name: str
    summary: Summary
    state: str
    title: str
    anchor: str
    failed: dict[str, int]
    groups: list[Group]
    by_id: dict[str, Entry]
    uses: list[tuple[ExemptionUse, str]]
    exemption_anchors: dict[str, str]
    baseline: list[str]

    @property
    def entries(self) -> list[Entry]:
        """In the order of the page."""
        return [entry for group in self.groups for entry in group.entries]


def of(result: ScanResult) -> list[Row]:
    """Those that could not be fully evaluated, then the worst: that is where one starts to read."""
    titled = list(
        zip(
            result.clusters,
            fleet.names(result),
            (c.summary for c in result.clusters),
            cluster_titles(result),
            strict=True,
        )
    )
    titled.sort(key=lambda t: fleet.rank(t[2], t[3]))
    room = STATIC
    rows = []
    for cluster, name, summary, title in titled:
        row = _row(cluster, name, summary, title, len(titled) == 1, room)
        room -= sum(entry.part.size for entry in row.entries)
        rows.append(row)
    return rows


def _row(cluster: ClusterResult, name: str, summary: Summary, title: str, alone: bool, room: int) -> Row:
    checks = worst_first(cluster.checks)
    anchor = "_".join(printable(title).split())
    names = unique(f"{anchor}/{'_'.join(check.id.split())}" for check in checks)
    entries = []
    for check, place in zip(checks, names, strict=True):
        entry = _entry(check, place.replace(" ", "_"), room)
        room -= entry.part.size
        entries.append(entry)
    failed = Counter(c.severity.value for c in checks if c.verdict is Verdict.FAIL)
    used = unique(f"{anchor}//{'_'.join(use.name.split())}" for use in cluster.exemptions)
    uses = [(use, place.replace(" ", "_")) for use, place in zip(cluster.exemptions, used, strict=True)]
    return Row(
        cluster=cluster,
        name=name,
        summary=summary,
        state=words.state(summary),
        title=title,
        anchor=anchor,
        failed={s.value: failed[s.value] for s in WORST_SEVERITIES_FIRST},
        groups=_groups(entries, alone),
        by_id={entry.check.id: entry for entry in reversed(entries)},
        uses=uses,
        exemption_anchors={use.name: place for use, place in reversed(uses)},
        baseline=baseline_notes(cluster),
    )


def _entry(check: CheckResult, anchor: str, room: int) -> Entry:
    if not check.findings:
        return Entry(check, anchor, _NONE, _NONE, 0, _NO_COUNTS)
    by_status: dict[FindingStatus, list[Finding]] = {status: [] for status in FindingStatus}
    for finding in check.findings:
        by_status[finding.status].append(finding)
    found = Portion(
        by_status[FindingStatus.OPEN],
        by_status[FindingStatus.KNOWN],
        _by_exemption(by_status[FindingStatus.EXEMPT]),
    )
    part = found if found.size <= room else found.first(max(room, 0))
    counts = {status.value: len(by_status[status]) for status in FindingStatus}
    return Entry(check, anchor, found, part, found.size - part.size, counts)


_NONE = Portion([], [], [])
_NO_COUNTS = dict.fromkeys((status.value for status in FindingStatus), 0)


def _groups(entries: list[Entry], alone: bool) -> list[Group]:
    """Errors, failures by severity, skips, passes. What is in order stays closed."""
    groups: dict[tuple[str, str, bool], list[Entry]] = {}
    for entry in entries:
        severity = entry.check.severity
        key = {
            Verdict.ERROR: ("Could not be evaluated", "error", True),
            Verdict.FAIL: (f"Failed, {severity.value}", "fail", alone or severity.rank > 1),
            Verdict.SKIP: ("Skipped", "skip", False),
            Verdict.PASS: ("Passed", "pass", False),
        }[entry.check.verdict]
        groups.setdefault(key, []).append(entry)
    return [Group(title, verdict, of, opened) for (title, verdict, opened), of in groups.items()]


def _by_exemption(findings: Iterable[Finding]) -> Exempted:
    groups: dict[AppliedExemption, list[Finding]] = {}
    for finding in findings:
        if finding.exemption:
            groups.setdefault(finding.exemption, []).append(finding)
    return sorted(groups.items(), key=lambda item: (item[0].name, item[0].reason))
