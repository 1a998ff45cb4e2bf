"""Ports that must not be used.

A named targetPort is the container port of that name, which is examined where it is declared. Declaring a
container port opens nothing and leaving it out closes nothing: a process may listen on ports that no manifest
names.
"""

from __future__ import annotations

from pytest_kspec import About, PortRule, Requirement, check

ABOUT = About(
    restricts=(
        "spec.{containers,initContainers,ephemeralContainers}[*].ports[*].{containerPort,hostPort};\n"
        "Service spec.ports[*].{port,targetPort,nodePort} and spec.healthCheckNodePort"
    ),
    allowed="every port that is not in network.disallowedPorts",
    source=(
        "the specification, network.disallowedPorts; CIS Kubernetes Benchmark 1.10, 5.2.13;\n"
        "Kubernetes, Service and Container (v1)"
    ),
)


def rule(requirement: Requirement) -> PortRule:
    """The rule that a specification asks for."""
    return PortRule(ports=tuple(requirement.value))


@check(
    id="network.disallowedPorts",
    title="No container, host port or Service uses a disallowed port",
    severity="medium",
    remediation="Use another port, or remove the protocol (SSH, Telnet, RDP, …) that uses the port.",
    about=ABOUT,
    key="network.disallowedPorts",
    rule=rule,
)
def test_disallowed_ports() -> None:
    """Remote login into containers bypasses the API server's authentication, RBAC and audit log."""
