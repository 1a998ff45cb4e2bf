"""Volume types.

hostPath volumes are found here at level restricted: its list of types replaces the control of baseline.
"""

from __future__ import annotations

from pytest_kspec import About, PodSecurityControl, Versioned, VolumeTypes, check

ABOUT = About(
    restricts="spec.volumes[*]",
    allowed=(
        "configMap, csi, downwardAPI, emptyDir, ephemeral, image, persistentVolumeClaim, projected, "
        "secret; no type at all is an emptyDir; a type that is not known here is not allowed"
    ),
    source=(
        "Pod Security Standards, restricted, since Kubernetes 1.0;\nCIS Kubernetes Benchmark 1.10, 5.2.12"
    ),
)

CONTROL = PodSecurityControl(
    name="volumeTypes",
    level="restricted",
    revisions=Versioned(
        {
            0: VolumeTypes(
                allowed=(
                    "configMap",
                    "csi",
                    "downwardAPI",
                    "emptyDir",
                    "ephemeral",
                    "image",
                    "persistentVolumeClaim",
                    "projected",
                    "secret",
                ),
                reason="restricted volume types",
            )
        }
    ),
)


@check(
    id=CONTROL.id,
    title="Pods use volumes that the cluster manages",
    severity="medium",
    remediation=(
        "Put the data into a PersistentVolumeClaim, a ConfigMap, a Secret or an image, or use an emptyDir."
    ),
    about=ABOUT,
    rule=CONTROL,
)
def test_volume_types() -> None:
    """Other types reach storage that was not granted to the namespace: paths of the node, shares, disks."""
