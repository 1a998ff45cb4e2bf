"""User ID 0."""

from __future__ import annotations

from pytest_kspec import USER_NAMESPACE, About, FieldRule, PodCondition, PodSecurityControl, Versioned, check

ABOUT = About(
    restricts=(
        "spec.securityContext.runAsUser\n"
        "spec.{containers,initContainers,ephemeralContainers}[*].securityContext.runAsUser"
    ),
    allowed="unset, not 0; since 1.35 any with spec.hostUsers false",
    source=(
        "Pod Security Standards, restricted, since Kubernetes 1.23, revised in 1.35;\n"
        "CIS Kubernetes Benchmark 1.10, 5.2.7"
    ),
)


def _rule(*unless: PodCondition) -> FieldRule:
    return FieldRule(
        field="securityContext.runAsUser",
        over="pod and containers",
        forbidden=(0,),
        unless=unless,
        reason="containers that run as user 0",
    )


CONTROL = PodSecurityControl(
    name="runAsUser",
    level="restricted",
    revisions=Versioned({23: _rule(), 35: _rule(USER_NAMESPACE)}),
)


@check(
    id=CONTROL.id,
    title="No container sets user ID 0",
    severity="high",
    remediation="Remove runAsUser: 0 or set another user ID.",
    about=ABOUT,
    rule=CONTROL,
)
def test_run_as_user() -> None:
    """User ID 0 is root, whatever the image says."""
