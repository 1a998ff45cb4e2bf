"""Scope and times: what a scan examines is what the webhook and a real API server judge."""

from __future__ import annotations

import time
import uuid
from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from builtin_checks.workloads.test_images import test_blocked_registries as blocked_registries
from pytest_kspec.enforce.decide import decide
from pytest_kspec.enforce.engines import Wanted, vap
from pytest_kspec.enforce.modes import Mode
from pytest_kspec.enforce.plan import enforcement_plan
from pytest_kspec.spec.activation import inactive_reason, is_active, next_change
from pytest_kspec.spec.loading import spec_from_part
from pytest_kspec.spec.operations import NamespaceScope
from pytest_kspec.spec.scope import in_scope
from pytest_kspec.testing import evaluate
from tests.parity.admission import CHECKSET, IN_FORCE_TIMEOUT_S
from tests.webhook.reviewing import policies, policy, request

RUN = uuid.uuid4().hex[:8]
SCOPES: list[dict[str, Any]] = [
    {},
    {"includeNamespaces": [f"{RUN}-shop"]},
    {"includeNamespaces": [f"{RUN}-s*", f"{RUN}-we?"]},
    {"excludeNamespaces": [f"{RUN}-shop", f"{RUN}-web"]},
    {"excludeNamespaces": [f"{RUN}-s?op"]},
    {"includeNamespaces": [f"{RUN}-*"], "excludeNamespaces": [f"{RUN}-sandbox"]},
    {"namespaceSelector": {"matchLabels": {"env": "prod"}}},
    {"namespaceSelector": {}},
    {"namespaceSelector": {"matchExpressions": [{"key": "env", "operator": "NotIn", "values": ["prod"]}]}},
    {
        "namespaceSelector": {
            "matchExpressions": [{"key": "env", "operator": "In", "values": ["prod", "test"]}]
        }
    },
    {"namespaceSelector": {"matchExpressions": [{"key": "env", "operator": "Exists"}]}},
    {"namespaceSelector": {"matchExpressions": [{"key": "env", "operator": "DoesNotExist"}]}},
    {"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": f"{RUN}-web"}}},
    {
        "includeNamespaces": [f"{RUN}-s*"],
        "excludeNamespaces": [f"{RUN}-sandbox"],
        "namespaceSelector": {"matchLabels": {"env": "prod"}},
    },
]
NAMESPACES = {
    f"{RUN}-shop": {"env": "prod"},
    f"{RUN}-web": {"env": "test", "tier": ""},
    f"{RUN}-sandbox": {"env": ""},
    f"{RUN}-plain": {},
}
MARK = {"kspec-scope": RUN}


def registry(index: int) -> str:
    """Each scope has its own: a pod is of interest to one specification only."""
    return f"scope-{index}.example.com"


def asked(index: int) -> dict[str, Any]:
    scope = {"namespaceScope": SCOPES[index]} if SCOPES[index] else {}
    return {"workloads": {"images": {"blockedRegistries": [registry(index)]}}, **scope}


def pod(index: int, namespace: str) -> dict[str, Any]:
    containers = [{"name": "app", "image": f"{registry(index)}/app:1"}]
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": "app", "namespace": namespace},
        "spec": {"containers": containers},
    }


@pytest.fixture(scope="module")
def held(server: Any) -> Any:
    """The server, with the policies of every scope, in these namespaces only."""
    for index in range(len(SCOPES)):
        server.apply_plan(server.plan(asked(index)), namespace_labels=MARK)
    for name, labels in NAMESPACES.items():
        server.namespace(name, {**labels, **MARK})
    return server


@pytest.mark.parametrize(
    "index", range(len(SCOPES)), ids=lambda index: str(SCOPES[index]).replace(RUN, "RUN")
)
def test_a_scope_means_the_same_in_a_scan_and_at_admission(held: Any, index: int) -> None:
    scope = NamespaceScope.model_validate(SCOPES[index])
    expected = {name for name, labels in NAMESPACES.items() if in_scope(scope, name, {**labels, **MARK})}
    assert expected, "a scope without any of these namespaces shows nothing"
    deadline = time.monotonic() + IN_FORCE_TIMEOUT_S
    while held.create((first := min(expected)), pod(index, first)).status == 201:
        assert time.monotonic() < deadline, f"not in force in {first}"
        time.sleep(0.1)

    refused = {name for name in NAMESPACES if held.create(name, pod(index, name)).status != 201}
    assert refused == expected

    listed = [held.plane.request("GET", f"/api/v1/namespaces/{name}").body for name in NAMESPACES]
    (result,) = evaluate(
        blocked_registries,
        objects=[
            *(item | {"apiVersion": "v1", "kind": "Namespace"} for item in listed),
            *(pod(index, name) for name in NAMESPACES),
        ],
        spec=asked(index),
    )
    assert {finding.resource.namespace for finding in result.findings} == expected

    judging = policies(policy(asked(index)))
    denied = {
        item["metadata"]["name"]
        for item in listed
        if not decide(
            request(pod(index, item["metadata"]["name"])),
            judging,
            datetime.now(UTC),
            item["metadata"]["labels"],
        ).allowed
    }
    assert denied == expected


BERLIN = ZoneInfo("Europe/Berlin")
TIMES: list[dict[str, Any]] = [
    {"activePeriods": [{"startTime": "22:00", "endTime": "06:00", "daysOfWeek": ["Saturday"]}]},
    {"activePeriods": [{"startDate": "2027-03-28", "endDate": "2027-03-28"}]},
    {"schedule": "30 1 * * *", "duration": "3h"},
]


@pytest.mark.parametrize("times", TIMES, ids=str)
@pytest.mark.parametrize("hours", range(0, 48, 5))
def test_a_time_means_the_same_everywhere(times: dict[str, Any], hours: int) -> None:
    """Around the night in which clocks go forward. A policy of the API server is there only while it is asked for."""
    moment = datetime(2027, 3, 27, 12, tzinfo=BERLIN) + timedelta(hours=hours)
    part = asked(0) | {"timeBasedActivation": {"enabled": True, "timezone": "Europe/Berlin", **times}}
    loaded = spec_from_part(part, name="times")
    given = loaded.spec.time_based_activation
    active = is_active(given, moment)
    assert (inactive_reason(given, moment) == "") is active

    allowed = decide(request(pod(0, "shop")), policies(policy(part)), moment, {}).allowed
    assert allowed is not active

    wanted = Wanted(enforcement_plan(loaded, CHECKSET, version="", now=moment), Mode.ENFORCE)
    kinds = {manifest["kind"] for manifest in vap.generate(wanted).manifests}
    assert (vap.BINDING in kinds) is active
    assert wanted.boundary == next_change(given, moment)
