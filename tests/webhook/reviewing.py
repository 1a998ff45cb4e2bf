"""Reviews as an API server sends them, and policies to decide them."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

import msgspec

from pytest_kspec.enforce.admission import AdmissionRequest, read_review
from pytest_kspec.enforce.decide import Policies
from pytest_kspec.enforce.policy import Policy
from pytest_kspec.plan.checkset import CheckSet, load_checks
from pytest_kspec.spec.loading import spec_from_part

NOW = datetime(2026, 6, 1, 12, tzinfo=UTC)
CHECKSET = load_checks()
CONTAINER = {"name": "app", "image": "registry.example.com/team/app:1"}

GROUPS = {
    "Pod": "",
    "Service": "",
    "Deployment": "apps",
    "ReplicaSet": "apps",
    "Job": "batch",
    "CronJob": "batch",
}


def pod(**spec: Any) -> dict[str, Any]:
    """A pod of one container."""
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": "web", "namespace": "shop"},
        "spec": {"containers": [CONTAINER], **spec},
    }


def container(**fields: Any) -> dict[str, Any]:
    """The container with more fields; `security` is its securityContext."""
    return CONTAINER | fields


def deployment(spec: dict[str, Any]) -> dict[str, Any]:
    """A Deployment whose template has this pod spec."""
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": "web", "namespace": "shop"},
        "spec": {
            "selector": {"matchLabels": {"app": "web"}},
            "template": {"metadata": {"labels": {"app": "web"}}, "spec": spec},
        },
    }


def body(
    obj: dict[str, Any] | None,
    old: dict[str, Any] | None = None,
    *,
    operation: str = "",
    uid: str = "705ab4f5-6393-11e8-b7cc-42010a800002",
    **more: Any,
) -> bytes:
    """The bytes of a review."""
    shown = obj or old or {}
    kind = shown["kind"]
    request = {
        "uid": uid,
        "kind": {"group": GROUPS[kind], "version": "v1", "kind": kind},
        "resource": {"group": GROUPS[kind], "version": "v1", "resource": f"{kind.lower()}s"},
        "operation": operation or ("UPDATE" if old and obj else "DELETE" if old else "CREATE"),
        "namespace": shown["metadata"].get("namespace", ""),
        "name": shown["metadata"].get("name", ""),
        "userInfo": {"username": "alice"},
        "object": obj,
        "oldObject": old,
        **more,
    }
    return json.dumps(
        {"kind": "AdmissionReview", "apiVersion": "admission.k8s.io/v1", "request": request},
        separators=(",", ":"),
    ).encode()


def request(
    obj: dict[str, Any] | None, old: dict[str, Any] | None = None, **options: Any
) -> AdmissionRequest:
    """The same, read."""
    return read_review(body(obj, old, **options))


def policy(
    part: dict[str, Any],
    mode: str | None = "enforce",
    *,
    name: str = "strict",
    fails: str = "Ignore",
    checkset: CheckSet = CHECKSET,
    cluster: str = "prod",
    at: datetime = NOW,
) -> Policy:
    """A policy of this `spec:` part. mode None: no `enforcement` section is added; at: when it is loaded."""
    section = {"enforcement": {"enabled": True, "mode": mode}} if mode else {}
    spec = spec_from_part({**section, "webhooks": {"enabled": True, "failurePolicy": fails}, **part}, name)
    return Policy(spec, checkset, cluster=cluster, now=at)


def policies(*made: Policy) -> Policies:
    """All of them together."""
    return Policies(made)


def response(answer: bytes) -> dict[str, Any]:
    """The response in an answer."""
    decoded = msgspec.json.decode(answer)
    assert decoded["apiVersion"] == "admission.k8s.io/v1"
    assert decoded["kind"] == "AdmissionReview"
    found: dict[str, Any] = decoded["response"]
    return found


def forbid(key: str, **rest: Any) -> dict[str, Any]:
    """A `spec:` part with one forbidden field."""
    return {"workloads": {"containers": {"forbidden": [{"key": key, **rest}]}}}


def require(key: str, **rest: Any) -> dict[str, Any]:
    """A `spec:` part with one required field."""
    return {"workloads": {"containers": {"required": [{"key": key, **rest}]}}}
