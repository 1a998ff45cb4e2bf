"""Types of Services."""

from __future__ import annotations

from pytest_kspec import About, Requirement, ServiceTypes, check

ABOUT = About(
    restricts="Service spec.type",
    allowed="those of network.allowedServiceTypes; unset is ClusterIP, and so is a headless Service",
    source="the specification, network.allowedServiceTypes; Kubernetes, Service (v1)",
)


def rule(requirement: Requirement) -> ServiceTypes:
    """The rule that a specification asks for."""
    return ServiceTypes(allowed=tuple(requirement.value))


@check(
    id="network.allowedServiceTypes",
    title="Services have only allowed types",
    severity="medium",
    remediation="Change the Service to an allowed type, or publish it through an Ingress or Gateway.",
    about=ABOUT,
    key="network.allowedServiceTypes",
    rule=rule,
)
def test_service_types() -> None:
    """A NodePort opens a port on every node, a LoadBalancer an external address: both bypass Ingresses."""
