"""Seccomp profiles."""

from __future__ import annotations

from pytest_kspec import (
    WINDOWS,
    About,
    AllOf,
    AnnotationRule,
    FieldRule,
    PodCondition,
    PodSecurityControl,
    Versioned,
    check,
)

ABOUT = About(
    restricts=(
        "spec.securityContext.seccompProfile.type\n"
        "spec.{containers,initContainers,ephemeralContainers}[*].securityContext.seccompProfile.type "
        "before 1.19: metadata.annotations[seccomp.security.alpha.kubernetes.io/pod] and "
        "metadata.annotations[container.seccomp.security.alpha.kubernetes.io/<container>]"
    ),
    allowed=(
        "fields: RuntimeDefault, Localhost; at level baseline also unset;\n"
        "at level restricted unset in a container where the pod has one, since 1.25 any in pods with "
        "spec.os.name windows;\n"
        "annotations: unset, runtime/default, docker/default, localhost/*"
    ),
    source=(
        "Pod Security Standards, baseline since Kubernetes 1.0, revised in 1.19, restricted since 1.19, "
        "revised in 1.25; CIS Kubernetes Benchmark 1.10, 5.7.2"
    ),
)

REASON = "seccomp profiles"
PROFILE = "securityContext.seccompProfile"
PROFILES = ("RuntimeDefault", "Localhost")
ANNOTATED = ("runtime/default", "docker/default", "localhost/*")

ANNOTATIONS = AllOf(
    REASON,
    (
        AnnotationRule(key="seccomp.security.alpha.kubernetes.io/pod", allowed=ANNOTATED, reason=REASON),
        AnnotationRule(
            key="container.seccomp.security.alpha.kubernetes.io/*",
            allowed=ANNOTATED,
            containers=True,
            reason=REASON,
        ),
    ),
)
FIELDS = FieldRule(
    field=f"{PROFILE}.type",
    over="pod and containers",
    allowed=(None, *PROFILES),
    set_by=PROFILE,
    reason=REASON,
)


def _required(*unless: PodCondition) -> FieldRule:
    return FieldRule(
        field=f"{PROFILE}.type",
        over="containers",
        allowed=PROFILES,
        set_by=PROFILE,
        inherits=True,
        unless=unless,
        reason=REASON,
    )


CONTROL = PodSecurityControl(
    name="seccompProfile",
    level="baseline",
    revisions=Versioned({0: ANNOTATIONS, 19: FIELDS}),
    replaced_by="seccompProfileRestricted",
)
RESTRICTED = PodSecurityControl(
    name="seccompProfileRestricted",
    level="restricted",
    revisions=Versioned({0: ANNOTATIONS, 19: _required(), 25: _required(WINDOWS)}),
)


@check(
    id=CONTROL.id,
    title="No container turns seccomp off",
    severity="medium",
    remediation="Set securityContext.seccompProfile.type to RuntimeDefault, or remove it.",
    about=ABOUT,
    rule=CONTROL,
)
def test_seccomp_profile() -> None:
    """Without a seccomp profile, a container can use every system call, and any kernel bug behind it."""


@check(
    id=RESTRICTED.id,
    title="Every container has a seccomp profile",
    severity="medium",
    remediation="Set securityContext.seccompProfile.type to RuntimeDefault in the pod.",
    about=ABOUT,
    rule=RESTRICTED,
)
def test_seccomp_profile_restricted() -> None:
    """Without a profile, most kubelets run containers unconfined: every system call can be used."""
