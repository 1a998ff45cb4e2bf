"""Hosts in probes and lifecycle hooks."""

from __future__ import annotations

from pytest_kspec import About, AllOf, FieldRule, PodSecurityControl, Versioned, check

ABOUT = About(
    restricts=(
        "spec.{containers,initContainers,ephemeralContainers}[*] "
        ".{livenessProbe,readinessProbe,startupProbe,lifecycle.postStart,lifecycle.preStop} "
        ".{httpGet,tcpSocket}.host"
    ),
    allowed="unset, empty",
    source="Pod Security Standards, baseline, since Kubernetes 1.34",
)

HANDLERS = ("livenessProbe", "readinessProbe", "startupProbe", "lifecycle.postStart", "lifecycle.preStop")

CONTROL = PodSecurityControl(
    name="hostProbesAndHostLifecycle",
    level="baseline",
    revisions=Versioned(
        {
            34: AllOf(
                "probe or lifecycle hosts",
                tuple(
                    FieldRule(
                        field=f"{handler}.{action}.host",
                        over="containers",
                        allowed=(None, ""),
                        reason="probe or lifecycle hosts",
                    )
                    for handler in HANDLERS
                    for action in ("httpGet", "tcpSocket")
                ),
            )
        }
    ),
)


@check(
    id=CONTROL.id,
    title="Probes and lifecycle hooks do not call other hosts",
    severity="medium",
    remediation="Remove host from the probe or hook, so that it calls the pod itself.",
    about=ABOUT,
    rule=CONTROL,
)
def test_host_probes_and_host_lifecycle() -> None:
    """The kubelet calls these hosts from the node's network: a pod could make it probe other machines."""
