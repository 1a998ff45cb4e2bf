"""hostPath volumes.

At level restricted the list of volume types replaces this control.
"""

from __future__ import annotations

from pytest_kspec import About, FieldRule, PodSecurityControl, Versioned, check

ABOUT = About(
    restricts="spec.volumes[*].hostPath",
    allowed="unset",
    source=("Pod Security Standards, baseline, since Kubernetes 1.0;\nCIS Kubernetes Benchmark 1.10, 5.2.12"),
)

CONTROL = PodSecurityControl(
    name="hostPathVolumes",
    level="baseline",
    revisions=Versioned(
        {0: FieldRule(field="hostPath", over="volumes", allowed=(None,), reason="hostPath volumes")}
    ),
    replaced_by="volumeTypes",
)


@check(
    id=CONTROL.id,
    title="No pod mounts a path of its node",
    severity="high",
    remediation="Use a PersistentVolumeClaim, an emptyDir, a ConfigMap or a Secret instead of hostPath.",
    about=ABOUT,
    rule=CONTROL,
)
def test_host_path_volumes() -> None:
    """Whoever writes to the node's file system owns the node; whoever reads it finds others' secrets."""
