"""Rules about Services as CEL."""

from __future__ import annotations

from pytest_kspec.enforce.cel.places import said
from pytest_kspec.enforce.cel.podrules import item_label, item_path
from pytest_kspec.enforce.cel.text import concat, literal, one_of
from pytest_kspec.rules.servicerules import DEFAULT_TYPE, HEALTH_PORT, SERVICE_PORTS, PortRule, ServiceTypes

_SPEC = literal("spec")


def service_types(rule: ServiceTypes) -> str:
    """`ServiceTypes`."""
    kind = "variables.spec.?type"
    bad = f"!({one_of(f'{kind}.orValue({literal(DEFAULT_TYPE)})', rule.allowed)})"
    text = said(_SPEC, "type", f'{kind}.orValue("unset")', rule.expected)
    return f"{bad} ? [{text}] : []"


def service_ports(rule: PortRule) -> str:
    """`PortRule` on a Service. A targetPort is a number (for Kyverno a double) or a name; a name is no port."""
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
