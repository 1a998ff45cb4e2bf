"""Masks of /proc."""

from __future__ import annotations

from pytest_kspec import USER_NAMESPACE, About, FieldRule, PodCondition, PodSecurityControl, Versioned, check

ABOUT = About(
    restricts="spec.{containers,initContainers,ephemeralContainers}[*].securityContext.procMount",
    allowed="unset, Default; since 1.35, at level baseline, any with spec.hostUsers false",
    source=(
        "Pod Security Standards, baseline since Kubernetes 1.0, revised in 1.35;\n"
        "restricted since 1.35 (before, that of baseline)"
    ),
)


def _rule(*unless: PodCondition) -> FieldRule:
    return FieldRule(
        field="securityContext.procMount",
        over="containers",
        allowed=(None, "Default"),
        unless=unless,
        reason="unmasked /proc",
    )


CONTROL = PodSecurityControl(
    name="procMount",
    level="baseline",
    revisions=Versioned({0: _rule(), 35: _rule(USER_NAMESPACE)}),
    replaced_by="procMountRestricted",
)
RESTRICTED = PodSecurityControl(
    name="procMountRestricted", level="restricted", revisions=Versioned({0: _rule()})
)


@check(
    id=CONTROL.id,
    title="No container sees an unmasked /proc of its node",
    severity="medium",
    remediation="Remove securityContext.procMount, or set hostUsers to false (Kubernetes 1.35 and later).",
    about=ABOUT,
    rule=CONTROL,
)
def test_proc_mount() -> None:
    """The masks hide kernel settings and keys of the node; Unmasked shows them, and some can be written."""


@check(
    id=RESTRICTED.id,
    title="No container sees an unmasked /proc",
    severity="medium",
    remediation="Remove securityContext.procMount.",
    about=ABOUT,
    rule=RESTRICTED,
)
def test_proc_mount_restricted() -> None:
    """Even in a user namespace, an unmasked /proc shows more of the node than a restricted pod may see."""
