"""AppArmor profiles."""

from __future__ import annotations

from pytest_kspec import About, AllOf, AnnotationRule, FieldRule, PodSecurityControl, Versioned, check

ABOUT = About(
    restricts=(
        "spec.securityContext.appArmorProfile.type\n"
        "spec.{containers,initContainers,ephemeralContainers}[*].securityContext.appArmorProfile.type "
        "metadata.annotations[container.apparmor.security.beta.kubernetes.io/*]"
    ),
    allowed=(
        "fields: unset, RuntimeDefault, Localhost;\nannotations: unset, empty, runtime/default, localhost/*"
    ),
    source="Pod Security Standards, baseline, since Kubernetes 1.0",
)

CONTROL = PodSecurityControl(
    name="appArmorProfile",
    level="baseline",
    revisions=Versioned(
        {
            0: AllOf(
                "AppArmor profiles",
                (
                    FieldRule(
                        field="securityContext.appArmorProfile.type",
                        over="pod and containers",
                        allowed=(None, "RuntimeDefault", "Localhost"),
                        set_by="securityContext.appArmorProfile",
                        reason="AppArmor profiles",
                    ),
                    AnnotationRule(
                        key="container.apparmor.security.beta.kubernetes.io/*",
                        allowed=("", "runtime/default", "localhost/*"),
                        reason="AppArmor profiles",
                    ),
                ),
            )
        }
    ),
)


@check(
    id=CONTROL.id,
    title="No container turns AppArmor off",
    severity="medium",
    remediation="Use the profile RuntimeDefault or one of the node (Localhost), or leave it unset.",
    about=ABOUT,
    rule=CONTROL,
)
def test_app_armor_profile() -> None:
    """Without the runtime's AppArmor profile a container may write to kernel interfaces of its node."""
