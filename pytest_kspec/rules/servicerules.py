"""Rules about Services: their types, and the ports that they and containers use."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from msgspec import Struct

from pytest_kspec.kube.resources import PodShape
from pytest_kspec.kube.serviceports import CONTAINER_PORTS, DEFAULT_TYPE, HEALTH_PORT, SERVICE_PORTS
from pytest_kspec.rules.base import Violation
from pytest_kspec.rules.fieldpath import item_label, malformed

if TYPE_CHECKING:
    from pytest_kspec.rules.cel.builder import CelBuilder


class ServiceTypes(Struct, frozen=True, kw_only=True):
    """The types that Services may have; all other types are violations."""

    allowed: tuple[str, ...]
    reason: str = "Service types"

    @property
    def expected(self) -> str:
        """What is allowed, as text."""
        return " or ".join(self.allowed)

    def evaluate_service(self, spec: Mapping[str, Any]) -> Sequence[Violation]:
        """See `ServiceRule`."""
        actual = spec.get("type")
        if actual is not None and type(actual) is not str:
            malformed("spec.type", actual, str)
        if (actual or DEFAULT_TYPE) in self.allowed:
            return ()
        return (Violation("spec.type", actual, self.expected),)

    def to_cel(self, builder: CelBuilder) -> str:
        """See `Expressible`."""
        from pytest_kspec.rules.servicerules_cel import service_types

        return service_types(self, builder)


class PortRule(Struct, frozen=True, kw_only=True):
    """Ports that no container declares, as its own or on the host, and that no Service uses.

    A named targetPort is the container port of that name, which is judged where it is declared.
    """

    ports: tuple[int, ...]
    reason: str = "disallowed ports"

    @property
    def expected(self) -> str:
        """What is allowed, as text."""
        return "a port other than " + ", ".join(map(str, sorted(set(self.ports))))

    @property
    def reads(self) -> tuple[str, ...]:
        """See `Rule`."""
        return ("containers.ports",)

    def evaluate(self, pod: PodShape) -> Sequence[Violation]:
        """See `Rule`."""
        found = []
        expected = self.expected
        for container in pod.containers:
            if container.raw.get("ports") is None:
                continue
            for where, port in _ports(container.raw, container.path):
                for field in CONTAINER_PORTS:
                    number = _number(port, field, where)
                    if number in self.ports:
                        found.append(Violation(f"{where}.{field}", number, expected, container.name))
        return found

    def evaluate_service(self, spec: Mapping[str, Any]) -> Sequence[Violation]:
        """See `ServiceRule`."""
        found = []
        expected = self.expected
        for where, port in _ports(spec, "spec"):
            for field in SERVICE_PORTS:
                if field == "targetPort" and type(port.get(field)) is str:
                    continue
                number = _number(port, field, where)
                if number in self.ports:
                    found.append(Violation(f"{where}.{field}", number, expected))
        number = _number(spec, HEALTH_PORT, "spec")
        if number in self.ports:
            found.append(Violation(f"spec.{HEALTH_PORT}", number, self.expected))
        return found

    def to_cel(self, builder: CelBuilder) -> str:
        """See `Expressible`."""
        from pytest_kspec.rules.servicerules_cel import port_rule

        return port_rule(self, builder)


def _ports(raw: Mapping[str, Any], base: str) -> Iterator[tuple[str, dict[str, Any]]]:
    """(path, port) of the list `ports`; a port goes by its name, else by its index."""
    ports = raw.get("ports")
    if ports is None:
        return
    if type(ports) is not list:
        malformed(f"{base}.ports", ports, list)
    for index, port in enumerate(ports):
        where = f"{base}.ports[{item_label(port, index)}]"
        if type(port) is not dict:
            malformed(where, port, dict)
        yield where, port


def _number(raw: Mapping[str, Any], field: str, where: str) -> int | None:
    value = raw.get(field)
    if value is not None and type(value) is not int:
        malformed(f"{where}.{field}", value, int)
    return value
