"""What checks declare of themselves is true: they read nothing else, and judge alone what they say they judge alone."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest

from pytest_kspec import Cluster, Findings, Pods, ResourceLister, check
from pytest_kspec.checks.authoring import ATTRIBUTE
from pytest_kspec.checks.reads import BY_FIXTURE, OPEN
from pytest_kspec.errors import CheckError
from pytest_kspec.evaluate.context import FIXTURES
from pytest_kspec.plan.checkset import load_checks
from pytest_kspec.session import fixtures
from pytest_kspec.testing import evaluate

CHECKS = load_checks().checks
SPEC: dict[str, Any] = {
    "podSecurity": {"enforce": "restricted", "audit": "restricted", "warn": "baseline", "version": "v1.34"},
    "network": {"defaultDeny": True, "allowedServiceTypes": ["ClusterIP"], "disallowedPorts": [80]},
    "workloads": {
        "containers": {
            "required": [{"key": "resources.limits.memory", "exists": True}],
            "forbidden": [{"key": "hostNetwork", "value": True}],
        },
        "images": {
            "requireDigests": True,
            "allowedRegistries": ["ghcr.io"],
            "blockedRegistries": ["docker.io"],
        },
    },
}


def _object(kind: str, name: str, namespace: str, **more: Any) -> dict[str, Any]:
    metadata = {"name": name, **({"namespace": namespace} if namespace else {})}
    return {"apiVersion": "v1", "kind": kind, "metadata": metadata, **more}


def _of(namespace: str, label: str) -> list[dict[str, Any]]:
    bad = {
        "name": "a",
        "image": "nginx",
        "securityContext": {"privileged": True},
        "ports": [{"containerPort": 80}],
    }
    found = _object("Namespace", namespace, "")
    found["metadata"]["labels"] = {"pod-security.kubernetes.io/enforce": label}
    return [
        found,
        _object("Pod", "bad", namespace, spec={"containers": [bad], "hostNetwork": True}),
        _object("Pod", "other", namespace, spec={"containers": [{"name": "b", "image": "ghcr.io/x/y:1"}]}),
        _object("Service", "front", namespace, spec={"type": "NodePort", "ports": [{"port": 80}]}),
    ]


POLICY = {
    "apiVersion": "networking.k8s.io/v1",
    "kind": "NetworkPolicy",
    "metadata": {"name": "deny", "namespace": "shop"},
    "spec": {"podSelector": {}, "policyTypes": ["Ingress", "Egress"]},
}
SHOP, PLAY = [*_of("shop", "restricted"), POLICY], _of("play", "privileged")


def _found(func: Any, objects: Sequence[dict[str, Any]]) -> set[str]:
    results = evaluate(func, spec=SPEC, objects=objects)
    assert [r.reason for r in results if r.verdict == "error"] == []
    return {f"{r.id}: {f.resource}: {f.message}" for r in results for f in r.findings}


def test_each_built_in_check_says_what_it_reads() -> None:
    assert [c.id for c in CHECKS if not c.reads.known] == []


def test_each_fixture_is_one_that_lists_kinds_or_anything_or_nothing() -> None:
    nothing = {"spec", "requirement", "findings", "exemptions", "signatures"}
    assert {*BY_FIXTURE, *OPEN, *nothing} == set(FIXTURES)
    assert set(FIXTURES) == {
        name
        for name, value in vars(fixtures).items()
        if hasattr(value, "_fixture_function_marker") and name != "kspec_context"
    }


@pytest.mark.parametrize("check_", [c for c in CHECKS if c.judges == "object"], ids=lambda c: c.id)
def test_who_judges_objects_finds_in_each_what_it_finds_in_all(check_: Any) -> None:
    if check_.id == "workloads.images.requireSignatures":  # asks a registry
        return
    objects = [*SHOP, *PLAY]
    one_by_one: set[str] = set().union(*(_found(check_.func, [obj]) for obj in objects))
    assert _found(check_.func, objects) == one_by_one


@pytest.mark.parametrize("check_", [c for c in CHECKS if c.judges == "namespace"], ids=lambda c: c.id)
def test_who_judges_namespaces_finds_in_each_what_it_finds_in_all(check_: Any) -> None:
    assert (
        _found(check_.func, [*SHOP, *PLAY]) == _found(check_.func, SHOP) | _found(check_.func, PLAY) != set()
    )


def _make(**more: Any) -> Any:
    return check(id="acme.reads", title="Reads", severity="low", remediation="None.", **more)


def test_reading_what_is_not_declared_is_an_error() -> None:
    @_make(reads=["Service", "policy.example.com/*"])
    def reads(cluster: Cluster, resources: ResourceLister, pods: Pods, findings: Findings) -> None:
        """Why."""
        list(resources("Service", ""))
        list(cluster.list("Service"))
        assert not cluster.serves("Gate", "policy.example.com")
        list(pods)
        list(resources("Secret"))

    (result,) = evaluate(reads)
    assert result.verdict == "error"
    assert result.reason == "the check reads Secret, which it does not declare. Add 'Secret' to reads."

    @_make()
    def open_ended(resources: ResourceLister, findings: Findings) -> None:
        """Why."""
        list(resources("Secret"))

    assert evaluate(open_ended)[0].verdict == "skip"
    assert not getattr(open_ended, ATTRIBUTE).reads.known


@pytest.mark.parametrize(
    "wrong", [{"reads": "Pod"}, {"reads": ["pods"]}, {"reads": [1]}, {"judges": "node"}], ids=str
)
def test_what_is_no_declaration_is_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(CheckError, match="must be"):

        @_make(**wrong)
        def refused(findings: Findings) -> None:
            """Why."""
            findings.examined(1)
