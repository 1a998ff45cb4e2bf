"""Which key of a specification asks for a check: found by asking with a specification that has everything."""

from __future__ import annotations

import re
from functools import cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pytest_kspec.checks.check import Check
    from pytest_kspec.spec.requirement import Requirement
    from pytest_kspec.spec.sections import ClusterSpecification

EVERYTHING = """
kubernetes: {minVersion: "1.30", maxVersion: "1.37", excludedVersions: ["1.31.0"]}
podSecurity: {enforce: LEVEL, audit: LEVEL, warn: LEVEL}
network:
  defaultDeny: true
  requiredPolicies: [{name: allow-dns}]
  allowedServiceTypes: [ClusterIP]
  disallowedPorts: [22]
workloads:
  containers:
    required: [{key: securityContext.runAsNonRoot, value: true}]
    forbidden: [{key: hostNetwork, value: true}]
  images: {allowedRegistries: [registry.example.com], blockedRegistries: [docker.io], requireDigests: true}
rbac:
  minimumRules: [{apiGroup: "", resource: pods, verbs: [get]}]
  forbiddenRules: [{apiGroup: "", resource: secrets, verbs: [list]}]
admission:
  required: [{type: ValidatingWebhookConfiguration, namePattern: kyverno}]
  policies: {minCount: 1, requiredPolicies: [{name: disallow-latest-tag}]}
observability:
  metrics: {required: true, providers: [prometheus]}
  logging: {auditLog: {required: true, minRetentionDays: 30}}
"""


@cache
def everything() -> tuple[ClusterSpecification, ...]:
    """Specifications in which every section is used: at each level that has checks of its own."""
    from pytest_kspec.spec.loading import spec_from_part

    return tuple(
        spec_from_part(EVERYTHING.replace("LEVEL", level)).spec for level in ("restricted", "baseline")
    )


def _requirements(check: Check) -> list[Requirement]:
    if check.requirements is None:
        return []
    return [found for spec in everything() for found in check.requirements(spec)]


def asked_by(check: Check) -> list[str]:
    """Keys, list entries without their number; empty for a check that every specification asks for."""
    if check.key is not None:
        return [check.key]
    return sorted({re.sub(r"\[\d+\]", "[]", found.key) for found in _requirements(check)})


def example_id(check: Check) -> str:
    """The id of one requirement that this check answers, as node ids and reports show it."""
    return next((found.id for found in _requirements(check)), check.id)
