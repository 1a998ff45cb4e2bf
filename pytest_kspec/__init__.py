"""Compliance as tests for Kubernetes. These are the public names for check authors; everything else is internal.

This module is imported in every pytest run of an environment that has the plugin: a name is imported when it is used.
`_NAMES` is the one list of them. Type checkers and editors read `__init__.pyi`, which `make docs` writes from it. The
kept library for this, lazy-loader, makes the import three times as long (2.2 ms for 0.5), and parsing the stub at each
start is no cheaper.
"""

import importlib

__version__ = "0.1.0"

_NAMES = {
    "authoring": ("check",),
    "errors": ("AccessDenied", "KspecError", "Malformed", "NotApplicable", "NotServed", "SourceError"),
    "model.check": ("Requirement", "Severity", "Verdict"),
    "model.exemption": ("Exemptions",),
    "model.finding": ("ResourceRef",),
    "model.fixturetypes": (
        "Containers",
        "Namespaces",
        "NetworkPolicies",
        "Nodes",
        "Pods",
        "ResourceLister",
        "Services",
        "Workloads",
    ),
    "model.globs": ("Globs",),
    "model.images": ("ImageReference", "RegistryPattern", "parse_image"),
    "model.patterns": ("Pattern",),
    "model.resources": ("Container", "PodShape", "Resource", "Resources", "Workload", "unknown_labels"),
    "model.scope": ("RESERVED_NAMESPACES",),
    "model.spec": ("ClusterSpecification",),
    "model.versions": ("Bound", "Version"),
    "rules.base": ("Rule", "ServiceRule", "Violation"),
    "rules.fieldpath": ("FieldPath",),
    "rules.fieldrule": ("USER_NAMESPACE", "WINDOWS", "FieldRule", "PodCondition"),
    "rules.imagerule": ("ImageRule", "image_references"),
    "rules.podrules": ("AllOf", "AnnotationRule", "CustomRule", "RequiredItem", "Versioned", "VolumeTypes"),
    "rules.podsecurity": (
        "NamespaceLevels",
        "PodSecurityControl",
        "pod_security_minor",
        "pod_security_strictness",
    ),
    "rules.rbac": ("Grants",),
    "rules.rbac_holders": ("forbidden_holdings", "minimum_holder", "read_grants"),
    "rules.rbac_permission": ("Permission",),
    "rules.requiredfield": ("ForbiddenField", "RequiredField"),
    "rules.servicerules": ("PortRule", "ServiceTypes"),
    "session.context": ("Cluster", "Rbac", "Signatures"),
    "session.findings": ("Findings",),
    "signatures.outcomes": ("Outcome",),
}
"""Module → what it gives to authors of checks."""

_HOME = {name: module for module, names in _NAMES.items() for name in names}
__all__ = sorted(_HOME)


def __getattr__(name: str) -> object:
    home = _HOME.get(name)
    if home is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    found = globals()[name] = getattr(importlib.import_module(f"{__name__}.{home}"), name)
    return found


def __dir__() -> list[str]:
    return sorted({*globals(), *_HOME})
