"""An in-toto statement with the predicate test-result v0.1: which requirements a scan met, for policy engines.

The subject is the JSON report, by its digest: the statement is about this result and no other. A requirement that could
not be evaluated is a failed test, and a specification of which nothing was evaluated is one too: no reader may take
either for a pass. Nothing is left out, so the lists of a large fleet are long.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from typing import Any

from pytest_kspec.reports import json
from pytest_kspec.reports.shared.text import printable
from pytest_kspec.reports.shared.titles import cluster_titles, unique
from pytest_kspec.results.result import CheckResult, ClusterResult, ScanResult
from pytest_kspec.results.totals import Totals
from pytest_kspec.results.verdict import Verdict

STATEMENT = "https://in-toto.io/Statement/v1"
PREDICATE = "https://in-toto.io/attestation/test-result/v0.1"
SUBJECT = "result.json"
PASSED, WARNED, FAILED = "passedTests", "warnedTests", "failedTests"
LISTS = (PASSED, WARNED, FAILED)


def render(result: ScanResult) -> bytes:
    """The statement about the JSON report of this result, as UTF-8 with a trailing newline; not signed."""
    return json.pretty(statement(result, hashlib.sha256(json.render(result)).hexdigest()))


def statement(result: ScanResult, sha256: str) -> dict[str, Any]:
    """The statement as plain data. result: in canonical order; sha256: of the JSON report, in hexadecimal."""
    tests = list(_tests(result))
    names = unique(name for name, _ in tests)
    lists: dict[str, list[str]] = {name: [] for name in LISTS}
    for name, (_, to) in zip(names, tests, strict=True):
        lists[to].append(name)
    predicate: dict[str, Any] = {"result": _outcome(lists), "configuration": _configuration(result)}
    if result.run_by.startswith(("https://", "http://")):
        predicate["url"] = printable(result.run_by)
    return {
        "_type": STATEMENT,
        "subject": [
            {
                "name": SUBJECT,
                "digest": {"sha256": sha256},
                "mediaType": "application/json",
                "annotations": {
                    "tool": f"pytest-kspec {result.tool_version}",
                    "finishedAt": result.finished_at,
                    "totals": Totals.of_result(result).to_wire(),
                    "clusters": [_cluster(cluster) for cluster in result.clusters],
                },
            }
        ],
        "predicateType": PREDICATE,
        "predicate": predicate | lists,
    }


def _tests(result: ScanResult) -> Iterator[tuple[str, str]]:
    """(name, list) of each requirement; skipped ones were not tested, and are in none."""
    for cluster, title in zip(result.clusters, cluster_titles(result), strict=True):
        title = printable(title)
        if cluster.is_empty and not cluster.is_inactive:
            yield title, FAILED
        for check in cluster.checks:
            if check.verdict is not Verdict.SKIP:
                yield f"{title}: {printable(check.id)}", _list_of(check)
        for left in cluster.not_evaluated:  # asked for, and no test of this version
            yield f"{title}: {printable(left.key)}", WARNED


def _list_of(check: CheckResult) -> str:
    if check.verdict is not Verdict.PASS:
        return FAILED
    return PASSED if check.is_met else WARNED


def _outcome(lists: dict[str, list[str]]) -> str:
    if lists[FAILED] or not any(lists.values()):
        return "FAILED"
    return "WARNED" if lists[WARNED] else "PASSED"


def _configuration(result: ScanResult) -> list[dict[str, Any]]:
    """The specifications, each once; one that is not a file has no digest."""
    found: dict[tuple[str, ...], dict[str, Any]] = {}
    for cluster in result.clusters:
        digest = cluster.evidence.spec_sha256
        entry: dict[str, Any] = {"name": printable(cluster.spec_name)}
        if digest:
            entry["digest"] = {"sha256": printable(digest)}
        entry["annotations"] = {"version": printable(cluster.spec_version)}
        found[cluster.spec_name, cluster.spec_version, digest] = entry
    return [found[key] for key in sorted(found)]


def _cluster(cluster: ClusterResult) -> dict[str, str]:
    return {
        "name": printable(cluster.name),
        "uid": printable(cluster.uid),
        "source": printable(cluster.source),
        "spec": printable(cluster.spec_name),
        "snapshotSha256": printable(cluster.evidence.snapshot_sha256),
    }
