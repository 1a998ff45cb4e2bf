"""Scans of the operator as Jobs whose pods really run: config/with-jobs, PostgreSQL, S3 over TLS."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import psycopg
import pytest
import yaml

from pytest_kspec.crds.names import NAMESPACE
from pytest_kspec.fleet.job import RUN
from tests.fleet.conftest import postgres
from tests.node.conftest import Installed, until
from tests.node.test_fleet import within_pods
from tests.node.test_operator import BOUND, MET, UNMET, still_true, whole
from tests.storage.servers import ObjectStore, Postgres

__all__ = ["postgres"]

PODS = f"system:serviceaccount:{NAMESPACE}:kspec-fleet"
BUCKET = "kspec-reports"
CA = "/var/run/secrets/kubernetes.io/serviceaccount/ca.crt"
"""The authority of the cluster, which each pod has: the store has a certificate of it."""


class Scanned:
    """The Jobs of one specification and their pods."""

    def __init__(self, installed: Installed) -> None:
        self.installed = installed

    def jobs(self) -> list[dict[str, Any]]:
        return list(self.installed.get(f"/apis/batch/v1/namespaces/{NAMESPACE}/jobs")["items"])

    def pods(self, job: str) -> list[dict[str, Any]]:
        return self.installed.every_pod(f"batch.kubernetes.io/job-name={job}")

    def running(self, job: str) -> str:
        """The pod of it that runs; "" for none."""
        for pod in self.pods(job):
            for container in pod["status"].get("containerStatuses", []):
                if container["state"].get("running"):
                    return str(pod["metadata"]["name"])
        return ""

    def state(self) -> str:
        """For messages."""
        logs = ("logs", "-n", NAMESPACE, "-l", "batch.kubernetes.io/job-name", "--prefix", "--tail=20")
        listed = self.installed.kubectl("get", "jobs", "-n", NAMESPACE, check=False)
        return self.installed.state() + listed + self.installed.kubectl(*logs, check=False)


@contextmanager
def held(store: str) -> Iterator[None]:
    """No result is stored meanwhile: a pod that scanned waits."""
    with psycopg.connect(store) as connection:
        connection.execute("LOCK TABLE kspec_results IN EXCLUSIVE MODE")
        yield
        connection.rollback()


@pytest.fixture
def objects(installed: Installed) -> Iterator[ObjectStore]:
    machine = installed.cluster.workers["node1"].machine
    tls = installed.cluster.plane.authority.issue("objects", hosts=(machine.address, "127.0.0.1"))
    with ObjectStore(tls) as made:
        machine.lend(made.port)
        yield made


@pytest.fixture
def store(installed: Installed, objects: ObjectStore, postgres: Postgres) -> Iterator[str]:
    """The store of an operator that makes Jobs, and what it was before, afterwards."""
    machine = installed.cluster.workers["node1"].machine
    machine.lend(postgres.port)
    url = postgres.database("jobs-on-nodes")
    values = objects.bucket(BUCKET) | {
        "KSPEC_STORE": within_pods(url, machine.address),
        "AWS_ENDPOINT_URL": f"https://{machine.address}:{objects.port}",
        "SSL_CERT_FILE": CA,
    }
    metadata = {"name": "kspec-store", "namespace": NAMESPACE}
    secret = {"apiVersion": "v1", "kind": "Secret", "metadata": metadata, "stringData": values}
    installed.kubectl("apply", "-f", "-", input=yaml.safe_dump(secret))
    installed.put("with-jobs")
    try:
        installed.rolled_out("kspec-operator")
        yield url
    finally:
        installed.kubectl("delete", "cspec", "jobbed", "--ignore-not-found", BOUND, check=False)
        installed.put("with-webhook")
        installed.kubectl("delete", "-f", installed.config / "with-jobs" / "rbac.yaml")
        installed.kubectl("delete", "jobs", "--all", "-n", NAMESPACE, BOUND)
        installed.rolled_out("kspec-operator")
        still_true(installed)


def test_a_scan_is_a_job_that_survives_its_pod_and_the_leader(
    installed: Installed, objects: ObjectStore, store: str
) -> None:
    scanned, plane = Scanned(installed), installed.cluster.plane
    until(lambda: installed.leader() in installed.ready(), installed.state)
    installed.kubectl("delete", "cspec", "--all", BOUND)
    until(lambda: not any(job["status"].get("active") for job in scanned.jobs()), scanned.state)
    before = {job["metadata"]["name"] for job in scanned.jobs()}
    begin = plane.audit_position()
    leader = installed.leader()
    installed.apply("jobbed", MET)
    (job,) = until(lambda: {one["metadata"]["name"] for one in scanned.jobs()} - before, scanned.state)
    with held(store):
        victim = until(lambda: scanned.running(job), scanned.state)
        until(lambda: plane.requests_seen(since=begin, user=PODS), scanned.state)  # it scans
        installed.signal(victim, "SIGKILL")
        installed.kubectl("delete", "pod", leader, "-n", NAMESPACE, "--wait=false")
        until(lambda: installed.leader() not in ("", leader), scanned.state)
        until(lambda: scanned.running(job) not in ("", victim), scanned.state)
    installed.wait("jobbed", "Ready")

    assert {one["metadata"]["name"] for one in scanned.jobs()} - before == {job}, (
        "the next leader waits for the same"
    )

    def phases() -> list[str]:
        """Of its pods, once they have ended: the result is there a moment before."""
        found = sorted(pod["status"]["phase"] for pod in scanned.pods(job))
        return found if set(found) <= {"Failed", "Succeeded"} else []

    assert until(phases, scanned.state) == ["Failed", "Succeeded"], scanned.state()
    (found,) = [one for one in scanned.jobs() if one["metadata"]["name"] == job]
    assert found["spec"]["template"]["spec"]["serviceAccountName"] == "kspec-fleet"
    assert found["metadata"]["annotations"][RUN].startswith("jobbed-")
    assert [path for path in (objects.buckets / BUCKET).rglob("*") if path.is_file()], "the full report"
    with psycopg.connect(store) as connection:
        rows = connection.execute("SELECT outcome FROM kspec_outcomes").fetchall()
    assert rows == [("scanned",)], "one outcome, though two pods worked"

    installed.apply("jobbed", UNMET)
    installed.wait("jobbed", "Ready=False")
    assert installed.says("jobbed")["reason"] == "ComplianceChecksFailed"
    assert len({one["metadata"]["name"] for one in scanned.jobs()} - before) >= 2
    seen = plane.requests_seen(since=begin, user=PODS)
    assert [one for one in seen if one.status == 403] == []
    assert {one.verb for one in seen if one.resource} <= {"get", "list"}, "pods of scans change nothing"
    whole(installed)
