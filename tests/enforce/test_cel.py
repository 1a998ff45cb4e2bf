"""Policies say of an object what a scan and the webhook say.

Evaluated here by CEL's own runtime, without an API server; `tests/parity` has the same, and more, of a real one.
"""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given

from pytest_kspec.enforce.plan import EnforcementPlan
from pytest_kspec.spec.exemption import Exemption
from tests.checks.pod_security.cases import CASES, Case
from tests.enforce.evaluating import planned, refused, said
from tests.parity.verdicts import agreed
from tests.rules.pods import pods

SERVER = "v1.37.0"
NAMED = [
    case
    for case in CASES
    if all(
        item.get("name") for key, items in case.spec.items() if key.endswith("ontainers") for item in items
    )
]
"""An API server admits no container without a name."""
PRIVILEGED = {"securityContext": {"privileged": True}}
MAIN = [{"name": "main", "image": "a.io/a"}]
"""Of pods that are about something else: there is none without a container."""


def pod(spec: dict[str, Any], annotations: dict[str, str] | None = None) -> dict[str, Any]:
    metadata = {"name": "web-1", "namespace": "shop", "annotations": annotations or {}}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": {"containers": MAIN, **spec}}


def templated(kind: str, spec: dict[str, Any]) -> dict[str, Any]:
    """The same pod in the template of a workload."""
    made: dict[str, Any] = {"spec": {"template": {"metadata": {}, "spec": {"containers": MAIN, **spec}}}}
    if kind == "CronJob":
        made = {"spec": {"schedule": "* * * * *", "jobTemplate": made}}
    version = "batch/v1" if kind in ("CronJob", "Job") else "apps/v1"
    return {"apiVersion": version, "kind": kind, "metadata": {"name": "web", "namespace": "shop"}, **made}


def of(plan: EnforcementPlan, obj: dict[str, Any]) -> list[str]:
    """Paths that the policy names, having seen that scan and webhook find the same."""
    found = refused(plan, obj)
    assert found == agreed(plan, obj)
    return sorted(path for _, path in found)


def asked(key: str, entry: dict[str, Any], name: str, **more: Any) -> EnforcementPlan:
    return planned({"workloads": {"containers": {key: [entry]}}}, f"{key}-{name}", **more)


STANDARDS = {
    (level, version): planned(
        {"podSecurity": {"enforce": level, "version": version}}, f"{level}-{version}".replace(".", "-")
    )
    for level, version in {(case.level, case.version) for case in NAMED}
}


@pytest.mark.parametrize("case", NAMED, ids=[f"{case.control}-{i}" for i, case in enumerate(NAMED)])
def test_every_written_case_of_pod_security(case: Case) -> None:
    plan = STANDARDS[case.level, case.version]
    obj = pod(case.spec, case.annotations)
    found = refused(plan, obj)
    assert found == agreed(plan, obj)
    paths = {path for id, path in found if id == f"podSecurity.standard[{case.control}]"}
    assert paths == {path for path, _ in case.found}


@pytest.mark.parametrize("level", ["baseline", "restricted"])
def test_every_generated_pod(level: str) -> None:
    plan = planned({"podSecurity": {"enforce": level}}, f"generated-{level}", version=SERVER)

    @given(pods())
    def check(generated: dict[str, Any]) -> None:
        obj = pod(generated["spec"], generated["metadata"].get("annotations"))
        assert refused(plan, obj) == agreed(plan, obj)

    check()


FIELDS: dict[str, Any] = {
    "inherited": (
        "required",
        {"key": "securityContext.runAsNonRoot", "value": True},
        [
            ({"securityContext": {"runAsNonRoot": True}}, {}, False),
            ({"securityContext": {"runAsNonRoot": False}}, {}, True),
            ({"securityContext": {"runAsNonRoot": True}}, {"securityContext": {"runAsNonRoot": False}}, True),
            (
                {"securityContext": {"runAsNonRoot": False}},
                {"securityContext": {"runAsNonRoot": True}},
                False,
            ),
            ({}, {}, True),
        ],
    ),
    "limits-of-the-pod": (
        "required",
        {"key": "resources.limits.memory", "max": "1Gi"},
        [
            ({"resources": {"limits": {"memory": "512Mi"}}}, {}, False),
            (
                {"resources": {"limits": {"memory": "512Mi"}}},
                {"resources": {"limits": {"memory": "2Gi"}}},
                True,
            ),
            ({"resources": {"limits": {"memory": "2Gi"}}}, {}, True),
            ({}, {"resources": {"limits": {"memory": "1024Mi"}}}, False),
            ({}, {"resources": {"limits": {"memory": "1025Mi"}}}, True),
        ],
    ),
    "value-of-text": (
        "required",
        {"key": "terminationMessagePolicy", "value": "FallbackToLogsOnError"},
        [
            ({}, {"terminationMessagePolicy": "FallbackToLogsOnError"}, False),
            ({}, {"terminationMessagePolicy": "File"}, True),
            ({}, {}, True),
        ],
    ),
    "forbidden-value": (
        "forbidden",
        {"key": "securityContext.privileged", "value": True},
        [({}, PRIVILEGED, True), ({}, {"securityContext": {"privileged": False}}, False), ({}, {}, False)],
    ),
    "forbidden-at-all": (
        "forbidden",
        {"key": "lifecycle"},
        [({}, {"lifecycle": {"preStop": {"exec": {"command": ["a"]}}}}, True), ({}, {}, False)],
    ),
    "number": (
        "required",
        {"key": "securityContext.runAsUser", "min": 1000, "max": 2000},
        [
            ({}, {"securityContext": {"runAsUser": 1000}}, False),
            ({}, {"securityContext": {"runAsUser": 2000}}, False),
            ({}, {"securityContext": {"runAsUser": 999}}, True),
            ({}, {"securityContext": {"runAsUser": 2001}}, True),
            ({"securityContext": {"runAsUser": 1500}}, {}, False),
        ],
    ),
    "pattern": (
        "required",
        {"key": "image", "pattern": "a\\.io/.*"},
        [
            ({}, {"image": "a.io/x"}, False),
            ({}, {"image": "aXio/x"}, True),
            ({}, {"image": "b/a.io/x"}, True),
        ],
    ),
    "or-unset": (
        "required",
        {"key": "securityContext.privileged", "value": False, "orUnset": True},
        [({}, {}, False), ({}, {"securityContext": {"privileged": False}}, False), ({}, PRIVILEGED, True)],
    ),
    "dropped": (
        "required",
        {"key": "securityContext.capabilities.drop", "value": ["NET_RAW"]},
        [
            ({}, {"securityContext": {"capabilities": {"drop": ["NET_RAW"]}}}, False),
            ({}, {"securityContext": {"capabilities": {"drop": ["ALL"]}}}, False),
            ({}, {"securityContext": {"capabilities": {"drop": ["CHOWN"]}}}, True),
            ({}, {}, True),
        ],
    ),
    "added": (
        "required",
        {"key": "securityContext.capabilities.add", "allowed": ["NET_BIND_SERVICE"]},
        [
            ({}, {"securityContext": {"capabilities": {"add": ["CAP_NET_BIND_SERVICE"]}}}, False),
            ({}, {"securityContext": {"capabilities": {"add": ["CHOWN"]}}}, True),
        ],
    ),
}


@pytest.mark.parametrize("name", FIELDS)
@pytest.mark.parametrize("place", ["initContainers", "containers", "ephemeralContainers"])
def test_fields_of_containers(name: str, place: str) -> None:
    key, entry, cases = FIELDS[name]
    plan = asked(key, entry, f"{name}-{place.lower()}")
    for of_pod, own, bad in cases:
        of_container = dict(own)
        if place == "ephemeralContainers" and ("resources" in of_pod or "lifecycle" in of_container):
            continue  # these have neither resources nor a lifecycle
        if place == "initContainers" and entry["key"] == "lifecycle":
            of_container["restartPolicy"] = "Always"  # of these, sidecars only have one
        spec = {**of_pod, place: [{"name": "app", "image": "a.io/a", **of_container}]}
        expected = [f"spec.{place}[app].{entry['key']}"] if bad else []
        if place != "containers":  # which has to have one; it is like the other
            spec["containers"] = [{"name": "main", "image": "a.io/a", **own}]
            expected = sorted([*expected, f"spec.containers[main].{entry['key']}"] if bad else [])
        if not (place == "ephemeralContainers" and entry["key"].split(".")[0] in ("resources", "lifecycle")):
            assert of(plan, pod(spec)) == expected, (of_pod, of_container)
        if place != "ephemeralContainers":
            for kind, prefix in (
                ("Deployment", "spec.template."),
                ("CronJob", "spec.jobTemplate.spec.template."),
            ):
                assert of(plan, templated(kind, spec)) == [f"{prefix}{path}" for path in expected]


def test_fields_of_pods() -> None:
    plan = asked("required", {"key": "hostNetwork", "value": False}, "host")
    assert of(plan, pod({"hostNetwork": True})) == ["spec.hostNetwork"]
    assert of(plan, pod({"hostNetwork": False})) == of(plan, pod({})) == []


@pytest.mark.parametrize("place", ["initContainers", "containers", "ephemeralContainers"])
def test_an_exemption_of_containers_is_for_those_alone(place: str) -> None:
    exemption = Exemption.model_validate(
        {"name": "e", "reason": "agreed", "checks": ["*"], "containers": ["agent-*"], "namespaces": ["shop"]}
    )
    plan = planned(
        {
            "podSecurity": {"enforce": "baseline"},
            "workloads": {"images": {"allowedRegistries": ["a.io"]}},
        },
        f"containers-{place.lower()}",
        version=SERVER,
        exemptions=[exemption],
    )
    both = [{"name": name, "image": "b.io/x", **PRIVILEGED} for name in ("agent-1", "app")]
    path = f"spec.{place}[app]"
    obj = pod({place: both})
    assert of(plan, obj) == [f"{path}.image", f"{path}.securityContext.privileged"]
    obj["metadata"]["namespace"] = "other"
    agent = f"spec.{place}[agent-1]"
    assert of(plan, obj) == [
        f"{at}.{field}" for at in (agent, path) for field in ("image", "securityContext.privileged")
    ]
    # What is not about a container is about none that is exempted.
    assert of(plan, pod({"hostNetwork": True, place: both[:1]})) == ["spec.hostNetwork"]


@pytest.mark.parametrize("selected", ["Deployment", "CronJob", "Pod", "ReplicaSet"])
def test_an_exemption_of_owners_covers_what_they_own(selected: str) -> None:
    names = {"Deployment": "web", "CronJob": "nightly", "Pod": "web-1", "ReplicaSet": "web-7d9f"}
    resource = {"kind": selected, "name": names[selected]}
    exemption = Exemption.model_validate(
        {"name": "e", "reason": "r", "checks": ["*"], "resources": [resource]}
    )
    plan = planned({"podSecurity": {"enforce": "baseline"}}, selected.lower(), exemptions=[exemption])
    privileged = {"containers": [{"name": "app", **PRIVILEGED}]}

    def owned(kind: str, name: str, **labels: str) -> dict[str, Any]:
        obj = pod(privileged)
        obj["metadata"]["labels"] = labels
        reference = {"apiVersion": "apps/v1", "kind": kind, "name": name, "uid": "u", "controller": True}
        obj["metadata"]["ownerReferences"] = [reference]
        return obj

    alone = pod(privileged)
    of_replicas = owned("ReplicaSet", "web-7d9f", **{"pod-template-hash": "7d9f"})
    of_job = owned("Job", "nightly-29000000")
    of_job["metadata"]["name"] = "nightly-29000000-x"
    of_node = owned("Node", "web")
    covered = {
        "Deployment": [of_replicas],
        "CronJob": [of_job],
        "Pod": [alone, of_replicas, of_node],
        "ReplicaSet": [],
    }
    for obj in (alone, of_replicas, of_job, of_node):
        assert bool(refused(plan, obj)) is (obj not in covered[selected]), obj["metadata"]


def test_exempted_namespaces_have_their_own_level() -> None:
    ended = {"namespace": "shop", "level": "privileged", "reason": "r", "expiresAt": "2020-01-01"}
    exemptions = [
        ended,
        {"namespace": "build-*", "level": "baseline", "reason": "r"},
        {"namespace": "*-system", "level": "privileged", "reason": "r"},
    ]
    part = {"podSecurity": {"enforce": "restricted", "exemptions": exemptions}}
    plan = planned(part, "levels", version=SERVER)
    obj = pod({"containers": [{"name": "app", **PRIVILEGED}]})

    def controls(namespace: str) -> int:
        obj["metadata"]["namespace"] = namespace
        assert refused(plan, obj) == agreed(plan, obj)
        return len(refused(plan, obj))

    assert (controls("shop"), controls("build-1"), controls("kube-system")) == (5, 1, 0)
    assert controls("build-system") == 1, "the first that is valid"


@pytest.mark.parametrize(
    ("image", "bad"),
    [
        ("a.io/x:1", False),
        ("a.io:443/x", False),
        ("A.IO/x", False),
        ("a.io/bad/x", True),
        ("a.io/badly", False),
        ("b.io/a.io/x", True),
        ("a.io.evil.com/x", True),
        ("nginx", True),
        ("docker.io/library/busybox", False),
        ("busybox:1", False),
        ("a.io/X", True),
        ("", True),
    ],
)
def test_registries(image: str, bad: bool) -> None:
    registries = {"allowedRegistries": ["a.io", "busybox"], "blockedRegistries": ["a.io/bad"]}
    plan = planned({"workloads": {"images": registries}}, "registries")
    spec = {
        "containers": [{"name": "app", "image": image}],
        "volumes": [{"name": "v", "image": {"reference": image}}, {"name": "w", "emptyDir": {}}],
    }
    found = of(plan, pod(spec))
    assert bool(found) is bad
    assert set(found) <= {"spec.containers[app].image", "spec.volumes[v].image.reference"}


def test_ports_and_types_of_services() -> None:
    network = {"disallowedPorts": [22, 30022], "allowedServiceTypes": ["ClusterIP", "NodePort"]}
    plan = planned({"network": network}, "services")

    def service(**spec: Any) -> dict[str, Any]:
        metadata = {"name": "web", "namespace": "shop"}
        return {"apiVersion": "v1", "kind": "Service", "metadata": metadata, "spec": spec}

    assert (
        of(plan, service())
        == of(plan, service(type="NodePort", ports=[{"port": 80, "targetPort": "ssh"}]))
        == []
    )
    assert of(plan, service(type="LoadBalancer")) == ["spec.type"]
    ports = [{"name": "a", "port": 22}, {"port": 80, "targetPort": 22}, {"port": 80, "nodePort": 30022}]
    assert of(plan, service(ports=ports)) == [
        "spec.ports[1].targetPort",
        "spec.ports[2].nodePort",
        "spec.ports[a].port",
    ]
    assert of(plan, service(healthCheckNodePort=30022)) == ["spec.healthCheckNodePort"]


def test_sentences_are_those_of_a_scan() -> None:
    plan = planned(
        {"podSecurity": {"enforce": "baseline"}, "network": {"disallowedPorts": [22]}}, "sentences"
    )
    capabilities = {"securityContext": {"capabilities": {"add": ["NET_RAW", "SYS_TIME"]}}}
    spec = {
        "containers": [{"name": "app", "ports": [{"containerPort": 22}], **capabilities}],
        "hostPID": True,
    }
    added = "spec.containers[app].securityContext.capabilities.add"
    allowed = (
        "AUDIT_WRITE, CHOWN, DAC_OVERRIDE, FOWNER, FSETID, KILL, MKNOD, NET_BIND_SERVICE, SETFCAP, SETGID, SETPCAP, "
        "SETUID, SYS_CHROOT"
    )
    assert said(plan, pod(spec)) == {
        "network.disallowedPorts": [
            "spec.containers[app].ports[0].containerPort is 22, must be a port other than 22"
        ],
        "podSecurity.standard[capabilities]": [f"{added} is ['NET_RAW', 'SYS_TIME'], must be only {allowed}"],
        "podSecurity.standard[hostNamespaces]": ["spec.hostPID is true, must be unset or false"],
    }
