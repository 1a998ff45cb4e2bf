"""Compliance as tests for Kubernetes. These are the public names for authors of checks and of
packages that add to kspec; everything else is internal.

This module is imported in every pytest run of an environment that has the plugin: a name is imported when it is used.
`_NAMES` is the one list of them. Type checkers and editors read `__init__.pyi`, which `make docs` writes from it. The
kept library for this, lazy-loader, makes the import three times as long (2.2 ms for 0.5), and parsing the stub at each
start is no cheaper.
"""

import importlib

__version__ = "0.1.0"

_NAMES = {
    "alerts.sending": ("AlertSending",),
    "checks.authoring": ("check",),
    "checks.check": ("About",),
    "checks.fixturetypes": (
        "Containers",
        "Namespaces",
        "NetworkPolicies",
        "Nodes",
        "Pods",
        "ResourceLister",
        "Services",
        "Workloads",
    ),
    "cluster.sources.memory": ("MemorySource",),
    "cluster.sources.source": ("Pages", "Source"),
    "errors": (
        "AccessDenied",
        "KspecError",
        "Malformed",
        "NotApplicable",
        "NotServed",
        "SourceError",
    ),
    "evaluate.context": (
        "Cluster",
        "Rbac",
        "Signatures",
    ),
    "evaluate.findings": ("Findings",),
    "kube.globs": ("Globs",),
    "kube.images": (
        "ImageReference",
        "RegistryPattern",
        "parse_image",
    ),
    "kube.patterns": ("Pattern",),
    "kube.reference": ("ResourceRef",),
    "kube.resources": (
        "ClusterInfo",
        "Container",
        "PodShape",
        "Resource",
        "Resources",
        "ResourceType",
        "Workload",
        "unknown_labels",
    ),
    "kube.versions": (
        "Bound",
        "Version",
    ),
    "publish.sinks": ("Published",),
    "results.exemptions": ("Exemptions",),
    "results.finding": ("Finding",),
    "results.result": ("CheckResult", "ClusterResult", "ScanResult"),
    "results.verdict": (
        "Severity",
        "Verdict",
    ),
    "rules.base": (
        "Rule",
        "ServiceRule",
        "Violation",
    ),
    "rules.cel.builder": ("CelBuilder",),
    "rules.cel.text": ("NotExpressible",),
    "rules.fieldpath": ("FieldPath",),
    "rules.pods.fieldrule": ("USER_NAMESPACE", "WINDOWS", "FieldRule", "PodCondition"),
    "rules.pods.imagerule": (
        "ImageRule",
        "image_references",
    ),
    "rules.pods.podrules": (
        "AllOf",
        "AnnotationRule",
        "CustomRule",
        "RequiredItem",
        "Versioned",
        "VolumeTypes",
    ),
    "rules.pods.podsecurity": (
        "NamespaceLevels",
        "PodSecurityControl",
        "pod_security_minor",
        "pod_security_strictness",
    ),
    "rules.pods.requiredfield": (
        "ForbiddenField",
        "RequiredField",
    ),
    "rules.rbac.authorizer": ("Grants",),
    "rules.rbac.holders": (
        "forbidden_holdings",
        "minimum_holder",
        "read_grants",
    ),
    "rules.rbac.permission": ("Permission",),
    "rules.servicerules": (
        "PortRule",
        "ServiceTypes",
    ),
    "secretstores.reference": ("SecretReference",),
    "secretstores.sealed": ("Sealed",),
    "signatures.outcomes": ("Outcome",),
    "spec.requirement": ("Requirement",),
    "spec.scope": ("RESERVED_NAMESPACES",),
    "spec.sections": ("ClusterSpecification",),
}
"""Module → what it gives to authors of checks and packages."""

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
