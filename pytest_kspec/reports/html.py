"""The HTML report: one file that loads nothing, for people who decide and for people who fix.

All numbers and orders are made here; the template only lays out. The page's own Content-Security-Policy
lets only its own style and script run, so hostile markup in a name would be harmless even if an escape were
forgotten. Without JavaScript everything is readable; the script adds filters and sorting.
"""

from __future__ import annotations

import base64
import hashlib
from collections import Counter
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import quote

import jinja2
from markupsafe import Markup

from pytest_kspec.model.check import Severity, Verdict
from pytest_kspec.model.finding import AppliedExemption, Finding
from pytest_kspec.model.result import CheckResult, ClusterResult, ScanResult, Summary
from pytest_kspec.reports import order, text, words

_TEMPLATES = Path(__file__).parent / "templates"
_SEVERITIES = tuple(sorted(Severity, key=lambda s: -s.rank))
_FREQUENT = 6


class Group(NamedTuple):
    """Requirements of one verdict (and, where they failed, one severity) on one cluster."""

    title: str
    verdict: str
    checks: list[CheckResult]
    open: bool


class Row(NamedTuple):
    """One cluster: its line in the overview and its section."""

    cluster: ClusterResult
    summary: Summary
    state: str
    title: str
    anchor: str
    failed: dict[str, int]
    groups: list[Group]
    anchors: dict[int, str]


class Frequent(NamedTuple):
    """One requirement that is not met on some of the clusters."""

    check: CheckResult
    failed: int
    errors: int
    clusters: int


def render(result: ScanResult) -> bytes:
    """The page as UTF-8. `result` is in canonical order."""
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(_TEMPLATES),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        undefined=jinja2.StrictUndefined,
    )
    environment.filters.update(
        value=text.value,
        breakable=_breakable,
        printable=lambda name: text.printable(str(name)),
        owners=order.by_owner,
        by_exemption=_by_exemption,
        plural=text.plural,
        moment=words.moment,
        identity=id,
        fragment=lambda anchor: "#" + quote(anchor),
    )
    style = (_TEMPLATES / "report.css").read_text("utf-8")
    script = (_TEMPLATES / "report.js").read_text("utf-8")
    page = environment.get_template("report.html.j2").render(
        **_view(result),
        style=Markup(style),
        script=Markup(script),
        style_hash=_hash(style),
        script_hash=_hash(script),
    )
    return page.encode("utf-8", "replace")


def _hash(source: str) -> str:
    """The source as a Content-Security-Policy names it."""
    return "sha256-" + base64.b64encode(hashlib.sha256(source.encode()).digest()).decode()


def _view(result: ScanResult) -> dict[str, Any]:
    rows = [
        _row(cluster, title, len(result.clusters) == 1)
        for cluster, title in zip(result.clusters, order.titles(result), strict=True)
    ]
    # The worst first: that is where one starts to read.
    rows.sort(key=lambda r: (101 if r.summary.score is None else r.summary.score, -r.summary.errors, r.title))
    summary = result.summary
    frequent = _frequent(rows)
    return {
        "result": result,
        "rows": rows,
        "one": len(rows) == 1,
        "summary": summary,
        "total": summary.passed + summary.failed + summary.errors + summary.skipped,
        "state": words.state(summary),
        "headline": words.headline(result),
        "sentence": words.sentence(summary),
        "specs": sorted({f"{r.cluster.spec_name} {r.cluster.spec_version}".strip() for r in rows}),
        "outcomes": _outcomes(rows),
        "severities": _by_severity(result),
        "frequent": frequent[:_FREQUENT],
        "less_frequent": frequent[_FREQUENT:],
        "words": {verdict.value: word for verdict, word in words.VERDICTS.items()},
        "parts": _parts(summary),
    }


def _parts(summary: Summary) -> list[tuple[str, str, int]]:
    """(verdict, word, count), worst first."""
    return [
        ("error", "Errors", summary.errors),
        ("fail", "Failed", summary.failed),
        ("pass", "Passed", summary.passed),
        ("skip", "Skipped", summary.skipped),
    ]


def _row(cluster: ClusterResult, title: str, alone: bool) -> Row:
    checks = order.worst_first(cluster.checks)
    anchor = "_".join(title.split())
    names = order.unique(f"{anchor}/{'_'.join(c.id.split())}" for c in checks)
    failed = Counter(c.severity.value for c in checks if c.verdict is Verdict.FAIL)
    return Row(
        cluster=cluster,
        summary=cluster.summary,
        state=words.state(cluster.summary),
        title=title,
        anchor=anchor,
        failed={s.value: failed[s.value] for s in _SEVERITIES},
        groups=_groups(checks, alone),
        anchors={id(c): name.replace(" ", "_") for c, name in zip(checks, names, strict=True)},
    )


def _groups(checks: list[CheckResult], alone: bool) -> list[Group]:
    """Errors, failures by severity, skips, passes. What is in order stays closed."""

    def of(verdict: Verdict, severity: Severity | None = None) -> list[CheckResult]:
        return [c for c in checks if c.verdict is verdict and severity in (None, c.severity)]

    groups = [Group("Could not be evaluated", "error", of(Verdict.ERROR), True)]
    groups += [
        Group(f"Failed, {severity.value}", "fail", of(Verdict.FAIL, severity), alone or severity.rank > 1)
        for severity in _SEVERITIES
    ]
    groups += [
        Group("Skipped", "skip", of(Verdict.SKIP), False),
        Group("Passed", "pass", of(Verdict.PASS), False),
    ]
    return [group for group in groups if group.checks]


def _by_severity(result: ScanResult) -> list[tuple[str, dict[str, int]]]:
    counts: Counter[tuple[str, str]] = Counter(
        (check.severity.value, check.verdict.value) for cluster in result.clusters for check in cluster.checks
    )
    return [(s.value, {v.value: counts[s.value, v.value] for v in Verdict}) for s in _SEVERITIES]


def _outcomes(rows: list[Row]) -> list[tuple[str, str, int]]:
    """(state, words, how many clusters)."""
    states = Counter(row.state for row in rows)
    return [(state, word, states[state]) for state, word in words.STATES.items()]


def _frequent(rows: list[Row]) -> list[Frequent]:
    """Requirements that are not met, those of most clusters first."""
    bad: dict[str, list[CheckResult]] = {}
    seen: Counter[str] = Counter()
    for row in rows:
        for check in row.cluster.checks:
            seen[check.id] += 1
            if check.verdict in (Verdict.FAIL, Verdict.ERROR):
                bad.setdefault(check.id, []).append(check)
    found = []
    for check_id, checks in bad.items():
        failed = sum(c.verdict is Verdict.FAIL for c in checks)
        found.append(Frequent(checks[0], failed, len(checks) - failed, seen[check_id]))
    return sorted(found, key=lambda f: (-(f.failed + f.errors), -f.check.severity.rank, f.check.id))


def _breakable(path: str) -> Markup:
    """The field path, with places where a narrow column may break it."""
    return Markup(".<wbr>").join(text.printable(path).split("."))


def _by_exemption(findings: tuple[Finding, ...]) -> list[tuple[AppliedExemption, list[Finding]]]:
    groups: dict[AppliedExemption, list[Finding]] = {}
    for finding in findings:
        if finding.exemption:
            groups.setdefault(finding.exemption, []).append(finding)
    return sorted(groups.items(), key=lambda item: (item[0].name, item[0].reason))
