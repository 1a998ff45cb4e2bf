"""Host namespaces."""

from __future__ import annotations

from pytest_kspec import About, AllOf, FieldRule, PodSecurityControl, Versioned, check

ABOUT = About(
    restricts="spec.hostNetwork, spec.hostPID, spec.hostIPC",
    allowed="unset, false",
    source=(
        "Pod Security Standards, baseline, since Kubernetes 1.0;\n"
        "CIS Kubernetes Benchmark 1.10, 5.2.3, 5.2.4, 5.2.5"
    ),
)

CONTROL = PodSecurityControl(
    name="hostNamespaces",
    level="baseline",
    revisions=Versioned(
        {
            0: AllOf(
                "host namespaces",
                tuple(
                    FieldRule(field=field, over="pod", allowed=(None, False), reason="host namespaces")
                    for field in ("hostNetwork", "hostPID", "hostIPC")
                ),
            )
        }
    ),
)


@check(
    id=CONTROL.id,
    title="No pod shares the network, process or IPC namespace of its node",
    severity="high",
    remediation=(
        "Remove hostNetwork, hostPID and hostIPC; reach nodes through Services or the downward API."
    ),
    about=ABOUT,
    rule=CONTROL,
)
def test_host_namespaces() -> None:
    """In a host namespace a pod sees, and can signal or listen to, everything that runs on its node."""
