"""The HTML page in plain sentences: what was looked at, what was found, what was not looked at; and its terms.

For readers who know audits and not Kubernetes. Every number is one that the page shows elsewhere too.
"""

from __future__ import annotations

from typing import NamedTuple

from pytest_kspec.reports.html.frameworks import View
from pytest_kspec.reports.html.rows import Row
from pytest_kspec.reports.shared import words
from pytest_kspec.reports.shared.text import plural, printable
from pytest_kspec.results.finding import FindingStatus
from pytest_kspec.results.order import WORST_SEVERITIES_FIRST
from pytest_kspec.results.result import ScanResult
from pytest_kspec.results.totals import Totals
from pytest_kspec.results.verdict import Verdict

_SOURCES = {
    "live": "read from the running {}",
    "snapshot": "read from an earlier snapshot of the {}",
    "manifests": "read from manifest files; no running cluster was examined",
}
_NAMED = 3


class Sentences(NamedTuple):
    """Paragraphs of the executive summary; none is empty but perhaps `open_points`, a list."""

    looked_at: str
    found: str
    accepted: str
    open_points: list[str]


def sentences(result: ScanResult, rows: list[Row], views: list[View], totals: Totals) -> Sentences:
    """The executive summary."""
    return Sentences(
        _looked_at(result, rows), _found(totals), _accepted(totals), _not_looked_at(rows, views, totals)
    )


def _looked_at(result: ScanResult, rows: list[Row]) -> str:
    if not rows:
        return "No cluster was examined."
    specs = sorted({f"{r.cluster.spec_name} {r.cluster.spec_version}".strip() for r in rows})
    named = (
        f"the specification {printable(specs[0])}" if len(specs) == 1 else plural(len(specs), "specification")
    )
    clusters = len({r.cluster.id for r in rows})
    what = f"the cluster {printable(rows[0].cluster.name)}" if clusters == 1 else plural(clusters, "cluster")
    kinds = sorted({row.cluster.source for row in rows})
    sources = "; ".join(
        _SOURCES.get(kind, f"read from: {printable(kind)}").format("cluster" if clusters == 1 else "clusters")
        for kind in kinds
    )
    results = sum(len(row.cluster.checks) for row in rows)
    recorded = words.recordings(result)
    when = f" The snapshots were recorded: {recorded}." if recorded else ""
    return (
        f"On {words.moment(result.started_at)}, {what} {'was' if clusters == 1 else 'were'} compared with {named}: "
        f"{plural(results, 'requirement')}{' in all' if len(rows) > 1 else ''}. "
        f"The configuration was {sources}.{when}"
    )


def _found(totals: Totals) -> str:
    by_verdict, found = totals.requirements, totals.findings[FindingStatus.OPEN]
    said = (
        f"{plural(by_verdict[Verdict.PASS], 'requirement')} passed, {by_verdict[Verdict.FAIL]:,} failed, "
        f"{by_verdict[Verdict.ERROR]:,} could not be evaluated, {by_verdict[Verdict.SKIP]:,} skipped."
    )
    count = totals.count(FindingStatus.OPEN)
    if not count:
        return f"{said} There are no open findings."
    severities = ", ".join(f"{found[s]:,} {s.value}" for s in WORST_SEVERITIES_FIRST if found[s])
    verb = "is" if count == 1 else "are"
    return f"{said} There {verb} {plural(count, 'open finding')}: {severities}."


def _accepted(totals: Totals) -> str:
    exempt, known = totals.count(FindingStatus.EXEMPT), totals.count(FindingStatus.KNOWN)
    if not exempt + known:
        return "No findings are exempted, and no findings are known from a baseline."
    return (
        f"{plural(exempt, 'further finding')} {'is' if exempt == 1 else 'are'} covered by exemptions, and {known:,} "
        f"{'is' if known == 1 else 'are'} known from a baseline. They are shown below and do not cause a failure."
    )


def _not_looked_at(rows: list[Row], views: list[View], totals: Totals) -> list[str]:
    said = []
    if errors := totals.requirements[Verdict.ERROR]:
        titles = sorted({e.check.title for r in rows for e in r.entries if e.check.verdict is Verdict.ERROR})
        named = "; ".join(map(printable, titles[:_NAMED])) + (" and others" if len(titles) > _NAMED else "")
        said.append(
            f"{plural(errors, 'requirement')} could not be evaluated. Nothing is known about: {named}."
        )
    if skipped := totals.requirements[Verdict.SKIP]:
        said.append(
            f"{plural(skipped, 'requirement')} {'was' if skipped == 1 else 'were'} skipped: there were no objects "
            "to examine, or the specification was not active. Each requirement states the reason."
        )
    if left := sum(len(row.cluster.not_evaluated) for row in rows):
        what = f"{plural(left, 'entry', 'entries')} of the specification"
        said.append(f"{what} {'was' if left == 1 else 'were'} not evaluated, or not evaluated everywhere.")
    for view in views:
        counts = {status: count for status, _, count in view.parts}
        if counts["manual"] or counts["notEvaluated"]:
            said.append(
                f"{printable(view.name)}: {plural(counts['manual'], 'control')} must be reviewed manually and "
                f"{counts['notEvaluated']:,} {'was' if counts['notEvaluated'] == 1 else 'were'} not evaluated. "
                "None of them counts as met."
            )
    said.append(
        "A scan reads configuration at one moment. Anything that the requirements below do not cover was not "
        "examined; people, processes and the inside of running programs were not examined either."
    )
    return said


TERMS = (
    ("Cluster", "A group of computers that Kubernetes runs programs on, and its configuration."),
    (
        "Requirement",
        "One statement that the specification makes about a cluster, such as “no container runs privileged”.",
    ),
    (
        "Passed, failed, error, skipped",
        "Passed: everything that was examined meets the requirement. Failed: "
        "something does not. Error: it could not be "
        "evaluated, which counts as not met. Skipped: there was nothing to examine, which does not count.",
    ),
    (
        "Finding",
        "One place that does not meet a requirement. A program that runs in 50 copies is one finding, marked ×50.",
    ),
    (
        "Object, Deployment, Pod",
        "An object is one piece of configuration. A Pod is a running program; "
        "a Deployment manages several identical Pods.",
    ),
    (
        "Namespace",
        "A part of a cluster, often one team’s or one application’s. It is shown before the slash: shop/web.",
    ),
    ("Severity", "Severity of a violation of the requirement: critical, high, medium or low."),
    (
        "Exempted",
        "The finding was accepted with a reason, usually with a name and an "
        "end date. After the end date it counts again.",
    ),
    (
        "Known",
        "The finding is in the baseline. It does not cause a failure, but the requirement does not count as met.",
    ),
    (
        "Framework, control",
        "A published standard, and one numbered statement in it. Requirements cover controls, some only in part.",
    ),
    (
        "Score and coverage",
        "The score is the share of evaluated requirements that are met. "
        "Coverage is the share that was evaluated: a high "
        "score with a low coverage means little.",
    ),
)
