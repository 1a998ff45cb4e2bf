"""Mistakes that a type checker finds before a cluster is scanned. Each `# E:` is the error that it must report."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:  # never run
    import pytest_kspec
    from pytest_kspec import (
        Cluster,
        ClusterSpecification,
        FieldRule,
        Findings,
        Requirement,
        ResourceLister,
        Services,
        Workloads,
        check,
    )

    RULE = FieldRule(field="hostNetwork", over="pods", allowed=(None,), reason="r")  # E: arg-type

    @check(id="acme.bad", title="T", severity="hihg", remediation="R.")  # E: arg-type
    def test_bad(
        cluster: Cluster,
        findings: Findings,
        requirement: Requirement,
        resources: ResourceLister,
        services: Services,
        spec: ClusterSpecification,
        workloads: Workloads,
    ) -> None:
        """Why."""
        _ = pytest_kspec.Findigs  # E: attr-defined
        findings.ad(None)  # E: attr-defined
        findings.add(None, pth="x")  # E: call-arg
        findings.apply(RULE, services)  # E: arg-type
        _ = cluster.version.major  # E: attr-defined
        _ = requirement.vlaue  # E: attr-defined
        resources("Pod", groop="")  # E: call-arg
        _ = spec.pod_security.enforce  # E: union-attr
        for workload in workloads:
            _ = workload.lables  # E: attr-defined

    @check(id="acme.rule", title="T", severity="low", remediation="R.", rule="privileged")  # E: arg-type
    def test_rule() -> None:
        """Why."""

    @check(id="acme.none", title="T", severity="low")  # E: call-arg
    def test_none() -> None:
        """Why."""
