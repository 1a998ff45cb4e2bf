"""Compliance as tests for Kubernetes. These are the public names for check authors; everything else is internal."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pytest_kspec.authoring import check
    from pytest_kspec.errors import KspecError, Malformed, NotApplicable, NotServed, SourceError
    from pytest_kspec.model.check import Requirement, Severity, Verdict
    from pytest_kspec.model.globs import Globs
    from pytest_kspec.model.images import ImageReference, RegistryPattern, parse_image
    from pytest_kspec.model.patterns import Pattern
    from pytest_kspec.model.resources import (
        Container,
        PodShape,
        Resource,
        Resources,
        Workload,
        unknown_labels,
    )
    from pytest_kspec.model.scope import RESERVED_NAMESPACES
    from pytest_kspec.model.versions import Bound, Version
    from pytest_kspec.rules.base import Rule, ServiceRule, Violation
    from pytest_kspec.rules.fieldpath import FieldPath
    from pytest_kspec.rules.fieldrule import USER_NAMESPACE, WINDOWS, FieldRule, PodCondition
    from pytest_kspec.rules.imagerule import ImageRule, image_references
    from pytest_kspec.rules.podrules import (
        AllOf,
        AnnotationRule,
        CustomRule,
        RequiredItem,
        Versioned,
        VolumeTypes,
    )
    from pytest_kspec.rules.podsecurity import (
        NamespaceLevels,
        PodSecurityControl,
        pod_security_minor,
        pod_security_strictness,
    )
    from pytest_kspec.rules.rbac import Grants
    from pytest_kspec.rules.rbac_holders import forbidden_holdings, minimum_holder, read_grants
    from pytest_kspec.rules.rbac_permission import Permission
    from pytest_kspec.rules.requiredfield import ForbiddenField, RequiredField
    from pytest_kspec.rules.servicerules import PortRule, ServiceTypes

# Resolved at first use: this module is imported in every pytest run of an environment that has the plugin.
_HOME = {
    "check": "authoring",
    "KspecError": "errors",
    "Malformed": "errors",
    "NotApplicable": "errors",
    "NotServed": "errors",
    "SourceError": "errors",
    "Requirement": "model.check",
    "Severity": "model.check",
    "Verdict": "model.check",
    "Globs": "model.globs",
    "Pattern": "model.patterns",
    "Container": "model.resources",
    "PodShape": "model.resources",
    "Resource": "model.resources",
    "Resources": "model.resources",
    "Workload": "model.resources",
    "unknown_labels": "model.resources",
    "Rule": "rules.base",
    "ServiceRule": "rules.base",
    "Violation": "rules.base",
    "AllOf": "rules.podrules",
    "AnnotationRule": "rules.podrules",
    "CustomRule": "rules.podrules",
    "FieldRule": "rules.fieldrule",
    "PodCondition": "rules.fieldrule",
    "RequiredItem": "rules.podrules",
    "USER_NAMESPACE": "rules.fieldrule",
    "Versioned": "rules.podrules",
    "VolumeTypes": "rules.podrules",
    "WINDOWS": "rules.fieldrule",
    "PodSecurityControl": "rules.podsecurity",
    "NamespaceLevels": "rules.podsecurity",
    "pod_security_minor": "rules.podsecurity",
    "pod_security_strictness": "rules.podsecurity",
    "FieldPath": "rules.fieldpath",
    "Grants": "rules.rbac",
    "forbidden_holdings": "rules.rbac_holders",
    "minimum_holder": "rules.rbac_holders",
    "read_grants": "rules.rbac_holders",
    "Permission": "rules.rbac_permission",
    "PortRule": "rules.servicerules",
    "ServiceTypes": "rules.servicerules",
    "ForbiddenField": "rules.requiredfield",
    "RequiredField": "rules.requiredfield",
    "ImageRule": "rules.imagerule",
    "image_references": "rules.imagerule",
    "ImageReference": "model.images",
    "RegistryPattern": "model.images",
    "parse_image": "model.images",
    "RESERVED_NAMESPACES": "model.scope",
    "Bound": "model.versions",
    "Version": "model.versions",
}

__all__ = [
    "RESERVED_NAMESPACES",
    "USER_NAMESPACE",
    "WINDOWS",
    "AllOf",
    "AnnotationRule",
    "Bound",
    "Container",
    "CustomRule",
    "FieldPath",
    "FieldRule",
    "ForbiddenField",
    "Globs",
    "Grants",
    "ImageReference",
    "ImageRule",
    "KspecError",
    "Malformed",
    "NamespaceLevels",
    "NotApplicable",
    "NotServed",
    "Pattern",
    "Permission",
    "PodCondition",
    "PodSecurityControl",
    "PodShape",
    "PortRule",
    "RegistryPattern",
    "RequiredField",
    "RequiredItem",
    "Requirement",
    "Resource",
    "Resources",
    "Rule",
    "ServiceRule",
    "ServiceTypes",
    "Severity",
    "SourceError",
    "Verdict",
    "Version",
    "Versioned",
    "Violation",
    "VolumeTypes",
    "Workload",
    "check",
    "forbidden_holdings",
    "image_references",
    "minimum_holder",
    "parse_image",
    "pod_security_minor",
    "pod_security_strictness",
    "read_grants",
    "unknown_labels",
]
__version__ = "0.1.0"


def __getattr__(name: str) -> Any:
    home = _HOME.get(name)
    if home is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{home}"), name)
