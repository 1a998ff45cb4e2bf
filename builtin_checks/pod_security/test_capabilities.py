"""Linux capabilities."""

from __future__ import annotations

from pytest_kspec import (
    WINDOWS,
    About,
    AllOf,
    FieldRule,
    PodCondition,
    PodSecurityControl,
    RequiredItem,
    Versioned,
    check,
)

ABOUT = About(
    restricts=(
        "spec.{containers,initContainers,ephemeralContainers}[*].securityContext.capabilities.add\n"
        "spec.{containers,initContainers,ephemeralContainers}[*].securityContext.capabilities.drop"
    ),
    allowed=(
        "baseline: add only what container runtimes grant by default, without NET_RAW;\n"
        "restricted, since 1.22: drop has ALL, add only NET_BIND_SERVICE;\n"
        "since 1.25 any in pods with spec.os.name windows"
    ),
    source=(
        "Pod Security Standards, baseline since Kubernetes 1.0, restricted since 1.22, revised in 1.25; "
        "CIS Kubernetes Benchmark 1.10, 5.2.8, 5.2.9, 5.2.10"
    ),
)

ADDED = "securityContext.capabilities.add[]"
DROPPED = "securityContext.capabilities.drop"

DEFAULTS = FieldRule(
    field=ADDED,
    over="containers",
    allowed=(
        "AUDIT_WRITE",
        "CHOWN",
        "DAC_OVERRIDE",
        "FOWNER",
        "FSETID",
        "KILL",
        "MKNOD",
        "NET_BIND_SERVICE",
        "SETFCAP",
        "SETGID",
        "SETPCAP",
        "SETUID",
        "SYS_CHROOT",
    ),
    reason="added capabilities",
)


def _drop_all(*unless: PodCondition) -> AllOf:
    reason = "capabilities that are not dropped"
    return AllOf(
        reason,
        (
            RequiredItem(field=DROPPED, item="ALL", over="containers", unless=unless, reason=reason),
            FieldRule(
                field=ADDED, over="containers", allowed=("NET_BIND_SERVICE",), unless=unless, reason=reason
            ),
        ),
    )


CONTROL = PodSecurityControl(
    name="capabilities",
    level="baseline",
    revisions=Versioned({0: DEFAULTS}),
    replaced_by="capabilitiesRestricted",
)
RESTRICTED = PodSecurityControl(
    name="capabilitiesRestricted",
    level="restricted",
    revisions=Versioned({0: DEFAULTS, 22: _drop_all(), 25: _drop_all(WINDOWS)}),
)


@check(
    id=CONTROL.id,
    title="Containers add no capabilities beyond the default ones",
    severity="high",
    remediation="Remove the capability from securityContext.capabilities.add.",
    about=ABOUT,
    rule=CONTROL,
)
def test_capabilities() -> None:
    """Each added capability is a part of root: SYS_ADMIN is nearly all of it, NET_RAW forges packets."""


@check(
    id=RESTRICTED.id,
    title="Containers drop all capabilities",
    severity="medium",
    remediation='Set securityContext.capabilities.drop to ["ALL"], and add nothing but NET_BIND_SERVICE.',
    about=ABOUT,
    rule=RESTRICTED,
)
def test_capabilities_restricted() -> None:
    """Hardly any program needs a part of root; what is dropped cannot be misused."""
