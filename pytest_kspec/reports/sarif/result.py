"""One result of a SARIF log: a finding, or a requirement that could not be evaluated.

A cluster has no files: the place is the line of the specification that asks for it, the object a logical location.
"""

from __future__ import annotations

import posixpath
import re
from collections import Counter
from collections.abc import Iterator
from typing import Any, NamedTuple
from urllib.parse import quote

from pytest_kspec.kube.reference import CLUSTER
from pytest_kspec.reports.shared.text import printable, value
from pytest_kspec.results.finding import Finding
from pytest_kspec.results.fingerprint import fingerprint
from pytest_kspec.results.result import CheckResult, ClusterResult, ScanResult
from pytest_kspec.results.verdict import Severity, Verdict

LEVELS = {
    Severity.CRITICAL: "error",
    Severity.HIGH: "error",
    Severity.MEDIUM: "warning",
    Severity.LOW: "note",
}
_ERROR = Finding(CLUSTER, CLUSTER, "", None, "", "could not be evaluated")
_LOCATION = re.compile(r"(.*?):(\d{1,9})(?::(\d{1,9}))?", re.DOTALL)


class Entry(NamedTuple):
    """One result to write. finding: None for what could not be evaluated. identity: over time; number: among equals."""

    cluster: ClusterResult
    check: CheckResult
    finding: Finding | None
    identity: str
    number: int

    def rank(self) -> tuple[int, ...]:
        """Errors before findings, open before known before exempted, by severity; the rest stays in order."""
        if self.finding is None:
            return (0, 0, -self.check.severity.rank)
        return (1, self.finding.status.rank, -self.check.severity.rank)


def entries_of(result: ScanResult) -> Iterator[Entry]:
    """What there is to write, in the order of the result; an error stands before its findings."""
    seen: Counter[str] = Counter()
    for cluster in result.clusters:
        for check in cluster.checks:
            findings: list[Finding | None] = [*check.findings]
            if check.verdict is Verdict.ERROR:
                findings.insert(0, None)
            for finding in findings:
                identity = fingerprint(cluster.id, check.id, finding or _ERROR)
                seen[identity] += 1
                yield Entry(cluster, check, finding, identity, seen[identity])


def write(entry: Entry, index: dict[str, int], compared: bool) -> dict[str, Any]:
    """The result object. index: of each rule, by id; compared: a baseline was given."""
    cluster, check, finding, identity, number = entry
    name = printable(check.id)
    written: dict[str, Any] = {
        "ruleId": name,
        "ruleIndex": index[name],
        "level": LEVELS[check.severity] if finding else "error",
        "message": {"text": plain(_message(finding) if finding else f"Not evaluated: {check.reason}")},
        "locations": [location_of(cluster, check, finding)],
        # GitHub knows an alert again by the second.
        "partialFingerprints": {
            "kspecFinding/v1": identity,
            "primaryLocationLineHash": f"{identity}:{number}",
        },
        "properties": {"severity": check.severity.value, "verdict": check.verdict.value},
    }
    if compared:
        written["baselineState"] = "unchanged" if finding and finding.known else "new"
    if finding is None:
        return written
    written["occurrenceCount"] = finding.count
    written["properties"] |= {
        "status": finding.status.value,
        "owner": printable(str(finding.owner)),
        "container": printable(finding.container),
        "field": printable(finding.path),
        "actual": value(finding.actual),
        "expected": printable(finding.expected),
    }
    if finding.fix is not None:
        written["properties"]["patch"] = value(finding.fix)
    if finding.exemption is not None:
        exemption = finding.exemption
        written["suppressions"] = [
            {
                "kind": "external",
                "status": "accepted",
                "justification": plain(exemption.reason),
                "properties": {
                    "exemption": printable(exemption.name),
                    "approver": printable(exemption.approver),
                    "until": printable(exemption.expires_at),
                },
            }
        ]
    return written


def _message(finding: Finding) -> str:
    count = f" ×{finding.count:,}" if finding.count > 1 else ""
    known = not finding.expected or finding.expected in finding.message
    wanted = "" if known else f" Found: {value(finding.actual)}. Expected: {finding.expected}."
    return f"{finding.owner}{count}: {finding.message}.{wanted}"


def plain(text: str) -> str:
    """Text in which SARIF finds no embedded link."""
    return printable(text).replace("](", "] (")


def location_of(cluster: ClusterResult, check: CheckResult, finding: Finding | None) -> dict[str, Any]:
    """Where it is asked for, and the object that was found; without a finding the cluster."""
    resource = finding.resource if finding else CLUSTER
    parts = [
        printable(part) for part in (cluster.name, resource.namespace, resource.kind, resource.name) if part
    ]
    logical = {"name": parts[-1], "fullyQualifiedName": "/".join(parts), "kind": "resource"}
    location: dict[str, Any] = {"logicalLocations": [logical]}
    path, region = _place(check.location or cluster.spec_path)
    if path:
        location["physicalLocation"] = {"artifactLocation": {"uri": _uri(path)}, "region": region}
    return location


def _place(location: str) -> tuple[str, dict[str, int]]:
    """`specs/a.yaml:12:5` as path and region; line 1 where none is said."""
    match = _LOCATION.fullmatch(location)
    if match is None:
        return location, {"startLine": 1}
    region = {"startLine": max(int(match[2]), 1)}
    if match[3]:
        region["startColumn"] = max(int(match[3]), 1)
    return match[1], region


def _uri(path: str) -> str:
    """Relative to the folder of the run, which CI makes the root of the repository; absolute paths are file URIs."""
    path = posixpath.normpath(path)
    quoted = quote(path, safe="/", errors="replace")
    return f"file://{quoted}" if path.startswith("/") else quoted
