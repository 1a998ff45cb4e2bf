"""Checks as a type checker sees them. Each `# R:` is what it must reveal there; nothing else may be reported."""

from __future__ import annotations

from collections.abc import Iterator
from typing import reveal_type

from pytest_kspec import (
    Cluster,
    ClusterSpecification,
    Containers,
    Exemptions,
    FieldRule,
    Findings,
    Namespaces,
    PortRule,
    Rbac,
    Requirement,
    ResourceLister,
    Signatures,
    Workloads,
    check,
)
from pytest_kspec.testing import evaluate

RULE = FieldRule(field="hostNetwork", over="pod", allowed=(None, False), reason="host network")


def rule(requirement: Requirement) -> PortRule:
    return PortRule(ports=tuple(requirement.value))


def asked(spec: ClusterSpecification) -> Iterator[Requirement]:
    if spec.network and spec.network.default_deny:
        yield Requirement("acme.all", "network.defaultDeny")


@check(id="acme.rule", title="T", severity="low", remediation="R.", rule=RULE)
def test_rule() -> None:
    """Why."""


@check(id="acme.made", title="T", severity="low", remediation="R.", key="network.disallowedPorts", rule=rule)
def test_made() -> None:
    """Why."""


@check(id="acme.all", title="T", severity="critical", remediation="R.", requirements=asked)
def test_all(
    cluster: Cluster,
    containers: Containers,
    exemptions: Exemptions,
    findings: Findings,
    namespaces: Namespaces,
    rbac: Rbac,
    resources: ResourceLister,
    signatures: Signatures,
    workloads: Workloads,
) -> None:
    """Why."""
    reveal_type(findings.examined_count)  # R: int
    reveal_type(cluster.version)  # R: str
    reveal_type([workload.pod_labels for workload in workloads])  # R: list[typing.Mapping[str, str]]
    reveal_type([container.path for _, container in containers])  # R: list[str]
    reveal_type(namespaces[0].labels)  # R: typing.Mapping[str, str]
    reveal_type(rbac.roles[0].kind)  # R: str
    reveal_type(resources("PodDisruptionBudget", group="policy")[0].name)  # R: str
    reveal_type(signatures.verify(["nginx"])["nginx"].signed)  # R: bool
    findings.add(workloads[0], path="spec.hostNetwork", actual=True, expected="unset", fix={"spec": {}})
    findings.apply(RULE, workloads)


reveal_type(evaluate(test_all)[0].findings[0].path)  # R: str
