"""Results as policy reports, which dashboards of other tools read: openreports.io, or wgpolicyk8s.io before it.

One cluster-wide report a specification has an entry for each check; a report in each namespace has one for each finding
there. An exempted finding is `skip`, one that a baseline knows `warn`. No times are in them, so that what did not
change is not written. Pure: lists of objects.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, NamedTuple

import msgspec

from pytest_kspec.crds.names import LABEL_CLUSTER, LABEL_SPEC, LABEL_TYPE, of_any_cluster
from pytest_kspec.crds.objects.compliancereport import MAX_BYTES, well_formed
from pytest_kspec.kube.objectnames import label_value, object_name
from pytest_kspec.kube.reference import ResourceRef
from pytest_kspec.results.finding import Finding
from pytest_kspec.results.order import check_key
from pytest_kspec.results.result import CheckResult, ClusterResult
from pytest_kspec.results.verdict import Verdict

TRUNCATED = "kspec.io/truncated"
"""Annotation of a report that not all entries fit in; its summary is exact all the same."""

SOURCE = "kspec"
_MAX_TEXT = 1024
_MAX_RESOURCES = 100
_RESULT = {Verdict.PASS: "pass", Verdict.FAIL: "fail", Verdict.ERROR: "error", Verdict.SKIP: "skip"}
_WORST_FIRST = ("error", "fail", "warn", "skip", "pass")


class Api(NamedTuple):
    """One of the two APIs. names_source: a report says once who made it."""

    group: str
    version: str
    namespaced: str
    cluster: str
    names_source: bool

    @property
    def api_version(self) -> str:
        """`openreports.io/v1alpha1`."""
        return f"{self.group}/{self.version}"


APIS = (
    Api("openreports.io", "v1alpha1", "Report", "ClusterReport", True),
    Api("wgpolicyk8s.io", "v1alpha2", "PolicyReport", "ClusterPolicyReport", False),
)
"""The one that is served first in this order is written."""


def labels(cluster: ClusterResult) -> dict[str, str]:
    """The labels of all reports of one specification on one cluster."""
    return {
        "app.kubernetes.io/managed-by": SOURCE,
        LABEL_CLUSTER: label_value(cluster.name),
        LABEL_SPEC: label_value(cluster.spec_name),
        LABEL_TYPE: "policy",
    }


def selector(cluster: ClusterResult) -> str:
    """The label selector of these reports in a cluster, whatever it was called when they were written."""
    return of_any_cluster(labels(cluster))


def build(cluster: ClusterResult, api: Api) -> list[dict[str, Any]]:
    """The cluster-wide report, then one for each namespace with a finding, by name."""
    try:
        return _built(cluster, api)
    except UnicodeEncodeError:  # lone surrogates, which no cluster takes
        return _built(well_formed(cluster), api)


def _built(cluster: ClusterResult, api: Api) -> list[dict[str, Any]]:
    checks = sorted(cluster.checks, key=check_key)
    spaces: dict[str, list[dict[str, Any]]] = {}
    for check in checks:
        for finding in check.findings:
            if finding.resource.namespace:
                spaces.setdefault(finding.resource.namespace, []).append(_entry_of_finding(check, finding))
    made = [_report(cluster, api, "", [_entry_of_check(check) for check in checks])]
    return made + [_report(cluster, api, namespace, spaces[namespace]) for namespace in sorted(spaces)]


def _report(
    cluster: ClusterResult, api: Api, namespace: str, entries: list[dict[str, Any]]
) -> dict[str, Any]:
    summary = dict.fromkeys(("pass", "fail", "warn", "error", "skip"), 0)
    for entry in entries:
        summary[entry["result"]] += 1
    metadata: dict[str, Any] = {
        "name": object_name("kspec", cluster.name, cluster.spec_name),
        "labels": labels(cluster),
    }
    if namespace:
        metadata["namespace"] = namespace
    report = {
        "apiVersion": api.api_version,
        "kind": api.namespaced if namespace else api.cluster,
        "metadata": metadata,
        **({"source": SOURCE} if api.names_source else {}),
        "summary": summary,
    }
    room = MAX_BYTES - len(msgspec.json.encode(report)) - len(TRUNCATED) - 64
    kept = _fitting(entries, room, api)
    if len(kept) < len(entries):
        metadata["annotations"] = {TRUNCATED: "true"}
    return {**report, "results": kept}


def _fitting(entries: Iterable[dict[str, Any]], room: int, api: Api) -> list[dict[str, Any]]:
    """As many as there is room for, what matters first, in the order of the checks."""
    numbered = list(enumerate(entries))
    kept = []
    for number, entry in sorted(numbered, key=lambda n: (_WORST_FIRST.index(n[1]["result"]), n[0])):
        made = entry if api.names_source else {**entry, "source": SOURCE}
        room -= len(msgspec.json.encode(made)) + 1
        if room < 0:
            break
        kept.append((number, made))
    return [entry for _, entry in sorted(kept, key=lambda pair: pair[0])]


def _entry_of_check(check: CheckResult) -> dict[str, Any]:
    cluster_wide = [f for f in check.open_findings if not f.resource.namespace and f.resource.kind]
    refs = list(dict.fromkeys(f.resource for f in cluster_wide))[:_MAX_RESOURCES]
    found, known = len(check.open_findings), len(check.known_findings)
    result, text = _RESULT[check.verdict], check.title
    if found:
        text = f"{found} finding{'s' if found != 1 else ''}"
    elif check.verdict is Verdict.PASS and not check.is_met:  # a baseline fails no run, and is no compliance
        result, text = "warn", f"{known} finding{'s' if known != 1 else ''} known from a baseline"
    made = _entry(check, result, check.reason or text, refs)
    counted = {
        "examined": check.examined,
        "findings": len(check.open_findings),
        "exempt": len(check.exempted_findings),
    }
    return {**made, "properties": {key: str(value) for key, value in counted.items()}}


def _entry_of_finding(check: CheckResult, finding: Finding) -> dict[str, Any]:
    result = "skip" if finding.exemption else "warn" if finding.known else "fail"
    properties = {"path": finding.path, "container": finding.container, "expected": finding.expected}
    properties["count"] = str(finding.count)
    if finding.exemption is not None:
        properties |= {f"exemption.{key}": value for key, value in finding.exemption.to_wire().items()}
    made = _entry(check, result, finding.message, [finding.resource])
    return {**made, "properties": {key: _cut(value) for key, value in properties.items() if value}}


def _entry(check: CheckResult, result: str, text: str, refs: list[ResourceRef]) -> dict[str, Any]:
    made: dict[str, Any] = {
        "policy": check.id,
        "category": check.id.partition(".")[0],
        "severity": check.severity.value,
        "result": result,
        "scored": True,
        "message": _cut(text),
    }
    if refs:
        made["resources"] = [{key: value for key, value in ref.to_wire().items() if value} for ref in refs]
    return made


def _cut(text: str) -> str:
    return text if len(text) <= _MAX_TEXT else text[: _MAX_TEXT - 1] + "…"
