"""`ServiceTypes` and `PortRule` as CEL."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pytest_kspec.kube.serviceports import CONTAINER_PORTS, DEFAULT_TYPE, HEALTH_PORT, SERVICE_PORTS
from pytest_kspec.rules.cel.builder import CelBuilder, Judged, item_label, item_path, said
from pytest_kspec.rules.cel.text import any_of, concat, literal, one_of, optional

if TYPE_CHECKING:
    from pytest_kspec.rules.servicerules import PortRule, ServiceTypes

_SPEC = literal("spec")


def service_types(rule: ServiceTypes, builder: CelBuilder) -> str:
    """`ServiceTypes`."""
    kind = "variables.spec.?type"
    bad = f"!({one_of(f'{kind}.orValue({literal(DEFAULT_TYPE)})', rule.allowed)})"
    text = said(_SPEC, "type", f'{kind}.orValue("unset")', rule.expected)
    return f"{bad} ? [{text}] : []"


def port_rule(rule: PortRule, builder: CelBuilder) -> str:
    """`PortRule`, on a Service or on containers."""
    return _service_ports(rule) if builder.is_service else _container_ports(rule, builder)


def _service_ports(rule: PortRule) -> str:
    """A targetPort is a number (for Kyverno a double) or a name; a name is no port."""
    ports = sorted(set(rule.ports))
    found = []
    for field in SERVICE_PORTS:
        value = f"dyn(p).?{field}" if field == "targetPort" else f"p.?{field}"
        is_number = "type(x) != string && " if field == "targetPort" else ""
        bad = f"{value}.optMap(x, {is_number}{one_of('x', ports)}).orValue(false)"
        where = item_path(_SPEC, "ports", item_label("p", "variables.spec.ports"))
        text = said(where, field, f"string(p.{field})", rule.expected)
        found.append(f"variables.spec.?ports.orValue([]).map(p, {bad}, {text})")
    health = f"variables.spec.?{HEALTH_PORT}"
    text = said(_SPEC, HEALTH_PORT, f"string(variables.spec.{HEALTH_PORT})", rule.expected)
    found.append(f"{one_of(f'{health}.orValue(0)', ports)} ? [{text}] : []")
    return concat(found)


def _container_ports(rule: PortRule, builder: CelBuilder) -> str:
    ports = sorted(set(rule.ports))

    def judge(target: str, where: str) -> Judged:
        entries = f"{target}.?ports.orValue([])"
        bad, texts = [], []
        for field in CONTAINER_PORTS:
            value = optional("p", [field])
            wrong = one_of(f"{value}.orValue(0)", ports)
            label = item_label("p", f"{target}.ports")
            text = said(item_path(where, "ports", label), field, f"string(p.{field})", rule.expected)
            bad.append(f"{entries}.exists(p, {wrong})")
            texts.append(f"{entries}.map(p, {wrong}, {text})")
        return any_of(bad), f'({concat(texts)}).join("; ")'

    return builder.containers(judge)
