"""kube-system, RBAC and admission of prod-eu."""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from typing import Any

from .example_pods import HARDENED, OWN, Object, container, digest, service, workload
from .example_workloads import EVERYWHERE, PINNED_PROXY, ROOT, host_path, mount, namespace

SYSTEM = "kube-system"
VERSION = "v1.37.2"
# name → labels, address, kubelet: workers are a version behind where they wait for their maintenance window
NODES: dict[str, tuple[dict[str, str], str, str]] = {
    "prod-eu-cp-1": ({"node-role.kubernetes.io/control-plane": ""}, "192.0.2.10", VERSION),
    "prod-eu-worker-1": ({"topology.kubernetes.io/zone": "eu-1a"}, "192.0.2.21", VERSION),
    "prod-eu-worker-2": ({"topology.kubernetes.io/zone": "eu-1b"}, "192.0.2.22", "v1.36.4"),
    "prod-eu-worker-3": ({"topology.kubernetes.io/zone": "eu-1c"}, "192.0.2.23", "v1.33.6"),
}
API_SERVER_FLAGS = (
    "--advertise-address=192.0.2.10",
    "--allow-privileged=true",
    "--audit-log-maxage=7",
    "--audit-log-maxbackup=10",
    "--audit-log-maxsize=100",
    "--audit-log-path=/var/log/kubernetes/audit.log",
    "--audit-policy-file=/etc/kubernetes/audit-policy.yaml",
    "--authorization-mode=Node,RBAC",
    "--enable-admission-plugins=NodeRestriction",
    "--etcd-servers=https://127.0.0.1:2379",
    "--profiling=false",
    "--secure-port=6443",
    "--service-cluster-ip-range=10.0.0.0/24",
)


def static_pods() -> list[Object]:
    """What the kubelet of the control plane runs from files, as its mirror pods show it."""
    programs = {
        "etcd": ("registry.k8s.io/etcd:3.6.6-0", ("--data-dir=/var/lib/etcd", "--client-cert-auth=true")),
        "kube-apiserver": (f"registry.k8s.io/kube-apiserver:{VERSION}", API_SERVER_FLAGS),
        "kube-controller-manager": (
            f"registry.k8s.io/kube-controller-manager:{VERSION}",
            ("--bind-address=127.0.0.1", "--use-service-account-credentials=true"),
        ),
        "kube-scheduler": (f"registry.k8s.io/kube-scheduler:{VERSION}", ("--bind-address=127.0.0.1",)),
    }
    return [_static_pod(name, image, flags) for name, (image, flags) in programs.items()]


def _static_pod(name: str, image: str, flags: Sequence[str]) -> Object:
    node = "prod-eu-cp-1"
    main = {
        "name": name,
        "image": image,
        "command": [name, *flags],
        "resources": {"requests": {"cpu": "100m"}},
        "volumeMounts": [mount("etc", "/etc/kubernetes", read_only=True)],
    }
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {
            "name": f"{name}-{node}",
            "namespace": SYSTEM,
            "labels": {"component": name, "tier": "control-plane"},
            "annotations": {
                "kubernetes.io/config.hash": "5f0b0c3d",
                "kubernetes.io/config.mirror": "5f0b0c3d",
                "kubernetes.io/config.source": "file",
            },
            "ownerReferences": [{"apiVersion": "v1", "kind": "Node", "name": node, "controller": True}],
        },
        "spec": {
            "containers": [main],
            "hostNetwork": True,
            "nodeName": node,
            "priorityClassName": "system-node-critical",
            "securityContext": {"seccompProfile": {"type": "RuntimeDefault"}},
            "tolerations": EVERYWHERE,
            "volumes": [host_path("etc", "/etc/kubernetes")],
            "enableServiceLinks": False,
        },
    }


def system() -> list[Object]:
    """Cluster components; the namespace itself is there already and gets labels only."""
    dns = HARDENED | {"capabilities": {"drop": ["ALL"], "add": ["NET_BIND_SERVICE"]}}
    agent: Object = {"privileged": True}
    return [
        namespace(SYSTEM, enforce="privileged", audit="privileged", warn="privileged"),
        workload(
            "DaemonSet",
            SYSTEM,
            "kube-proxy",
            [container("kube-proxy", PINNED_PROXY, security=agent, limits=False)],
            hostNetwork=True,
            priorityClassName="system-node-critical",
            tolerations=EVERYWHERE,
            volumes=[host_path("modules", "/lib/modules")],
        ),
        workload(
            "DaemonSet",
            SYSTEM,
            "cni",
            [container("agent", digest("quay.io/cilium/cilium:v1.18.4"), security=agent, limits=False)],
            hostNetwork=True,
            priorityClassName="system-node-critical",
            tolerations=EVERYWHERE,
            initContainers=[
                container("mount-bpf", digest("quay.io/cilium/cilium:v1.18.4"), security=agent, limits=False)
            ],
            volumes=[host_path("cni", "/etc/cni/net.d"), host_path("bpf", "/sys/fs/bpf")],
        ),
        workload(
            "DaemonSet",
            SYSTEM,
            "csi-node",
            [
                container("driver", digest(f"{OWN}/platform/csi-driver:2.9.0"), security=agent),
                container(
                    "registrar",
                    digest("registry.k8s.io/sig-storage/csi-node-driver-registrar:v2.15.0"),
                    security=ROOT,
                ),
            ],
            tolerations=EVERYWHERE,
            volumes=[host_path("kubelet", "/var/lib/kubelet")],
        ),
        workload(
            "Deployment",
            SYSTEM,
            "coredns",
            [container("coredns", digest("registry.k8s.io/coredns/coredns:v1.13.1"), security=dns)],
            replicas=2,
            labels={"k8s-app": "kube-dns"},
            priorityClassName="system-cluster-critical",
        ),
        workload(
            "Deployment",
            SYSTEM,
            "metrics-server",
            [
                container(
                    "metrics-server",
                    digest("registry.k8s.io/metrics-server/metrics-server:v0.8.0"),
                    ports={"https": 10250},
                )
            ],
            priorityClassName="system-cluster-critical",
        ),
        service(SYSTEM, "metrics-server", {"https": 10250}),
    ]


def role(name: str, rules: Sequence[Mapping[str, Any]], ns: str = "", **more: Any) -> Object:
    """A Role where a namespace is given, else a ClusterRole."""
    metadata = {"name": name} | ({"namespace": ns} if ns else {})
    kind = "Role" if ns else "ClusterRole"
    api = "rbac.authorization.k8s.io/v1"
    return {"apiVersion": api, "kind": kind, "metadata": metadata | more, "rules": list(rules)}


def binding(name: str, role_kind: str, role_name: str, subjects: Sequence[Object], ns: str = "") -> Object:
    """Gives the role to the subjects, in one namespace or everywhere."""
    return {
        "apiVersion": "rbac.authorization.k8s.io/v1",
        "kind": "RoleBinding" if ns else "ClusterRoleBinding",
        "metadata": {"name": name} | ({"namespace": ns} if ns else {}),
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": role_kind, "name": role_name},
        "subjects": list(subjects),
    }


def group(name: str) -> Object:
    """A group of people, as the identity provider names it."""
    return {"kind": "Group", "apiGroup": "rbac.authorization.k8s.io", "name": name}


def account(ns: str, name: str) -> Object:
    """A service account as a subject."""
    return {"kind": "ServiceAccount", "namespace": ns, "name": name}


def rule(groups: str, resources: str, verbs: str) -> Object:
    """A rule, each argument a list with commas; "core" is the group without a name."""
    names = ["" if name == "core" else name for name in groups.split(",")]
    return {"apiGroups": names, "resources": resources.split(","), "verbs": verbs.split(",")}


def rbac() -> list[Object]:
    """Least privilege for most; the deploy agent and the old importer may do everything."""
    accounts = {
        "web": ("catalog",),
        "payments": ("checkout",),
        "monitoring": ("prometheus", "kube-state-metrics"),
        "platform": ("ingress-nginx", "cert-manager", "deploy-agent"),
        "legacy": ("importer",),
    }
    made: list[Object] = [
        {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": name, "namespace": ns}}
        for ns, names in accounts.items()
        for name in names
    ]
    watch = "get,list,watch"
    made += [
        role("catalog", [rule("core", "configmaps", watch)], "web"),
        binding("catalog", "Role", "catalog", [account("web", "catalog")], "web"),
        role("checkout", [rule("core", "configmaps", "get"), rule("core", "pods", watch)], "payments"),
        binding("checkout", "Role", "checkout", [account("payments", "checkout")], "payments"),
        role(
            "prometheus",
            [
                rule("core", "nodes,nodes/metrics,services,endpoints,pods", watch),
                {"nonResourceURLs": ["/metrics"], "verbs": ["get"]},
            ],
        ),
        binding("prometheus", "ClusterRole", "prometheus", [account("monitoring", "prometheus")]),
        role("kube-state-metrics", [rule("core,apps,batch", "*", "list,watch")]),
        binding(
            "kube-state-metrics",
            "ClusterRole",
            "kube-state-metrics",
            [account("monitoring", "kube-state-metrics")],
        ),
        role(
            "ingress-nginx",
            [
                rule("core", "services,endpoints,secrets", watch),
                rule("networking.k8s.io", "ingresses", watch),
            ],
        ),
        binding("ingress-nginx", "ClusterRole", "ingress-nginx", [account("platform", "ingress-nginx")]),
        role("cert-manager", [rule("core", "secrets", f"{watch},create,update,patch")]),
        binding("cert-manager", "ClusterRole", "cert-manager", [account("platform", "cert-manager")]),
        binding("deploy-agent", "ClusterRole", "cluster-admin", [account("platform", "deploy-agent")]),
        role("importer", [rule("*", "*", "*")], "legacy"),
        binding("importer", "Role", "importer", [account("legacy", "importer")], "legacy"),
        role(
            "node-reader",
            [rule("core", "nodes", watch)],
            labels={"rbac.authorization.k8s.io/aggregate-to-view": "true"},
        ),
        binding("on-call-admin", "ClusterRole", "cluster-admin", [group("acme:sre-on-call")]),
        binding("auditors", "ClusterRole", "view", [group("acme:auditors")]),
    ]
    for team, ns in (("storefront", "web"), ("payments", "payments"), ("legacy", "legacy")):
        made.append(binding("team", "ClusterRole", "edit", [group(f"acme:{team}")], ns))
    return made


def configuration() -> list[Object]:
    """ConfigMaps, and Secrets of which a recording must keep the names only."""
    secret = base64.b64encode(b"not recorded").decode()
    return [
        *(
            {
                "apiVersion": "v1",
                "kind": "ConfigMap",
                "metadata": {"name": name, "namespace": ns},
                "data": {"settings.yaml": f"service: {name}\nregion: eu\n"},
            }
            for ns, name in (("web", "storefront"), ("web", "catalog"), ("payments", "checkout"))
        ),
        *(
            {
                "apiVersion": "v1",
                "kind": "Secret",
                "metadata": {"name": name, "namespace": ns},
                "type": "Opaque",
                "data": {"password": secret},
            }
            for ns, name in (("payments", "ledger-database"), ("legacy", "erp-database"))
        ),
    ]


def admission() -> list[Object]:
    """Created last: from then on they apply to what is created."""
    api = "admissionregistration.k8s.io/v1"

    def webhook(name: str, service_name: str, failure_policy: str, only: Object) -> Object:
        return {
            "name": name,
            "admissionReviewVersions": ["v1"],
            "sideEffects": "None",
            "failurePolicy": failure_policy,
            "clientConfig": {"service": {"namespace": "platform", "name": service_name, "path": "/validate"}},
            "rules": [only],
        }

    certificates = {
        "apiGroups": ["cert-manager.io"],
        "apiVersions": ["*"],
        "operations": ["CREATE", "UPDATE"],
        "resources": ["*/*"],
    }
    ingresses = certificates | {"apiGroups": ["networking.k8s.io"], "resources": ["ingresses"]}
    pods = {
        "apiGroups": [""],
        "apiVersions": ["v1"],
        "operations": ["CREATE", "UPDATE"],
        "resources": ["pods"],
    }
    return [
        {
            "apiVersion": api,
            "kind": "ValidatingWebhookConfiguration",
            "metadata": {"name": "cert-manager-webhook"},
            "webhooks": [webhook("webhook.cert-manager.io", "cert-manager-webhook", "Fail", certificates)],
        },
        {
            "apiVersion": api,
            "kind": "ValidatingWebhookConfiguration",
            "metadata": {"name": "ingress-nginx-admission"},
            "webhooks": [
                webhook("validate.nginx.ingress.kubernetes.io", "ingress-nginx", "Ignore", ingresses)
            ],
        },
        {
            "apiVersion": api,
            "kind": "MutatingWebhookConfiguration",
            "metadata": {"name": "cert-manager-webhook"},
            "webhooks": [webhook("webhook.cert-manager.io", "cert-manager-webhook", "Fail", certificates)],
        },
        {
            "apiVersion": api,
            "kind": "ValidatingAdmissionPolicy",
            "metadata": {"name": "deny-latest-tag"},
            "spec": {
                "failurePolicy": "Fail",
                "matchConstraints": {"resourceRules": [pods]},
                "validations": [
                    {
                        "expression": "object.spec.containers.all(c, !c.image.endsWith(':latest'))",
                        "message": "images must not have the tag latest",
                    }
                ],
            },
        },
        {
            "apiVersion": api,
            "kind": "ValidatingAdmissionPolicyBinding",
            "metadata": {"name": "deny-latest-tag"},
            "spec": {"policyName": "deny-latest-tag", "validationActions": ["Audit", "Warn"]},
        },
    ]
