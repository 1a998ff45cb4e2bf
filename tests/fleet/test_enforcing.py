"""`kspec fleet enforce` on real API servers, one of which is away."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import yaml

from pytest_kspec.cluster.limits import Limits
from pytest_kspec.cluster.sources.live import LiveSource
from pytest_kspec.enforce.engines import engine
from pytest_kspec.errors import Refused, SourceError, SourceUnavailable
from pytest_kspec.fleet.enforcing import Order, sync
from pytest_kspec.fleet.targets.model import Opener, Target
from pytest_kspec.plan.checkset import load_checks
from pytest_kspec.spec.loading import load_spec
from tests.controlplane.fixtures import ControlPlaneFactory
from tests.controlplane.process import free_port
from tests.controlplane.server import ControlPlane
from tests.fleet.conftest import Said
from tests.operator.test_engines import KINDS, KYVERNO, OLD
from tests.webhook.running import until

SPEC = """\
apiVersion: kspec.dev/v1
kind: ClusterSpecification
metadata: {name: services, version: 1.0.0}
spec:
  network: {allowedServiceTypes: [ClusterIP]}
"""
POLICIES = "/apis/admissionregistration.k8s.io/v1/validatingadmissionpolicies"
BINDINGS = POLICIES.removesuffix("ies") + "ybindings"
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

    def policies_of(self, name: str, kind: tuple[str, str]) -> list[dict[str, Any]]:
        path = f"/apis/{kind[0]}/{kind[1].lower().removesuffix('y')}ies"
        query = "?labelSelector=kspec.io%2Fcluster-spec%3Dservices"
        return list(self.planes[name].request("GET", path + query).body.get("items", []))

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


def test_where_the_first_do_not_answer_others_go_first(tmp_path: Path) -> None:
    """What is wrong for all is found on a tenth, also where a tenth is away."""
    tried: list[str] = []

    def opener(name: str, error: SourceError) -> Opener:
        def opened(_: Limits | None) -> LiveSource:
            tried.append(name)
            raise error

        return opened

    away, refused = SourceUnavailable("no answer"), Refused("not so")
    targets = [
        Target(f"c{number:02}", "", "context", opener(f"c{number:02}", away if number < 5 else refused))
        for number in range(20)
    ]
    path = tmp_path / "spec.yaml"
    path.write_text(SPEC)
    asked = Order([load_spec(path)], load_checks(), engine("vap"), None, datetime.now(UTC))
    done, untried = sync(targets, asked, say=lambda _: None)
    assert sorted(tried) == [f"c{number:02}" for number in range(6)]
    assert [one.state for one in done] == ["away"] * 5 + ["failed"]
    assert len(untried) == 14


def test_nothing_is_applied_without_being_asked(fleet: Fleet) -> None:
    said = fleet.run("--mode=audit")
    assert said.code == 4
    assert "cannot ask for confirmation" in said.err
    assert fleet.run().code == 4
    assert (fleet.policies("one"), fleet.policies("two")) == (0, 0)


@pytest.fixture
def three(fleet: Fleet, control_plane_factory: ControlPlaneFactory) -> Iterator[Fleet]:
    """With one that has Kyverno's kinds, which the others lack."""
    plane = control_plane_factory(audited=False)
    fleet.planes["three"] = plane
    fleet.write()
    for one in KINDS:
        path = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
        assert plane.request("POST", path, one).status == 201
    until(lambda: plane.request("GET", "/apis/policies.kyverno.io/v1/validatingpolicies").status == 200)
    others = dict(fleet.planes)
    yield fleet
    fleet.planes = {name: others[name] for name in ("one", "two")}


def test_status_is_of_each_cluster_and_changes_nothing(three: Fleet) -> None:
    three.away["two"] = f"https://127.0.0.1:{free_port()}"
    three.write()
    assert three.run("--mode=audit", "--yes").code == 2  # two is away
    plane = three.planes["three"]
    (binding,) = plane.request("GET", BINDINGS).body["items"]
    path = f"{BINDINGS}/{binding['metadata']['name']}"
    assert plane.request("PATCH", path, {"spec": {"validationActions": ["Deny"]}}).status == 200
    said = three.run("--status", "-o", "json")
    assert said.code == 2, (said.out, said.err)
    document = said.json
    assert (document["kind"], document["engine"]) == ("FleetEnforcement", "vap")
    assert document["totals"] == [
        {"spec": "services", "clusters": 3, "ok": 1, "differ": 1, "away": 1, "failed": 0}
    ]
    one, third, two = document["clusters"]
    assert (one["state"], one["mode"], one["inForce"], one["problems"]) == ("ok", "audit", 1, [])
    assert (two["state"], two["mode"]) == ("away", "")
    assert third["state"] == "differs"
    assert "spec.validationActions" in str(third["problems"])
    said = three.run("--status")
    assert said.code == 2
    assert said.out.splitlines()[0].split() == ["NAME", "SPEC", "STATE", "MODE", "POLICIES", "PROBLEM"]
    assert "services: 1 of 3 clusters as required, 1 not, 1 away" in said.out
    three.away.clear()
    three.write()
    # It was away and has nothing; the same as what is in force is not what is asked for.
    assert three.run("--status").code == 1
    assert "nothing is in force" in three.run("--status").out
    assert three.run("--mode=audit", "--yes").code == 0
    assert three.run("--status").code == 0
    assert three.run("--status", "--mode=enforce").code == 1
    assert three.run("--remove", "--yes").code == 0


def test_kyverno_is_not_in_force_before_it_says_so(three: Fleet) -> None:
    said = three.run("--engine=kyverno", "--mode=enforce", "--yes", "-o", "json")
    assert said.code == 2
    (one,) = said.json["clusters"]
    assert (one["state"], said.json["untried"]) == ("failed", ["three", "two"])
    assert "Is Kyverno installed?" in one["error"]
    words = ("--engine=kyverno", "-o", "json", "--yes")
    del three.planes["one"], three.planes["two"]
    three.write()
    ended = threading.Event()

    def play() -> None:
        """What Kyverno's controller says of a policy that it has put into its webhook."""
        heard = {"conditions": [{"type": "WebhookConfigured", "status": "True", "message": ""}]}
        while not ended.wait(0.2):
            for policy in three.policies_of("three", KYVERNO):
                path = f"/apis/{KYVERNO[0]}/validatingpolicies/{policy['metadata']['name']}/status"
                three.planes["three"].request("PATCH", path, {"status": {"conditionStatus": heard}})

    thread = threading.Thread(target=play, daemon=True)
    thread.start()
    try:
        said = three.run("--mode=enforce", *words)
        assert said.code == 0, (said.out, said.err)
        (one,) = said.json["clusters"]
        assert (one["state"], one["mode"], one["inForce"]) == ("ok", "enforce", 1)
        assert three.run("--status", *words).code == 0
    finally:
        ended.set()
        thread.join(30)
    # Of the other API there is another kind, and what the first one made goes once that is in force.
    said = three.run("--mode=audit", "--kyverno-api=clusterpolicy", *words)
    assert "policies of kind ValidatingPolicy stay until those of kind ClusterPolicy are in force" in said.out
    assert [len(three.policies_of("three", kind)) for kind in (KYVERNO, OLD)] == [1, 1]
    (old,) = three.policies_of("three", OLD)
    path = f"/apis/{OLD[0]}/clusterpolicies/{old['metadata']['name']}/status"
    ready = {"conditions": [{"type": "Ready", "status": "True", "message": ""}]}
    three.planes["three"].request("PATCH", path, {"status": ready})
    said = three.run("--mode=audit", "--kyverno-api=clusterpolicy", *words)
    assert (said.code, said.json["clusters"][0]["changes"]["remove"]) == (0, 1), said.err
    assert [len(three.policies_of("three", kind)) for kind in (KYVERNO, OLD)] == [0, 1]
    three.planes["three"].request("PATCH", path, {"status": None})
    said = three.run("--status", "--kyverno-api=clusterpolicy", *words)
    assert said.code == 1, "a policy that Kyverno has not processed is not in force"
    assert three.run("--remove", *words).code == 0
    assert three.policies_of("three", OLD) == []


def test_an_engine_of_scans_is_not_one_of_policies(fleet: Fleet) -> None:
    for words in (
        ["--engine=job"],
        ["--kyverno-api=v3"],
        ["--status", "--remove"],
        ["--remove", "--mode=audit"],
    ):
        said = fleet.run(*words, *([] if "--remove" in words else ["--mode=audit"]), "--yes")
        assert said.code == 4, (words, said.err)


def test_two_names_of_one_cluster_are_one(fleet: Fleet) -> None:
    fleet.planes["two"] = fleet.planes["one"]
    fleet.write()
    said = fleet.run("--mode=audit", "--yes", "-o", "json")
    assert said.code == 0, (said.out, said.err)
    states = {one["state"]: one for one in said.json["clusters"]}
    assert set(states) == {"ok", "duplicate"}
    assert states["duplicate"]["sameAs"] == states["ok"]["name"]
    assert said.json["totals"][0]["clusters"] == 1
