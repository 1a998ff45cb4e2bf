"""Verdicts and counts in words: every report that people read says the same thing in the same way."""

from __future__ import annotations

from datetime import datetime

from pytest_kspec.model.check import Verdict
from pytest_kspec.model.finding import FindingStatus
from pytest_kspec.model.frameworks import ControlStatus, FrameworkSummary
from pytest_kspec.model.result import CheckResult, ScanResult, Summary
from pytest_kspec.model.totals import Totals
from pytest_kspec.reports.text import plural, printable

VERDICTS = {Verdict.ERROR: "Error", Verdict.FAIL: "Failed", Verdict.PASS: "Passed", Verdict.SKIP: "Skipped"}
STATES = {
    "fail": "Not compliant",
    "error": "Not fully evaluated",
    "pass": "Compliant",
    "skip": "Nothing evaluated",
}
STATUSES = {FindingStatus.OPEN: "open", FindingStatus.KNOWN: "known", FindingStatus.EXEMPT: "exempted"}
CONTROLS = {
    ControlStatus.MET: "met",
    ControlStatus.PARTLY_MET: "met in part",
    ControlStatus.NOT_MET: "not met",
    ControlStatus.NOT_EVALUATED: "not evaluated",
    ControlStatus.MANUAL: "for a person",
}
_MONTHS = (
    *("January", "February", "March", "April", "May", "June"),
    *("July", "August", "September", "October", "November", "December"),
)


def state(summary: Summary) -> str:
    """A key of STATES."""
    if summary.failed:
        return "fail"
    if summary.errors:
        return "error"
    return "pass" if summary.passed else "skip"


def headline(result: ScanResult) -> str:
    """The verdict in one line, without a full stop: `2 of 5 clusters are not compliant`."""
    summaries = [cluster.summary for cluster in result.clusters]
    if not any(s.passed + s.failed + s.errors for s in summaries):
        return "Nothing was evaluated"
    if len(summaries) == 1:
        ends = {"fail": "is not compliant", "error": "could not be fully evaluated", "pass": "is compliant"}
        if summaries[0].known:  # a baseline fails no run, and is no compliance
            ends["pass"] = "has no findings but known ones"
        return f"{printable(result.clusters[0].name)} {ends[state(summaries[0])]}"
    bad = sum(1 for s in summaries if s.failed)
    unclear = sum(1 for s in summaries if s.errors and not s.failed)
    if bad:
        return f"{bad} of {len(summaries)} clusters {'is' if bad == 1 else 'are'} not compliant"
    if unclear:
        return f"{unclear} of {len(summaries)} clusters could not be fully evaluated"
    if any(s.known for s in summaries):
        return f"All {len(summaries)} clusters have no findings but known ones"
    return f"All {len(summaries)} clusters are compliant"


def sentence(summary: Summary) -> str:
    """Requirements in full sentences."""
    applicable = summary.passed + summary.failed + summary.errors
    if not applicable:
        return "No requirement applied to anything that was examined."
    parts = [f"{summary.passed:,} of {plural(applicable, 'applicable requirement')} are met."]
    if summary.failed:
        parts.append(f"{summary.failed:,} {'is' if summary.failed == 1 else 'are'} not.")
    if summary.errors:
        parts.append(f"{summary.errors:,} could not be evaluated and count as not met.")
    if summary.exempt:
        verb = "is" if summary.exempt == 1 else "are"
        parts.append(f"{plural(summary.exempt, 'finding')} {verb} covered by exemptions.")
    if summary.known:
        verb = "is" if summary.known == 1 else "are"
        parts.append(f"{plural(summary.known, 'finding')} {verb} known from the baseline.")
    return " ".join(parts)


def score(summary: Summary) -> str:
    """`87.5`, or `none` where nothing was applicable."""
    return "none" if summary.score is None else f"{summary.score:.1f}"


def found(totals: Totals) -> str:
    """`12 findings: 7 open, 2 known, 3 exempted`."""
    parts = ", ".join(f"{totals.count(status):,} {word}" for status, word in STATUSES.items())
    return f"{plural(totals.all_findings, 'finding')}: {parts}"


def assessed(summary: FrameworkSummary) -> str:
    """`12 controls: 3 met, 1 met in part, 2 not met, 4 not evaluated, 2 for a person to look at`."""
    counts = {
        "met": summary.met,
        "met in part": summary.partly_met,
        "not met": summary.not_met,
        "not evaluated": summary.not_evaluated,
        "for a person to look at": summary.manual,
    }
    return f"{plural(summary.total, 'control')}: {', '.join(f'{n:,} {word}' for word, n in counts.items())}"


def controls(check: CheckResult) -> str:
    """`cis-kubernetes-1.10 5.2.2; nist-800-53 AC-6, CM-7`, or ""."""
    return "; ".join(f"{name} {', '.join(ids)}" for name, ids in sorted(check.controls.items()))


def moment(rfc3339: str) -> str:
    """`24 November 2026, 06:00 UTC`; a text that is no time stays as it is."""
    try:
        at = datetime.fromisoformat(rfc3339)
    except ValueError:
        return printable(rfc3339)
    zone = at.strftime("%z")
    zone = "" if not zone else " UTC" if zone == "+0000" else f" UTC{zone[:3]}:{zone[3:]}"
    # Not strftime("%B"), which follows the locale.
    return f"{at.day} {_MONTHS[at.month - 1]} {at.year}, {at:%H:%M}{zone}"


def until(expires_at: str) -> str:
    """The end of an exemption: its date where that is the end of the day, else the moment; `no end date`."""
    if expires_at[10:19] == "T23:59:59":
        return printable(expires_at[:10])
    return printable(expires_at) or "no end date"
