"""Reports whose names would be the same, on a real API server: none takes the place of another."""

from __future__ import annotations

from datetime import UTC, datetime

import msgspec

from pytest_kspec.crds.names import NAMESPACE
from pytest_kspec.crds.objects.driftreport import About
from pytest_kspec.drift.events import DriftEvent, DriftKind, DriftType
from pytest_kspec.kube.reference import ResourceRef
from pytest_kspec.operator.driftreports import Kept, Told, report
from pytest_kspec.publish.customresources import write_compliance
from pytest_kspec.results.result import ScanResult
from pytest_kspec.results.verdict import Severity, Verdict
from tests.operator.conftest import Specs
from tests.operator.test_status import cluster

API = "kspec.io/v1alpha1"
NOW = datetime(2026, 11, 29, 12, tzinfo=UTC)
AT = "2026-11-29T12:00:00Z"
OWNER = {"apiVersion": API, "kind": "DriftConfig", "name": "watch", "uid": "uid-watch"}
PAIRS = (("prod", "eu-x"), ("prod-eu", "x"))
"""Clusters and specifications, of which both make the name `prod-eu-x`."""


def test_reports_of_two_clusters_in_one_second_are_two(specs: Specs) -> None:
    for name, spec in PAIRS:
        made = msgspec.structs.replace(cluster(Verdict.PASS), name=name, uid=name, spec_name=spec)
        write_compliance(specs.writer, ScanResult("1", AT, AT, (made,)), made, NAMESPACE, "")
    found = [
        one
        for one in specs.writer.list(API, "ComplianceReport", namespace=NAMESPACE)
        if one["metadata"]["name"].startswith("prod-eu-x-")
    ]
    said = {one["metadata"]["name"]: (one["spec"]["clusterName"], one["status"]["phase"]) for one in found}
    assert said == {
        "prod-eu-x-20261129-120000": ("prod", "Completed"),
        "prod-eu-x-20261129-120000-2": ("prod-eu", "Completed"),
    }
    for name in said:
        specs.writer.delete(API, "ComplianceReport", name, namespace=NAMESPACE)


def test_drift_reports_of_two_clusters_in_one_second_are_two(specs: Specs) -> None:
    policy = ResourceRef("admissionregistration.k8s.io/v1", "ValidatingAdmissionPolicy", "", "p")
    event = DriftEvent(DriftType.POLICY, DriftKind.MISSING, Severity.HIGH, policy, "It does not exist.", AT)
    for name, spec in PAIRS:
        about = About(spec, "", 1, name, name, (NAMESPACE, "watch"))
        listed = specs.writer.list(API, "DriftReport", namespace=NAMESPACE)
        report(specs.writer, about, Told((event,), 0, whole=True), Kept(listed, OWNER), NOW)
    found = {
        one["metadata"]["name"]: (one["spec"]["clusterName"], one["status"]["totalEvents"])
        for one in specs.writer.list(API, "DriftReport", namespace=NAMESPACE)
        if one["metadata"]["name"].startswith("prod-eu-x-")
    }
    assert found == {
        "prod-eu-x-kspec-system-watch-drift-20261129-120000": ("prod", 1),
        "prod-eu-x-kspec-system-watch-drift-20261129-120000-2": ("prod-eu", 1),
    }
    for name in found:
        specs.writer.delete(API, "DriftReport", name, namespace=NAMESPACE)
