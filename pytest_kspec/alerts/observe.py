"""What a result says: which alerts are active, and about which nothing is known.

An alert ends only where its requirement was evaluated and is met, or is no longer required. After an error, or where a
check could not look, it stays as it was.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from pytest_kspec.alerts.alert import MOST_MEMBERS, Alert, Level
from pytest_kspec.reports.shared.text import plural, told_apart
from pytest_kspec.results.finding import Finding
from pytest_kspec.results.fingerprint import fingerprint
from pytest_kspec.results.result import CheckResult, ClusterResult, Summary, is_of_any
from pytest_kspec.results.verdict import Severity, Verdict

EXPIRING = timedelta(days=7)
"""How long before its end an exemption that is used is an alert."""

_LEVELS = {
    Severity.CRITICAL: Level.CRITICAL,
    Severity.HIGH: Level.CRITICAL,
    Severity.MEDIUM: Level.WARNING,
    Severity.LOW: Level.INFO,
}
_SHOWN = 5
FAILURE, UNREACHABLE = "ComplianceFailure", "ClusterUnreachable"
_OF_ALL = frozenset(("ScanFailed", "ExemptionExpiring"))
"""Events about a whole result: where not all was looked at, one that is not active need not have ended."""
LONGEST_LINE = 300


@dataclass(frozen=True, slots=True)
class Observation:
    """One specification on one cluster at one moment.

    at:      RFC 3339 in UTC
    active:  alerts of now. Every other one of this cluster and specification has ended, but for:
    unknown: requirements whose alerts stay as they are, `id` also for all parameter sets of it; None: all alerts stay
    stay:    events of which nothing ends
    judges:  events of which this says whether they are active; alerts of others stay as they are
    """

    cluster: str
    cluster_id: str
    spec: str
    at: str
    active: tuple[Alert, ...]
    unknown: frozenset[str] | None = frozenset()
    judges: frozenset[str] = frozenset(
        ("ComplianceFailure", "ScanFailed", "ClusterUnreachable", "ExemptionExpiring")
    )
    stay: frozenset[str] = frozenset()

    def leaves(self, alert: Alert) -> bool:
        """Whether nothing is known of an alert that is not active: it stays as it is."""
        if self.unknown is None or alert.event in self.stay:
            return True
        return alert.event == FAILURE and is_of_any(alert.about, self.unknown)


def observe(cluster: ClusterResult, at: str) -> Observation:
    """What a result says. at: when it was made, RFC 3339."""
    failed = [check for check in cluster.checks if check.verdict is Verdict.ERROR]
    evaluated = [check for check in cluster.checks if check.verdict in (Verdict.PASS, Verdict.FAIL)]
    if failed and not evaluated and not cluster.uid and cluster.source == "live":
        return Observation(
            cluster.name, cluster.id, cluster.spec_name, at, (_unreachable(cluster, failed),), None
        )
    summary = cluster.summary  # of all checks: not for each of them
    titles = told_apart((check.title, check.id) for check in cluster.checks)
    active = [
        _failure(cluster, check, title, summary)
        for check, title in zip(cluster.checks, titles, strict=True)
        if check.verdict is Verdict.FAIL
    ]
    if failed:
        active.append(_not_evaluated(cluster, failed))
    active += _expiring(cluster, at)
    unknown = {check.id for check in cluster.checks if not cluster.looked_at(check)}
    stay: frozenset[str] = frozenset()
    if cluster.is_partial or cluster.is_empty:
        stay = _OF_ALL
    elif failed:  # which exemptions are used is not known
        stay = frozenset(("ExemptionExpiring",))
    if not any(cluster.looked_at(check) for check in cluster.checks) and not cluster.uid:
        return Observation(cluster.name, cluster.id, cluster.spec_name, at, tuple(active), None)
    if cluster.is_empty:
        stay |= {FAILURE}
    # What a baseline has is there: such a requirement fails no run, and is not met.
    unknown |= {check.id for check in cluster.checks if check.verdict is Verdict.PASS and not check.is_met}
    unknown |= set(cluster.not_selected)
    return Observation(
        cluster.name, cluster.id, cluster.spec_name, at, tuple(active), frozenset(unknown), stay=stay
    )


def _of(cluster: ClusterResult, event: str, level: Level | None, about: str = "") -> Alert:
    labels = {
        "cluster": cluster.name,
        "cluster_uid": cluster.id,
        "spec": cluster.spec_name,
    }
    if about:
        labels["check"] = about
    return Alert(event, level, cluster.name, cluster.id, cluster.spec_name, about, "", "", labels)


def _failure(cluster: ClusterResult, check: CheckResult, title: str, summary: Summary) -> Alert:
    found = check.open_findings
    members = {fingerprint(cluster.id, check.id, finding) for finding in found}
    lines = [_cut(_told(finding)) for finding in found[:_SHOWN]]
    if len(found) > _SHOWN:
        lines.append(f"and {len(found) - _SHOWN} more")
    if check.remediation:
        lines.append(_cut(check.remediation))
    made = _of(cluster, FAILURE, _LEVELS[check.severity], check.id)
    return replace(
        made,
        title=f"{title} is not met on {cluster.name}",
        description="\n".join(lines),
        metadata={
            "score": summary.score,
            "total_checks": len(cluster.checks),
            "passed": summary.passed,
            "failed": summary.failed,
            "findings": len(found),
            "check_severity": check.severity.value,
        },
        members=frozenset(sorted(members)[:MOST_MEMBERS]),
        count=len(found),
    )


def _told(finding: Finding) -> str:
    """The object, the field, and what is wrong with it. Most messages begin with the field."""
    if not finding.path or finding.message.startswith(finding.path):
        return f"{finding.owner}: {finding.message}"
    return f"{finding.owner}: {finding.path}: {finding.message}"


def _not_evaluated(cluster: ClusterResult, failed: list[CheckResult]) -> Alert:
    lines = [_cut(f"{check.id}: {check.reason}") for check in failed[:_SHOWN]]
    if len(failed) > _SHOWN:
        lines.append(f"and {len(failed) - _SHOWN} more")
    return replace(
        _of(cluster, "ScanFailed", None),
        title=f"{len(failed)} of {len(cluster.checks)} requirements could not be evaluated on {cluster.name}",
        description="\n".join(lines),
        metadata={"errors": len(failed), "total_checks": len(cluster.checks)},
        members=frozenset(check.id for check in failed[:MOST_MEMBERS]),
        count=len(failed),
    )


def _unreachable(cluster: ClusterResult, failed: list[CheckResult]) -> Alert:
    return replace(
        _of(cluster, UNREACHABLE, Level.CRITICAL),
        title=f"{cluster.name} could not be reached",
        description=_cut(failed[0].reason),
        metadata={"total_checks": len(cluster.checks)},
    )


def _expiring(cluster: ClusterResult, at: str) -> Iterator[Alert]:
    """Exemptions in use that end soon: what they accept fails then."""
    for exemption in cluster.exemptions:
        end = _moment(exemption.expires_at)
        now = _moment(at)
        if exemption.state != "used" or end is None or now is None or not now <= end <= now + EXPIRING:
            continue
        yield replace(
            _of(cluster, "ExemptionExpiring", None),
            about=exemption.name,
            title=f"The exemption {exemption.name} ends at {exemption.expires_at}",
            description=f"It accepts {plural(exemption.matched, 'finding')} on {cluster.name}. Reason: "
            f"{_cut(exemption.reason)}",
            metadata={"expires_at": exemption.expires_at, "findings": exemption.matched},
        )


def _moment(text: str) -> datetime | None:
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        return None
    return moment if moment.tzinfo else None


def _cut(text: str) -> str:
    text = " ".join(text.split())
    return text if len(text) <= LONGEST_LINE else text[: LONGEST_LINE - 1] + "…"
