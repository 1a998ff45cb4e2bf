"""SARIF 2.1.0, for code scanning: a result for each finding, at the line of the specification that asks for it.

A cluster has no files, so the object stands in the logical location. What could not be evaluated is a result of level
error and a notification: it never reads as "no results". GitHub refuses more than 25,000 results a run, 10 MB gzipped,
20 runs and 20 tags a rule; it shows 5,000 results. So there is one run, worst results first, and where it is cut, the
file says so with exact totals.
"""

from __future__ import annotations

import gzip
import posixpath
import re
from collections import Counter
from collections.abc import Iterator
from typing import Any, NamedTuple
from urllib.parse import quote

import msgspec

from pytest_kspec.model.check import Severity, Verdict
from pytest_kspec.model.finding import CLUSTER, Finding, FindingStatus
from pytest_kspec.model.fingerprint import fingerprint
from pytest_kspec.model.result import CheckResult, ClusterResult, ScanResult
from pytest_kspec.model.totals import Totals
from pytest_kspec.reports import words
from pytest_kspec.reports.markdown import escape
from pytest_kspec.reports.text import plural, printable, value

MOST_RESULTS = 25_000
MOST_BYTES = 10_000_000
SHOWN_BY_GITHUB = 5_000
_MOST_NOTIFICATIONS = 1_000
_MOST_TAGS = 20
_SCHEMA = "https://json.schemastore.org/sarif-2.1.0.json"
_LEVELS = {
    Severity.CRITICAL: "error",
    Severity.HIGH: "error",
    Severity.MEDIUM: "warning",
    Severity.LOW: "note",
}
_SCORES = {Severity.CRITICAL: "9.5", Severity.HIGH: "8.0", Severity.MEDIUM: "5.5", Severity.LOW: "2.0"}
_STATUSES = tuple(FindingStatus)
_ERROR = Finding(CLUSTER, CLUSTER, "", None, "", "could not be evaluated")
_LOCATION = re.compile(r"(.*?):(\d{1,9})(?::(\d{1,9}))?", re.DOTALL)
_NOT_EVALUATED, _NOT_SUPPORTED, _TRUNCATED = "kspec/not-evaluated", "kspec/not-supported", "kspec/truncated"
_DESCRIPTORS = {
    _NOT_EVALUATED: "A requirement could not be evaluated",
    _NOT_SUPPORTED: "A key of the specification is not evaluated by this version",
    _TRUNCATED: "Results are left out of this file, or will be by its reader",
}
_encode = msgspec.json.encode


class _Entry(NamedTuple):
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
        return (1, _STATUSES.index(self.finding.status), -self.check.severity.rank)


def render(result: ScanResult) -> bytes:
    """The log as UTF-8 JSON, at most MOST_RESULTS results and MOST_BYTES when gzipped."""
    entries = sorted(_entries(result), key=_Entry.rank)
    count = min(len(entries), MOST_RESULTS)
    while True:
        content = _log(result, entries, count)
        if count == 0 or len(content) <= MOST_BYTES or len(gzip.compress(content, 6, mtime=0)) <= MOST_BYTES:
            return content
        count //= 2


def _entries(result: ScanResult) -> Iterator[_Entry]:
    seen: Counter[str] = Counter()
    for cluster in result.clusters:
        for check in cluster.checks:
            findings: list[Finding | None] = [*check.findings]
            if check.verdict is Verdict.ERROR:
                findings.insert(0, None)
            for finding in findings:
                identity = fingerprint(cluster.name, check.id, finding or _ERROR)
                seen[identity] += 1
                yield _Entry(cluster, check, finding, identity, seen[identity])


def _log(result: ScanResult, entries: list[_Entry], count: int) -> bytes:
    totals = Totals.of_result(result)
    rules = _rules(result)
    index = {rule["id"]: number for number, rule in enumerate(rules)}
    compared = any(cluster.baseline is not None for cluster in result.clusters)
    run = {
        "tool": {
            "driver": {
                "name": "pytest-kspec",
                "version": printable(result.tool_version),
                "rules": rules,
                "notifications": [
                    {"id": name, "shortDescription": {"text": text}} for name, text in _DESCRIPTORS.items()
                ],
            }
        },
        "invocations": [_invocation(result, entries, count, index)],
        "columnKind": "unicodeCodePoints",
        "properties": {
            "runBy": printable(result.run_by),
            "totals": totals.to_wire(),
            "resultsTotal": len(entries),
            "resultsWritten": count,
            "truncated": count < len(entries),
            "clusters": [_about(cluster) for cluster in result.clusters],
        },
        "results": msgspec.Raw(
            b"[\n"
            + b",\n".join(_encode(_result(entry, index, compared)) for entry in entries[:count])
            + b"\n]"
        ),
    }
    return _encode({"$schema": _SCHEMA, "version": "2.1.0", "runs": [run]}) + b"\n"


def _about(cluster: ClusterResult) -> dict[str, Any]:
    """What a cluster's results rest on, for readers of the file; bounded, whatever was found."""
    evidence = {name: printable(text) for name, text in cluster.evidence.to_wire().items()}
    return {
        "name": printable(cluster.name),
        "source": printable(cluster.source),
        "version": printable(cluster.version),
        "uid": printable(cluster.uid),
        "specification": f"{printable(cluster.spec_name)} {printable(cluster.spec_version)}".strip(),
        "evidence": evidence,
        "summary": cluster.summary.to_wire(),
        "frameworks": [
            {"id": printable(f.id), "version": printable(f.version), "summary": f.summary.to_wire()}
            for f in cluster.frameworks
        ],
    }


def _rules(result: ScanResult) -> list[dict[str, Any]]:
    """Requirements by id. Where clusters or specifications differ in severity, the highest one is the rule's."""
    worst: dict[str, CheckResult] = {}
    for cluster in result.clusters:
        for check in cluster.checks:
            before = worst.get(check.id)
            if before is None or check.severity.rank > before.severity.rank:
                worst[check.id] = check
    by_name = {printable(name): worst[name] for name in sorted(worst)}
    return [_rule(name, check) for name, check in by_name.items()]


def _rule(name: str, check: CheckResult) -> dict[str, Any]:
    controls = [f"{printable(c)}/{printable(i)}" for c, ids in sorted(check.controls.items()) for i in ids]
    said = words.controls(check)
    text = "\n".join(t for t in (check.remediation, f"Controls: {said}" if said else "") if t) or check.title
    marked = [f"**{escape(check.title)}**"]
    if check.remediation:
        marked.append(f"**Fix:** {escape(check.remediation)}")
    marked += [f"* {escape(control)}" for control in controls]
    return {
        "id": name,
        "shortDescription": {"text": _plain(check.title)},
        "fullDescription": {"text": _plain(check.title)},
        "help": {"text": "\n".join(map(_plain, text.split("\n"))), "markdown": "\n\n".join(marked)},
        "defaultConfiguration": {"level": _LEVELS[check.severity]},
        "properties": {
            "precision": "very-high",
            "security-severity": _SCORES[check.severity],
            "tags": ["kubernetes", "security", *controls][:_MOST_TAGS],
        },
    }


def _invocation(
    result: ScanResult, entries: list[_Entry], count: int, index: dict[str, int]
) -> dict[str, Any]:
    errors = [entry for entry in entries if entry.finding is None]
    notifications = [
        _notification(
            _NOT_EVALUATED,
            "error",
            f"{e.check.id} on {e.cluster.name} could not be evaluated: {e.check.reason}",
            locations=[_location(e.cluster, e.check, None)],
            associatedRule={"id": printable(e.check.id), "index": index[printable(e.check.id)]},
        )
        for e in errors[:_MOST_NOTIFICATIONS]
    ]
    if len(errors) > _MOST_NOTIFICATIONS:
        more = plural(len(errors) - _MOST_NOTIFICATIONS, "more requirement")
        notifications.append(_notification(_NOT_EVALUATED, "error", f"{more} could not be evaluated."))
    totals = f"There are {plural(len(entries), 'result')}; the totals in the run's properties are exact."
    if count < len(entries):
        text = f"This file holds the worst {count:,} only, for GitHub refuses more. {totals}"
        notifications.append(_notification(_TRUNCATED, "warning", text))
    elif count > SHOWN_BY_GITHUB:
        text = f"GitHub shows {SHOWN_BY_GITHUB:,} of them. {totals}"
        notifications.append(_notification(_TRUNCATED, "note", text))
    times = {"startTimeUtc": result.started_at, "endTimeUtc": result.finished_at}
    return {
        "executionSuccessful": not errors,
        **{name: text for name, text in times.items() if text},
        "toolExecutionNotifications": notifications,
        "toolConfigurationNotifications": [
            _notification(
                _NOT_SUPPORTED, "warning", f"{cluster.spec_name}: {n.key} is not evaluated: {n.reason}"
            )
            for cluster in result.clusters
            for n in cluster.not_evaluated
        ][:_MOST_NOTIFICATIONS],
    }


def _notification(name: str, level: str, text: str, **more: Any) -> dict[str, Any]:
    return {"descriptor": {"id": name}, "level": level, "message": {"text": _plain(text)}, **more}


def _result(entry: _Entry, index: dict[str, int], compared: bool) -> dict[str, Any]:
    cluster, check, finding, identity, number = entry
    name = printable(check.id)
    written: dict[str, Any] = {
        "ruleId": name,
        "ruleIndex": index[name],
        "level": _LEVELS[check.severity] if finding else "error",
        "message": {"text": _plain(_message(finding) if finding else f"Not evaluated: {check.reason}")},
        "locations": [_location(cluster, check, finding)],
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
                "justification": _plain(exemption.reason),
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


def _plain(text: str) -> str:
    """Text in which SARIF finds no embedded link."""
    return printable(text).replace("](", "] (")


def _location(cluster: ClusterResult, check: CheckResult, finding: Finding | None) -> dict[str, Any]:
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
