"""Odd pods, written by hand, against Pod Security admission of a real API server: at each level and version.

What generated pods meet too seldom: pods of Windows, user namespaces, AppArmor and seccomp as annotations, sysctls by
version, hosts of probes, volumes of every kind, sidecars. The verdict is the same, and so are the controls that the
API server names. Of each pod it is also said whether the API takes it at all, so that none says nothing unnoticed.
"""

from __future__ import annotations

import copy
from collections import Counter
from collections.abc import Iterator
from typing import Any, NamedTuple

import pytest

from tests.controlplane.server import ControlPlane
from tests.live.standards import compare, enforced, submit
from tests.rules.pods import GOOD_CONTAINER, GOOD_POD

GOOD, BARE = "good", "bare"
APPARMOR = "container.apparmor.security.beta.kubernetes.io/"
SECCOMP_POD = "seccomp.security.alpha.kubernetes.io/pod"
SECCOMP = "container.seccomp.security.alpha.kubernetes.io/"
WINDOWS, LINUX = {"os": {"name": "windows"}}, {"os": {"name": "linux"}}
COUNTED: Counter[str] = Counter()


class Odd(NamedTuple):
    """spec, container: what is put into a pod that passes level restricted (GOOD), or into a bare one.

    valid: whether the API takes the pod where no level is enforced. written: whether the pod is judged as its author
    wrote it, besides as the API server makes it.
    """

    name: str
    base: str
    spec: dict[str, Any] = {}  # noqa: RUF012 - never changed
    container: dict[str, Any] = {}  # noqa: RUF012
    annotations: dict[str, str] = {}  # noqa: RUF012
    valid: bool = True
    written: bool = True


def security(**fields: Any) -> dict[str, Any]:
    return {"securityContext": fields}


def windows(**fields: Any) -> Any:
    return security(windowsOptions=fields)


def volume(**source: Any) -> dict[str, Any]:
    return {"volumes": [{"name": "v", **source}]}


def init(**fields: Any) -> dict[str, Any]:
    return {"initContainers": [{"name": "first", "image": "example.com/init:1", **fields}]}


def sysctls(*names: Any) -> Any:
    return security(**GOOD_POD, sysctls=[{"name": name, "value": "1"} for name in names])


PROBE = {"periodSeconds": 5}
CSI = {"driver": "csi.example.com"}
ISCSI = {"targetPortal": "1", "iqn": "iqn.2001-04.a:b", "lun": 0}
CLAIM = {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}}
ODD = [
    # Windows
    Odd("windows-bare", BARE, WINDOWS),
    Odd("windows-non-root", BARE, {**WINDOWS, **security(runAsNonRoot=True)}),
    Odd("windows-host-process", BARE, {**WINDOWS, **windows(hostProcess=True), "hostNetwork": True}),
    Odd("windows-host-process-by-container", BARE, {**WINDOWS, "hostNetwork": True}, windows(hostProcess=True)),
    Odd("windows-host-process-off-in-container", BARE, {**WINDOWS, **windows(hostProcess=True), "hostNetwork": True},
        windows(hostProcess=False), valid=False),
    Odd("windows-host-process-false", BARE, {**WINDOWS, **windows(hostProcess=False)}, windows(hostProcess=False)),
    Odd("host-process-without-os", BARE, {**windows(hostProcess=True), "hostNetwork": True}),
    Odd("windows-administrator", BARE, {**WINDOWS, **security(runAsNonRoot=True)},
        windows(runAsUserName="ContainerAdministrator")),
    Odd("windows-with-seccomp", BARE, {**WINDOWS, **security(seccompProfile={"type": "RuntimeDefault"})}, valid=False),
    Odd("windows-with-capabilities", BARE, WINDOWS, security(capabilities={"drop": ["ALL"]}), valid=False),
    Odd("windows-host-port", BARE, WINDOWS, {"ports": [{"containerPort": 1, "hostPort": 1}]}),
    Odd("linux-with-windows-options", GOOD, LINUX, windows(runAsUserName="x"), valid=False),
    Odd("linux-bare", BARE, LINUX),
    # user namespaces
    Odd("user-namespace-bare", BARE, {"hostUsers": False}),
    Odd("user-namespace-root", GOOD, {"hostUsers": False, **security(**GOOD_POD | {"runAsNonRoot": False})},
        security(**GOOD_CONTAINER, runAsUser=0)),
    Odd("user-namespace-root-by-pod", GOOD, {"hostUsers": False, **security(**GOOD_POD, runAsUser=0)}),
    Odd("user-namespace-unmasked", GOOD, {"hostUsers": False}, security(**GOOD_CONTAINER, procMount="Unmasked")),
    Odd("user-namespace-unmasked-privileged", BARE, {"hostUsers": False},
        security(privileged=True, procMount="Unmasked")),
    Odd("user-namespace-sys-admin", GOOD, {"hostUsers": False},
        security(allowPrivilegeEscalation=False, capabilities={"drop": ["ALL"], "add": ["SYS_ADMIN"]})),
    Odd("user-namespace-host-pid", GOOD, {"hostUsers": False, "hostPID": True}, valid=False),
    Odd("user-namespace-host-path", GOOD, {"hostUsers": False, **volume(hostPath={"path": "/"})}),
    Odd("host-users-unmasked", GOOD, {"hostUsers": True}, security(**GOOD_CONTAINER, procMount="Unmasked"),
        valid=False),
    Odd("host-users-root", GOOD, {"hostUsers": True, **security(**GOOD_POD, runAsUser=0)}),
    Odd("host-users-null-root", GOOD, {"hostUsers": None, **security(**GOOD_POD, runAsUser=0)}),
    # AppArmor
    *(
        Odd(f"apparmor-annotation-{index}", GOOD, annotations={f"{APPARMOR}app": profile}, valid=valid)
        for index, (profile, valid) in enumerate(
            [("runtime/default", True), ("localhost/a", True), ("unconfined", True), ("", True),
             ("docker-default", False)]
        )
    ),
    Odd("apparmor-annotation-of-no-container", GOOD, annotations={f"{APPARMOR}other": "unconfined"}, valid=False),
    Odd("apparmor-annotation-of-init", GOOD, init(**security(**GOOD_CONTAINER)),
        annotations={f"{APPARMOR}first": "unconfined"}),
    Odd("apparmor-unconfined-by-pod", GOOD, security(**GOOD_POD, appArmorProfile={"type": "Unconfined"})),
    Odd("apparmor-unconfined-by-pod-only", GOOD, security(**GOOD_POD, appArmorProfile={"type": "Unconfined"}),
        security(**GOOD_CONTAINER, appArmorProfile={"type": "RuntimeDefault"})),
    Odd("apparmor-localhost", GOOD, {}, security(**GOOD_CONTAINER, appArmorProfile={"type": "Localhost",
        "localhostProfile": "a"})),
    Odd("apparmor-field-and-annotation", GOOD, {}, security(**GOOD_CONTAINER, appArmorProfile={"type": "Unconfined"}),
        {f"{APPARMOR}app": "unconfined"}),
    Odd("apparmor-field-against-annotation", GOOD, {},
        security(**GOOD_CONTAINER, appArmorProfile={"type": "RuntimeDefault"}), {f"{APPARMOR}app": "unconfined"},
        valid=False),
    # sysctls
    Odd("sysctls-1.0", GOOD, sysctls("kernel.shm_rmid_forced", "net.ipv4.tcp_syncookies", "net.ipv4.ping_group_range")),
    Odd("sysctls-1.27", GOOD, sysctls("net.ipv4.ip_local_reserved_ports")),
    Odd("sysctls-1.29", GOOD, sysctls("net.ipv4.tcp_keepalive_time", "net.ipv4.tcp_fin_timeout")),
    Odd("sysctls-1.32", GOOD, sysctls("net.ipv4.tcp_rmem", "net.ipv4.tcp_wmem")),
    Odd("sysctls-1.37", GOOD, sysctls("net.ipv4.tcp_slow_start_after_idle", "net.ipv4.tcp_notsent_lowat")),
    Odd("sysctls-with-slashes", GOOD, sysctls("net/ipv4/tcp_syncookies")),
    Odd("sysctls-unsafe", GOOD, sysctls("kernel.msgmax", "net.ipv4.tcp_syncookies")),
    Odd("sysctls-on-host-network", GOOD, {**sysctls("net.ipv4.tcp_syncookies"), "hostNetwork": True}, valid=False),
    # /proc, seccomp
    Odd("proc-mount-default", GOOD, {}, security(**GOOD_CONTAINER, procMount="Default")),
    Odd("seccomp-annotation-unconfined", GOOD, security(runAsNonRoot=True), {}, {SECCOMP_POD: "unconfined"}),
    Odd("seccomp-annotation-default", GOOD, security(runAsNonRoot=True), {}, {SECCOMP_POD: "runtime/default"}),
    Odd("seccomp-annotation-docker", GOOD, security(runAsNonRoot=True), {}, {f"{SECCOMP}app": "docker/default"}),
    Odd("seccomp-annotation-localhost", GOOD, security(runAsNonRoot=True), {}, {f"{SECCOMP}app": "localhost/a"}),
    Odd("seccomp-by-every-container", GOOD, security(runAsNonRoot=True),
        security(**GOOD_CONTAINER, seccompProfile={"type": "Localhost", "localhostProfile": "a"})),
    Odd("seccomp-unconfined-under-a-good-pod", GOOD, {},
        security(**GOOD_CONTAINER, seccompProfile={"type": "Unconfined"})),
    # hosts of probes and lifecycle
    Odd("liveness-host", GOOD, {}, {"livenessProbe": {"httpGet": {"port": 1, "host": "127.0.0.1"}, **PROBE}}),
    Odd("readiness-host-empty", GOOD, {}, {"readinessProbe": {"httpGet": {"port": 1, "host": ""}, **PROBE}}),
    Odd("startup-tcp-host", GOOD, {}, {"startupProbe": {"tcpSocket": {"port": 1, "host": "localhost"}, **PROBE}}),
    Odd("post-start-host", GOOD, {}, {"lifecycle": {"postStart": {"httpGet": {"port": 1, "host": "10.0.0.1"}}}}),
    Odd("pre-stop-tcp-host", GOOD, {}, {"lifecycle": {"preStop": {"tcpSocket": {"port": 1, "host": "::1"}}}}),
    Odd("sidecar-probe-host", GOOD, init(restartPolicy="Always", **security(**GOOD_CONTAINER),
        livenessProbe={"httpGet": {"port": 1, "host": "x"}, **PROBE})),
    # volumes
    *(  # type: ignore[var-annotated]
        Odd(f"volume-{next(iter(source))}", GOOD, volume(**source))
        for source in (
            {"hostPath": {"path": "/", "type": ""}}, {"image": {"reference": "example.com/data:1"}}, {"emptyDir": {}},
            {"csi": CSI}, {"nfs": {"server": "a", "path": "/"}}, {"iscsi": ISCSI},
            {"ephemeral": {"volumeClaimTemplate": {"spec": CLAIM}}}, {"gitRepo": {"repository": "a"}},
            {"flexVolume": {"driver": "a/b"}}, {"portworxVolume": {"volumeID": "a"}}, {"downwardAPI": {}},
            {"projected": {"sources": [{"configMap": {"name": "a"}}]}},
        )
    ),
    Odd("volume-without-source", GOOD, volume()),
    # sidecars, claims, inheritance, capabilities, ports, SELinux
    Odd("sidecar-privileged", GOOD, init(restartPolicy="Always", **security(privileged=True))),
    Odd("sidecar-bare", GOOD, init(restartPolicy="Always")),
    Odd("init-root", GOOD, init(**security(**GOOD_CONTAINER, runAsUser=0))),
    Odd("resource-claims", GOOD, {"resourceClaims": [{"name": "gpu", "resourceClaimName": "a"}]},
        {"resources": {"claims": [{"name": "gpu"}]}}),
    Odd("non-root-overridden", GOOD, {}, security(**GOOD_CONTAINER, runAsNonRoot=False)),
    Odd("root-overridden", GOOD, security(**GOOD_POD, runAsUser=0), security(**GOOD_CONTAINER, runAsUser=1000)),
    Odd("drop-lower-case", GOOD, {}, security(allowPrivilegeEscalation=False, capabilities={"drop": ["all"]})),
    Odd("drop-all-and-more", GOOD, {},
        security(allowPrivilegeEscalation=False,
                 capabilities={"drop": ["NET_RAW", "ALL"], "add": ["NET_BIND_SERVICE"]})),
    Odd("add-with-prefix", GOOD, {},
        security(allowPrivilegeEscalation=False, capabilities={"drop": ["ALL"], "add": ["CAP_NET_BIND_SERVICE"]})),
    # The API server writes the container's port as one of the node.
    Odd("host-port-by-host-network", GOOD, {"hostNetwork": True}, {"ports": [{"containerPort": 8080}]}, written=False),
    Odd("host-port-zero", GOOD, {}, {"ports": [{"containerPort": 8080, "hostPort": 0, "protocol": "UDP"}]}),
    Odd("host-ip-without-port", GOOD, {}, {"ports": [{"containerPort": 8080, "hostIP": "127.0.0.1"}]}),
    Odd("se-linux-engine", GOOD, security(**GOOD_POD, seLinuxOptions={"type": "container_engine_t"})),
    Odd("se-linux-user", GOOD, {}, security(**GOOD_CONTAINER, seLinuxOptions={"user": "system_u"})),
    Odd("root-group-only", GOOD, security(**GOOD_POD, runAsGroup=0, fsGroup=0, supplementalGroups=[0])),
    Odd("shared-processes", GOOD, {"shareProcessNamespace": True, "hostIPC": True}),
]  # fmt: skip


def pod_of(odd: Any) -> Any:
    good = odd.base == GOOD
    container = {"name": "app", "image": "example.com/app:1"} | (security(**GOOD_CONTAINER) if good else {})
    spec = (security(**GOOD_POD) if good else {}) | {"containers": [container | odd.container]} | odd.spec
    metadata = {"name": "odd"} | ({"annotations": odd.annotations} if odd.annotations else {})
    return copy.deepcopy({"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": spec})


@pytest.fixture(scope="module")
def standards(control_plane: ControlPlane) -> Iterator[Any]:
    with enforced(control_plane, "odd") as made:
        yield made


@pytest.mark.parametrize("odd", ODD, ids=lambda odd: odd.name)
def test_the_same_verdict_and_the_same_controls(
    control_plane: ControlPlane, standards: Any, odd: Any
) -> None:
    pod = pod_of(odd)
    valid = compare(
        pod,
        standards,
        lambda namespace: submit(control_plane, namespace, pod),
        COUNTED,
        written=odd.written,
        made=True,
    )
    assert valid is odd.valid


def test_every_control_came_up() -> None:
    """Runs after those above."""
    if COUNTED["valid"] == sum(odd.valid for odd in ODD):
        found = {name.partition(" ")[0] for name in COUNTED} - {"valid", "invalid", "refused", "admitted"}
        assert min(COUNTED["admitted"], COUNTED["refused"]) > 400, COUNTED
        assert len(found) >= 17, found
