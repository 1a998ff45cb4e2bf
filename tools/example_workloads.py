"""Namespaces and workloads of prod-eu: a shop that is mostly in order, and a corner of it that is not."""

from __future__ import annotations

from .example_pods import (
    HARDENED,
    OWN,
    Object,
    allow_dns,
    allow_ingress,
    container,
    cron_job,
    default_deny,
    digest,
    service,
    workload,
)

LEVEL = "pod-security.kubernetes.io/"
EVERYWHERE = [{"operator": "Exists"}]
ROOT: Object = {"runAsUser": 0}
PINNED_PROXY = digest("registry.k8s.io/kube-proxy:v1.37.2")


def namespace(name: str, *, enforce: str = "", audit: str = "", warn: str = "", team: str = "") -> Object:
    """A namespace with its Pod Security levels."""
    levels = {"enforce": enforce, "audit": audit, "warn": warn}
    labels = {LEVEL + mode: level for mode, level in levels.items() if level}
    if team:
        labels["team"] = team
    return {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name, "labels": labels}}


def host_path(name: str, path: str) -> Object:
    """A volume of the node's own files."""
    return {"name": name, "hostPath": {"path": path}}


def mount(name: str, path: str, *, read_only: bool = False) -> Object:
    """Where a volume is in a container."""
    return {"name": name, "mountPath": path} | ({"readOnly": True} if read_only else {})


def web() -> list[Object]:
    """The shop's front: in order, but for a search engine that wants root and one image from elsewhere."""
    ns = "web"
    shipper = container("log-shipper", digest(f"{OWN}/platform/log-shipper:2.4.1"), restartPolicy="Always")
    chown = container(
        "fix-permissions",
        digest("docker.io/library/busybox:1.37"),
        security=ROOT,
        command=["chown", "-R", "1000", "/data"],
    )
    return [
        namespace(ns, enforce="baseline", audit="restricted", warn="restricted", team="storefront"),
        workload(
            "Deployment",
            ns,
            "storefront",
            [container("app", digest(f"{OWN}/web/storefront:5.12.0"), ports={"http": 8080})],
            replicas=16,
            team="storefront",
            initContainers=[shipper],
            automountServiceAccountToken=False,
        ),
        workload(
            "Deployment",
            ns,
            "catalog",
            [container("app", digest(f"{OWN}/web/catalog:3.8.4"), ports={"http": 8080})],
            replicas=8,
            team="storefront",
            serviceAccountName="catalog",
        ),
        workload(
            "Deployment",
            ns,
            "cart",
            [container("app", digest(f"{OWN}/web/cart:2.0.9"), ports={"http": 8080})],
            replicas=6,
            team="storefront",
        ),
        workload(
            "StatefulSet",
            ns,
            "search",
            [container("search", digest(f"{OWN}/web/search:8.19.2"), ports={"http": 9200})],
            replicas=3,
            team="storefront",
            initContainers=[chown],
        ),
        workload(
            "Deployment",
            ns,
            "image-resizer",
            [
                container(
                    "resizer", "docker.io/acme/resizer:1.2", ports={"http": 8000}, limits=False, security=None
                )
            ],
            replicas=5,
        ),
        service(ns, "storefront", {"http": 8080}),
        service(ns, "catalog", {"http": 8080}),
        service(ns, "cart", {"http": 8080}),
        service(ns, "search", {"http": 9200}, clusterIP="None"),
        service(ns, "image-resizer", {"http": 8000}),
        default_deny(ns, "Ingress"),
        allow_dns(ns),
        allow_ingress(ns, "storefront", "platform", "http"),
    ]


def payments() -> list[Object]:
    """Held to the restricted level by the API server itself."""
    ns = "payments"
    image = f"{OWN}/payments"
    return [
        namespace(ns, enforce="restricted", audit="restricted", warn="restricted", team="payments"),
        workload(
            "Deployment",
            ns,
            "checkout",
            [container("app", digest(f"{image}/checkout:7.3.1"), ports={"https": 8443})],
            replicas=8,
            team="payments",
            serviceAccountName="checkout",
        ),
        workload(
            "StatefulSet",
            ns,
            "ledger",
            [container("ledger", digest(f"{image}/ledger:4.0.2"), ports={"grpc": 9000})],
            replicas=3,
            team="payments",
        ),
        workload(
            "Deployment",
            ns,
            "fraud-scoring",
            [container("model", digest(f"{image}/fraud-scoring:2026.10"), ports={"http": 8080})],
            replicas=4,
            team="payments",
        ),
        workload(
            "Deployment",
            ns,
            "bank-gateway",
            [container("gateway", f"{image}/bank-gateway:latest", ports={"https": 8443}, limits=False)],
            replicas=2,
            team="payments",
        ),
        cron_job(ns, "settlement", "0 3 * * *", [container("settle", digest(f"{image}/settlement:1.9.0"))]),
        service(ns, "checkout", {"https": 8443}),
        service(ns, "ledger", {"grpc": 9000}, clusterIP="None"),
        service(ns, "fraud-scoring", {"http": 8080}),
        service(ns, "bank-gateway", {"https": 8443}),
        default_deny(ns),
        allow_dns(ns),
        allow_ingress(ns, "checkout", "web", "https"),
    ]


def legacy() -> list[Object]:
    """What was moved in from virtual machines, as it was."""
    ns = "legacy"
    security: Object = {"privileged": True, "runAsUser": 0}
    bridge: Object = {"capabilities": {"add": ["NET_ADMIN", "SYS_TIME"]}, "runAsUser": 0}
    ftp = container("ftpd", "docker.io/acme/ftpd:0.9", security=None, limits=False)
    ftp["ports"] = [{"name": "ssh", "containerPort": 22, "hostPort": 2222}]
    return [
        namespace(ns),
        workload(
            "Deployment",
            ns,
            "erp",
            [
                container(
                    "erp",
                    "docker.io/acme/erp",
                    ports={"http": 8080},
                    security=security,
                    limits=False,
                    volumeMounts=[mount("containerd", "/run/containerd"), mount("spool", "/spool")],
                )
            ],
            replicas=2,
            volumes=[host_path("containerd", "/run/containerd"), {"name": "spool", "emptyDir": {}}],
        ),
        workload("Deployment", ns, "ftp-import", [ftp], volumes=[{"name": "in", "emptyDir": {}}]),
        workload(
            "Deployment",
            ns,
            "mainframe-bridge",
            [
                container(
                    "bridge", digest(f"{OWN}/legacy/bridge:1.0"), ports={"tn3270": 2323}, security=bridge
                )
            ],
            replicas=2,
            securityContext={"sysctls": [{"name": "kernel.msgmax", "value": "65536"}]},
        ),
        cron_job(
            ns,
            "nightly-report",
            "30 1 * * *",
            [container("report", "quay.io/acme/report:2019", security=ROOT, limits=False)],
            hostNetwork=True,
        ),
        service(ns, "erp", {"http": 8080}),
        service(ns, "ftp-import", {"ssh": 22}, kind="NodePort"),
    ]


def monitoring() -> list[Object]:
    """Prometheus and what it scrapes; the agents look at the node, so the namespace is privileged."""
    ns = "monitoring"
    agent: Object = {"allowPrivilegeEscalation": False, "readOnlyRootFilesystem": True}
    exporter = container(
        "node-exporter",
        digest("quay.io/prometheus/node-exporter:v1.10.2"),
        ports={"metrics": 9100},
        security=HARDENED,
        args=["--path.rootfs=/host"],
        volumeMounts=[mount("root", "/host", read_only=True)],
    )
    exporter["ports"][0]["hostPort"] = 9100  # as the API server writes it for the host's network
    collector = container(
        "collector",
        digest(f"{OWN}/platform/log-collector:3.2.0"),
        security=agent | ROOT,
        volumeMounts=[mount("logs", "/var/log", read_only=True)],
    )
    return [
        namespace(ns, enforce="privileged", audit="privileged", warn="privileged", team="platform"),
        workload(
            "DaemonSet",
            ns,
            "node-exporter",
            [exporter],
            hostNetwork=True,
            hostPID=True,
            tolerations=EVERYWHERE,
            volumes=[host_path("root", "/")],
        ),
        workload(
            "DaemonSet",
            ns,
            "log-collector",
            [collector],
            tolerations=EVERYWHERE,
            volumes=[host_path("logs", "/var/log")],
        ),
        workload(
            "StatefulSet",
            ns,
            "prometheus",
            [
                container("prometheus", digest("quay.io/prometheus/prometheus:v3.7.3"), ports={"http": 9090}),
                container("config-reloader", digest(f"{OWN}/platform/config-reloader:0.86.1")),
            ],
            replicas=2,
            serviceAccountName="prometheus",
        ),
        workload(
            "StatefulSet",
            ns,
            "alertmanager",
            [
                container(
                    "alertmanager", digest("quay.io/prometheus/alertmanager:v0.29.0"), ports={"http": 9093}
                )
            ],
            replicas=3,
        ),
        workload(
            "Deployment",
            ns,
            "kube-state-metrics",
            [
                container(
                    "kube-state-metrics",
                    digest("registry.k8s.io/kube-state-metrics/kube-state-metrics:v2.17.0"),
                    ports={"http": 8080},
                )
            ],
            serviceAccountName="kube-state-metrics",
        ),
        workload(
            "Deployment",
            ns,
            "grafana",
            [container("grafana", "docker.io/grafana/grafana:12.3.0", ports={"http": 3000})],
            replicas=2,
        ),
        service(ns, "prometheus", {"http": 9090}),
        service(ns, "alertmanager", {"http": 9093}, clusterIP="None"),
        service(ns, "kube-state-metrics", {"http": 8080}),
        service(ns, "grafana", {"http": 3000}),
        default_deny(ns),
        allow_dns(ns),
    ]


def platform() -> list[Object]:
    """What runs for all teams."""
    ns = "platform"
    low_ports = HARDENED | {"capabilities": {"drop": ["ALL"], "add": ["NET_BIND_SERVICE"]}}
    return [
        namespace(ns, enforce="baseline", audit="restricted", warn="restricted", team="platform"),
        workload(
            "Deployment",
            ns,
            "ingress-nginx",
            [
                container(
                    "controller",
                    digest("registry.k8s.io/ingress-nginx/controller:v1.14.0"),
                    ports={"http": 80, "https": 443},
                    security=low_ports,
                )
            ],
            replicas=3,
            serviceAccountName="ingress-nginx",
        ),
        workload(
            "Deployment",
            ns,
            "cert-manager",
            [container("cert-manager", digest("quay.io/jetstack/cert-manager-controller:v1.19.1"))],
            serviceAccountName="cert-manager",
        ),
        workload(
            "Deployment",
            ns,
            "cert-manager-webhook",
            [
                container(
                    "webhook", digest("quay.io/jetstack/cert-manager-webhook:v1.19.1"), ports={"https": 10250}
                )
            ],
        ),
        workload(
            "Deployment",
            ns,
            "deploy-agent",
            [container("agent", digest(f"{OWN}/platform/deploy-agent:1.31.0"))],
            serviceAccountName="deploy-agent",
        ),
        service(ns, "ingress-nginx", {"http": 80, "https": 443}, kind="LoadBalancer"),
        service(ns, "cert-manager-webhook", {"https": 10250}),
        default_deny(ns),
        allow_dns(ns),
    ]


def workloads() -> list[Object]:
    """Everything above, namespaces first of their objects."""
    return [*web(), *payments(), *monitoring(), *platform(), *legacy()]
