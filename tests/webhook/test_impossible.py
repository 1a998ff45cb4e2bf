"""What no API server sends is denied by who enforces, says why, and leaves a record: it never passes as nothing."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest

from pytest_kspec.enforce.admission import NotAReview
from tests.webhook.reviewing import body, deployment, forbid, pod, policy, response
from tests.webhook.test_reviews import counted, reviewer

RULE = forbid("hostNetwork")
BAD = pod(hostNetwork=True)
MARKED = {**BAD, "metadata": BAD["metadata"] | {"deletionTimestamp": "2026-06-01T00:00:00Z"}}
SERVICE = {"apiVersion": "v1", "kind": "Service", "metadata": {"name": "s", "namespace": "shop"}, "spec": {}}
POD = {"kind": {"group": "", "version": "v1", "kind": "Pod"}}
PODS = {"resource": {"group": "", "version": "v1", "resource": "pods"}}
CONFIG = {"kind": {"group": "", "version": "v1", "kind": "ConfigMap"}}
SCALE = {"kind": {"group": "autoscaling", "version": "v1", "kind": "Scale"}}
WRONG_KIND = "the kind of the object is {}, but the request has v1 Pod."
APART = "the kind is {} and the resource '{}': they do not belong together."

IMPOSSIBLE: dict[str, tuple[dict[str, Any], str]] = {
    "a list": ({"object": []}, "Pod could not be read: Expected `object`, got `array`."),
    "text": ({"object": ""}, "Pod could not be read: Expected `object`, got `str`."),
    "true": ({"object": True}, "Pod could not be read: Expected `object`, got `bool`."),
    "0": ({"object": 0}, "Pod could not be read: Expected `object`, got `int`."),
    "a map without anything": (
        {"object": {}},
        "Pod could not be read: Object missing required field `metadata`.",
    ),
    "null": ({"object": None}, "a CREATE has no object, which Kubernetes does not send."),
    "missing": ({"object": "absent"}, "a CREATE has no object, which Kubernetes does not send."),
    "of another kind": ({"object": deployment({}) | {"spec": {}}}, WRONG_KIND.format("apps/v1 Deployment")),
    "of another version": ({"object": {**BAD, "apiVersion": "v2"}}, WRONG_KIND.format("v2 Pod")),
    "without a kind": ({"object": {**BAD, "kind": ""}}, WRONG_KIND.format("v1")),
    "with another case": ({"object": {**BAD, "kind": "pod"}}, WRONG_KIND.format("v1 pod")),
    "the namespace of the object differs": (
        {"object": {**BAD, "metadata": {"name": "web", "namespace": "other"}}},
        "the namespace of the object differs from the namespace of the request.",
    ),
    "the name of the object differs": (
        {"name": "other"},
        "the name of the object differs from the name of the request.",
    ),
    "the name of the old object differs": (
        {"operation": "UPDATE", "oldObject": {**BAD, "metadata": {"name": "other", "namespace": "shop"}}},
        "the name of the object differs from the name of the request.",
    ),
    "without a namespace": ({"namespace": ""}, "the kind is Pod, and Kubernetes sends it with a namespace."),
    "created with an oldObject": (
        {"oldObject": BAD},
        "a CREATE has an oldObject, which Kubernetes does not send.",
    ),
    "updated without one": (
        {"operation": "UPDATE"},
        "an UPDATE has no oldObject, which Kubernetes does not send.",
    ),
    "updated to nothing": (
        {"operation": "UPDATE", "oldObject": BAD, "object": None},
        "an UPDATE has no object, which Kubernetes does not send.",
    ),
    "updated from a list": (
        {"operation": "UPDATE", "oldObject": []},
        "Pod could not be read: Expected `object`, got `array`.",
    ),
    "updated from a Service": (
        {"operation": "UPDATE", "oldObject": SERVICE},
        WRONG_KIND.format("v1 Service"),
    ),
    "deleted with an object": (
        {"operation": "DELETE", "oldObject": BAD},
        "a DELETE has an object, which Kubernetes does not send.",
    ),
    "connected": (
        {"operation": "CONNECT"},
        "the kind is Pod, and Kubernetes connects only to its subresources.",
    ),
    "connected from something": (
        {"operation": "CONNECT", "oldObject": BAD},
        "a CONNECT has an oldObject, which Kubernetes does not send.",
    ),
    **{
        f"operation {word!r}": (
            {"operation": word},
            "the operation must be CREATE, UPDATE, DELETE or CONNECT.",
        )
        for word in ("", "create", "PATCH", "*", "x" * 5000)
    },
    "a Service as a pod": (
        {"object": SERVICE, "kind": {"group": "", "version": "v1", "kind": "Service"}},
        APART.format("Service", "pods"),
    ),
    "a pod as a ConfigMap": (CONFIG, APART.format("ConfigMap", "pods")),
    "a pod as a status of something else": (
        CONFIG | {"subResource": "resize"},
        APART.format("ConfigMap", "pods/resize"),
    ),
    "a scale as a pod's ephemeral containers": (
        SCALE | {"subResource": "ephemeralcontainers"},
        APART.format("Scale", "pods/ephemeralcontainers"),
    ),
    "a pod of no resource": ({"resource": {}}, APART.format("Pod", "")),
    "a pod of another resource": (
        {"resource": {"group": "apps", "version": "v1", "resource": "deployments"}},
        APART.format("Pod", "apps/deployments"),
    ),
    "a pod of a kind with a long name": (
        {"kind": {"group": "", "version": "v1", "kind": "K" * 61}},
        APART.format(f"{'K' * 59}…", "pods"),
    ),
    "a pod of a resource with a long name": (
        {"resource": {"group": "g" * 60, "version": "v1", "resource": "r" * 60}},
        APART.format("Pod", f"{'g' * 60}/{'r' * 58}…"),
    ),
    "something else that is not what it says": (
        CONFIG | {"resource": {"group": "", "version": "v1", "resource": "configmaps"}},
        "the kind of the object is v1 Pod, but the request has v1 ConfigMap.",
    ),
}


def asked(**fields: Any) -> bytes:
    request = json.loads(body(BAD))
    request["request"] |= fields
    if fields.get("object") == "absent":
        del request["request"]["object"]
    return json.dumps(request).encode()


def answer(made: Any, content: bytes) -> Any:
    return response(asyncio.run(made.review(content)))


@pytest.mark.parametrize("case", IMPOSSIBLE)
def test_who_enforces_denies_it_and_says_why(case: str) -> None:
    fields, why = IMPOSSIBLE[case]
    made = reviewer(policy(RULE), policy(RULE, "audit", name="audits"))
    found = answer(made, asked(**fields))
    assert found["allowed"] is False
    assert found["status"]["message"] == f"denied by strict: {why}"
    assert found["warnings"] == [f"kspec: audits: not evaluated: {why}"]
    (entry,) = made.audit
    assert (entry["action"], entry["uid"]) == ("denied", found["uid"])
    assert [(failure["policy"], failure["what"]) for failure in entry["failures"]] == [
        ("strict", why),
        ("audits", why),
    ]
    assert counted(made, "kspec_policy_enforcement_actions_total", policy="strict", action="failed") == 1
    assert counted(made, "kspec_webhook_validation_results_total", result="denied", mode="enforce") == 1
    assert made.breaker.evaluations == 1
    assert made.breaker.error_rate == 0.0, "it is not our fault"


@pytest.mark.parametrize("operation", ["CREATE", "UPDATE"])
def test_a_mark_for_deletion_that_comes_with_a_new_object_exempts_from_nothing(operation: str) -> None:
    made = reviewer(policy(RULE))
    old = pod() if operation == "UPDATE" else None
    found = answer(made, asked(object=MARKED, operation=operation, oldObject=old))
    assert found["allowed"] is False
    assert "spec.hostNetwork is true" in found["status"]["message"]


@pytest.mark.parametrize(
    ("part", "wrong"),
    [
        ({"uid": None}, "Expected `str`, got `null` - at `$.request.uid`"),
        ({"uid": ""}, "the request has no uid."),
        ({"uid": 5}, "Expected `str`, got `int` - at `$.request.uid`"),
        ({"kind": "Pod"}, "Expected `object`, got `str` - at `$.request.kind`"),
        ({"dryRun": "yes"}, "Expected `bool | null`, got `str` - at `$.request.dryRun`"),
        ({"dryRun": 1}, "Expected `bool | null`, got `int` - at `$.request.dryRun`"),
        ({"dryRun": {}}, "Expected `bool | null`, got `object` - at `$.request.dryRun`"),
        ({"namespace": ["shop"]}, "Expected `str`, got `array` - at `$.request.namespace`"),
        ({"operation": None}, "Expected `str`, got `null` - at `$.request.operation`"),
        ({"subResource": {}}, "Expected `str`, got `object` - at `$.request.subResource`"),
        ({"resource": "pods"}, "Expected `object`, got `str` - at `$.request.resource`"),
    ],
)
def test_what_cannot_be_answered_is_an_error_of_http_with_a_record(part: dict[str, Any], wrong: str) -> None:
    made = reviewer(policy(RULE))
    with pytest.raises(NotAReview) as raised:
        asyncio.run(made.review(asked(**part)))
    assert wrong in str(raised.value)
    (entry,) = made.audit
    assert (entry["action"], entry["allowed"], entry["uid"]) == ("refused", False, "")
    assert wrong in entry["failures"][0]["what"]
    assert made.events == []
    assert counted(made, "kspec_webhook_requests_total", result="bad_request") == 1


@pytest.mark.parametrize(
    "fields",
    [
        {"operation": "DELETE", "object": None, "oldObject": BAD},
        {"operation": "DELETE", "object": None, "oldObject": None, "name": ""},
        {
            "operation": "CONNECT",
            "kind": {"group": "", "version": "v1", "kind": "PodExecOptions"},
            "object": {"kind": "PodExecOptions", "apiVersion": "v1", "command": ["id"]},
            "subResource": "exec",
        },
        SCALE
        | {
            "operation": "UPDATE",
            "resource": {"group": "apps", "version": "v1", "resource": "deployments"},
            "subResource": "scale",
            "object": {"kind": "Scale", "apiVersion": "autoscaling/v1", "metadata": {"name": "web"}},
            "oldObject": {"kind": "Scale", "apiVersion": "autoscaling/v1", "metadata": {"name": "web"}},
        },
    ],
    ids=["delete", "delete collection", "exec", "scale"],
)
def test_what_kubernetes_sends_about_other_things_is_allowed_without_a_record(fields: dict[str, Any]) -> None:
    made = reviewer(policy(RULE))
    assert answer(made, asked(**fields))["allowed"] is True
    assert made.audit == []
