"""Types of Services.

Restricted field:  Service spec.type
Allowed values:    those of network.allowedServiceTypes; unset is ClusterIP, and so is a headless Service
Source:            the specification, network.allowedServiceTypes; Kubernetes, Service (v1)
"""

from __future__ import annotations

from pytest_kspec import Requirement, ServiceTypes, check


def rule(requirement: Requirement) -> ServiceTypes:
    """The rule that a specification asks for."""
    return ServiceTypes(allowed=tuple(requirement.value))


@check(
    id="network.allowedServiceTypes",
    title="Services have allowed types only",
    severity="medium",
    remediation="Change the Service to an allowed type, or publish it through an Ingress or Gateway.",
    key="network.allowedServiceTypes",
    rule=rule,
)
def test_service_types() -> None:
    """A NodePort opens a port on every node, a LoadBalancer an address outside: past any Ingress."""
