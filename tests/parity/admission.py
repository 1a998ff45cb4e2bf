"""A real API server with policies that are in force: what it admits is what ours are compared with."""

from __future__ import annotations

import copy
import json
import re
import time
import uuid
from collections.abc import Collection, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from pytest_kspec.enforce.engines import Wanted, vap
from pytest_kspec.enforce.modes import Mode
from pytest_kspec.enforce.plan import EnforcementPlan, enforcement_plan
from pytest_kspec.plan.checkset import CheckSet, load_checks
from pytest_kspec.spec.exemption import Exemption
from pytest_kspec.spec.loading import spec_from_part
from tests.controlplane import namespaces
from tests.controlplane.server import APPLY_PATCH, Answer, ControlPlane

IN_FORCE_TIMEOUT_S = 60.0
APPLY_TIMEOUT_S = 180.0  # the server compiles all of it; many times the usual on a busy machine
CANARY = "kspec-canary"
CANARY_CHECK = {
    "expression": f'object.metadata.?name.orValue("") != {json.dumps(CANARY)}',
    "message": CANARY,
}
ADMISSION = "/apis/admissionregistration.k8s.io/v1"
PLURALS = {
    vap.POLICY: "validatingadmissionpolicies",
    vap.BINDING: "validatingadmissionpolicybindings",
}
PATHS = {
    "Pod": "/api/v1/namespaces/{}/pods",
    "PodTemplate": "/api/v1/namespaces/{}/podtemplates",
    "ReplicationController": "/api/v1/namespaces/{}/replicationcontrollers",
    "Service": "/api/v1/namespaces/{}/services",
    "DaemonSet": "/apis/apps/v1/namespaces/{}/daemonsets",
    "Deployment": "/apis/apps/v1/namespaces/{}/deployments",
    "ReplicaSet": "/apis/apps/v1/namespaces/{}/replicasets",
    "StatefulSet": "/apis/apps/v1/namespaces/{}/statefulsets",
    "Job": "/apis/batch/v1/namespaces/{}/jobs",
    "CronJob": "/apis/batch/v1/namespaces/{}/cronjobs",
}
_REQUIREMENT = re.compile(r"(?:^|; )\[((?:[^\[\]]|\[[^\]]*\])+)\] ")
_SAID = re.compile(r" is .*", re.DOTALL)

CHECKSET = load_checks()


class Server:
    """A control plane to which policies are applied, each set for namespaces or objects of its own.

    These are the API server's own policies; a subclass puts those of another engine in their place.
    """

    def __init__(self, plane: ControlPlane) -> None:
        self.plane = plane
        self._made: list[str] = []
        self._applied: list[str] = []

    def namespace(self, name: str = "", labels: Mapping[str, str] | None = None) -> str:
        """An empty namespace."""
        name = name or f"parity-{uuid.uuid4().hex[:10]}"
        namespaces.create(self.plane, name, labels)
        self._made.append(name)
        return name

    def plan(
        self,
        spec: Any,
        *,
        name: str = "",
        version: str = "",
        now: datetime | None = None,
        checkset: CheckSet = CHECKSET,
        exemptions: Sequence[Exemption] = (),
    ) -> EnforcementPlan:
        """The plan of a specification, under a name of its own."""
        loaded = spec_from_part(spec, name=name or f"p{uuid.uuid4().hex[:10]}")
        loaded.exemptions.extend(exemptions)
        return enforcement_plan(loaded, checkset, version=version, now=now or datetime.now(UTC))

    def enforce(self, spec: Any, **options: Any) -> tuple[EnforcementPlan, dict[str, str]]:
        """Apply policies for Pods, bound to namespaces with the labels that come back."""
        plan = self.plan(spec, **options)
        labels = {"kspec-parity": plan.spec.name}
        self.apply_plan(plan, namespace_labels=labels)
        return plan, labels

    def apply_plan(
        self,
        plan: EnforcementPlan,
        *,
        mode: Mode = Mode.ENFORCE,
        places: Collection[str] = ("pods",),
        namespace_labels: Mapping[str, str] | None = None,
        object_labels: Mapping[str, str] | None = None,
        cluster_name: str | None = None,
    ) -> list[str]:
        """Apply the policies of these places, bound to namespaces or objects with these labels.

        Each refuses the name `CANARY` too, which nothing else has, so that a test can see when it is in force.
        Returns the places that have a policy.
        """
        applied: list[str] = []
        for manifest in self.manifests(Wanted(plan, mode, cluster_name)):
            place = manifest["metadata"]["name"].rpartition("-")[2]
            if place in places:
                self.apply(self.limited(manifest, namespace_labels or {}, object_labels or {}))
                applied += [place] if place not in applied else []
        return applied

    def manifests(self, wanted: Wanted) -> Sequence[dict[str, Any]]:
        """What the engine generates; all that is asked can be said."""
        made = vap.generate(wanted)
        assert made.not_enforceable == (), made.not_enforceable
        return made.manifests

    def limited(
        self, manifest: dict[str, Any], namespaces: Mapping[str, str], objects: Mapping[str, str]
    ) -> dict[str, Any]:
        """A copy for namespaces and objects with these labels only, which refuses the canary."""
        manifest = copy.deepcopy(manifest)
        if manifest["kind"] == vap.BINDING:
            chosen = {"namespaceSelector": namespaces, "objectSelector": objects}
            manifest["spec"]["matchResources"] = {
                key: {"matchLabels": dict(labels)} for key, labels in chosen.items() if labels
            }
        else:
            manifest["spec"]["validations"].append(CANARY_CHECK | {"reason": "Forbidden"})
        return manifest

    def apply(self, manifest: dict[str, Any]) -> dict[str, Any]:
        """Server-side apply."""
        path = f"{self.collection(manifest['kind'])}/{manifest['metadata']['name']}"
        answer = self.plane.request(
            "PATCH",
            f"{path}?fieldManager=kspec&force=true&fieldValidation=Strict",
            manifest,
            content_type=APPLY_PATCH,
            timeout_s=APPLY_TIMEOUT_S,
        )
        assert answer.status in (200, 201), answer
        self._applied.append(path)
        return answer.body

    def collection(self, kind: str) -> str:
        """The path of all objects of a kind of the engine."""
        return f"{ADMISSION}/{PLURALS[kind]}"

    def wait(
        self, namespace: str, canary: dict[str, Any], *, labels: Mapping[str, str] | None = None
    ) -> None:
        """Until the policies refuse the canary."""
        canary = copy.deepcopy(canary)
        canary["metadata"] = {"name": CANARY, "labels": dict(labels or {})}
        deadline = time.monotonic() + IN_FORCE_TIMEOUT_S
        while (answer := self.create(namespace, canary)).status == 201:
            assert time.monotonic() < deadline, f"no policy is in force in {namespace}"
            time.sleep(0.05)
        assert answer.status == 403, answer

    def create(self, namespace: str, obj: dict[str, Any], *, dry_run: bool = True) -> Answer:
        """Create an object there, by default by server-side dry run."""
        path = PATHS[obj["kind"]].format(namespace)
        obj = {**obj, "metadata": {k: v for k, v in obj["metadata"].items() if k != "namespace"}}
        return self.plane.request("POST", path + ("?dryRun=All" if dry_run else ""), obj)

    def close(self) -> None:
        """Remove everything."""
        for path in reversed(self._applied):
            self.plane.request("DELETE", path)
        for name in self._made:
            namespaces.delete(self.plane, name)


def refused(answer: Answer) -> set[tuple[str, str]]:
    """(requirement id, path) of everything that a denial of mode enforce names; empty where it is admitted."""
    if answer.status in (200, 201):
        return set()
    message = answer.body["message"]
    assert answer.status == 403, answer
    return named(message)


def agrees(answer: Answer, found: set[tuple[str, str]]) -> bool:
    """Whether a denial names exactly this; of a message that was cut at its end, whether what it names is of it."""
    if answer.status == 403 and answer.body["message"].endswith("…"):
        whole = answer.body["message"].rpartition("; ")[0]
        return set() < named(whole) < found
    return refused(answer) == found


def named(message: str) -> set[tuple[str, str]]:
    """(requirement id, path) of everything that the message of a violation names."""
    assert " is violated: " in message, message
    assert not message.endswith("…"), message
    text = message.partition(" is violated: ")[2]
    parts = _REQUIREMENT.split(text)
    assert parts[0] == "", message
    found = set()
    for requirement, said in zip(parts[1::2], parts[2::2], strict=True):
        for sentence in said.split("; "):
            found.add((requirement, _SAID.sub("", sentence)))
    return found
