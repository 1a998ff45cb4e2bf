"""Pods for property tests: around what Pod Security looks at, with edge values, mostly valid for the API.

Each begins as a pod that passes level restricted, or as a bare one, and then gets a few fields, so that pods
with no violation, one, and several all come up often. `null` stands for unset wherever the API takes it.
"""

from __future__ import annotations

import copy
from typing import Any

from hypothesis import strategies as st

BOOL = st.sampled_from([True, False, None])
USER = st.sampled_from([0, 1, 1000, None])
HOST = st.sampled_from(["", "10.0.0.1", "example.com", None])


def some(fields: dict[str, st.SearchStrategy[Any]], most: int) -> st.SearchStrategy[dict[str, Any]]:
    """Up to `most` of these fields."""
    chosen = st.lists(st.sampled_from(sorted(fields)), max_size=most, unique=True)
    return chosen.flatmap(lambda keys: st.fixed_dictionaries({key: fields[key] for key in keys}))


CAPABILITY = st.sampled_from(
    ["ALL", "NET_BIND_SERVICE", "NET_RAW", "CHOWN", "SYS_TIME", "CAP_CHOWN", "all", "MKNOD", "SYS_CHROOT"]
)
CAPABILITIES = st.one_of(
    st.none(),
    st.just({}),
    some({key: st.one_of(st.none(), st.lists(CAPABILITY, max_size=3)) for key in ("add", "drop")}, 2),
)
PROFILE = st.sampled_from(
    [
        None,
        {"type": "RuntimeDefault"},
        {"type": "Unconfined"},
        {"type": "Localhost", "localhostProfile": "profiles/a.json"},
    ]
)
SELINUX_TYPE = st.sampled_from(
    ["", "container_t", "container_init_t", "container_kvm_t", "container_engine_t", "spc_t", None]
)
SELINUX_NAME = st.sampled_from(["", "system_u", None])
SELINUX = st.one_of(
    SELINUX_TYPE.map(lambda kind: {"type": kind}),
    some({"type": SELINUX_TYPE, "user": SELINUX_NAME, "role": SELINUX_NAME, "level": st.just("s0:c1,c2")}, 3),
)
WINDOWS_OPTIONS = st.sampled_from([None, {}, {"hostProcess": False}, {"hostProcess": None}])

ANY_SECURITY = {
    "runAsNonRoot": BOOL,
    "runAsUser": USER,
    "seccompProfile": PROFILE,
    "appArmorProfile": PROFILE,
    "seLinuxOptions": SELINUX,
    "windowsOptions": WINDOWS_OPTIONS,
}
USER_NAMESPACE = {"runAsNonRoot": st.sampled_from([False, None, True]), "runAsUser": st.sampled_from([0, 1])}
CONTAINER_SECURITY = {
    **ANY_SECURITY,
    "privileged": BOOL,
    "allowPrivilegeEscalation": BOOL,
    "capabilities": CAPABILITIES,
    "procMount": st.sampled_from(["Default", "Unmasked", None]),
}
SYSCTL = st.sampled_from(
    [
        "kernel.shm_rmid_forced",
        "kernel.msgmax",
        "net.core.somaxconn",
        "net.ipv4.ip_local_reserved_ports",
        "net.ipv4.ping_group_range",
        "net.ipv4.tcp_keepalive_time",
        "net.ipv4.tcp_notsent_lowat",
        "net.ipv4.tcp_wmem",
    ]
)
SYSCTLS = st.lists(SYSCTL, min_size=1, max_size=2, unique=True).map(
    lambda names: [{"name": name, "value": "1"} for name in names]
)

HANDLER = st.one_of(
    HOST.map(lambda host: {"httpGet": {"port": 80, "host": host}}),
    HOST.map(lambda host: {"tcpSocket": {"port": 80, "host": host}}),
    st.just({"exec": {"command": ["true"]}}),
)
PORT: st.SearchStrategy[dict[str, Any]] = st.sampled_from(
    [{}, {"hostPort": 0}, {"hostPort": 80}, {"hostPort": None}, {"name": "web", "hostPort": 81}]
)
PORTS = st.lists(PORT, max_size=2, unique_by=str).map(
    lambda ports: [{"containerPort": 8000 + index, **port} for index, port in enumerate(ports)]
)
LIFECYCLE = some({"postStart": HANDLER, "preStop": HANDLER}, 2)
CONTAINER = {
    "ports": PORTS,
    "livenessProbe": st.one_of(st.none(), HANDLER),
    "readinessProbe": st.one_of(st.none(), HANDLER),
    "startupProbe": st.one_of(st.none(), HANDLER),
    "lifecycle": LIFECYCLE,
}

VOLUME: st.SearchStrategy[dict[str, Any]] = st.sampled_from(
    [
        {},
        {"emptyDir": {}},
        {"configMap": {"name": "a"}},
        {"secret": {"secretName": "a"}},
        {"projected": {"sources": []}},
        {"image": {"reference": "example.com/data:1"}},
        {"csi": {"driver": "example.com"}},
        {"persistentVolumeClaim": {"claimName": "a"}},
        {"hostPath": {"path": "/"}},
        {"hostPath": {"path": "/var"}, "emptyDir": None},
        {"nfs": {"server": "a", "path": "/"}},
        {"gitRepo": {"repository": "https://example.com/a.git"}},
        {"rbd": {"monitors": ["a"], "image": "b"}},
        {"iscsi": {"targetPortal": "10.0.0.1:3260", "iqn": "iqn.2001-04.com.example:a", "lun": 0}},
    ]
)
POD = {
    "hostNetwork": BOOL,
    "hostPID": BOOL,
    "hostIPC": BOOL,
    "hostUsers": st.sampled_from([True, False, False, None]),
    "os": st.sampled_from([None, {"name": "linux"}, {"name": "windows"}]),
}
VOLUMES = st.lists(VOLUME, min_size=1, max_size=2).map(
    lambda volumes: [{"name": f"v{index}", **volume} for index, volume in enumerate(volumes)]
)
SECCOMP_VALUE = st.sampled_from(["runtime/default", "docker/default", "localhost/a", "unconfined", ""])
ANNOTATIONS = {
    "seccomp.security.alpha.kubernetes.io/pod": SECCOMP_VALUE,
    "container.seccomp.security.alpha.kubernetes.io/app": SECCOMP_VALUE,
    "container.seccomp.security.alpha.kubernetes.io/other": SECCOMP_VALUE,
    "container.apparmor.security.beta.kubernetes.io/app": st.sampled_from(
        ["runtime/default", "localhost/a", "unconfined", ""]
    ),
    "example.com/note": st.just("unconfined"),
}

GOOD_CONTAINER = {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}}
GOOD_POD = {"runAsNonRoot": True, "seccompProfile": {"type": "RuntimeDefault"}}


@st.composite
def containers(draw: st.DrawFn, name: str, good: bool, few: int) -> dict[str, Any]:
    """One container: `good` ones pass level restricted but for up to `few` fields."""
    container: dict[str, Any] = {"name": name, "image": "example.com/app:1", **draw(some(CONTAINER, few))}
    security = (copy.deepcopy(GOOD_CONTAINER) if good else {}) | draw(some(CONTAINER_SECURITY, few))
    if few and draw(st.booleans()):
        security["capabilities"] = {
            "drop": ["ALL"],
            "add": draw(st.lists(CAPABILITY, min_size=1, max_size=2)),
        }
    return container | {"securityContext": security or draw(st.sampled_from([None, {}]))}


@st.composite
def pods(draw: st.DrawFn, ephemeral: bool = True) -> dict[str, Any]:
    """A raw Pod. `ephemeral`: ephemeral containers too, which the API does not take when a pod is created."""
    good = draw(st.sampled_from([True, True, True, False]))
    few = draw(st.sampled_from([1, 2, 4, 1, 2, 0]))
    security = (copy.deepcopy(GOOD_POD) if good else {}) | draw(some(ANY_SECURITY, few))
    spec: dict[str, Any] = {
        "securityContext": security or draw(st.sampled_from([None, {}])),
        "containers": [draw(containers("app", good, few))],
        **draw(some(POD, few)),
    }
    if draw(st.booleans()):
        spec["containers"].append(draw(containers("side", good, few)))
    if draw(st.booleans()):
        spec["initContainers"] = [draw(containers("init", good, few))]
    # Rules of versions meet in these; left to `some` they would come together once in a hundred pods.
    if few and draw(st.booleans()):
        spec["hostUsers"] = False
        spec["securityContext"] = (spec["securityContext"] or {}) | draw(some(USER_NAMESPACE, 2))
    if few and draw(st.booleans()):
        spec["securityContext"] = (spec["securityContext"] or {}) | {"seLinuxOptions": draw(SELINUX)}
    if few and draw(st.integers(0, 7)) == 7:
        make_host_process(spec)
    if few and draw(st.booleans()):
        spec["volumes"] = draw(VOLUMES)
    if few and draw(st.booleans()):
        spec["securityContext"] = (spec["securityContext"] or {}) | {"sysctls": draw(SYSCTLS)}
    if ephemeral and draw(st.booleans()):
        spec["ephemeralContainers"] = [draw(containers("debug", good, few))]
    pod: dict[str, Any] = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "pod"}, "spec": spec}
    if annotations := draw(some(ANNOTATIONS, min(few, 2))):
        pod["metadata"]["annotations"] = annotations
    pod = copy.deepcopy(pod)  # what is drawn is shared between examples
    settle(pod["spec"])
    return pod


def make_host_process(spec: dict[str, Any]) -> None:
    """A Windows HostProcess pod, all of it or nothing, as the API wants it."""
    spec.update(hostNetwork=True, hostUsers=None, os={"name": "windows"})
    spec["securityContext"] = {
        "windowsOptions": {"hostProcess": True, "runAsUserName": "NT AUTHORITY\\SYSTEM"}
    }


def settle(spec: dict[str, Any]) -> None:
    """Make common combinations that the API refuses into ones that it takes, and spell out its defaults."""
    for container in [
        *spec["containers"],
        *spec.get("initContainers", ()),
        *spec.get("ephemeralContainers", ()),
    ]:
        security = container["securityContext"] or {}
        if security.get("privileged"):
            security["allowPrivilegeEscalation"] = True
        if security.get("procMount") == "Unmasked":
            spec["hostUsers"] = False
        if spec.get("hostNetwork"):
            for port in container.get("ports", ()):
                port["hostPort"] = port["containerPort"]
    for container in spec.get("initContainers", ()):
        if container.keys() & {"livenessProbe", "readinessProbe", "startupProbe", "lifecycle"}:
            container["restartPolicy"] = "Always"
    if spec.get("hostUsers") is False:
        for field in ("hostNetwork", "hostPID", "hostIPC"):
            spec.pop(field, None)
    if (spec.get("os") or {}).get("name") == "windows":
        keep_what_windows_has(spec)
    elif spec.get("os"):
        for holder in (spec, *spec["containers"], *spec.get("initContainers", ())):
            (holder.get("securityContext") or {}).pop("windowsOptions", None)


def keep_what_windows_has(spec: dict[str, Any]) -> None:
    """Of the security fields, the API lets Windows pods have these only."""
    host_process = ((spec["securityContext"] or {}).get("windowsOptions") or {}).get("hostProcess")
    for field in ("hostPID", "hostIPC", "hostUsers", *(() if host_process else ("hostNetwork",))):
        spec.pop(field, None)
    holders = [spec]
    for name in ("containers", "initContainers", "ephemeralContainers"):
        holders += spec.get(name, ())
    for holder in holders:
        security = holder.get("securityContext") or {}
        holder["securityContext"] = {
            key: value for key, value in security.items() if key in ("runAsNonRoot", "windowsOptions")
        }
        if host_process and holder is not spec:
            holder["securityContext"].pop("windowsOptions", None)


def places(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """The path of every value within plain data."""
    found = [path]
    if isinstance(value, dict):
        for key, item in value.items():
            found += places(item, (*path, key))
    if isinstance(value, list):
        for index, item in enumerate(value):
            found += places(item, (*path, index))
    return found


WRONG: st.SearchStrategy[Any] = st.sampled_from(
    [0, 1, -1, 1.5, True, False, "", "true", "0", [], [[]], {}, {"": {}}, ["a"], None]
)


@st.composite
def wrong_pods(draw: st.DrawFn) -> dict[str, Any]:
    """A pod in which up to three values anywhere in the spec are of any type."""
    pod = draw(pods())
    for _ in range(draw(st.integers(1, 3))):
        path = draw(st.sampled_from([place for place in places(pod["spec"]) if place]))
        holder = pod["spec"]
        for key in path[:-1]:
            holder = holder[key]
        holder[path[-1]] = copy.deepcopy(draw(WRONG))  # a shared list could end up within itself
    return pod
