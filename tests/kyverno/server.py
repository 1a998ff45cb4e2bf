"""The server of the parity tests, with policies of Kyverno in the place of the API server's own.

Kyverno answers as any webhook: what it denies is a 400, where an API server's own policies, and the parity tests, say
403. What it says of ClusterPolicies is YAML.
"""

from __future__ import annotations

import argparse
import copy
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import yaml

from pytest_kspec.enforce.engines import Wanted, kyverno
from tests.controlplane.server import Answer, ControlPlane
from tests.kyverno.cluster import PATHS
from tests.parity.admission import CANARY, CANARY_CHECK, Server

DENIED = re.compile(r'^admission webhook "[^"]*\.kyverno\.svc-[^"]*" denied the request: ')
NAMESPACES = "/api/v1/namespaces"
OF_CLUSTER_POLICIES = " was blocked due to the following policies"


class KyvernoPlane(ControlPlane):
    """A control plane whose denials by Kyverno have the status and message of those by policies of the API server.

    heard: called with path, body and answer of every POST and PATCH.
    """

    heard: Callable[[str, Any, Answer], None] | None = None

    def request(self, method: str, path: str, body: Any = None, **options: Any) -> Answer:
        """As of any control plane."""
        answer = _translated(super().request(method, path, body, **options))
        if self.heard is not None and method in ("POST", "PATCH"):
            self.heard(path, body, answer)
        return answer


def _translated(answer: Answer) -> Answer:
    message = answer.body.get("message", "") if isinstance(answer.body, dict) else ""
    if answer.status != 400 or not DENIED.match(message):
        return answer
    _, found, texts = message.partition(OF_CLUSTER_POLICIES)
    if found:
        ((message,),) = [rules.values() for rules in yaml.safe_load(texts).values()]
    return Answer(403, {**answer.body, "message": message})


class KyvernoServer(Server):
    """Policies of one of Kyverno's APIs. Counts what is compared."""

    def __init__(self, plane: KyvernoPlane, api: str) -> None:
        super().__init__(plane)
        plane.heard = self._count
        self.api = api
        self.specifications: set[str] = set()
        self.verdicts = self.refused = 0
        self._held: list[Mapping[str, str]] = []
        self._labels: dict[str, Mapping[str, str]] = {}

    def namespace(self, name: str = "", labels: Mapping[str, str] | None = None) -> str:
        name = super().namespace(name, labels)
        self._labels[name] = labels or {}
        return name

    def manifests(self, wanted: Wanted) -> Sequence[dict[str, Any]]:
        self.specifications.add(wanted.plan.spec.name)
        made = kyverno.generate(
            Wanted(wanted.plan, wanted.mode, wanted.cluster_name, argparse.Namespace(kyverno_api=self.api))
        )
        assert made.not_enforceable == (), made.not_enforceable
        return made.manifests

    def limited(
        self, manifest: dict[str, Any], namespaces: Mapping[str, str], objects: Mapping[str, str]
    ) -> dict[str, Any]:
        manifest = copy.deepcopy(manifest)
        self._held.append(objects or namespaces)
        spec = manifest["spec"]
        if manifest["kind"] == kyverno.POLICY:
            matching, checks, name = spec["matchConstraints"], spec["validations"], "objectSelector"
        else:
            (rule,) = spec["rules"]
            (chosen,) = rule["match"]["any"]
            matching, checks, name = chosen["resources"], rule["validate"]["cel"]["expressions"], "selector"
        for key, labels in ((name, objects), ("namespaceSelector", namespaces)):
            if labels:
                selector = matching.setdefault(key, {})
                selector["matchLabels"] = {**selector.get("matchLabels", {}), **labels}
        checks.append(dict(CANARY_CHECK))
        return manifest

    def collection(self, kind: str) -> str:
        return PATHS[kind]

    def _count(self, path: str, body: dict[str, Any], answer: Answer) -> None:
        """A denial is a verdict, and what came through although policies are for its labels."""
        metadata = body.get("metadata") or {}
        if path.startswith(f"{NAMESPACES}/{metadata.get('name')}?"):
            self._labels[metadata["name"]] = metadata.get("labels") or {}
        elif metadata.get("name") != CANARY and answer.status in (200, 201, 403):
            held = answer.body.get("metadata") or {}
            given = {**self._labels.get(held.get("namespace", ""), {}), **(held.get("labels") or {})}
            judged = any(labels.items() <= given.items() for labels in self._held)
            denied = answer.status == 403
            self.verdicts += denied or (judged and "namespace" in held)
            self.refused += denied
