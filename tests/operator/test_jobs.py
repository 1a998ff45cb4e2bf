"""Scans of the operator as Jobs: the real Job controller, pods whose commands really run, PostgreSQL and S3."""

from __future__ import annotations

import base64
import os
import signal
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import yaml

from pytest_kspec.crds.names import NAMESPACE
from pytest_kspec.crds.schema.definitions import find
from pytest_kspec.fleet.job import RUN
from tests.controlplane import namespaces
from tests.controlplane.server import ControlPlane, Etcd
from tests.crds.conftest import Cluster
from tests.fleet.conftest import postgres
from tests.fleet.kubelet import NO_IMAGE, Kubelet
from tests.fleet.world import World
from tests.operator.conftest import DEPLOYED, KINDS, RIGHTS, OperatorProcess, Specs, built, granted, until
from tests.operator.test_fleets import MET, UNMET, Registered
from tests.storage.servers import ObjectStore, Postgres

__all__ = ["postgres"]

PODS = f"system:serviceaccount:{NAMESPACE}:kspec-fleet"
IMAGE = "registry.example/kspec:1"


@pytest.fixture(scope="module")
def hub(etcd: Etcd) -> Iterator[Cluster]:
    """An API server with a Job controller, and the rights of config/with-jobs."""
    with ControlPlane(etcd, controllers=True) as plane:
        made = Cluster(plane)
        made.install(*(definition for kind in KINDS if (definition := find(kind)) is not None))
        namespaces.create(plane, NAMESPACE)
        for one in built("with-jobs"):
            if one["kind"] in (*RIGHTS, "ServiceAccount"):
                made.writer.apply(one, field_manager="test")
        yield made
        made.writer.source.close()


class Jobs:
    """A hub whose operator makes Jobs, and what these need."""

    def __init__(self, cluster: Cluster, store: str, bucket: dict[str, str], folder: Path) -> None:
        self.specs, self.folder = Specs(cluster), folder
        self.plane, self.writer = cluster.plane, cluster.writer
        self.store, self.bucket = store, bucket
        self._started: list[OperatorProcess] = []
        # What a pod of the ServiceAccount has by its token and its environment.
        document = yaml.safe_load(
            self.plane.kubeconfig(path=folder / "pods", context="in-cluster").read_text()
        )
        groups = ["system:authenticated", "system:serviceaccounts", f"system:serviceaccounts:{NAMESPACE}"]
        document["users"][0]["user"] |= {"as": PODS, "as-groups": groups}
        (folder / "pods").write_text(yaml.safe_dump(document))
        variables = {"KSPEC_STORE": store, "KUBECONFIG": str(folder / "pods"), **bucket}
        data = {key: base64.b64encode(value.encode()).decode() for key, value in variables.items()}
        head = {
            "apiVersion": "v1",
            "kind": "Secret",
            "metadata": {"name": "kspec-store", "namespace": NAMESPACE},
        }
        self.writer.apply({**head, "data": data}, field_manager="test")

    def start(self, *words: str, image: str = IMAGE) -> OperatorProcess:
        folder = self.folder / f"operator-{len(self._started)}"
        folder.mkdir()
        words = ("--leader-elect=false", "--scan-engine=job", "--store-reports=s3://fleet/reports", *words)
        self._started.append(OperatorProcess(self.plane, folder, *words, f"--scan-image={image}"))
        return self._started[-1]

    def jobs(self) -> dict[str, str]:
        """Run → name of its Job."""
        found = self.plane.request("GET", f"/apis/batch/v1/namespaces/{NAMESPACE}/jobs").body["items"]
        return {one["metadata"]["annotations"][RUN]: one["metadata"]["name"] for one in found}

    def end(self) -> None:
        for one in self._started:
            one.kill()
        self.specs.clear()
        for name in self.jobs().values():
            path = f"/apis/batch/v1/namespaces/{NAMESPACE}/jobs/{name}"
            self.plane.request("DELETE", path, {"propagationPolicy": "Background"})


@pytest.fixture
def jobs(
    hub: Cluster, postgres: Postgres, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Callable[[str], Jobs]]:
    made: list[Jobs] = []
    with ObjectStore() as objects:

        def make(name: str) -> Jobs:
            bucket = objects.bucket("fleet")
            store = postgres.database(name)
            for key, value in {**bucket, "KSPEC_STORE": store}.items():
                monkeypatch.setenv(key, value)
            made.append(Jobs(hub, store, bucket, tmp_path))
            return made[-1]

        yield make
        for one in made:
            one.end()


@pytest.fixture
def world() -> Iterator[World]:
    with World(3, 4, {"c-001": {"fault": "refused"}, "c-000": {"latency": 0.05}}) as made:
        yield made


def test_scans_are_jobs_and_an_operator_that_is_killed_is_followed(
    jobs: Callable[[str], Jobs], world: World
) -> None:
    """Of the hub itself and of the ClusterTargets of a selector; rights that are granted are used, and no others."""
    made = jobs("operatorjobs")
    fleet = Registered(made.specs, world)
    for number in range(3):
        fleet.put(f"c-00{number}", {"env": "prod"})
    begin = made.plane.audit_position()
    made.specs.put("own", MET)
    made.specs.put("prod", {**UNMET, "clusterSelector": {"matchLabels": {"env": "prod"}}})
    first = made.start()
    until(lambda: len(made.jobs()) == 2, first.said)  # no pod runs yet: it dies in the middle of both runs
    started = made.jobs()
    first.kill()
    with Kubelet(made.plane, NAMESPACE) as kubelet:
        second = made.start()
        own = made.specs.wait("own", "True", said=lambda: f"{second.said()}\n{kubelet.output}")
        assert own["message"] == "2 of 2 checks passed."
        ready = made.specs.wait("prod", "False", said=second.said)
        status = made.specs.get("prod")["status"]
        since = status["unreachableSince"]
        assert ready["message"] == (
            f"0 of 3 clusters comply; 2 do not: c-000, c-002; 1 does not answer: c-001 (since {since})."
        )
        assert made.jobs() == started, "the second operator went on with the runs of the first"
        assert status["run"] in started
        assert len(kubelet.started) == 2
        until(lambda: set(fleet.reports()) == {"c-000", "c-001", "c-002"}, second.said)
        second.send(signal.SIGTERM)
        assert second.ended() == 0, second.said()
    seen = made.plane.requests_seen(since=begin, user=DEPLOYED)
    assert [one for one in seen if one.status == 403] == []
    used = {(one.verb, one.resource) for one in seen}
    assert {("get", "jobs"), ("create", "jobs"), ("list", "pods")} <= used
    pods = made.plane.requests_seen(since=begin, user=PODS)
    assert [one for one in pods if one.status == 403] == []
    roles = {one["metadata"]["name"]: one["rules"] for one in built("with-jobs") if one["kind"] == "Role"}
    asked = {(one.verb, one.resource) for one in pods if one.verb != "list"}
    assert asked - {("get", "namespaces"), ("get", "")} == {
        (verb, resource)
        for rule in roles["kspec-fleet"]
        for verb in rule["verbs"]
        for resource in rule["resources"]
    }
    fleet.clear()


@pytest.mark.long
def test_an_image_that_does_not_come_is_an_error_with_its_reason(jobs: Callable[[str], Jobs]) -> None:
    made = jobs("noimage")
    begin = made.plane.audit_position()
    made.specs.put("own", MET)
    image = f"registry.example/{NO_IMAGE}:1"
    with Kubelet(made.plane, NAMESPACE):
        operator = made.start(image=image)
        said = made.specs.wait("own", "Unknown", said=operator.said)
        assert said["reason"] == "ReconciliationFailed"
        assert f"ErrImagePull: {image}: not found" in said["message"]
        first = made.specs.get("own")["status"]["run"]
        # The Job is ended, and the next scan is another run.
        until(lambda: set(made.jobs()) - {first}, operator.said)
    seen = made.plane.requests_seen(since=begin, user=DEPLOYED)
    assert ("delete", "jobs") in {(one.verb, one.resource) for one in seen if one.status == 200}
    assert granted("jobs") == set(), "only config/with-jobs grants Jobs"


def test_what_is_missing_for_jobs_is_said_at_the_start(
    jobs: Callable[[str], Jobs], monkeypatch: pytest.MonkeyPatch
) -> None:
    made = jobs("missing")
    operator = made.start(image="kspec:latest")
    assert operator.ended() == 4
    assert "the image kspec:latest has no digest and no version" in operator.said()
    monkeypatch.delenv("KSPEC_STORE")
    operator = made.start(f"--store={made.folder / 'file.db'}")
    assert operator.ended() == 4
    assert "results of Jobs need a store in PostgreSQL" in operator.said()
    assert os.environ.get("KSPEC_STORE") is None
