"""ComplianceReports of a fleet in a real hub: within a budget, the worst clusters first, and none of what is gone."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from typing import Any

import msgspec
import pytest
import yaml

from pytest_kspec.fleet.hubreports import LARGEST, REPORTS, SMALLEST, share
from tests.controlplane.server import ControlPlane
from tests.fleet.conftest import Fleet, MakeFleet

GROUP = "/apis/kspec.io/v1alpha1"


@pytest.mark.parametrize(
    ("results", "budget", "expected"),
    [
        (1, 64 << 20, (1, LARGEST)),
        (1_000, 64 << 20, (1_000, LARGEST)),
        (2_000, 64 << 20, (2_000, (64 << 20) // 4_000)),
        (100_000, 64 << 20, (8_192, SMALLEST)),
        (0, 1 << 20, (0, 0)),
    ],
)
def test_a_fleet_takes_no_more_than_its_budget(results: int, budget: int, expected: tuple[int, int]) -> None:
    found = share(results, budget)
    assert found == expected
    assert REPORTS * found[0] * found[1] <= budget


def reports(plane: ControlPlane, namespace: str) -> list[dict[str, Any]]:
    path = f"{GROUP}/namespaces/{namespace}/compliancereports"
    found: list[dict[str, Any]] = plane.request("GET", path).body["items"]
    return found


def test_reports_in_the_hub(control_plane: ControlPlane, fresh_namespace: str, make_fleet: MakeFleet) -> None:
    made = subprocess.run(
        [sys.executable, "-m", "pytest_kspec.cli.main", "crds", "compliancereport"],
        capture_output=True,
        text=True,
        check=True,
    )
    path = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
    control_plane.request("POST", path, yaml.safe_load(made.stdout))  # another test may have done so
    _until_served(control_plane, fresh_namespace)
    # One that the hub keeps of itself, which is not ours.
    own = {
        "apiVersion": "kspec.io/v1alpha1",
        "kind": "ComplianceReport",
        "metadata": {
            "name": "own",
            "labels": {
                "kspec.io/cluster-name": "hub",
                "kspec.io/cluster-spec": "shop",
                "kspec.io/report-type": "compliance",
            },
        },
    }
    fleet = make_fleet(3, {"c-001": {"fault": "refused"}})
    config = control_plane.kubeconfig(path=fleet.folder / "hub.kubeconfig", context="hub")
    words = ("--hub=hub", f"--namespace={fresh_namespace}", "--hub-reports")
    kubeconfig = f"{fleet.world.kubeconfig}{os.pathsep}{config}"
    said = _run(fleet, kubeconfig, "scan", "spec.yaml", "-l", "env", *words)
    assert said.returncode == 2, said.stderr
    assert f"hub: 3 ComplianceReports in {fresh_namespace}, 0 removed" in said.stderr
    found = reports(control_plane, fresh_namespace)
    assert sorted(one["spec"]["clusterName"] for one in found) == ["c-000", "c-001", "c-002"]
    assert all(len(msgspec.json.encode(one["spec"])) <= LARGEST for one in found)
    (dead,) = (one for one in found if one["spec"]["clusterName"] == "c-001")
    assert {one["status"] for one in dead["spec"]["results"]} == {"Error"}
    # The next run is about fewer clusters: what is gone has no report, and what says the same is not written anew.
    own["spec"] = found[0]["spec"] | {"clusterName": "hub", "clusterUID": "hub"}
    assert (
        control_plane.request("POST", f"{GROUP}/namespaces/{fresh_namespace}/compliancereports", own).status
        == 201
    )
    said = _run(fleet, kubeconfig, "scan", "spec.yaml", "--context=c-000", *words)
    assert said.returncode == 1, said.stderr
    names = [one["spec"]["clusterName"] for one in reports(control_plane, fresh_namespace)]
    assert sorted(names) == ["c-000", "hub"]


def _run(fleet: Fleet, kubeconfig: str, *words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        fleet.words(*words),
        capture_output=True,
        text=True,
        cwd=fleet.folder,
        timeout=180,
        env=fleet.environment() | {"KUBECONFIG": kubeconfig},
    )


def _until_served(plane: ControlPlane, namespace: str) -> None:
    deadline = time.monotonic() + 30
    path = f"{GROUP}/namespaces/{namespace}/compliancereports"
    while time.monotonic() < deadline and plane.request("GET", path).status != 200:
        time.sleep(0.1)
