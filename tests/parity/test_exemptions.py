"""Exemptions, levels of namespaces and owners mean the same in a scan and in a policy."""

from __future__ import annotations

import copy
from datetime import UTC, datetime
from typing import Any

import pytest

from pytest_kspec.spec.exemption import Exemption
from tests.parity.admission import refused
from tests.parity.objects import CANARIES, IMAGE, as_template, settled
from tests.parity.verdicts import agreed

NOW = datetime(2026, 6, 1, tzinfo=UTC)
SPEC = {
    "podSecurity": {
        "enforce": "restricted",
        "exemptions": [
            {"namespace": "kspec-infra-*", "level": "baseline"},
            {"namespace": "kspec-old", "level": "privileged", "expiresAt": "2026-05-31"},
        ],
    },
    "network": {"disallowedPorts": [22]},
    "workloads": {
        "images": {"allowedRegistries": ["registry.example.com"]},
        "containers": {"required": [{"key": "resources.limits.memory", "exists": True}]},
    },
}
WHOLE_NAMESPACES = ("kspec-a", "kspec-infra-1", "kspec-old", "kspec-b")
EXEMPTIONS = {
    "namespace": {"namespaces": ["kspec-a"]},
    "pattern": {"namespaces": ["kspec-?"]},
    "suffix": {"namespaces": ["*-1"]},
    "middle": {"namespaces": ["*infra*"]},
    "one-check": {"checks": ["workloads.images.*"], "namespaces": ["kspec-a"]},
    "all-of-a-check": {"checks": ["podSecurity.standard"]},
    "one-of-a-check": {"checks": ["podSecurity.standard[privileged]"]},
    "container": {"containers": ["side"]},
    "containers-of-a-namespace": {"containers": ["s*"], "namespaces": ["kspec-b"]},
    "pod": {"resources": [{"kind": "Pod", "name": "web-*"}]},
    "any-kind": {"resources": [{"name": "web"}]},
    "deployment": {"resources": [{"kind": "Deployment", "name": "web"}]},
    "replicaset": {"resources": [{"kind": "ReplicaSet", "name": "alone"}]},
    "cronjob": {"resources": [{"kind": "CronJob", "name": "backup", "namespace": "kspec-a"}]},
    "labels": {"resources": [{"labelSelector": {"team": "core", "empty": ""}}]},
    "kind": {"resources": [{"kind": "StatefulSet"}, {"kind": "Job", "namespace": "kspec-b"}]},
    "several": {
        "resources": [{"kind": "Service"}, {"kind": "Pod", "name": "web-?"}],
        "namespaces": ["kspec-b"],
    },
    "expired": {"namespaces": ["*"], "checks": ["podSecurity.*"], "expiresAt": "2026-05-31"},
    "to-come": {"namespaces": ["*"], "checks": ["podSecurity.*"], "expiresAt": "2026-06-30"},
}


def owner(kind: str, name: str, api_version: str = "apps/v1") -> dict[str, Any]:
    uid = "00000000-0000-0000-0000-000000000001"
    return {"apiVersion": api_version, "kind": kind, "name": name, "uid": uid, "controller": True}


def pod(
    name: str, *, labels: dict[str, Any] | None = None, owners: Any = (), **fields: Any
) -> dict[str, Any]:
    containers = [
        {"name": "app", "image": "registry.example.com/app:1"},
        {
            "name": "side",
            "image": IMAGE,
            "securityContext": {"privileged": True},
            "ports": [{"containerPort": 22}],
        },
    ]
    spec = {"containers": containers, "hostPID": True, **fields}
    metadata = {"name": name, "labels": labels or {}, "ownerReferences": list(owners)}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": spec}


def controller(kind: str, name: str, api_version: str = "apps/v1", **metadata: Any) -> Any:
    plain = {"apiVersion": api_version, "kind": kind, "metadata": {"name": name, **metadata}}
    return settled(plain | {"spec": {"template": {"spec": copy.deepcopy(pod("x")["spec"])}}})


WEB = {"pod-template-hash": "6d4cf56db6"}
DEPLOYMENT = controller("Deployment", "web")
REPLICASET = controller("ReplicaSet", "web-6d4cf56db6", ownerReferences=[owner("Deployment", "web")])
CRONJOB = settled(as_template(pod("backup"), "cronjobs") or {})
JOB = controller(
    "Job", "backup-29012345", "batch/v1", ownerReferences=[owner("CronJob", "backup", "batch/v1")]
)
OBJECTS = [
    (pod("plain"), []),
    (pod("web"), []),
    (pod("web-1", labels={"team": "core", "empty": ""}), []),
    (pod("labelled", labels={"team": "core"}), []),
    (
        pod("web-6d4cf56db6-abcde", labels=WEB, owners=[owner("ReplicaSet", "web-6d4cf56db6")]),
        [REPLICASET, DEPLOYMENT],
    ),
    (pod("alone-abcde", owners=[owner("ReplicaSet", "alone")]), []),
    (pod("backup-29012345-x", owners=[owner("Job", "backup-29012345", "batch/v1")]), [JOB, CRONJOB]),
    (pod("db-0", owners=[owner("StatefulSet", "db")]), []),
    (DEPLOYMENT, []),
    (REPLICASET, [DEPLOYMENT]),
    (CRONJOB, []),
    (JOB, [CRONJOB]),
    (controller("StatefulSet", "db"), []),
    (
        {
            "apiVersion": "v1",
            "kind": "Service",
            "metadata": {"name": "web"},
            "spec": {"ports": [{"port": 22}]},
        },
        [],
    ),
]


@pytest.fixture(scope="module")
def groups(server: Any) -> Any:
    made = []
    for name in WHOLE_NAMESPACES:
        server.namespace(name)
    kinds: dict[str, Any] = {"none": None, **EXEMPTIONS}
    for name, fields in kinds.items():
        exemptions = [] if fields is None else [Exemption(name=name, reason="r", **fields)]
        plan = server.plan(SPEC, exemptions=exemptions, now=NOW)
        label = {"kspec-parity-group": f"exempt-{name}"}
        places = server.apply_plan(plan, places=set(CANARIES), object_labels=label)
        made.append((name, plan, label, places))
    for _, _, label, places in made:
        for place in places:
            server.wait("kspec-a", CANARIES[place], labels=label)
    return made


def placed(obj: Any, namespace: str) -> Any:
    obj = copy.deepcopy(obj)
    obj["metadata"]["namespace"] = namespace
    return obj


@pytest.mark.long
def test_exemptions(server: Any, groups: Any) -> None:
    said = {}
    for name, plan, label, _ in groups:
        for namespace in WHOLE_NAMESPACES:
            for plain, others in OBJECTS:
                obj = placed(plain, namespace)
                answer = server.create(namespace, obj)
                assert answer.status == 201, answer
                made = answer.body | {"apiVersion": obj["apiVersion"], "kind": obj["kind"]}
                found = agreed(plan, made, [placed(other, namespace) for other in others])
                labels = {**(obj["metadata"].get("labels") or {}), **label}
                theirs = refused(
                    server.create(namespace, {**obj, "metadata": {**obj["metadata"], "labels": labels}})
                )
                case = (name, namespace, obj["kind"], obj["metadata"]["name"])
                assert theirs == found, case
                said[case] = found
    # Each exemption takes something away, but the expired one.
    without = {case[1:]: found for case, found in said.items() if case[0] == "none"}
    for name in EXEMPTIONS:
        less = [case for case, found in said.items() if case[0] == name and found < without[case[1:]]]
        assert bool(less) == (name != "expired"), name
