"""min, max, pattern, allowed, anyOf and orUnset of workloads.containers: on pods with amounts of every form."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.controlplane.server import STRATEGIC_PATCH
from tests.effort import with_fixtures
from tests.parity.admission import refused
from tests.parity.fields import compare, held_to, varied
from tests.parity.objects import CANARIES, as_template, settled
from tests.parity.verdicts import agreed

PODS = 40
MEMORY = "resources.limits.memory"
CPU = "resources.requests.cpu"
GRACE = "terminationGracePeriodSeconds"
PORT = "ports.containerPort"
GROUPS = "securityContext.supplementalGroups"
ADD = "securityContext.capabilities.add"
ENTRIES = {
    "memory": [
        *({"key": MEMORY, "max": bound} for bound in ("1Gi", "128974848", "9Ei", "1e30", "8E", "0.1n", "-1")),
        *({"key": MEMORY, "min": bound} for bound in ("1Gi", "129e6", "9223372036854775807", "1m")),
        {"key": MEMORY, "min": "64Mi", "max": "1G"},
    ],
    "optional": [
        {"key": MEMORY, "max": "1Gi", "orUnset": True},
        {"key": MEMORY, "max": "1Gi", "exists": True},
        {"key": MEMORY, "value": ["1Gi", "9Ei", "1e30"], "orUnset": True},
        {"key": MEMORY, "anyOf": [{"exists": False}, {"max": "64Mi"}, {"value": "1Gi"}]},
    ],
    "cpu": [
        *({"key": CPU, "max": bound} for bound in ("500m", "0.1", "1e-3")),
        {"key": CPU, "min": "100m", "max": 1, "orUnset": True},
    ],
    "numbers": [
        {"key": GRACE, "max": "1m"},
        {"key": GRACE, "min": 30, "max": "9999999999999999999"},
        {"key": GRACE, "max": "9999999999999999999"},
        {"key": GRACE, "min": "-9999999999999999999"},
        {"key": GRACE, "anyOf": [{"value": "0"}, {"min": "1m"}]},
        {"key": GRACE, "value": ["9999999999999999999", 30]},
        {"key": "securityContext.runAsUser", "min": 1000, "orUnset": True},
        {"key": "securityContext.runAsUser", "min": 1000},
        {"key": "livenessProbe.periodSeconds", "min": "10s"},
        {"key": "livenessProbe.periodSeconds", "value": "10s"},
        {"key": "priority", "max": 0, "orUnset": True},
    ],
    "items": [
        {"key": PORT, "min": 1024},
        {"key": PORT, "anyOf": [{"max": 80}, {"value": 8443}]},
        {"key": "ports.name", "exists": True},
        {"key": "ports.name", "pattern": "web|[a-z]{1,3}"},
        {"key": "ports.name", "pattern": "web", "orUnset": True},
        {"key": "volumes.emptyDir.sizeLimit", "max": "1Gi", "orUnset": True},
        {"key": "env.value", "pattern": "(?i)SECRET|x"},
    ],
    "lists": [
        {"key": GROUPS, "min": 1000},
        {"key": GROUPS, "max": 999},
        {"key": "command", "pattern": ".{1,3}"},
        {"key": "spec.securityContext.supplementalGroups", "min": 2, "max": 1000},
    ],
    "text": [
        {"key": "image", "pattern": "[a-z0-9./:@-]+"},
        {"key": "image", "pattern": r"registry\.k8s\.io/.*|a$"},
        {"key": "serviceAccountName", "pattern": "(?s:.)+er"},
        {"key": "imagePullPolicy", "anyOf": [{"value": ["Always"]}, {"pattern": "If.*"}]},
        {"key": "dnsPolicy", "pattern": "cluster", "orUnset": True},
        {"key": "hostUsers", "anyOf": [{"value": False}, {"exists": False}]},
        {"key": "securityContext.privileged", "value": False, "orUnset": True},
    ],
}
ONLY = [
    {"key": ADD, "allowed": ["NET_BIND_SERVICE", "chown"]},
    {"key": ADD, "allowed": ["ALL"]},
    {"key": ADD, "anyOf": [{"allowed": ["SYS_TIME"]}, {"value": "CHOWN"}]},
    {"key": GROUPS, "allowed": [1000, "1"]},
    {"key": "command", "allowed": ["run", "sh"]},
]
COUNTED: Counter[str] = Counter()

AMOUNT = st.sampled_from(
    [
        *(
            "1Gi",
            "1024Mi",
            "1073741824",
            "1",
            "0",
            "1m",
            "1.5Gi",
            "1G",
            "128974848",
            "129e6",
            "129M",
            "123Mi",
        ),
        *("8Ei", "9Ei", "10Ei", "8E", "9E", "1e3", "1E3", "1e-3", "100u", "0.1", "1n", "0.1n", "64Mi", "2e0"),
        *(
            "9223372036854775807",
            "9223372036854775808",
            "12345678901234567890",
            "1e18",
            "1e30",
            "-1",
            "+5",
            "5.",
        ),
    ]
)
PROBE = st.sampled_from([5, 10, 20]).map(lambda s: {"exec": {"command": ["x"]}, "periodSeconds": s})
PORTS = st.lists(
    st.tuples(st.sampled_from([80, 443, 8080, 8443]), st.sampled_from([None, "web", "abc", "metrics"])),
    max_size=2,
    unique_by=(lambda p: p[0], lambda p: p[1] or p[0]),
).map(lambda found: [{"containerPort": n} | ({"name": name} if name else {}) for n, name in found])


@st.composite
def amounts(draw: Any) -> Any:
    """A pod with resources, ports, sizes and numbers on both sides of every bound, mostly valid."""
    pod = draw(varied())
    spec = pod["spec"]
    for container in [*spec["containers"], *spec.get("initContainers", ())]:
        limits = {name: draw(AMOUNT) for name in ("memory", "cpu") if draw(st.integers(0, 2))}
        requests = {"cpu": draw(AMOUNT)} if "cpu" not in limits and draw(st.booleans()) else {}
        container["resources"] = {"limits": limits} | ({"requests": requests} if requests else {})
        container["ports"] = draw(PORTS)
    if draw(st.booleans()):
        spec["containers"][0]["livenessProbe"] = draw(PROBE)
    spec["volumes"].append({"name": "size", "emptyDir": {"sizeLimit": draw(AMOUNT)}})
    return pod


def parts() -> Iterator[Any]:
    """(name, required, forbidden) of each group."""
    for name, asked in ENTRIES.items():
        yield name, asked, without_unset(asked)
    yield "only", ONLY, []


@pytest.fixture(scope="module")
def groups(server: Any) -> Any:
    return held_to(server, parts(), 4900)


def without_unset(entries: Any) -> list[Any]:
    """For `forbidden`, which does not take `orUnset`."""
    return [{name: value for name, value in entry.items() if name != "orUnset"} for entry in entries]


@with_fixtures(PODS)
@given(amounts(), st.sampled_from(["pods", "pods", "workloads"]))
def test_conditions(server: Any, groups: Any, pod: dict[str, Any], place: Any) -> None:
    if place == "workloads":
        pod["spec"]["restartPolicy"] = "Always"  # a Deployment has no other
        pod = settled(as_template(pod, place) or {})
    compare(server, groups, pod, COUNTED)


DEBUG: list[tuple[dict[str, Any], set[str]]] = [
    ({"image": "registry.k8s.io/pause:1"}, set()),
    ({"image": "other.example.com/pause:1"}, {"image"}),
    ({"image": "registry.k8s.io/a", "command": ["sleep"]}, {"command"}),
    ({"image": "registry.k8s.io/a", "securityContext": {"capabilities": {"add": ["CAP_CHOWN"]}}}, set()),
    ({"image": "x", "securityContext": {"capabilities": {"add": ["CHOWN", "KILL"]}, "runAsUser": 5}},
     {"image", ADD, "securityContext.runAsUser"}),
]  # fmt: skip


def test_ephemeral_containers(server: Any) -> None:
    """They have no resources and ports, of which nothing is asked; everything else is."""
    asked = [
        {"key": "image", "pattern": r"registry\.k8s\.io/.*"},
        {"key": "command", "pattern": ".{1,3}"},
        {"key": ADD, "allowed": ["CHOWN"]},
        {"key": "securityContext.runAsUser", "anyOf": [{"exists": False}, {"min": 1000}]},
        {"key": MEMORY, "max": "1Gi"},
        {"key": "ports.name", "exists": True},
    ]
    plan = server.plan({"workloads": {"containers": {"required": asked}}})
    label = {"kspec-parity-group": "conditions-ephemeral"}
    server.apply_plan(plan, object_labels=label)
    namespace = server.namespace()
    server.wait(namespace, CANARIES["pods"], labels=label)
    pod = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "running", "labels": label}}
    limited = {"limits": {"memory": "1Gi"}}
    pod["spec"] = {"containers": [{"name": "app", "image": "registry.k8s.io/a", "resources": limited}]}
    assert server.create(namespace, pod, dry_run=False).status == 201
    path = f"/api/v1/namespaces/{namespace}/pods/running"
    for debug, violated in DEBUG:
        body = {"spec": {"ephemeralContainers": [{"name": "debug", **debug}]}}
        answer = server.plane.request(
            "PATCH", f"{path}/ephemeralcontainers?dryRun=All", body, content_type=STRATEGIC_PATCH
        )
        sent = server.plane.request("GET", path).body | {"apiVersion": "v1", "kind": "Pod"}
        sent["spec"]["ephemeralContainers"] = body["spec"]["ephemeralContainers"]
        theirs = refused(answer)
        assert theirs == agreed(plan, sent)
        assert {requirement.partition("[")[2][:-1] for requirement, _ in theirs} == violated


def test_most_pods_said_something() -> None:
    """Runs after the one above."""
    if COUNTED:
        assert COUNTED["valid"] > COUNTED["invalid"], COUNTED
        judged = COUNTED["violated"] + COUNTED["held"]
        assert min(COUNTED["violated"], COUNTED["held"]) > judged / 5, COUNTED
