"""Verdicts and counts in words: every report that people read says the same thing in the same way."""

from __future__ import annotations

from collections import Counter
from datetime import datetime

from pytest_kspec.reports.shared.text import plural, printable
from pytest_kspec.results.finding import FindingStatus
from pytest_kspec.results.frameworks import ControlStatus, FrameworkSummary
from pytest_kspec.results.result import CheckResult, ClusterResult, ScanResult, Summary
from pytest_kspec.results.totals import Totals
from pytest_kspec.results.verdict import NOTHING_TO_EXAMINE, Verdict

VERDICTS = {Verdict.ERROR: "Error", Verdict.FAIL: "Failed", Verdict.PASS: "Passed", Verdict.SKIP: "Skipped"}
STATES = {
    "fail": "Not compliant",
    "error": "Not fully evaluated",
    "pass": "Compliant",
    "known": "Only known findings",
    "skip": "Nothing evaluated",
}
STATUSES = {FindingStatus.OPEN: "open", FindingStatus.KNOWN: "known", FindingStatus.EXEMPT: "exempted"}
CONTROLS = {
    ControlStatus.MET: "met",
    ControlStatus.PARTLY_MET: "partially met",
    ControlStatus.NOT_MET: "not met",
    ControlStatus.NOT_EVALUATED: "not evaluated",
    ControlStatus.MANUAL: "manual review",
}
_MONTHS = (
    *("January", "February", "March", "April", "May", "June"),
    *("July", "August", "September", "October", "November", "December"),
)


def state(summary: Summary) -> str:
    """A key of STATES. A baseline fails no run, and is no compliance.

    Errors first, as for a verdict: of a cluster that could not be looked at nobody knows how well it is configured.
    """
    if summary.errors:
        return "error"
    if summary.failed:
        return "fail"
    if summary.tolerated:
        return "known"
    return "pass" if summary.passed else "skip"


def overall(summary: Summary) -> str:
    """A key of STATES, for a whole run: what failed is certain, whatever else could not be evaluated."""
    return "fail" if summary.failed else state(summary)


def standing(summary: Summary) -> str:
    """The state in words, both where a cluster is not compliant and could not be fully evaluated."""
    both = summary.failed and summary.errors
    return "Not compliant, and not fully evaluated" if both else STATES[state(summary)]


def coverage(summary: Summary) -> str:
    """`11 of 39`: how many requirements were evaluated of those that apply."""
    return f"{summary.evaluated:,} of {summary.applicable:,}"


def recordings(result: ScanResult) -> str:
    """When the recordings that were looked at were made: a moment, or the first and the last; "" without any."""
    times = sorted({c.evidence.recorded_at for c in result.clusters if c.evidence.recorded_at})
    if not times:
        return ""
    return moment(times[0]) if len(times) == 1 else f"{moment(times[0])} to {moment(times[-1])}"


def looked_at(cluster: ClusterResult) -> str:
    """`recorded 24 November 2026, 06:00 UTC`, else `live` or `manifests`."""
    recorded = cluster.evidence.recorded_at
    return f"recorded {moment(recorded)}" if recorded else printable(cluster.source)


def by_cluster(result: ScanResult) -> list[Summary]:
    """One summary for each cluster, of all specifications that it was held to."""
    checks: dict[str, list[CheckResult]] = {}
    for cluster in result.clusters:
        checks.setdefault(cluster.id, []).extend(cluster.checks)
    return [Summary.of(some) for some in checks.values()]


def not_looked_at(result: ScanResult) -> int:
    """Results (of one specification on one cluster) of which nothing was evaluated."""
    return sum(1 for cluster in result.clusters if state(cluster.summary) == "skip")


def nothing_evaluated(cluster: ClusterResult) -> str:
    """What is said of a result of which nothing was evaluated, as a problem."""
    spec = printable(f"{cluster.spec_name} {cluster.spec_version}".strip())
    what = f"{printable(cluster.name)}: nothing was evaluated for {spec}"
    reasons = {check.reason for check in cluster.checks}
    if reasons and NOTHING_TO_EXAMINE not in reasons:
        more = f" (and {len(reasons) - 1} more)" if len(reasons) > 1 else ""
        return f"{what}: every check was skipped. Reason: {printable(min(reasons))}{more}."
    return f"{what}: no object matches its requirements. Check that this is the right cluster or folder."


def requirements(result: ScanResult) -> str:
    """How many requirements the results are about: `36 requirements`, or `2 of 36 requirements, as selected`."""
    selected = sum(len(cluster.checks) for cluster in result.clusters)
    left_out = sum(len(cluster.not_selected) for cluster in result.clusters)
    return as_selected(selected, left_out) or plural(selected, "requirement")


def as_selected(selected: int, left_out: int) -> str:
    """What is said of a partial run: `2 of 36 requirements, as selected`; "" of a whole one."""
    return f"{selected:,} of {plural(selected + left_out, 'requirement')}, as selected" if left_out else ""


def headline(result: ScanResult) -> str:
    """The verdict in one line, without a full stop: `2 of 5 clusters are not compliant`; and whether it is of all."""
    said = _state_of_all(result)
    if any(cluster.is_partial for cluster in result.clusters):
        return f"{said}; this run evaluated {requirements(result)}"
    return said


def _state_of_all(result: ScanResult) -> str:
    summaries = by_cluster(result)
    states = Counter(state(summary) for summary in summaries)
    if states["skip"] == len(summaries):
        return "Nothing was evaluated"
    if len(summaries) == 1:
        ends = {
            "fail": "is not compliant",
            "error": "could not be fully evaluated",
            "known": "has only known findings",
            "pass": "is compliant",
        }
        (only,) = states
        if only == "error" and summaries[0].failed:
            return f"{printable(result.clusters[0].name)} is not compliant, and could not be fully evaluated"
        said = f"{printable(result.clusters[0].name)} {ends[only]}"
        blank, of = not_looked_at(result), len(result.clusters)
        if blank and only in ("known", "pass"):
            return f"{said}; nothing was evaluated for {blank} of {of} specifications"
        return said
    failed, unclear = sum(s.failed > 0 for s in summaries), states["error"]
    if failed:
        said = f"{failed} of {len(summaries)} clusters {'is' if failed == 1 else 'are'} not compliant"
        return f"{said}; {unclear} could not be fully evaluated" if unclear else said
    if unclear:
        return f"{unclear} of {len(summaries)} clusters could not be fully evaluated"
    good = states["pass"] + states["known"]
    who = f"All {good}" if good == len(summaries) else f"{good} of {len(summaries)}"
    if states["known"]:
        said = f"{who} clusters {'has' if good == 1 else 'have'} only known findings"
    else:
        said = f"{who} clusters {'is' if good == 1 else 'are'} compliant"
    blank = states["skip"]
    return f"{said}; nothing was evaluated for {blank}" if blank else said


def sentence(summary: Summary) -> str:
    """Requirements in full sentences."""
    applicable = summary.passed + summary.failed + summary.errors
    if not applicable:
        return "No requirement was evaluated; each has a reason."
    parts = [f"{summary.met:,} of {plural(applicable, 'applicable requirement')} are met."]
    if summary.failed:
        parts.append(f"{summary.failed:,} {'is' if summary.failed == 1 else 'are'} not.")
    if summary.tolerated:
        verb = "passes" if summary.tolerated == 1 else "pass"
        parts.append(f"{summary.tolerated:,} {verb} only because the baseline contains the findings.")
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
    """`87.5`, or `none` where nothing was evaluated."""
    return "none" if summary.score is None else f"{summary.score:.1f}"


def found(totals: Totals) -> str:
    """`12 findings: 7 open, 2 known, 3 exempted`."""
    parts = ", ".join(f"{totals.count(status):,} {word}" for status, word in STATUSES.items())
    return f"{plural(totals.all_findings, 'finding')}: {parts}"


def assessed(summary: FrameworkSummary) -> str:
    """`12 controls: 3 met, 1 partially met, 2 not met, 4 not evaluated, 2 for manual review`."""
    counts = {
        "met": summary.met,
        "partially met": summary.partly_met,
        "not met": summary.not_met,
        "not evaluated": summary.not_evaluated,
        "for manual review": summary.manual,
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
