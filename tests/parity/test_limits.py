"""What the API server says about the CEL itself: the type checker, the cost of big pods, the subresources."""

from __future__ import annotations

import copy
import re
import time
from collections.abc import Iterator
from typing import Any

import pytest

from pytest_kspec.enforce.engines import Wanted, vap
from pytest_kspec.enforce.modes import Mode
from pytest_kspec.reference.asked import everything
from tests.controlplane.server import STRATEGIC_PATCH, ControlPlane, Etcd
from tests.parity.admission import ADMISSION, PLURALS, Server, refused
from tests.parity.objects import CANARIES, IMAGE
from tests.parity.verdicts import agreed

CONTAINERS = 200
CHECK_TIMEOUT_S = 600.0  # half a minute when idle; over two were seen on a busy machine
EXEMPTIONS = [
    {"name": "a", "reason": "r", "containers": ["side*"]},
    {
        "name": "b",
        "reason": "r",
        "resources": [{"kind": "Deployment", "name": "x*", "labelSelector": {"a": "b"}}],
    },
    {"name": "c", "reason": "r", "namespaces": ["a", "*-b"]},
]


def whole(level: str) -> Any:
    spec = everything()[("restricted", "baseline").index(level)]
    found = spec.model_dump(by_alias=True, exclude_unset=True)
    found["podSecurity"]["exemptions"] = [{"namespace": "x-*", "level": "privileged"}]
    found["policyExemptions"] = EXEMPTIONS
    return found


def inlined(policy: Any) -> Any:
    """The same without variables: the checker takes a variable for `dyn`, and so would see nothing of it."""
    texts: dict[str, str] = {}
    for variable in policy["spec"].pop("variables"):
        text = variable["expression"]
        for name in sorted(texts, key=len, reverse=True):
            text = re.sub(rf"variables\.{name}\b", lambda _, name=name: f"({texts[name]})", text)
        texts[variable["name"]] = text
    questions = [name for name in texts if name[:1].islower() and "_" in name]
    policy["spec"]["validations"] = [{"expression": f"({texts[name]}).size() == 0"} for name in questions]
    return policy


@pytest.fixture(scope="module")
def checking(etcd: Etcd) -> Iterator[tuple[Server, set[Any]]]:
    """A server whose controller manager checks types, and what it has checked already: (place, expression)."""
    with ControlPlane(etcd, controllers=True, audited=False) as plane:
        yield Server(plane), set()


@pytest.mark.long
@pytest.mark.parametrize("level", ["restricted", "baseline"])
def test_the_type_checker_has_no_warning(checking: tuple[Server, set[Any]], level: str) -> None:
    server, known = checking
    plan = server.plan(whole(level), name=f"typed-{level}")
    policies = [m for m in vap.generate(Wanted(plan, Mode.AUDIT, "c")).manifests if m["kind"] == vap.POLICY]
    assert len(policies) == len(CANARIES)
    checked = {policy["metadata"]["name"]: policy for policy in copy.deepcopy(policies)}
    for policy in copy.deepcopy(policies):
        policy = inlined(policy)
        # The levels share some; each takes the checker a second for every kind.
        place = policy["metadata"]["name"].rpartition("-")[2]
        asked = [v for v in policy["spec"]["validations"] if (place, v["expression"]) not in known]
        known |= {(place, v["expression"]) for v in asked}
        # One that is wrong, to see that the checker does say so.
        wrong = {"expression": "object.spec.?noSuchField.orValue(0) == 0"}
        policy["spec"]["validations"] = [*asked, wrong]
        policy["metadata"]["name"] += "-inlined"
        checked[policy["metadata"]["name"]] = policy
    for policy in checked.values():
        server.apply(policy)
    deadline = time.monotonic() + CHECK_TIMEOUT_S
    for name, sent in checked.items():
        path = f"{ADMISSION}/{PLURALS[vap.POLICY]}/{name}"
        policy = server.plane.request("GET", path).body
        while policy.get("status", {}).get("observedGeneration") != policy["metadata"]["generation"]:
            assert time.monotonic() < deadline, policy["status"]
            time.sleep(0.1)
            policy = server.plane.request("GET", path).body
        found = [w["fieldRef"] for w in policy["status"]["typeChecking"].get("expressionWarnings", [])]
        last = len(sent["spec"]["validations"]) - 1
        wanted = [f"spec.validations[{last}].expression"] if name.endswith("-inlined") else []
        assert found == wanted, (name, policy["status"])


def big(container: Any) -> dict[str, Any]:
    """A pod with as many containers, half of them init containers, and what makes rules work."""
    containers = []
    for index in range(CONTAINERS):
        made = copy.deepcopy(container) | {"name": f"container-with-a-long-name-{index}"}
        made["env"] = [{"name": f"V{n}", "value": "x"} for n in range(5)]
        made["ports"] = [{"name": f"p{n}", "containerPort": 1000 + n} for n in range(5)]
        containers.append(made)
    half = CONTAINERS // 2
    volumes = [{"name": f"v{n}", "emptyDir": {}} for n in range(50)]
    spec = {"initContainers": containers[:half], "containers": containers[half:], "volumes": volumes}
    annotations = {f"example.com/note-{n}": "x" for n in range(50)}
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": "big", "annotations": annotations},
        "spec": spec,
    }


GOOD = {
    "image": "registry.example.com/some/rather/long/name/of/an/image@sha256:" + "a" * 64,
    "securityContext": {
        "allowPrivilegeEscalation": False,
        "runAsNonRoot": True,
        "capabilities": {"drop": ["ALL"], "add": ["NET_BIND_SERVICE"]},
        "seccompProfile": {"type": "RuntimeDefault"},
    },
}


@pytest.fixture(scope="module")
def strict(server: Any) -> tuple[Any, Any, Any]:
    plan = server.plan(whole("restricted"))
    label = {"kspec-parity-group": "limits"}
    server.apply_plan(plan, object_labels=label)
    namespace = server.namespace()
    server.wait(namespace, CANARIES["pods"], labels=label)
    return plan, label, namespace


def test_cost_of_a_big_pod_that_passes(server: Any, strict: tuple[Any, Any, Any]) -> None:
    plan, label, namespace = strict
    pod = big(GOOD)
    pod["metadata"] |= {"name": "good", "labels": label, "namespace": namespace}
    answer = server.create(namespace, pod)
    assert answer.status == 201, answer.body["message"]
    assert agreed(plan, answer.body | {"apiVersion": "v1", "kind": "Pod"}) == set()


def test_cost_of_a_big_pod_that_violates_everything(server: Any, strict: tuple[Any, Any, Any]) -> None:
    _, label, namespace = strict
    pod = big({"image": "docker.io/" + "a" * 200, "securityContext": {"privileged": True}})
    pod["metadata"] |= {"name": "bad", "labels": label}
    answer = server.create(namespace, pod)
    assert answer.status == 403, answer
    message = answer.body["message"]
    assert "[podSecurity.standard[privileged]]" in message or message.endswith("…"), message
    assert "cost" not in message, message


def test_an_update_of_a_big_pod_that_changes_nothing(server: Any, strict: tuple[Any, Any, Any]) -> None:
    """The comparison with the old object has a bound of its own."""
    _, label, namespace = strict
    pod = big({"image": IMAGE, "securityContext": {"privileged": True}})
    assert server.create(namespace, pod, dry_run=False).status == 201
    path = f"/api/v1/namespaces/{namespace}/pods/big"
    answer = server.plane.request("PATCH", path, {"metadata": {"labels": label}})
    assert answer.status == 200, answer
    answer = server.plane.request("PATCH", path, {"metadata": {"labels": {"more": "x"}}})
    assert answer.status == 200, answer
    answer = server.plane.request(
        "PATCH", path, {"spec": {"containers": [{"name": "container-with-a-long-name-199", "image": "x:2"}]}},
        content_type=STRATEGIC_PATCH,
    )  # fmt: skip
    assert answer.status == 403, answer


def test_ephemeral_containers(server: Any, strict: tuple[Any, Any, Any]) -> None:
    plan, label, namespace = strict
    pod = copy.deepcopy(CANARIES["pods"])
    pod["metadata"] = {"name": "running"}
    pod["spec"]["containers"][0] |= GOOD
    assert server.create(namespace, pod, dry_run=False).status == 201
    path = f"/api/v1/namespaces/{namespace}/pods/running"
    server.plane.request("PATCH", path, {"metadata": {"labels": label}})
    for debug, bad in ((GOOD, False), ({"image": IMAGE, "securityContext": {"privileged": True}}, True)):
        body = {"spec": {"ephemeralContainers": [{"name": "debug", **debug}]}}
        answer = server.plane.request(
            "PATCH", f"{path}/ephemeralcontainers?dryRun=All", body, content_type=STRATEGIC_PATCH
        )
        theirs = refused(answer)
        sent = server.plane.request("GET", path).body | {"apiVersion": "v1", "kind": "Pod"}
        sent["spec"]["ephemeralContainers"] = body["spec"]["ephemeralContainers"]
        assert theirs == agreed(plan, sent)
        assert bool(theirs) == bad
