"""A ComplianceReport of one cluster's results: pure, from a ClusterResult to the object that is sent.

An object of a cluster must stay small. Totals are always exact; where findings are cut `truncated` says so, and
`fullReport` where all of them are. What goes first: findings of checks that have many, exempted ones before open
ones; then evidence and texts that the checks' own page has; at last checks that passed.
"""

from __future__ import annotations

import re
from typing import Any

import msgspec
from pydantic import ValidationError

from pytest_kspec.crds.models.compliancereport import ComplianceReportSpec
from pytest_kspec.crds.names import (
    GROUP,
    LABEL_CLUSTER,
    LABEL_SPEC,
    LABEL_TYPE,
    NAMESPACE,
    VERSION,
    of_any_cluster,
)
from pytest_kspec.crds.schema import validations
from pytest_kspec.crds.schema.structural import MAX_ITEMS, MAX_LENGTH, MAX_PROSE
from pytest_kspec.kube.objectnames import label_value, object_name
from pytest_kspec.kube.reference import ResourceRef
from pytest_kspec.results.finding import Finding, plain
from pytest_kspec.results.order import check_key
from pytest_kspec.results.result import CheckResult, ClusterResult
from pytest_kspec.results.verdict import Verdict

API_VERSION = f"{GROUP}/{VERSION}"
KIND = "ComplianceReport"
MAX_BYTES = 256 << 10
"""Size of the object as JSON; etcd takes 1.5 MB, but reports are listed by the dozen."""

MAX_VALUE = 1024
"""Bytes of JSON of an actual value."""

KEEP = 30
"""Newest reports that are kept for each specification and cluster."""

OF_FLEET = ("kspec.io/fleet", "true")
"""The label of reports of a fleet, which its hub keeps: those that a cluster keeps of itself have none."""

AGAIN = "The full result was not stored. Scan with --report json:FILE to get all findings."
_STATUS = {Verdict.PASS: "Pass", Verdict.FAIL: "Fail", Verdict.ERROR: "Error", Verdict.SKIP: "Skip"}
_MAX_CHECKS = validations.MAX_ITEMS["ComplianceReportSpec", "results"]


def labels(cluster: ClusterResult) -> dict[str, str]:
    """The labels by which reports of one specification and cluster are found."""
    return {
        LABEL_CLUSTER: label_value(cluster.name),
        LABEL_SPEC: label_value(cluster.spec_name),
        LABEL_TYPE: "compliance",
    }


def selector(cluster: ClusterResult) -> str:
    """The label selector of all reports of one specification, of any cluster and of any name that it had."""
    return of_any_cluster(labels(cluster))


def cluster_label(name: str) -> str:
    """A name as it stands in a label: of a cluster, or of a specification."""
    return label_value(name)


def cluster_of(report: dict[str, Any]) -> str:
    """The label of the cluster that a report is of, "" for none."""
    return str((report["metadata"].get("labels") or {}).get(LABEL_CLUSTER, ""))


def is_partial(report: dict[str, Any]) -> bool:
    """Whether it is of some requirements only: it stands beside those of whole runs, never in their place."""
    spec = report.get("spec")
    return bool(isinstance(spec, dict) and spec.get("notSelected"))


def is_of(report: dict[str, Any], cluster: ClusterResult) -> bool:
    """Whether a report is of this cluster: by its UID; by its name only where one of the two has no UID."""
    spec = report.get("spec")
    uid = spec.get("clusterUID") if isinstance(spec, dict) else ""
    if uid and cluster.uid:
        return bool(uid == cluster.uid)
    known = report["metadata"].get("labels") or {}
    return bool(known.get(LABEL_CLUSTER) == label_value(cluster.name))


def build(
    cluster: ClusterResult,
    finished_at: str,
    *,
    namespace: str = NAMESPACE,
    tool: str = "",
    full_report: str = "",
    most_bytes: int = MAX_BYTES,
) -> dict[str, Any]:
    """The object with its status, at most `most_bytes`, as far as totals and names of what failed leave room for it.

    finished_at: RFC 3339 in UTC, the end of the run. full_report: where everything is, said only if something is cut.
    """
    try:
        return _built(cluster, finished_at, namespace, tool, full_report, most_bytes)
    except UnicodeEncodeError:  # lone surrogates, which no cluster takes
        return _built(
            well_formed(cluster), finished_at, namespace, plain(tool), plain(full_report), most_bytes
        )


def well_formed(cluster: ClusterResult) -> ClusterResult:
    """The same result, with texts that UTF-8 can hold."""
    return ClusterResult.from_wire(plain(cluster.to_wire()))


def _built(
    cluster: ClusterResult, finished_at: str, namespace: str, tool: str, full_report: str, most_bytes: int
) -> dict[str, Any]:
    def fits(spec: dict[str, Any]) -> bool:
        if len(spec["results"]) > _MAX_CHECKS:
            return False
        return len(msgspec.json.encode(_object(cluster, finished_at, namespace, spec))) <= most_bytes

    most = max((min(len(check.findings), MAX_ITEMS) for check in cluster.checks), default=0)
    spec = _spec(cluster, finished_at, tool, most, full_report)
    if fits(spec):
        return _object(cluster, finished_at, namespace, spec)
    low, high = 0, most  # `low` findings a check are known to fit, or nothing does
    while low < high:
        middle = (low + high + 1) // 2
        if fits(_spec(cluster, finished_at, tool, middle, full_report)):
            low = middle
        else:
            high = middle - 1
    spec = _spec(cluster, finished_at, tool, low, full_report)
    _shorten(spec, lambda: fits(spec))
    return _object(cluster, finished_at, namespace, spec)


def same(one: dict[str, Any], other: dict[str, Any]) -> bool:
    """Whether two reports say the same, times aside. Keys that have their default may be left out."""
    return bool(_timeless(one) == _timeless(other))


def _timeless(obj: dict[str, Any]) -> Any:
    try:
        spec = ComplianceReportSpec.model_validate(obj.get("spec"))
    except ValidationError:
        return obj  # of another version
    return spec.model_dump(exclude={"scan_time", "tool", "full_report"})


def _object(cluster: ClusterResult, finished_at: str, namespace: str, spec: dict[str, Any]) -> dict[str, Any]:
    stamp = re.sub(r"[^0-9TZ]", "", finished_at).replace("T", "-").rstrip("Z")
    evaluated, reason, message = _evaluated(spec)
    return {
        "apiVersion": API_VERSION,
        "kind": KIND,
        "metadata": {
            "name": f"{object_name(cluster.name, cluster.spec_name, longest=230)}-{stamp}",
            "namespace": namespace,
            "labels": labels(cluster),
        },
        "spec": spec,
        "status": {
            "phase": "Failed" if spec["summary"]["errors"] else "Completed",
            "observedGeneration": 1,
            "conditions": [
                {
                    "type": "Evaluated",
                    "status": "True" if evaluated else "False",
                    "observedGeneration": 1,
                    "lastTransitionTime": finished_at,
                    "reason": reason,
                    "message": message,
                }
            ],
        },
    }


def _evaluated(spec: dict[str, Any]) -> tuple[bool, str, str]:
    """Whether all was evaluated, a reason and a message."""
    total, errors = spec["summary"]["total"], spec["summary"]["errors"]
    if errors:
        return False, "SomeNotEvaluated", f"{errors} of {total} checks could not be evaluated."
    if left_out := spec["summary"].get("notSelected", 0):
        return False, "SomeNotSelected", f"The run selected {total} of {total + left_out} checks."
    return True, "AllEvaluated", "Every check was evaluated."


def _spec(
    cluster: ClusterResult, finished_at: str, tool: str, findings: int, full_report: str = ""
) -> dict[str, Any]:
    """findings: how many of each check are kept."""
    summary = cluster.summary
    cut = [False]
    results = [_check(check, findings, cut) for check in sorted(cluster.checks, key=check_key)]
    rates = {}
    if summary.score is not None:
        rates = {"passRate": 100 * summary.passed // summary.applicable, "score": summary.score}
    spec: dict[str, Any] = {
        "clusterSpecRef": {"name": _text(cluster.spec_name, cut), "version": cluster.spec_version},
        "clusterName": _text(cluster.name, cut),
        "clusterUID": cluster.uid,
        "clusterVersion": cluster.version,
        "scanTime": finished_at,
        "tool": tool,
        "summary": {
            "total": len(cluster.checks),
            "passed": summary.passed,
            "failed": summary.failed,
            "errors": summary.errors,
            "skipped": summary.skipped,
            "exempt": summary.exempt,
            "findings": sum(len(check.open_findings) for check in cluster.checks),
            **rates,
        },
        "results": results,
        "truncated": cut[0],
    }
    if cluster.not_selected:
        spec["notSelected"] = [_text(name, [False]) for name in cluster.not_selected[:MAX_ITEMS]]
        spec["summary"]["notSelected"] = len(cluster.not_selected)
    if cut[0]:
        spec["fullReport"] = _text(full_report or AGAIN, cut, MAX_PROSE)
    return spec


def _check(check: CheckResult, findings: int, cut: list[bool]) -> dict[str, Any]:
    ordered = sorted(check.findings, key=lambda f: (f.exemption is not None, f.known))
    if len(ordered) > findings:
        cut[0] = True
    is_open, exempt = len(check.open_findings), len(check.exempted_findings)
    details: dict[str, Any] = {
        "examined": check.examined,
        "location": check.location,
        "controls": check.controls,
    }
    made = {
        "name": _text(check.id, cut),
        "title": _text(check.title, cut, MAX_PROSE),
        "category": check.id.partition(".")[0][:MAX_LENGTH],
        "status": _STATUS[check.verdict],
        "severity": check.severity.value.capitalize(),
        "message": _text(_message(check, is_open, exempt), cut, MAX_PROSE),
        "remediation": _text(check.remediation, cut, MAX_PROSE) if is_open else "",
        "examined": check.examined,
        "findingsTotal": is_open,
        "exemptTotal": exempt,
        "findings": [_finding(finding, cut) for finding in ordered[:findings]],
        "details": {key: value for key, value in details.items() if value},
    }
    return {key: value for key, value in made.items() if value not in ("", [], {}) or key == "name"}


def _message(check: CheckResult, is_open: int, exempt: int) -> str:
    if check.reason:
        return check.reason
    text = f"{is_open} finding{'' if is_open == 1 else 's'}" if is_open else f"{check.examined} examined"
    return f"{text}, {exempt} exempt" if exempt else text


def _finding(finding: Finding, cut: list[bool]) -> dict[str, Any]:
    made: dict[str, Any] = {
        "resource": _resource(finding.resource, cut),
        "count": finding.count,
        "path": _text(finding.path, cut),
        "container": _text(finding.container, cut),
        "actual": _value(finding.actual, cut),
        "expected": _text(finding.expected, cut, MAX_PROSE),
        "message": _text(finding.message, cut, MAX_PROSE),
        "known": finding.known,
    }
    if finding.owner != finding.resource:
        made["owner"] = _resource(finding.owner, cut)
    if finding.exemption is not None:
        made["exemption"] = {
            key: _text(value, cut, MAX_LENGTH if key == "name" else MAX_PROSE)
            for key, value in finding.exemption.to_wire().items()
            if value
        }
    unset = {"path": "", "container": "", "expected": "", "message": "", "known": False, "actual": None}
    return {key: value for key, value in made.items() if key not in unset or value != unset[key]}


def _resource(ref: ResourceRef, cut: list[bool]) -> dict[str, str]:
    return {key: _text(value, cut) for key, value in ref.to_wire().items() if value}


def _text(text: str, cut: list[bool], longest: int = MAX_LENGTH) -> str:
    if len(text) <= longest:
        return text
    cut[0] = True
    return text[: longest - 1] + "…"


def _value(value: Any, cut: list[bool]) -> Any:
    """As it is, unless it is large: then the beginning of its JSON, as text."""
    value = plain(value)
    encoded = msgspec.json.encode(value)
    if len(encoded) <= MAX_VALUE:
        return value
    cut[0] = True
    return encoded[:MAX_VALUE].decode(errors="ignore") + "…"


def _shorten(spec: dict[str, Any], fits: Any) -> None:
    """What more to leave out of a report whose findings are gone already, as little as is enough."""
    results: list[dict[str, Any]] = spec["results"]
    for key in ("details", "title", "remediation", "message"):
        if fits():
            return
        for result in results:
            result.pop(key, None)
    worst = sorted(results, key=lambda r: r["status"] in ("Pass", "Skip"))
    keep = min(len(worst), _MAX_CHECKS)
    while True:
        chosen = {id(result) for result in worst[:keep]}
        spec["results"] = [result for result in results if id(result) in chosen]
        if keep == 0 or fits():
            return
        keep = keep * 3 // 4


def fleet_selector(spec_name: str) -> str:
    """Selects the reports of a fleet of this specification."""
    return f"{LABEL_SPEC}={cluster_label(spec_name)},{LABEL_TYPE}=compliance,{'='.join(OF_FLEET)}"
