"""Types of Services.

Restricted field:  Service spec.type
Allowed values:    those of network.allowedServiceTypes; unset is ClusterIP, and so is a headless Service
Source:            the specification, network.allowedServiceTypes; Kubernetes, Service (v1)
"""

from __future__ import annotations

from typing import Any

from pytest_kspec import Requirement, check


@check(
    id="network.allowedServiceTypes",
    title="Services have allowed types only",
    severity="medium",
    controls={"nist-800-53": ["SC-7", "CM-7"]},
    remediation="Change the Service to an allowed type, or publish it through an Ingress or Gateway.",
    key="network.allowedServiceTypes",
)
def test_service_types(requirement: Requirement, services: Any, findings: Any) -> None:
    """A NodePort opens a port on every node, a LoadBalancer an address outside: past any Ingress."""
    allowed = list(requirement.value)
    for service in services:
        actual = service.spec.get("type")
        if actual is not None and not isinstance(actual, str):
            findings.error(f"spec.type is {actual!r:.60}, not text", service)
        elif (actual or "ClusterIP") not in allowed:
            findings.add(
                service,
                path="spec.type",
                actual=actual,
                expected=" or ".join(allowed),
                message=f"Service is of type {actual or 'ClusterIP (the default)'}",
            )
