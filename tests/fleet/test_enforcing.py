"""`kspec fleet enforce` on real API servers, one of which is away."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.controlplane.process import free_port
from tests.controlplane.server import ControlPlane
from tests.fleet.conftest import Said

SPEC = """\
apiVersion: kspec.dev/v1
kind: ClusterSpecification
metadata: {name: services, version: 1.0.0}
spec:
  network: {allowedServiceTypes: [ClusterIP]}
"""
POLICIES = "/apis/admissionregistration.k8s.io/v1/validatingadmissionpolicies"
NODE_PORT = {
    "apiVersion": "v1",
    "kind": "Service",
    "metadata": {"name": "open", "namespace": "default"},
    "spec": {"type": "NodePort", "ports": [{"port": 80}]},
}


class Fleet:
    def __init__(self, folder: Path, planes: dict[str, ControlPlane]) -> None:
        self.folder, self.planes = folder, planes
        (folder / "spec.yaml").write_text(SPEC)
        self.away: dict[str, str] = {}
        self.write()

    def write(self) -> None:
        """A kubeconfig of all planes, those that are away at a port where nobody listens."""
        merged: dict[str, Any] = {
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [],
            "users": [],
            "contexts": [],
        }
        for name, plane in self.planes.items():
            one = yaml.safe_load(
                plane.kubeconfig(path=self.folder / f"{name}.yaml", context=name).read_text()
            )
            if name in self.away:
                one["clusters"][0]["cluster"]["server"] = self.away[name]
            for part in ("clusters", "users", "contexts"):
                merged[part].append(one[part][0])
            merged["clusters"][-1]["name"] = merged["contexts"][-1]["context"]["cluster"] = name
            merged["users"][-1]["name"] = merged["contexts"][-1]["context"]["user"] = name
        (self.folder / "kubeconfig").write_text(yaml.safe_dump(merged))

    def run(self, *words: str) -> Said:
        done = subprocess.run(
            [
                sys.executable,
                "-m",
                "pytest_kspec.cli.main",
                "fleet",
                "enforce",
                "spec.yaml",
                "--all-contexts",
                *words,
            ],
            capture_output=True,
            text=True,
            stdin=subprocess.DEVNULL,
            cwd=self.folder,
            timeout=180,
            env=os.environ
            | {"KUBECONFIG": str(self.folder / "kubeconfig"), "NO_COLOR": "1", "COLUMNS": "100"},
        )
        return Said(done.returncode, done.stdout, done.stderr)

    def policies(self, name: str) -> int:
        query = "?labelSelector=kspec.io%2Fcluster-spec%3Dservices"
        return len(self.planes[name].request("GET", POLICIES + query).body["items"])


@pytest.fixture
def fleet(tmp_path: Path, control_plane: ControlPlane, second_control_plane: ControlPlane) -> Iterator[Fleet]:
    made = Fleet(tmp_path, {"one": control_plane, "two": second_control_plane})
    yield made
    made.away.clear()
    made.write()
    made.run("--remove", "--yes")


def test_a_cluster_that_was_away_is_caught_up(fleet: Fleet) -> None:
    fleet.away["two"] = f"https://127.0.0.1:{free_port()}"
    fleet.write()
    said = fleet.run("--mode=enforce", "--yes", "-o", "json")
    assert said.code == 2, (said.out, said.err)
    assert len(json.loads(said.out)["clusters"]) == 2, said.out
    one, two = json.loads(said.out)["clusters"]
    assert (one["name"], one["state"], one["inForce"]) == ("one", "ok", 1)
    assert (two["name"], two["state"], two["changes"]) == ("two", "away", {})
    assert "does not answer" in two["error"]
    # It is back: nothing is done to the first one, and the second one gets what it lacks.
    fleet.away.clear()
    fleet.write()
    said = fleet.run("--mode=enforce", "--yes", "-o", "json")
    assert said.code == 0, (said.out, said.err)
    one, two = json.loads(said.out)["clusters"]
    assert (one["changes"]["create"], one["changes"]["change"], one["changes"]["remove"]) == (0, 0, 0)
    assert (two["state"], two["inForce"], two["changes"]["create"] > 0) == ("ok", 1, True)
    for plane in fleet.planes.values():
        answer = plane.request("POST", "/api/v1/namespaces/default/services?dryRun=All", NODE_PORT)
        assert answer.status in (403, 422), answer
    # What the specification no longer asks for goes from all of them.
    said = fleet.run("--remove", "--yes")
    assert said.code == 0, said.err
    assert "services: 2 of 2 clusters up to date" in said.out
    assert (fleet.policies("one"), fleet.policies("two")) == (0, 0)


def test_a_specification_of_which_nothing_can_be_enforced_is_not_up_to_date(fleet: Fleet) -> None:
    (fleet.folder / "spec.yaml").write_text(SPEC.replace("network: {allowedServiceTypes: [ClusterIP]}", "{}"))
    said = fleet.run("--mode=enforce", "--yes", "-o", "json")
    assert said.code == 2, (said.out, said.err)
    (one,) = json.loads(said.out)["clusters"]
    assert (one["state"], one["inForce"]) == ("failed", 0)
    assert "nothing in it can be enforced by vap; nothing was changed" in one["error"]
    assert fleet.run("--mode=enforce", "--yes", "--allow-empty").code == 0


def test_the_first_wave_stops_the_others(fleet: Fleet) -> None:
    """One cluster of two goes first; what it refuses is not sent to the other."""
    foreign = yaml.safe_load((fleet.folder / "spec.yaml").read_text())
    said = fleet.run("--mode=audit", "--dry-run", "-o", "json")
    assert said.code == 0, said.err
    said = fleet.run("--mode=audit", "--dry-run")
    assert "to create" in said.out, said.out
    assert "nothing was changed (--dry-run)" in said.out
    assert "created" not in said.out
    assert (fleet.policies("one"), fleet.policies("two")) == (0, 0)
    assert foreign["metadata"]["name"] == "services"
    plane = fleet.planes["one"]
    name = _taken(fleet)
    body = {
        "apiVersion": "admissionregistration.k8s.io/v1",
        "kind": "ValidatingAdmissionPolicy",
        "metadata": {"name": name},
        "spec": {
            "matchConstraints": {
                "resourceRules": [
                    {
                        "apiGroups": [""],
                        "apiVersions": ["v1"],
                        "operations": ["CREATE"],
                        "resources": ["pods"],
                    }
                ]
            },
            "validations": [{"expression": "true"}],
        },
    }
    assert plane.request("POST", POLICIES, body).status == 201
    try:
        said = fleet.run("--mode=audit", "--yes", "-o", "json")
        assert said.code == 2
        document = json.loads(said.out)
        assert [(one["name"], one["state"]) for one in document["clusters"]] == [("one", "failed")]
        assert "already exists" in document["clusters"][0]["error"]
        assert document["untried"] == ["two"]
        assert fleet.policies("two") == 0
    finally:
        plane.request("DELETE", f"{POLICIES}/{name}")


def _taken(fleet: Fleet) -> str:
    """A name that the specification will want."""
    done = subprocess.run(
        [sys.executable, "-m", "pytest_kspec.cli.main", "enforce", "spec.yaml", "--mode", "audit", "-o", "-"],
        capture_output=True, text=True, cwd=fleet.folder, timeout=60, env=os.environ | {"KUBECONFIG": ""},
    )  # fmt: skip
    documents = [one for one in yaml.safe_load_all(done.stdout) if one]
    return next(one["metadata"]["name"] for one in documents if one["kind"] == "ValidatingAdmissionPolicy")


def test_nothing_is_applied_without_being_asked(fleet: Fleet) -> None:
    said = fleet.run("--mode=audit")
    assert said.code == 4
    assert "cannot ask for confirmation" in said.err
    assert fleet.run().code == 4
    assert (fleet.policies("one"), fleet.policies("two")) == (0, 0)
