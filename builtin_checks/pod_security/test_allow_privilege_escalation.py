"""Privilege escalation."""

from __future__ import annotations

from pytest_kspec import WINDOWS, About, FieldRule, PodCondition, PodSecurityControl, Versioned, check

ABOUT = About(
    restricts=(
        "spec.{containers,initContainers,ephemeralContainers}[*] .securityContext.allowPrivilegeEscalation"
    ),
    allowed="false; since 1.25 any in pods with spec.os.name windows",
    source=(
        "Pod Security Standards, restricted, since Kubernetes 1.8, revised in 1.25;\n"
        "CIS Kubernetes Benchmark 1.10, 5.2.6"
    ),
)


def _rule(*unless: PodCondition) -> FieldRule:
    return FieldRule(
        field="securityContext.allowPrivilegeEscalation",
        over="containers",
        allowed=(False,),
        unless=unless,
        reason="privilege escalation",
    )


CONTROL = PodSecurityControl(
    name="allowPrivilegeEscalation",
    level="restricted",
    revisions=Versioned({8: _rule(), 25: _rule(WINDOWS)}),
)


@check(
    id=CONTROL.id,
    title="No process gains more privileges than its parent",
    severity="high",
    remediation="Set securityContext.allowPrivilegeEscalation to false in every container.",
    about=ABOUT,
    rule=CONTROL,
)
def test_allow_privilege_escalation() -> None:
    """Otherwise a set-user-ID program in the image can make any user root; an unset field allows it."""
