"""SELinux options."""

from __future__ import annotations

from pytest_kspec import About, AllOf, FieldRule, PodSecurityControl, Versioned, check

ABOUT = About(
    restricts=(
        "spec.securityContext.seLinuxOptions.{type,user,role}\n"
        "spec.{containers,initContainers,ephemeralContainers}[*] "
        ".securityContext.seLinuxOptions.{type,user,role}"
    ),
    allowed=(
        "type: unset, empty, container_t, container_init_t, container_kvm_t, since 1.31 "
        "container_engine_t; user and role: unset, empty"
    ),
    source="Pod Security Standards, baseline, since Kubernetes 1.0, revised in 1.31",
)

TYPES = ("container_t", "container_init_t", "container_kvm_t")


def _rule(types: tuple[str, ...]) -> AllOf:
    allowed = {"type": types, "user": (), "role": ()}
    return AllOf(
        "SELinux options",
        tuple(
            FieldRule(
                field=f"securityContext.seLinuxOptions.{field}",
                over="pod and containers",
                allowed=(None, "", *values),
                reason="SELinux options",
            )
            for field, values in allowed.items()
        ),
    )


CONTROL = PodSecurityControl(
    name="seLinuxOptions",
    level="baseline",
    revisions=Versioned({0: _rule(TYPES), 31: _rule((*TYPES, "container_engine_t"))}),
)


@check(
    id=CONTROL.id,
    title="Containers use only the SELinux types for containers",
    severity="medium",
    remediation="Remove seLinuxOptions, or use a type made for containers and set neither user nor role.",
    about=ABOUT,
    rule=CONTROL,
)
def test_se_linux_options() -> None:
    """SELinux isolates containers from their node by these labels; other labels remove the isolation."""
