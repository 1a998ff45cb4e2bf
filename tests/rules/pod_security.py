"""Every Pod Security control as tests see it: by name, and what fails at a level and version."""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Callable, Mapping
from typing import Any

import builtin_checks.pod_security as room
from pytest_kspec.checks.authoring import ATTRIBUTE
from pytest_kspec.kube.resources import PodShape
from pytest_kspec.rules.base import Violation
from pytest_kspec.rules.pods.podsecurity import PodSecurityControl


def _checks() -> dict[str, Callable[..., None]]:
    found = {}
    for module in pkgutil.iter_modules(room.__path__):
        for value in vars(importlib.import_module(f"{room.__name__}.{module.name}")).values():
            rule = getattr(getattr(value, ATTRIBUTE, None), "rule", None)
            if isinstance(rule, PodSecurityControl):
                found[rule.name] = value
    return found


CHECKS = _checks()
"""Control → the check function."""

CONTROLS: dict[str, PodSecurityControl] = {
    name: getattr(function, ATTRIBUTE).rule for name, function in CHECKS.items()
}

ADMISSION = {
    "allowPrivilegeEscalation": ("allowPrivilegeEscalation", "allowPrivilegeEscalation != false"),
    "appArmorProfile": ("appArmorProfile", "forbidden AppArmor profile"),
    "capabilities": ("capabilities_baseline", "non-default capabilities"),
    "capabilitiesRestricted": ("capabilities_restricted", "unrestricted capabilities"),
    "hostNamespaces": ("hostNamespaces", "host namespaces"),
    "hostPathVolumes": ("hostPathVolumes", "hostPath volumes"),
    "hostPorts": ("hostPorts", "hostPort"),
    "hostProbesAndHostLifecycle": ("hostProbesAndHostLifecycle", "probe or lifecycle host"),
    "hostProcess": ("windowsHostProcess", "hostProcess"),
    "privileged": ("privileged", "privileged"),
    "procMount": ("procMount", "procMount"),
    "procMountRestricted": ("procMount_restricted", "procMount"),
    "runAsNonRoot": ("runAsNonRoot", "runAsNonRoot != true"),
    "runAsUser": ("runAsUser", "runAsUser=0"),
    "seLinuxOptions": ("seLinuxOptions", "seLinuxOptions"),
    "seccompProfile": ("seccompProfile_baseline", "seccompProfile"),
    "seccompProfileRestricted": ("seccompProfile_restricted", "seccompProfile"),
    "sysctls": ("sysctls", "forbidden sysctls"),
    "volumeTypes": ("restrictedVolumes", "restricted volume types"),
}
"""Our control → the id of Kubernetes' own check, and what its message starts with."""


def shape(pod: Mapping[str, Any]) -> PodShape:
    """The shape of one raw pod."""
    return PodShape(pod["spec"], pod["metadata"].get("annotations") or {})


def violations(pod: PodShape, level: str, minor: int) -> dict[str, list[Violation]]:
    """Control → its violations, those without left out."""
    found = {}
    for name, control in CONTROLS.items():
        rule = control.rule_for(level, minor)
        if rule is not None and (bad := list(rule.evaluate(pod))):
            found[name] = bad
    return found


def reported(violations: Mapping[str, Any], minor: int) -> set[str]:
    """What Kubernetes' admission plugin names for these controls at this version.

    Ours of level restricted hold the rule of baseline in versions that have no rule for restricted yet.
    """
    before = {
        "capabilitiesRestricted": (22, "capabilities"),
        "seccompProfileRestricted": (19, "seccompProfile"),
    }
    names = set()
    for name in violations:
        since, earlier = before.get(name, (0, name))
        names.add(ADMISSION[earlier if minor < since else name][1])
    return names
