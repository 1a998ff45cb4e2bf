"""Updates of what was there before: what leaves the pod as it is for the rules is admitted, on both surfaces."""

from __future__ import annotations

import copy
from typing import Any

import pytest

from pytest_kspec.enforce.decide import decide
from tests.controlplane.server import APPLY_PATCH
from tests.parity.admission import Server
from tests.parity.objects import CANARIES
from tests.webhook.reviewing import NOW, policies, policy, request

SPEC = {"podSecurity": {"enforce": "baseline", "version": "latest"}}
SECCOMP = "seccomp.security.alpha.kubernetes.io/pod"
SECCOMP_OF_APP = "container.seccomp.security.alpha.kubernetes.io/app"


@pytest.fixture(scope="module")
def violating(server: Server) -> tuple[str, dict[str, Any]]:
    """A running pod that violates the specification, which came into force after it."""
    namespace = server.namespace()
    pod = copy.deepcopy(CANARIES["pods"])
    pod["metadata"] = {"name": "old", "annotations": {SECCOMP: "runtime/default", "example.com/a": "1"}}
    pod["spec"]["hostNetwork"] = True
    created = server.create(namespace, pod, dry_run=False)
    assert created.status == 201, created
    _, labels = server.enforce(SPEC)
    answer = server.plane.request(
        "PATCH",
        f"/api/v1/namespaces/{namespace}?fieldManager=test",
        {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": namespace, "labels": labels}},
        content_type=APPLY_PATCH,
    )
    assert answer.status == 200, answer
    server.wait(namespace, CANARIES["pods"])
    return namespace, created.body | {"apiVersion": "v1", "kind": "Pod"}


@pytest.mark.parametrize(
    ("annotations", "admitted"),
    [
        ({"example.com/a": "2", "k8s.example.com/network-status": "[]"}, True),
        ({"example.com/a": None}, True),
        ({SECCOMP: "runtime/default"}, True),
        ({SECCOMP: "localhost/a"}, False),
        ({SECCOMP: None}, False),
        ({SECCOMP_OF_APP: "runtime/default"}, False),
    ],
)
def test_annotations_that_no_rule_reads_change_nothing(
    server: Server, violating: tuple[str, dict[str, Any]], annotations: dict[str, Any], admitted: bool
) -> None:
    namespace, old = violating
    answer = server.plane.request(
        "PATCH",
        f"/api/v1/namespaces/{namespace}/pods/old?dryRun=All",
        {"metadata": {"annotations": annotations}},
    )
    new = copy.deepcopy(old)
    merged = new["metadata"]["annotations"] | annotations
    new["metadata"]["annotations"] = {key: value for key, value in merged.items() if value is not None}
    ours = decide(request(new, old), policies(policy(SPEC)), NOW, {})
    assert (answer.status, ours.allowed) == ((200, True) if admitted else (403, False)), answer
