"""What Kubernetes makes of a field that a pod leaves unset: API defaulting, admission, the kubelet.

Templates and manifests are judged as the pods they will become, so a default that the API server would write
counts here as if it were written.
"""

from __future__ import annotations

from typing import Any

from pytest_kspec.kube.resources import Container, PodShape

# Written into the object by the API server: a live pod never lacks them.
FILLED_POD: dict[tuple[str, ...], Any] = {
    ("dnsPolicy",): "ClusterFirst",
    ("enableServiceLinks",): True,
    ("restartPolicy",): "Always",
    ("schedulerName",): "default-scheduler",
    ("serviceAccountName",): "default",
    ("terminationGracePeriodSeconds",): 30,
}
FILLED_CONTAINER: dict[tuple[str, ...], Any] = {
    ("terminationMessagePath",): "/dev/termination-log",
    ("terminationMessagePolicy",): "File",
    ("ports", "*", "protocol"): "TCP",
}
PROBES = ("livenessProbe", "readinessProbe", "startupProbe")
FILLED_PROBE: dict[str, Any] = {
    "failureThreshold": 3,
    "periodSeconds": 10,
    "successThreshold": 1,
    "timeoutSeconds": 1,
}

# Never written, but what an unset field means when the pod runs.
# automountServiceAccountToken: the service account may say otherwise; where it is known, `PodShape.implied` has it.
IMPLIED: dict[tuple[str, ...], Any] = {
    ("automountServiceAccountToken",): True,
    ("hostIPC",): False,
    ("hostNetwork",): False,
    ("hostPID",): False,
    ("hostUsers",): True,
    ("setHostnameAsFQDN",): False,
    ("shareProcessNamespace",): False,
    ("stdin",): False,
    ("stdinOnce",): False,
    ("tty",): False,
    ("securityContext", "allowPrivilegeEscalation"): True,
    ("securityContext", "privileged"): False,
    ("securityContext", "procMount"): "Default",
    ("securityContext", "readOnlyRootFilesystem"): False,
    ("securityContext", "runAsNonRoot"): False,
    ("securityContext", "windowsOptions", "hostProcess"): False,
    ("volumeMounts", "*", "readOnly"): False,
}

# `securityContext` fields that a container takes from its pod, each as a whole.
INHERITED = frozenset(
    {
        "appArmorProfile",
        "runAsGroup",
        "runAsNonRoot",
        "runAsUser",
        "seLinuxOptions",
        "seccompProfile",
        "windowsOptions",
    }
)

NOT_EPHEMERAL = frozenset(
    {"lifecycle", "ports", "resizePolicy", "resources", "restartPolicy", "restartPolicyRules", *PROBES}
)
NOT_INIT = frozenset({"lifecycle", "resizePolicy", *PROBES})

# Must be unset where spec.os.name is windows.
_NOT_WINDOWS_POD = {
    ("hostIPC",),
    ("hostPID",),
    ("hostUsers",),
    ("resources",),
    ("shareProcessNamespace",),
    ("securityContext", "appArmorProfile"),
    ("securityContext", "fsGroup"),
    ("securityContext", "fsGroupChangePolicy"),
    ("securityContext", "runAsGroup"),
    ("securityContext", "runAsUser"),
    ("securityContext", "seLinuxChangePolicy"),
    ("securityContext", "seLinuxOptions"),
    ("securityContext", "seccompProfile"),
    ("securityContext", "supplementalGroups"),
    ("securityContext", "supplementalGroupsPolicy"),
    ("securityContext", "sysctls"),
}
_NOT_WINDOWS_CONTAINER = {
    ("securityContext", "allowPrivilegeEscalation"),
    ("securityContext", "appArmorProfile"),
    ("securityContext", "capabilities"),
    ("securityContext", "privileged"),
    ("securityContext", "procMount"),
    ("securityContext", "readOnlyRootFilesystem"),
    ("securityContext", "runAsGroup"),
    ("securityContext", "runAsUser"),
    ("securityContext", "seLinuxOptions"),
    ("securityContext", "seccompProfile"),
}


def is_sidecar(container: Container) -> bool:
    """True for an init container that keeps running."""
    return container.list == "initContainers" and container.raw.get("restartPolicy") == "Always"


def can_carry(container: Container, field: str) -> bool:
    """False where Kubernetes does not let this kind of container have the field (its first step) at all."""
    if container.list == "containers":
        return True
    if container.list == "ephemeralContainers":
        return field not in NOT_EPHEMERAL
    return field not in NOT_INIT or is_sidecar(container)


def os_allows(pod: PodShape, level: str, path: tuple[str, ...]) -> bool:
    """False where pods of this operating system must leave the field unset."""
    os = pod.spec.get("os")
    name = os.get("name") if isinstance(os, dict) else None
    return os_has(name, level, path)


def os_has(name: Any, level: str, path: tuple[str, ...]) -> bool:
    """False where pods whose `spec.os.name` is this must leave the field unset."""
    if name == "windows":
        refused = _NOT_WINDOWS_CONTAINER if level == "container" else _NOT_WINDOWS_POD
        return path[:1] not in refused and path[:2] not in refused
    return name != "linux" or path[:2] != ("securityContext", "windowsOptions")


def pull_policy(image: Any) -> str:
    """`imagePullPolicy` as the API server fills it in: Always for the tag `latest` and for none."""
    name, digest, _ = image.partition("@") if isinstance(image, str) else ("", "", "")
    _, colon, tag = name.rpartition("/")[2].partition(":")
    return "Always" if tag == "latest" or not (colon or digest) else "IfNotPresent"
