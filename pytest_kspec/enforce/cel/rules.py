"""Any rule as CEL: one expression for the list of its problems."""

from __future__ import annotations

from pytest_kspec.enforce.cel.fields import field_demand
from pytest_kspec.enforce.cel.images import image_rule
from pytest_kspec.enforce.cel.places import SERVICES, Judging
from pytest_kspec.enforce.cel.podrules import (
    annotation_rule,
    field_rule,
    port_rule,
    required_item,
    volume_types,
)
from pytest_kspec.enforce.cel.services import service_ports, service_types
from pytest_kspec.enforce.cel.text import NotExpressible, concat, literal
from pytest_kspec.rules.base import Rule, ServiceRule
from pytest_kspec.rules.pods.fieldrule import FieldRule
from pytest_kspec.rules.pods.imagerule import ImageRule
from pytest_kspec.rules.pods.podrules import AllOf, AnnotationRule, CustomRule, RequiredItem, VolumeTypes
from pytest_kspec.rules.pods.requiredfield import ForbiddenField, RequiredField
from pytest_kspec.rules.servicerules import PortRule, ServiceTypes


def problems(rule: Rule | ServiceRule, judging: Judging) -> str:
    """CEL of a list of texts, one a violation, empty where there is none. Raises NotExpressible."""
    if judging.place == SERVICES:
        match rule:
            case ServiceTypes():
                return service_types(rule)
            case PortRule():
                return service_ports(rule)
        raise NotExpressible(f"{type(rule).__name__} has no CEL form")
    match rule:
        case FieldRule():
            return field_rule(rule, judging)
        case RequiredItem():
            return required_item(rule, judging)
        case AnnotationRule():
            return annotation_rule(rule, judging)
        case VolumeTypes():
            return volume_types(rule, judging)
        case AllOf():
            return concat([problems(part, judging) for part in rule.rules])
        case ImageRule():
            return image_rule(rule, judging)
        case RequiredField() | ForbiddenField():
            return field_demand(rule, judging)
        case PortRule():
            return port_rule(rule, judging)
        case CustomRule():
            return _custom(rule, judging)
    raise NotExpressible(f"{type(rule).__name__} has no CEL form")


def _custom(rule: CustomRule, judging: Judging) -> str:
    if rule.cel is None:
        raise NotExpressible("its rule is Python without a CEL form (`cel=`)")
    if judging.exempt("x"):
        raise NotExpressible("an exemption names containers, which CEL of its own cannot leave out")
    return f"({rule.cel}) ? [] : [{literal(f'{judging.base} has {rule.reason}')}]"
