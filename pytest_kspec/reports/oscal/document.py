"""OSCAL assessment-results 1.2: one result for each cluster and specification, for tools of auditors.

    requirement that was evaluated  finding, target satisfied or not-satisfied, and an observation of the test
    finding of a check              observation of an object, which the requirement's finding relates to
    object                          inventory item; the cluster is a component
    failed requirement              risk, open; what an exemption covers: risk, deviation-approved, with its deadline
    control of a framework          finding, if it is met or not; reviewed-controls says what was not evaluated

A requirement that could not be evaluated is not-satisfied for reason `other`: nothing unevaluated can look satisfied.
UUIDs are made from what they name (version 5). Those of observations and findings hold the time of the run too.
"""

from __future__ import annotations

import hashlib
import re
from typing import Any

import msgspec

from pytest_kspec.reports.oscal.result import Writer
from pytest_kspec.reports.oscal.terms import Names, line, moment, props
from pytest_kspec.reports.shared import words
from pytest_kspec.reports.shared.titles import cluster_titles
from pytest_kspec.results.result import ClusterResult, ScanResult
from pytest_kspec.results.totals import Totals

VERSION = "1.2.1"
_SHA256 = re.compile("[0-9a-f]{64}")
_encode = msgspec.json.encode


def render(result: ScanResult) -> bytes:
    """The document as UTF-8 JSON. `result` is in canonical order."""
    names = Names(result.started_at, result.finished_at)
    titles = cluster_titles(result)
    plan = names.uuid("plan")
    resources, results = [_plan(plan, result)], []
    for cluster, title in zip(result.clusters, titles, strict=True):
        evidence = _evidence(names.uuid("evidence", title), cluster)
        resources += evidence
        written = Writer(cluster, title, names, result).result([e["uuid"] for e in evidence])
        results.append(_encode(written))
    results = results or [_encode(_nothing(names, result))]
    digest = hashlib.sha256()
    for part in results:
        digest.update(part)
    now = moment(result.finished_at)
    head = {
        "uuid": names.uuid("document", digest.hexdigest()),
        "metadata": {
            "title": f"Kubernetes compliance: {line(words.headline(result))}",
            "last-modified": now,
            "version": now,
            "oscal-version": VERSION,
            "props": props({"tool": f"pytest-kspec {result.tool_version}", "run-by": result.run_by}),
            "remarks": f"{words.sentence(result.summary)} {words.found(Totals.of_result(result))}.",
        },
        "import-ap": {"href": f"#{plan}", "remarks": "The cluster specifications are the assessment plan."},
    }
    # Put together in one step: 100 MB are not copied once for each level.
    pieces = [b'{"assessment-results":', _encode(head)[:-1], b',"results":[']
    for number, part in enumerate(results):
        pieces += [b",\n" if number else b"\n", part]
    pieces += [b'],\n"back-matter":', _encode({"resources": resources}), b"}}\n"]
    return b"".join(pieces)


def _plan(uuid: str, result: ScanResult) -> dict[str, Any]:
    """The specifications, which say what is assessed."""
    hashes: dict[str, str] = {}
    for cluster in result.clusters:
        hashes[cluster.spec_path] = hashes.get(cluster.spec_path) or cluster.evidence.spec_sha256
    plan: dict[str, Any] = {"uuid": uuid, "title": "Cluster specifications"}
    links = [_rlink(path, sha256) for path, sha256 in sorted(hashes.items()) if path]
    return {**plan, "rlinks": links} if links else {**plan, "description": "No specification was applied."}


def _evidence(uuid: str, cluster: ClusterResult) -> list[dict[str, Any]]:
    """The snapshot or the cluster that the results rest on, where it is known."""
    evidence = cluster.evidence
    if not evidence.source_ref:
        return []
    recorded = {"recorded-at": evidence.recorded_at, "source": cluster.source}
    return [
        {
            "uuid": uuid,
            "title": f"What was examined: {line(cluster.name)}",
            "props": props(recorded),
            "rlinks": [_rlink(evidence.source_ref, evidence.snapshot_sha256)],
        }
    ]


def _rlink(href: str, sha256: str) -> dict[str, Any]:
    link: dict[str, Any] = {"href": line(href)}
    if _SHA256.fullmatch(sha256):
        link["hashes"] = [{"algorithm": "SHA-256", "value": sha256}]
    return link


def _nothing(names: Names, result: ScanResult) -> dict[str, Any]:
    """OSCAL wants a result; this one says that there is none."""
    return {
        "uuid": names.uuid("nothing"),
        "title": "Nothing was evaluated",
        "description": "The run contains no cluster.",
        "start": moment(result.started_at),
        "end": moment(result.finished_at),
        "reviewed-controls": {"control-selections": [{"include-controls": [{"control-id": "none"}]}]},
    }
