"""Policy reports on a real API server with the definitions that their projects ship."""

from collections.abc import Iterator
from typing import Any

import pytest
from msgspec.structs import replace

from pytest_kspec.crds.objects.policyreport import APIS, TRUNCATED, Api, build
from pytest_kspec.kube.reference import ResourceRef
from pytest_kspec.results.evidence import Evidence
from pytest_kspec.results.verdict import Verdict
from tests.controlplane import namespaces
from tests.controlplane.fixtures import ControlPlaneFactory
from tests.controlplane.served import wait_until_served
from tests.crds.conftest import Cluster
from tests.crds.foreign import definitions
from tests.crds.test_compliancereport import (
    MAX_BYTES,
    NOBODY,
    check,
    cluster_result,
    finding,
    put,
    scan_result,
    size,
)

BY_API = pytest.mark.parametrize("api", APIS, ids=lambda api: api.group)


def test_what_they_say() -> None:
    node = ResourceRef("v1", "Node", "", "n1")
    mixed = (
        finding(0),
        finding(1, exemption=NOBODY),
        finding(7, known=True),
        replace(finding(2), resource=node),
    )
    failed = replace(check(1, 1), findings=mixed)
    broken = replace(check(2), verdict=Verdict.ERROR, reason="cannot list pods")
    whole, first, second = build(cluster_result(check(0), failed, broken), APIS[0])
    assert (whole["kind"], whole["source"]) == ("ClusterReport", "kspec")
    assert whole["summary"] == {"pass": 1, "fail": 1, "warn": 0, "error": 1, "skip": 0}
    assert [r["result"] for r in whole["results"]] == ["pass", "fail", "error"]
    assert whole["results"][1]["resources"] == [{"apiVersion": "v1", "kind": "Node", "name": "n1"}]
    assert whole["results"][2]["message"] == "cannot list pods"
    assert (first["kind"], first["metadata"]["namespace"]) == ("Report", "ns-0")
    assert [(r["result"], r["message"]) for r in first["results"]] == [
        ("fail", "Pod ns-0/web-0: hostNetwork"),
        ("warn", "Pod ns-0/web-7: hostNetwork"),
    ]
    assert second["summary"] == {"pass": 0, "fail": 0, "warn": 0, "error": 0, "skip": 1}
    assert second["results"][0]["properties"]["exemption.approver"] == "me"
    assert second["results"][0]["severity"] == "high"
    known = replace(check(0), findings=(finding(0, known=True),))
    (entry,) = build(cluster_result(known), APIS[0])[0]["results"]
    assert (entry["result"], entry["message"]) == ("warn", "1 finding known from a baseline")
    old = build(cluster_result(check(0)), APIS[1])[0]
    assert (old["kind"], "source" in old, old["results"][0]["source"]) == (
        "ClusterPolicyReport",
        False,
        "kspec",
    )


@BY_API
def test_they_stay_small_and_their_counts_exact(api: Api) -> None:
    many = tuple(replace(finding(n), resource=finding(0).resource, message="m" * 900) for n in range(3_000))
    passed = (finding(0, exemption=NOBODY),)
    made = build(cluster_result(replace(check(0, 1), findings=passed + many)), api)
    assert size(made[1]) <= MAX_BYTES
    assert made[1]["metadata"]["annotations"] == {TRUNCATED: "true"}
    assert made[1]["summary"] == {"pass": 0, "fail": 3_000, "warn": 0, "error": 0, "skip": 1}
    assert {r["result"] for r in made[1]["results"]} == {"fail"}


@pytest.fixture
def foreign(control_plane_factory: ControlPlaneFactory, api: Api) -> Iterator[Cluster]:
    made = Cluster(control_plane_factory())
    for definition in definitions(api.group):
        made.writer.apply(definition)
    for kind in (api.namespaced, api.cluster):
        wait_until_served(made.writer, api.api_version, kind)
    for number in range(7):
        namespaces.create(made.plane, f"ns-{number}")
    yield made
    made.writer.source.close()


@BY_API
def test_they_are_accepted_unchanged_and_pruned(foreign: Cluster, api: Api) -> None:
    result = scan_result(foreign, check(0), check(1, 20))
    other = cluster_result(check(0, 1), spec_name="other", evidence=Evidence(source_ref=foreign.plane.name))
    result = replace(result, clusters=(*result.clusters, other))
    done, problems = put(foreign, result, "", "policyreport")
    assert problems == []
    assert done[0] == f"policyreport report: prod-eu: 8 in {api.api_version}"
    found = reports(foreign, api)
    assert len(found) == 8 + 2
    assert (
        sum(one["summary"]["fail"] for name, one in found.items() if name[0] and "baseline" in name[1]) == 20
    )
    again = put(foreign, replace(result, finished_at="2026-11-26T00:00:00Z"), "", "policyreport")
    assert again[1] == []
    assert reports(foreign, api) == found  # not even their versions
    put(foreign, scan_result(foreign, check(0), check(1, 2)), "", "policyreport")
    assert sorted(reports(foreign, api)) == [
        ("", "kspec-prod-eu-baseline"),
        ("", "kspec-prod-eu-other"),
        ("ns-0", "kspec-prod-eu-baseline"),
        ("ns-0", "kspec-prod-eu-other"),
        ("ns-1", "kspec-prod-eu-baseline"),
    ]
    assert foreign.warnings == []


def reports(foreign: Cluster, api: Api) -> dict[tuple[str, str], Any]:
    found = [
        one for kind in (api.namespaced, api.cluster) for one in foreign.writer.list(api.api_version, kind)
    ]
    return {(one["metadata"].get("namespace", ""), one["metadata"]["name"]): one for one in found}
