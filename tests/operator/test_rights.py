"""An operator whose rights lack one verb: what it could not look at is neither compliant nor without drift."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from pytest_kspec import clock
from pytest_kspec.errors import KspecError

from .conftest import ADMISSION, DEPLOYED, Specs, as_deployed, until
from .hubs import SPEC, Hub, conditions

RBAC = "rbac.authorization.k8s.io/v1"
ROLES = ("kspec-enforcer", "kspec-scanner")
POLICIES, BINDINGS = "validatingadmissionpolicies", "validatingadmissionpolicybindings"
TAKEN = [
    *((POLICIES, verb) for verb in ("get", "list", "patch", "update")),
    *((BINDINGS, verb) for verb in ("list", "patch")),
]


@contextmanager
def without(specs: Specs, resource: str, verb: str) -> Iterator[None]:
    """No role has this right. Afterwards it is there again, and holds."""
    before = {name: specs.writer.get(RBAC, "ClusterRole", name)["rules"] for name in ROLES}

    def may() -> bool:
        asked = {"group": "admissionregistration.k8s.io", "resource": resource, "verb": verb}
        body = {"spec": {"user": DEPLOYED, "resourceAttributes": asked}}
        path = "/apis/authorization.k8s.io/v1/subjectaccessreviews"
        head = {"apiVersion": "authorization.k8s.io/v1", "kind": "SubjectAccessReview"}
        return bool(specs.plane.request("POST", path, {**head, **body}).body["status"]["allowed"])

    try:
        for name, rules in before.items():
            made = [one for rule in rules for one in _less(rule, resource, verb)]
            specs.writer.patch(RBAC, "ClusterRole", name, {"rules": made})
        until(lambda: not may())
        yield
    finally:
        for name, rules in before.items():
            specs.writer.patch(RBAC, "ClusterRole", name, {"rules": rules})
        until(may)


def _less(rule: dict[str, Any], resource: str, verb: str) -> list[dict[str, Any]]:
    """A rule of a role without this right, as rules."""
    if "*" in rule.get("resources", ()):
        return [] if verb in rule["verbs"] else [rule]
    if resource not in rule.get("resources", ()):
        return [rule]
    others = [one for one in rule["resources"] if one != resource]
    verbs = [one for one in rule["verbs"] if one != verb]
    made = [{**rule, "resources": others}, {**rule, "resources": [resource], "verbs": verbs}]
    return [one for one in made if one["resources"] and one["verbs"]]


@pytest.fixture
def deployed(specs: Specs, tmp_path: Path) -> Iterator[Hub]:
    """The controllers with the rights of the Deployment; a specification is enforced."""
    made = Hub(specs, kubeconfig=str(as_deployed(specs.plane, tmp_path / "kubeconfig")))
    made.clear()
    specs.put("sturdy", SPEC)
    made.enforce("sturdy")
    assert specs.condition("sturdy", "PolicyEnforced")["status"] == "True"
    made.config("watch", {"interval": "5m"})
    yield made
    made.clear()


def test_drift_is_not_missed_for_want_of_a_right(deployed: Hub) -> None:
    specs = deployed.specs
    deployed.soften("kspec-sturdy-pods")
    where = {"spec": {"matchResources": {"namespaceSelector": {"matchLabels": {"no": "where"}}}}}
    specs.writer.patch(ADMISSION, "ValidatingAdmissionPolicyBinding", "kspec-sturdy-pods", where)
    wrong = []
    for resource, verb in TAKEN:
        with without(specs, resource, verb):
            deployed.now += timedelta(seconds=600)
            with clock.at(deployed.now), suppress(KspecError):
                deployed.reconciler.reconcile(("", "sturdy"))
            said = deployed.run("watch")
        drift, enforced, ready = (
            specs.condition("sturdy", kind) for kind in ("DriftDetected", "PolicyEnforced", "Ready")
        )
        found = conditions(said)["DriftDetected"][0]
        text = f"{drift['message']} {enforced['message']} {said['conditions']}"
        seen = (
            drift["status"],
            found,
            enforced["status"],
            ready["status"],
            f"cannot {verb} {resource}" in text,
        )
        is_told = drift["status"] == found == "True" or seen[-1]
        is_claimed = enforced["status"] == "True" and drift["status"] != "True"  # what differs works, too
        if "False" in seen[:2] or is_claimed or ready["status"] == "True" or not is_told:
            wrong.append((resource, verb, seen, text))
    assert wrong == []
