"""Sysctls."""

from __future__ import annotations

from pytest_kspec import About, FieldRule, PodSecurityControl, Versioned, check

ABOUT = About(
    restricts="spec.securityContext.sysctls[*].name",
    allowed="the sysctls of `SAFE` that the version has",
    source=("Pod Security Standards, baseline, since Kubernetes 1.0, revised in 1.27, 1.29, 1.32 and 1.37"),
)

SAFE = {
    0: (
        "kernel.shm_rmid_forced",
        "net.ipv4.ip_local_port_range",
        "net.ipv4.ip_unprivileged_port_start",
        "net.ipv4.ping_group_range",
        "net.ipv4.tcp_syncookies",
    ),
    27: ("net.ipv4.ip_local_reserved_ports",),
    29: (
        "net.ipv4.tcp_fin_timeout",
        "net.ipv4.tcp_keepalive_intvl",
        "net.ipv4.tcp_keepalive_probes",
        "net.ipv4.tcp_keepalive_time",
    ),
    32: ("net.ipv4.tcp_rmem", "net.ipv4.tcp_wmem"),
    37: ("net.ipv4.tcp_notsent_lowat", "net.ipv4.tcp_slow_start_after_idle"),
}
"""Sysctls that stay within a pod, by the Kubernetes minor whose standard first allows them."""


def _rule(minor: int) -> FieldRule:
    allowed = sorted(name for since, names in SAFE.items() if since <= minor for name in names)
    return FieldRule(
        field="securityContext.sysctls[].name", over="pod", allowed=tuple(allowed), reason="unsafe sysctls"
    )


CONTROL = PodSecurityControl(
    name="sysctls",
    level="baseline",
    revisions=Versioned({minor: _rule(minor) for minor in SAFE}),
)


@check(
    id=CONTROL.id,
    title="Pods set only safe sysctls",
    severity="medium",
    remediation="Remove the sysctl, or set it on the node for all pods.",
    about=ABOUT,
    rule=CONTROL,
)
def test_sysctls() -> None:
    """Other sysctls reach beyond the pod: they change the node's kernel, or switch its protections off."""
