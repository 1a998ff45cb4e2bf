"""Privileged containers."""

from __future__ import annotations

from pytest_kspec import About, FieldRule, PodSecurityControl, Versioned, check

ABOUT = About(
    restricts="spec.{containers,initContainers,ephemeralContainers}[*].securityContext.privileged",
    allowed="unset, false",
    source=("Pod Security Standards, baseline, since Kubernetes 1.0; CIS Kubernetes Benchmark 1.10, 5.2.2"),
)

CONTROL = PodSecurityControl(
    name="privileged",
    level="baseline",
    revisions=Versioned(
        {
            0: FieldRule(
                field="securityContext.privileged",
                over="containers",
                allowed=(None, False),
                reason="privileged containers",
            )
        }
    ),
)


@check(
    id=CONTROL.id,
    title="No container runs privileged",
    severity="critical",
    remediation=(
        "Set securityContext.privileged to false, or exempt the workload with a reason and an end date."
    ),
    about=ABOUT,
    rule=CONTROL,
)
def test_privileged() -> None:
    """A privileged container holds every capability and every device of its node."""
