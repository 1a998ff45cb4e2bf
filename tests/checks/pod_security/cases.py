"""What each control finds, and does not find: one row a case."""

from __future__ import annotations

from typing import Any, NamedTuple


class Case(NamedTuple):
    """spec: the pod's; found: (path, actual) of each finding, in their order; annotations: the pod's."""

    control: str
    level: str
    version: str
    spec: dict[str, Any]
    found: list[tuple[str, Any]]
    annotations: dict[str, str] = {}  # noqa: RUF012 - never changed


def one(list_name: str = "containers", name: str = "app", **fields: Any) -> dict[str, Any]:
    """A pod spec with one container."""
    return {list_name: [{"name": name, **fields}]}


def secured(_list: str = "containers", **security: Any) -> dict[str, Any]:
    """A pod spec with one container that has this securityContext."""
    return one(_list, securityContext=security)


def three(**security: Any) -> dict[str, Any]:
    """A pod spec with a container of each list, all with this securityContext."""
    names = {"initContainers": "init", "containers": "app", "ephemeralContainers": "debug"}
    return {key: [{"name": name, "securityContext": security}] for key, name in names.items()}


def in_three(field: str, actual: Any) -> list[tuple[str, Any]]:
    """The findings of `three`."""
    lists = ("containers[app]", "ephemeralContainers[debug]", "initContainers[init]")
    return [(f"spec.{place}.securityContext.{field}", actual) for place in lists]


WINDOWS = {"os": {"name": "windows"}}
USERNS = {"hostUsers": False}
APPARMOR = "container.apparmor.security.beta.kubernetes.io/"
SECCOMP_POD = "seccomp.security.alpha.kubernetes.io/pod"
SECCOMP = "container.seccomp.security.alpha.kubernetes.io/"
APP = "spec.containers[app].securityContext"
POD = "spec.securityContext"
BASE, REST = "baseline", "restricted"


def sysctls(*names: str) -> dict[str, Any]:
    return {"securityContext": {"sysctls": [{"name": name, "value": "1"} for name in names]}, **one()}


CASES = [
    Case("privileged", BASE, "v1.0", three(privileged=True), in_three("privileged", True)),
    Case("privileged", BASE, "latest", three(privileged=False), []),
    Case("privileged", BASE, "latest", secured(privileged=None), []),
    Case("privileged", BASE, "latest", {"containers": [{"name": "app", "securityContext": None}]}, []),
    Case("privileged", REST, "latest", secured(privileged=True), [(f"{APP}.privileged", True)]),
    Case(
        "privileged",
        BASE,
        "latest",
        {"containers": [{"securityContext": {"privileged": True}}]},
        [("spec.containers[0].securityContext.privileged", True)],
    ),
    Case(
        "hostProcess",
        BASE,
        "v1.0",
        {
            "securityContext": {"windowsOptions": {"hostProcess": True}},
            **three(windowsOptions={"hostProcess": True}),
        },
        [*in_three("windowsOptions.hostProcess", True), (f"{POD}.windowsOptions.hostProcess", True)],
    ),
    Case("hostProcess", BASE, "latest", secured(windowsOptions={"hostProcess": False}), []),
    Case("hostProcess", BASE, "latest", secured(windowsOptions={}), []),
    Case(
        "hostNamespaces",
        BASE,
        "v1.0",
        {"hostNetwork": True, "hostPID": True, "hostIPC": True, **one()},
        [("spec.hostIPC", True), ("spec.hostNetwork", True), ("spec.hostPID", True)],
    ),
    Case("hostNamespaces", BASE, "latest", {"hostNetwork": False, "hostPID": None, **one()}, []),
    Case(
        "hostPathVolumes",
        BASE,
        "v1.0",
        {"volumes": [{"name": "a", "hostPath": {"path": "/"}}, {"name": "b", "emptyDir": {}}], **one()},
        [("spec.volumes[a].hostPath", {"path": "/"})],
    ),
    Case("hostPathVolumes", BASE, "latest", {"volumes": [{"name": "a", "hostPath": None}], **one()}, []),
    Case(
        "hostPorts",
        BASE,
        "v1.0",
        one(
            ports=[{"containerPort": 1, "hostPort": 80}, {"name": "web", "containerPort": 2, "hostPort": 81}]
        ),
        [("spec.containers[app].ports[0].hostPort", 80), ("spec.containers[app].ports[web].hostPort", 81)],
    ),
    Case(
        "hostPorts",
        BASE,
        "latest",
        one(ports=[{"containerPort": 1, "hostPort": 0}, {"containerPort": 2}]),
        [],
    ),
    Case(
        "hostPorts",
        BASE,
        "latest",
        one("ephemeralContainers", "debug", ports=[{"hostPort": 1}]) | one(),
        [("spec.ephemeralContainers[debug].ports[0].hostPort", 1)],
    ),
    Case(
        "hostProbesAndHostLifecycle",
        BASE,
        "v1.34",
        one(
            livenessProbe={"httpGet": {"host": "a"}},
            readinessProbe={"tcpSocket": {"host": "b"}},
            startupProbe={"httpGet": {"host": ""}},
            lifecycle={"preStop": {"httpGet": {"host": "c"}}, "postStart": {"tcpSocket": {"host": "d"}}},
        ),
        [
            ("spec.containers[app].lifecycle.postStart.tcpSocket.host", "d"),
            ("spec.containers[app].lifecycle.preStop.httpGet.host", "c"),
            ("spec.containers[app].livenessProbe.httpGet.host", "a"),
            ("spec.containers[app].readinessProbe.tcpSocket.host", "b"),
        ],
    ),
    Case("hostProbesAndHostLifecycle", BASE, "latest", one(livenessProbe={"httpGet": {"port": 80}}), []),
    Case(
        "appArmorProfile",
        BASE,
        "v1.0",
        {"securityContext": {"appArmorProfile": {"type": "Unconfined"}}, **secured(appArmorProfile={})},
        [
            (f"metadata.annotations[{APPARMOR}app]", "unconfined"),
            (f"{APP}.appArmorProfile.type", ""),
            (f"{POD}.appArmorProfile.type", "Unconfined"),
        ],
        {f"{APPARMOR}app": "unconfined", f"{APPARMOR}side": "localhost/x"},
    ),
    Case(
        "appArmorProfile",
        BASE,
        "latest",
        secured(appArmorProfile={"type": "Localhost"}),
        [],
        {f"{APPARMOR}a": "", f"{APPARMOR}b": "runtime/default"},
    ),
    Case(
        "seLinuxOptions",
        BASE,
        "v1.30",
        {
            "securityContext": {"seLinuxOptions": {"user": "u", "role": "r"}},
            **secured(seLinuxOptions={"type": "container_engine_t", "level": "s0"}),
        },
        [
            (f"{APP}.seLinuxOptions.type", "container_engine_t"),
            (f"{POD}.seLinuxOptions.role", "r"),
            (f"{POD}.seLinuxOptions.user", "u"),
        ],
    ),
    Case(
        "seLinuxOptions",
        BASE,
        "v1.31",
        secured(seLinuxOptions={"type": "container_engine_t", "user": ""}),
        [],
    ),
    Case(
        "seLinuxOptions",
        BASE,
        "latest",
        secured(seLinuxOptions={"type": "spc_t"}),
        [(f"{APP}.seLinuxOptions.type", "spc_t")],
    ),
    Case(
        "procMount",
        BASE,
        "v1.34",
        {**USERNS, **secured(procMount="Unmasked")},
        [(f"{APP}.procMount", "Unmasked")],
    ),
    Case("procMount", BASE, "v1.35", {**USERNS, **secured(procMount="Unmasked")}, []),
    Case(
        "procMount",
        BASE,
        "v1.35",
        {"hostUsers": True, **three(procMount="Unmasked")},
        in_three("procMount", "Unmasked"),
    ),
    Case("procMount", BASE, "latest", secured(procMount="Default"), []),
    Case(
        "procMountRestricted",
        REST,
        "v1.35",
        {**USERNS, **secured(procMount="Unmasked")},
        [(f"{APP}.procMount", "Unmasked")],
    ),
    Case(
        "procMountRestricted", REST, "v1.0", secured(procMount="Unmasked"), [(f"{APP}.procMount", "Unmasked")]
    ),
    Case("procMountRestricted", REST, "latest", secured(procMount="Default"), []),
    Case(
        "seccompProfile",
        BASE,
        "v1.18",
        secured(seccompProfile={"type": "Unconfined"}),
        [
            (f"metadata.annotations[{SECCOMP}app]", "x"),
            (f"metadata.annotations[{SECCOMP_POD}]", "unconfined"),
        ],
        {SECCOMP_POD: "unconfined", f"{SECCOMP}app": "x", f"{SECCOMP}absent": "unconfined"},
    ),
    Case(
        "seccompProfile",
        BASE,
        "v1.18",
        one(),
        [],
        {SECCOMP_POD: "docker/default", f"{SECCOMP}app": "localhost/a"},
    ),
    Case(
        "seccompProfile",
        BASE,
        "v1.19",
        {"securityContext": {"seccompProfile": {"type": "Unconfined"}}, **secured(seccompProfile={})},
        [(f"{APP}.seccompProfile.type", ""), (f"{POD}.seccompProfile.type", "Unconfined")],
        {SECCOMP_POD: "unconfined"},
    ),
    Case("seccompProfile", BASE, "latest", secured(seccompProfile={"type": "Localhost"}), []),
    Case("seccompProfile", BASE, "latest", one(), []),
    Case("seccompProfileRestricted", REST, "v1.18", one(), []),
    Case(
        "seccompProfileRestricted",
        REST,
        "v1.18",
        one(),
        [(f"metadata.annotations[{SECCOMP_POD}]", "unconfined")],
        {SECCOMP_POD: "unconfined"},
    ),
    Case("seccompProfileRestricted", REST, "v1.19", three(), in_three("seccompProfile.type", None)),
    Case(
        "seccompProfileRestricted",
        REST,
        "v1.24",
        {**WINDOWS, **one()},
        [(f"{APP}.seccompProfile.type", None)],
    ),
    Case("seccompProfileRestricted", REST, "v1.25", {**WINDOWS, **one()}, []),
    Case(
        "seccompProfileRestricted",
        REST,
        "latest",
        {"securityContext": {"seccompProfile": {"type": "RuntimeDefault"}}, **one()},
        [],
    ),
    Case(
        "seccompProfileRestricted",
        REST,
        "latest",
        {
            "securityContext": {"seccompProfile": {"type": "RuntimeDefault"}},
            **secured(seccompProfile={"type": "Unconfined"}),
        },
        [(f"{APP}.seccompProfile.type", "Unconfined")],
    ),
    Case(
        "seccompProfileRestricted",
        REST,
        "latest",
        {"securityContext": {"seccompProfile": {"type": "Unconfined"}}, **one()},
        [(f"{POD}.seccompProfile.type", "Unconfined")],
    ),
    Case(
        "sysctls",
        BASE,
        "v1.0",
        sysctls("kernel.msgmax", "kernel.shm_rmid_forced"),
        [(f"{POD}.sysctls[kernel.msgmax].name", "kernel.msgmax")],
    ),
    Case(
        "sysctls",
        BASE,
        "v1.26",
        sysctls("net.ipv4.ip_local_reserved_ports"),
        [(f"{POD}.sysctls[net.ipv4.ip_local_reserved_ports].name", "net.ipv4.ip_local_reserved_ports")],
    ),
    Case("sysctls", BASE, "v1.27", sysctls("net.ipv4.ip_local_reserved_ports"), []),
    Case(
        "sysctls",
        BASE,
        "v1.28",
        sysctls("net.ipv4.tcp_keepalive_time"),
        [(f"{POD}.sysctls[net.ipv4.tcp_keepalive_time].name", "net.ipv4.tcp_keepalive_time")],
    ),
    Case("sysctls", BASE, "v1.29", sysctls("net.ipv4.tcp_keepalive_time", "net.ipv4.tcp_fin_timeout"), []),
    Case(
        "sysctls",
        BASE,
        "v1.31",
        sysctls("net.ipv4.tcp_rmem"),
        [(f"{POD}.sysctls[net.ipv4.tcp_rmem].name", "net.ipv4.tcp_rmem")],
    ),
    Case("sysctls", BASE, "v1.32", sysctls("net.ipv4.tcp_rmem", "net.ipv4.tcp_wmem"), []),
    Case(
        "sysctls",
        BASE,
        "v1.36",
        sysctls("net.ipv4.tcp_notsent_lowat"),
        [(f"{POD}.sysctls[net.ipv4.tcp_notsent_lowat].name", "net.ipv4.tcp_notsent_lowat")],
    ),
    Case(
        "sysctls",
        BASE,
        "v1.37",
        sysctls("net.ipv4.tcp_notsent_lowat", "net.ipv4.tcp_slow_start_after_idle"),
        [],
    ),
    Case(
        "volumeTypes",
        REST,
        "v1.0",
        {
            "volumes": [
                {"name": "a", "nfs": {"server": "s", "path": "/"}},
                {"name": "b", "hostPath": {"path": "/"}},
                {"name": "c", "newType": {}},
                {"name": "d", "configMap": {"name": "x"}},
            ],
            **one(),
        },
        [
            ("spec.volumes[a].nfs", {"server": "s", "path": "/"}),
            ("spec.volumes[b].hostPath", {"path": "/"}),
            ("spec.volumes[c].newType", {}),
        ],
    ),
    Case(
        "volumeTypes",
        REST,
        "latest",
        {
            "volumes": [
                {"name": "a"},
                {"name": "b", "emptyDir": {}},
                {"name": "c", "image": {"reference": "x"}},
                {"name": "d", "csi": {"driver": "x"}, "hostPath": None},
            ],
            **one(),
        },
        [],
    ),
    Case("allowPrivilegeEscalation", REST, "v1.8", three(), in_three("allowPrivilegeEscalation", None)),
    Case(
        "allowPrivilegeEscalation",
        REST,
        "latest",
        three(allowPrivilegeEscalation=True),
        in_three("allowPrivilegeEscalation", True),
    ),
    Case(
        "allowPrivilegeEscalation",
        REST,
        "v1.24",
        {**WINDOWS, **one()},
        [(f"{APP}.allowPrivilegeEscalation", None)],
    ),
    Case("allowPrivilegeEscalation", REST, "v1.25", {**WINDOWS, **one()}, []),
    Case(
        "allowPrivilegeEscalation",
        REST,
        "latest",
        {"os": {"name": "linux"}, **one()},
        [(f"{APP}.allowPrivilegeEscalation", None)],
    ),
    Case("allowPrivilegeEscalation", REST, "latest", three(allowPrivilegeEscalation=False), []),
    Case("runAsNonRoot", REST, "v1.0", three(), in_three("runAsNonRoot", None)),
    Case("runAsNonRoot", REST, "latest", {"securityContext": {"runAsNonRoot": True}, **three()}, []),
    Case(
        "runAsNonRoot",
        REST,
        "latest",
        {"securityContext": {"runAsNonRoot": True}, **three(runAsNonRoot=False)},
        in_three("runAsNonRoot", False),
    ),
    Case(
        "runAsNonRoot",
        REST,
        "latest",
        {"securityContext": {"runAsNonRoot": False}, **three(runAsNonRoot=True)},
        [(f"{POD}.runAsNonRoot", False)],
    ),
    Case(
        "runAsNonRoot",
        REST,
        "latest",
        {"securityContext": {"runAsNonRoot": False}, **one()},
        [(f"{POD}.runAsNonRoot", False)],
    ),
    Case("runAsNonRoot", REST, "latest", three(runAsNonRoot=True), []),
    Case("runAsNonRoot", REST, "v1.34", {**USERNS, **one()}, [(f"{APP}.runAsNonRoot", None)]),
    Case("runAsNonRoot", REST, "v1.35", {**USERNS, **secured(runAsNonRoot=False)}, []),
    Case("runAsNonRoot", REST, "latest", {**WINDOWS, **one()}, [(f"{APP}.runAsNonRoot", None)]),
    Case(
        "runAsUser",
        REST,
        "v1.23",
        {"securityContext": {"runAsUser": 0}, **three(runAsUser=0)},
        [*in_three("runAsUser", 0), (f"{POD}.runAsUser", 0)],
    ),
    Case("runAsUser", REST, "latest", {"securityContext": {"runAsUser": 1000}, **one()}, []),
    Case("runAsUser", REST, "v1.34", {**USERNS, **secured(runAsUser=0)}, [(f"{APP}.runAsUser", 0)]),
    Case("runAsUser", REST, "v1.35", {**USERNS, **secured(runAsUser=0)}, []),
    Case(
        "capabilities",
        BASE,
        "v1.0",
        three(capabilities={"add": ["NET_RAW", "CHOWN", "SYS_TIME"]}),
        in_three("capabilities.add", ["NET_RAW", "SYS_TIME"]),
    ),
    Case(
        "capabilities",
        BASE,
        "latest",
        secured(capabilities={"add": ["CHOWN", "NET_BIND_SERVICE"], "drop": None}),
        [],
    ),
    Case(
        "capabilities",
        BASE,
        "latest",
        secured(capabilities={"add": ["chown"]}),
        [(f"{APP}.capabilities.add", ["chown"])],
    ),
    Case("capabilitiesRestricted", REST, "v1.21", secured(capabilities={"add": ["CHOWN"]}), []),
    Case(
        "capabilitiesRestricted",
        REST,
        "v1.21",
        secured(capabilities={"add": ["NET_RAW"]}),
        [(f"{APP}.capabilities.add", ["NET_RAW"])],
    ),
    Case("capabilitiesRestricted", REST, "v1.22", three(), in_three("capabilities.drop", None)),
    Case(
        "capabilitiesRestricted",
        REST,
        "latest",
        secured(capabilities={"add": ["CHOWN"], "drop": ["NET_RAW"]}),
        [(f"{APP}.capabilities.add", ["CHOWN"]), (f"{APP}.capabilities.drop", ["NET_RAW"])],
    ),
    Case("capabilitiesRestricted", REST, "v1.24", {**WINDOWS, **one()}, [(f"{APP}.capabilities.drop", None)]),
    Case("capabilitiesRestricted", REST, "v1.25", {**WINDOWS, **one()}, []),
    Case(
        "capabilitiesRestricted",
        REST,
        "latest",
        three(capabilities={"add": ["NET_BIND_SERVICE"], "drop": ["ALL", "CHOWN"]}),
        [],
    ),
]
