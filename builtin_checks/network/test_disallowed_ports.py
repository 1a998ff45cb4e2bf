"""Ports that must not be used.

Restricted field:  spec.{containers,initContainers,ephemeralContainers}[*].ports[*].{containerPort,hostPort};
                   Service spec.ports[*].{port,targetPort,nodePort} and spec.healthCheckNodePort
Allowed values:    every port that is not in network.disallowedPorts
Source:            the specification, network.disallowedPorts; CIS Kubernetes Benchmark 1.10, 5.2.13;
                   Kubernetes, Service and Container (v1)

A named targetPort is the container port of that name, which is examined where it is declared. Declaring a
container port opens nothing and leaving it out closes nothing: a process may listen on ports that no manifest
names.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from pytest_kspec import Malformed, PodShape, Requirement, Violation, check


class PortRule:
    """No container declares one of these ports, as its own or on the host."""

    reason = "disallowed ports"

    def __init__(self, ports: tuple[int, ...]) -> None:
        self.ports = frozenset(ports)
        self.expected = "a port other than " + ", ".join(map(str, sorted(self.ports)))

    def evaluate(self, pod: PodShape) -> list[Violation]:
        """All disallowed ports of all containers."""
        found = []
        for container in pod.containers:
            for index, port in entries(container.raw, f"{container.path}.ports"):
                where = f"{container.path}.ports[{label(port, index)}]"
                for field in ("containerPort", "hostPort"):
                    if number(port, field, where) in self.ports:
                        found.append(
                            Violation(f"{where}.{field}", port[field], self.expected, container.name)
                        )
        return found


def rule(requirement: Requirement) -> PortRule:
    """The rule that a specification asks for."""
    return PortRule(tuple(requirement.value))


@check(
    id="network.disallowedPorts",
    title="No container, host port or Service uses a disallowed port",
    severity="medium",
    controls={"cis-kubernetes-1.10": ["5.2.13"], "nist-800-53": ["CM-7", "SC-7"]},
    remediation="Use another port, or remove the protocol (SSH, Telnet, RDP, …) that the port stands for.",
    key="network.disallowedPorts",
    rule=rule,
)
def test_disallowed_ports(requirement: Requirement, workloads: Any, services: Any, findings: Any) -> None:
    """Remote login into containers goes around the API server's authentication, RBAC and audit log."""
    ports = rule(requirement)
    findings.apply(ports, workloads)
    for service in services:
        try:
            for path, value in service_ports(service.spec):
                if value in ports.ports:
                    findings.add(
                        service,
                        path=path,
                        actual=value,
                        expected=ports.expected,
                        message=f"Service uses port {value} as {path.rpartition('.')[2]}",
                    )
        except Malformed as error:
            findings.error(error.what, service)


def service_ports(spec: Mapping[str, Any]) -> Iterator[tuple[str, int]]:
    """(path, number) of every port of a Service. Raises Malformed."""
    for index, port in entries(spec, "spec.ports"):
        where = f"spec.ports[{label(port, index)}]"
        for field in ("port", "targetPort", "nodePort"):
            if field == "targetPort" and isinstance(port.get(field), str):
                continue
            value = number(port, field, where)
            if value:
                yield f"{where}.{field}", value
    if value := number(spec, "healthCheckNodePort", "spec"):
        yield "spec.healthCheckNodePort", value


def entries(raw: Mapping[str, Any], where: str) -> Iterator[tuple[int, dict[str, Any]]]:
    """(index, port) of a list `ports`. Raises Malformed."""
    ports = raw.get("ports")
    if ports is None:
        return
    if not isinstance(ports, list):
        raise Malformed(f"{where} is {ports!r:.60}, not a list")
    for index, port in enumerate(ports):
        if not isinstance(port, dict):
            raise Malformed(f"{where}[{index}] is {port!r:.60}, not an object")
        yield index, port


def label(port: Mapping[str, Any], index: int) -> str:
    """Its name, or its index where it has none."""
    name = port.get("name")
    return name if isinstance(name, str) and name else str(index)


def number(raw: Mapping[str, Any], field: str, where: str) -> int | None:
    """A port number, None if unset. Raises Malformed."""
    value = raw.get(field)
    if value is None or type(value) is int:
        return value
    raise Malformed(f"{where}.{field} is {value!r:.60}, not a number")
