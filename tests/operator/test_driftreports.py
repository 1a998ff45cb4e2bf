"""Reports on a real API server: none takes the place of another, and they go with what they are about."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import msgspec

from pytest_kspec.crds.names import NAMESPACE
from pytest_kspec.crds.objects.driftreport import About
from pytest_kspec.drift.events import DriftEvent, DriftKind, DriftType
from pytest_kspec.kube.reference import ResourceRef
from pytest_kspec.operator.driftreports import Kept, Told, report
from pytest_kspec.publish.customresources import write_compliance
from pytest_kspec.results.result import ScanResult
from pytest_kspec.results.verdict import Severity, Verdict
from tests.operator.conftest import DEPLOYED, Specs, as_deployed, until
from tests.operator.hubs import CONFIG, SPEC, Hub, conditions
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


def test_reports_go_with_their_config_and_with_their_specification(hub: Hub) -> None:
    hub.config("watch", {"interval": "5m"})
    hub.config("other", {"interval": "5m"})
    hub.soften()
    for name in ("watch", "other"):
        hub.run(name)
    found = {one["metadata"]["ownerReferences"][0]["name"]: one["metadata"] for one in hub.reports()}
    assert sorted(found) == ["other", "watch"]
    uid = hub.writer.get(*CONFIG, "watch", namespace=NAMESPACE)["metadata"]["uid"]
    assert found["watch"]["ownerReferences"] == [
        {"apiVersion": CONFIG[0], "kind": CONFIG[1], "name": "watch", "uid": uid}
    ], "Kubernetes deletes them with it"

    # Another one of the same name does not build on reports that are about to be deleted.
    hub.writer.delete(*CONFIG, "watch", namespace=NAMESPACE)
    hub.config("watch", {"interval": "5m"})
    hub.run("watch")
    assert sorted(one["metadata"]["ownerReferences"][0]["name"] for one in hub.reports()) == [
        "other",
        "watch",
        "watch",
    ]

    hub.specs.put("another", SPEC)
    hub.specs.clear()
    hub.specs.put("another", SPEC)
    hub.run("watch")
    (left,) = hub.reports()
    assert left["metadata"]["ownerReferences"][0]["name"] == "other", "it had no turn yet"
    hub.run("other")
    assert hub.reports() == []


def test_a_report_that_is_refused_does_not_take_what_was_done_with_it(hub: Hub, tmp_path: Path) -> None:
    hub.config("fix", {"interval": "5m", "remediation": {"strategy": "Apply"}})
    hub.soften()
    place = ("rbac.authorization.k8s.io/v1", "Role")
    role = hub.writer.get(*place, "kspec-operator", namespace=NAMESPACE)
    rules = [
        {**rule, "verbs": [verb for verb in rule["verbs"] if verb != "create"]}
        if "driftreports" in rule["resources"]
        else rule
        for rule in role["rules"]
    ]
    hub.writer.patch(*place, "kspec-operator", {"rules": rules}, namespace=NAMESPACE, field_manager="test")
    groups = ("system:authenticated", "system:serviceaccounts", f"system:serviceaccounts:{NAMESPACE}")
    path = f"/apis/kspec.io/v1alpha1/namespaces/{NAMESPACE}/driftreports?dryRun=All"

    def denied() -> bool:
        answer = hub.specs.plane.request("POST", path, {}, impersonate=DEPLOYED, groups=groups)
        return answer.status == 403

    try:
        until(denied)
        limited = Hub(hub.specs, kubeconfig=str(as_deployed(hub.specs.plane, tmp_path / "kubeconfig")))
        limited.now = hub.now
        status = limited.run("fix")
    finally:
        patch = {"rules": role["rules"]}
        hub.writer.patch(*place, "kspec-operator", patch, namespace=NAMESPACE, field_manager="test")
        until(lambda: not denied())
    assert (status["remediatedEvents"], hub.policy()) == (1, "Fail")
    assert conditions(status)["Ready"] == ("Unknown", "NotCompared")
    ready = next(one for one in status["conditions"] if one["type"] == "Ready")
    assert "sturdy: its DriftReport could not be written: " in ready["message"]
    assert "DriftRemediated" in hub.events("fix")
