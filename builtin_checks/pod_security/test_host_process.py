"""Windows HostProcess containers."""

from __future__ import annotations

from pytest_kspec import About, FieldRule, PodSecurityControl, Versioned, check

ABOUT = About(
    restricts=(
        "spec.securityContext.windowsOptions.hostProcess\n"
        "spec.{containers,initContainers,ephemeralContainers}[*] "
        ".securityContext.windowsOptions.hostProcess"
    ),
    allowed="unset, false",
    source=("Pod Security Standards, baseline, since Kubernetes 1.0; CIS Kubernetes Benchmark 1.10, 5.2.11"),
)

CONTROL = PodSecurityControl(
    name="hostProcess",
    level="baseline",
    revisions=Versioned(
        {
            0: FieldRule(
                field="securityContext.windowsOptions.hostProcess",
                over="pod and containers",
                allowed=(None, False),
                reason="Windows HostProcess containers",
            )
        }
    ),
)


@check(
    id=CONTROL.id,
    title="No container runs as a Windows host process",
    severity="critical",
    remediation="Set securityContext.windowsOptions.hostProcess to false in the pod and in its containers.",
    about=ABOUT,
    rule=CONTROL,
)
def test_host_process() -> None:
    """A HostProcess container has the rights of a Windows administrator on its node."""
