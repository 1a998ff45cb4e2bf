"""SARIF 2.1.0, for code scanning: a result for each finding, at the line of the specification that asks for it.

A cluster has no files, so the object stands in the logical location. What could not be evaluated is a result of level
error and a notification: it never reads as "no results". GitHub refuses more than 25,000 results a run, 10 MB gzipped,
20 runs and 20 tags a rule; it shows 5,000 results. So there is one run, worst results first, and where it is cut, the
file says so with exact totals.
"""

from __future__ import annotations

import gzip
from typing import Any

import msgspec

from pytest_kspec.reports.markdown import escape
from pytest_kspec.reports.sarif import result as sarif_result
from pytest_kspec.reports.sarif.result import LEVELS, Entry, entries_of, location_of, plain
from pytest_kspec.reports.shared import words
from pytest_kspec.reports.shared.text import plural, printable
from pytest_kspec.results.result import CheckResult, ClusterResult, ScanResult
from pytest_kspec.results.totals import Totals
from pytest_kspec.results.verdict import Severity

MOST_RESULTS = 25_000
MOST_BYTES = 10_000_000
SHOWN_BY_GITHUB = 5_000
_MOST_NOTIFICATIONS = 1_000
_MOST_TAGS = 20
_SCHEMA = "https://json.schemastore.org/sarif-2.1.0.json"
_SCORES = {Severity.CRITICAL: "9.5", Severity.HIGH: "8.0", Severity.MEDIUM: "5.5", Severity.LOW: "2.0"}
_NOT_EVALUATED, _NOT_SUPPORTED, _TRUNCATED = "kspec/not-evaluated", "kspec/not-supported", "kspec/truncated"
_DESCRIPTORS = {
    _NOT_EVALUATED: "A requirement could not be evaluated",
    _NOT_SUPPORTED: "A key of the specification is not evaluated by this version",
    _TRUNCATED: "Results are omitted from this file, or by the program that reads it",
}
_encode = msgspec.json.encode


def render(result: ScanResult) -> bytes:
    """The log as UTF-8 JSON, at most MOST_RESULTS results and MOST_BYTES when gzipped."""
    entries = sorted(entries_of(result), key=Entry.rank)
    count = min(len(entries), MOST_RESULTS)
    while True:
        content = _log(result, entries, count)
        if count == 0 or len(content) <= MOST_BYTES or len(gzip.compress(content, 6, mtime=0)) <= MOST_BYTES:
            return content
        count //= 2


def _log(result: ScanResult, entries: list[Entry], count: int) -> bytes:
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
            + b",\n".join(_encode(sarif_result.write(entry, index, compared)) for entry in entries[:count])
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
        "shortDescription": {"text": plain(check.title)},
        "fullDescription": {"text": plain(check.title)},
        "help": {"text": "\n".join(map(plain, text.split("\n"))), "markdown": "\n\n".join(marked)},
        "defaultConfiguration": {"level": LEVELS[check.severity]},
        "properties": {
            "precision": "very-high",
            "security-severity": _SCORES[check.severity],
            "tags": ["kubernetes", "security", *controls][:_MOST_TAGS],
        },
    }


def _invocation(
    result: ScanResult, entries: list[Entry], count: int, index: dict[str, int]
) -> dict[str, Any]:
    errors = [entry for entry in entries if entry.finding is None]
    notifications = [
        _notification(
            _NOT_EVALUATED,
            "error",
            f"{e.check.id} on {e.cluster.name} could not be evaluated: {e.check.reason}",
            locations=[location_of(e.cluster, e.check, None)],
            associatedRule={"id": printable(e.check.id), "index": index[printable(e.check.id)]},
        )
        for e in errors[:_MOST_NOTIFICATIONS]
    ]
    if len(errors) > _MOST_NOTIFICATIONS:
        more = plural(len(errors) - _MOST_NOTIFICATIONS, "more requirement")
        notifications.append(_notification(_NOT_EVALUATED, "error", f"{more} could not be evaluated."))
    totals = f"There are {plural(len(entries), 'result')}; the totals in the run's properties are exact."
    if count < len(entries):
        text = f"This file contains only the worst {count:,}, because GitHub refuses more. {totals}"
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
    return {"descriptor": {"id": name}, "level": level, "message": {"text": plain(text)}, **more}
