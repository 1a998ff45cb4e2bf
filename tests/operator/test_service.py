"""Several kinds in one process: each waits for its own definition, and no kind for another."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import pytest
import urllib3

from pytest_kspec.cluster.watch.reflector import Key, Reflector
from pytest_kspec.cluster.writing.access import Access
from pytest_kspec.crds.names import NAMESPACE
from pytest_kspec.errors import KspecError
from pytest_kspec.kube.resources import ResourceType
from pytest_kspec.operator import remotestatus
from pytest_kspec.operator.controller import TARGETS, Concerned, Controller, Given, Right
from pytest_kspec.operator.lease import TERMS, Elector
from pytest_kspec.operator.scans import Scanner
from pytest_kspec.operator.service import Operator, Options
from tests.controlplane.served import wait_until_served
from tests.crds.conftest import CRD, Cluster
from tests.operator.conftest import LIMIT_S, Specs, until

GROUP = "operator.test"
LATE = ResourceType(GROUP, "v1", "Late", "lates", True)
DEFINITION = {
    "apiVersion": CRD[0],
    "kind": CRD[1],
    "metadata": {"name": LATE.resource},
    "spec": {
        "group": GROUP,
        "scope": "Namespaced",
        "names": {"kind": LATE.kind, "plural": LATE.plural},
        "versions": [
            {
                "name": "v1",
                "served": True,
                "storage": True,
                "schema": {
                    "openAPIV3Schema": {"type": "object", "x-kubernetes-preserve-unknown-fields": True}
                },
            }
        ],
    },
}
SPECIFICATIONS = ResourceType("kspec.io", "v1alpha1", "ClusterSpecification", "clusterspecifications", False)


class Recorder:
    """A controller that keeps the keys it was given."""

    label = "test"
    workers = 1
    rights: tuple[Right, ...] = ()

    def __init__(self, given: Given, resource: ResourceType) -> None:
        self.given, self.resource = given, resource
        self.others: Mapping[ResourceType, Concerned] = {}
        self.keys: list[Key] = []

    def reconcile(self, key: Key) -> float | None:
        self.keys.append(key)
        if key[1] == "broken":
            raise ZeroDivisionError
        return 3600.0 if key in self.given.objects(self.resource) else None

    def failed(self, key: Key, fault: Exception) -> None:
        self.keys.append(("failed", type(fault).__name__))


@contextmanager
def running(operator: Operator) -> Iterator[None]:
    thread = threading.Thread(target=operator.run, daemon=True)
    thread.start()
    try:
        yield
    finally:
        operator.stop()
        thread.join(LIMIT_S)
        assert not thread.is_alive()


def test_a_kind_that_is_not_served_waits_and_others_go_on(operated: Cluster, specs: Specs) -> None:
    made: list[Recorder] = []

    def maker(resource: ResourceType) -> Callable[[Given], Controller]:
        def make(given: Given) -> Controller:
            made.append(Recorder(given, resource))
            return made[-1]

        return make

    plane = operated.plane
    access = Access(plane.name, str(plane.kubeconfig()))
    kinds = [maker(SPECIFICATIONS), maker(LATE)]
    operator = Operator(Options(access, None, Scanner([], 60), kinds, health="127.0.0.1:0", metrics="0"))
    ours, late = made
    specs.put("here", {})

    def ready() -> tuple[int, str]:
        url = f"http://127.0.0.1:{operator.ports[0]}/readyz"
        answer = urllib3.request("GET", url, timeout=10, retries=False)
        return answer.status, answer.data.decode()

    try:
        with running(operator):
            until(lambda: operator.ports)
            until(lambda: ("", "here") in ours.keys)
            until(lambda: "Late" in ready()[1])
            status, said = ready()
            assert status == 200, "one kind is looked after"
            assert said.splitlines()[0] == "leads"
            assert late.keys == []

            operated.writer.apply(DEFINITION, field_manager="test")
            wait_until_served(operated.writer, LATE.api_version, LATE.kind)
            until(lambda: ready() == (200, "leads\n"))
            head = {"apiVersion": LATE.api_version, "kind": LATE.kind}
            for name in ("one", "broken"):
                operated.writer.apply(
                    {**head, "metadata": {"name": name, "namespace": "default"}}, field_manager="test"
                )
            until(lambda: ("default", "one") in late.keys)
            until(lambda: ("failed", "ZeroDivisionError") in late.keys)
            assert late.given.objects(SPECIFICATIONS).keys() >= {("", "here")}
            seen = len(ours.keys)
            late.given.look(SPECIFICATIONS, ("", "here"))
            until(lambda: len(ours.keys) > seen)
    finally:
        operated.writer.delete(*CRD, LATE.resource)


def test_nothing_is_written_after_the_lease_was_given_up_also_by_threads_of_a_controller(
    operated: Cluster,
) -> None:
    plane = operated.plane
    lease = ("coordination.k8s.io/v1", "Lease", "kspec-operator-lock")
    operated.writer.delete(*lease, namespace="kspec-system")
    config = str(plane.kubeconfig("controllers"))
    elector = Elector(Access(plane.name, config, limits=TERMS.limits), "kspec-system", "me")
    access = Access(plane.name, config, allowed=elector.check)
    written: list[str] = []
    refused: list[Exception] = []

    class Busy(Recorder):
        """As runs over fleets: what it began goes on beside the queue."""

        def reconcile(self, key: Key) -> float | None:
            for number in range(4):
                threading.Thread(target=self.write, args=(f"busy-{number}",), daemon=True).start()
            return None

        def write(self, name: str) -> None:
            head = {"apiVersion": "v1", "kind": "ConfigMap"}
            made = {**head, "metadata": {"name": name, "namespace": "default"}}
            try:
                for count in range(1_000_000):
                    content = {**made, "data": {"count": str(count)}}
                    access.do(lambda writer, content=content: writer.apply(content))
                    written.append(name)
            except KspecError as error:
                refused.append(error)

    operator = Operator(
        Options(
            access, elector, Scanner([], 60), [lambda given: Busy(given, SPECIFICATIONS)], health="0"
        )._replace(metrics="0")
    )
    specs = Specs(operated)
    since = plane.audit_position()
    try:
        specs.put("busy", {})
        with running(operator):
            until(lambda: len(written) > 40)
        until(lambda: len(refused) == 4)
        assert {str(one) for one in refused} == {"the operator ends."}, (
            "a lost Lease would end it with an error"
        )
        seen = plane.requests_seen(since=since, user="controllers")
        writes = [one.resource for one in seen if one.verb not in ("get", "list", "watch")]
        assert "configmaps" in writes
        assert writes[-1] == "leases", "the last write gives the Lease up"
        found = operated.writer.get(*lease, namespace="kspec-system")
        assert found["spec"]["holderIdentity"] == ""
    finally:
        specs.clear()
        for number in range(4):
            operated.writer.delete("v1", "ConfigMap", f"busy-{number}", namespace="default")


def test_who_depends_on_another_kind_looks_once_the_process_shows_the_change(
    operated: Cluster, specs: Specs, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also where it looked before that: its controller, which reads from the API server, is always ahead."""
    shown = threading.Event()
    seen: list[dict[str, str]] = []
    usual = Reflector._put

    def late(self: Reflector, key: Key, obj: Any, source: Any) -> None:
        if self._type == TARGETS and obj is not None and obj["metadata"].get("labels"):
            assert shown.wait(LIMIT_S)
        usual(self, key, obj, source)

    monkeypatch.setattr(Reflector, "_put", late)

    class Dependent(Recorder):
        def reconcile(self, key: Key) -> float | None:
            super().reconcile(key)
            found = self.given.objects(TARGETS).get((NAMESPACE, "one"), {})
            seen.append(found.get("metadata", {}).get("labels", {}))
            return 3600.0

    made: list[Recorder] = []

    def dependent(given: Given) -> Controller:
        one = Dependent(given, SPECIFICATIONS)
        known: dict[Key, Any] = {("", "s"): {"spec": {"clusterSelector": {}}}}
        one.others = {TARGETS: lambda before, now: remotestatus.concerned(before, now, known)}
        return one

    def targets(given: Given) -> Controller:
        made.append(Recorder(given, TARGETS))
        return made[-1]

    plane = operated.plane
    access = Access(plane.name, str(plane.kubeconfig()))
    operator = Operator(Options(access, None, Scanner([], 60), [dependent, targets], health="0", metrics="0"))
    spec = {"apiServerURL": "https://127.0.0.1:1", "authMode": "token", "tokenSecretRef": {"name": "x"}}
    head = {"apiVersion": TARGETS.api_version, "kind": TARGETS.kind}

    def put(**labels: str) -> None:
        metadata = {"name": "one", "namespace": NAMESPACE, "labels": labels}
        operated.writer.apply({**head, "metadata": metadata, "spec": spec}, field_manager="test")

    specs.put("s", {})
    put()
    try:
        with running(operator):
            until(lambda: seen and (NAMESPACE, "one") in made[0].given.objects(TARGETS))
            put(env="prod")  # no new generation
            made[0].given.look(SPECIFICATIONS, ("", "s"))
            count = len(seen)
            until(lambda: len(seen) > count)
            assert {} in seen[count:]
            shown.set()
            until(lambda: seen[-1] == {"env": "prod"})
    finally:
        shown.set()
        operated.writer.delete(head["apiVersion"], head["kind"], "one", namespace=NAMESPACE)
