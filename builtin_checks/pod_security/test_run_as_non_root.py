"""Running as root.

The pod's value may be unset, but not false, where all containers have their own.
"""

from __future__ import annotations

from pytest_kspec import USER_NAMESPACE, About, FieldRule, PodCondition, PodSecurityControl, Versioned, check

ABOUT = About(
    restricts=(
        "spec.securityContext.runAsNonRoot\n"
        "spec.{containers,initContainers,ephemeralContainers}[*].securityContext.runAsNonRoot"
    ),
    allowed=("true; unset in a container where the pod's is true; since 1.35 any with spec.hostUsers false"),
    source=(
        "Pod Security Standards, restricted, since Kubernetes 1.0, revised in 1.35;\n"
        "CIS Kubernetes Benchmark 1.10, 5.2.7"
    ),
)


def _rule(*unless: PodCondition) -> FieldRule:
    return FieldRule(
        field="securityContext.runAsNonRoot",
        over="containers",
        allowed=(True,),
        inherits=True,
        unless=unless,
        reason="containers that may run as root",
    )


CONTROL = PodSecurityControl(
    name="runAsNonRoot",
    level="restricted",
    revisions=Versioned({0: _rule(), 35: _rule(USER_NAMESPACE)}),
)


@check(
    id=CONTROL.id,
    title="Containers cannot run as root",
    severity="high",
    remediation=(
        "Set securityContext.runAsNonRoot to true in the pod, and use an image whose user is not root."
    ),
    about=ABOUT,
    rule=CONTROL,
)
def test_run_as_non_root() -> None:
    """A process that escapes from its container as root is root on the node."""
