"""hostPath volumes.

Restricted field:  spec.volumes[*].hostPath
Allowed values:    unset
Source:            Pod Security Standards, baseline, since Kubernetes 1.0;
                   CIS Kubernetes Benchmark 1.10, 5.2.12

At level restricted the list of volume types replaces this control.
"""

from __future__ import annotations

from pytest_kspec import FieldRule, PodSecurityControl, Versioned, check

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
    rule=CONTROL,
)
def test_host_path_volumes() -> None:
    """Whoever writes to the node's file system owns the node; whoever reads it finds others' secrets."""
