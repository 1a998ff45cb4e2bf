"""Host ports.

The API server sets hostPort to containerPort in pods with hostNetwork, so such pods have findings here
too.
"""

from __future__ import annotations

from pytest_kspec import About, FieldRule, PodSecurityControl, Versioned, check

ABOUT = About(
    restricts="spec.{containers,initContainers,ephemeralContainers}[*].ports[*].hostPort",
    allowed="unset, 0",
    source=("Pod Security Standards, baseline, since Kubernetes 1.0; CIS Kubernetes Benchmark 1.10, 5.2.13"),
)

CONTROL = PodSecurityControl(
    name="hostPorts",
    level="baseline",
    revisions=Versioned(
        {0: FieldRule(field="ports[].hostPort", over="containers", allowed=(None, 0), reason="host ports")}
    ),
)


@check(
    id=CONTROL.id,
    title="No container uses a port of its node",
    severity="high",
    remediation="Remove hostPort and expose the port through a Service.",
    about=ABOUT,
    rule=CONTROL,
)
def test_host_ports() -> None:
    """A host port is reachable past every NetworkPolicy, and takes the port of the node from others."""
