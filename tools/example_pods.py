"""Short ways to write pods, workloads and network policies as one finds them in a company's cluster."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from typing import Any

Object = dict[str, Any]

OWN = "registry.example.com"
HARDENED: Object = {
    "allowPrivilegeEscalation": False,
    "readOnlyRootFilesystem": True,
    "runAsNonRoot": True,
    "runAsUser": 10001,
    "capabilities": {"drop": ["ALL"]},
    "seccompProfile": {"type": "RuntimeDefault"},
}


def digest(image: str) -> str:
    """`image` pinned, the same at every recording."""
    return f"{image}@sha256:{hashlib.sha256(image.encode()).hexdigest()}"


def container(
    name: str,
    image: str,
    *,
    ports: Mapping[str, int] | None = None,
    limits: bool = True,
    security: Object | None = HARDENED,
    **more: Any,
) -> Object:
    """A container that keeps to the rules unless told otherwise."""
    made: Object = {"name": name, "image": image}
    if ports:
        made["ports"] = [{"name": key, "containerPort": port} for key, port in ports.items()]
        made["readinessProbe"] = {"httpGet": {"path": "/healthz", "port": next(iter(ports))}}
    made["resources"] = {"requests": {"cpu": "50m", "memory": "64Mi"}}
    if limits:
        made["resources"]["limits"] = {"memory": "256Mi"}
    if security is not None:
        made["securityContext"] = security
    return made | more


def workload(
    kind: str,
    namespace: str,
    name: str,
    containers: Sequence[Object],
    *,
    replicas: int = 1,
    component: str = "",
    team: str = "",
    labels: Mapping[str, str] | None = None,
    **spec: Any,
) -> Object:
    """A Deployment, StatefulSet or DaemonSet; `spec` goes into its pods' spec."""
    selector = {"app.kubernetes.io/name": name}
    named = {**selector, "app.kubernetes.io/component": component or name, **(labels or {})}
    if team:
        named["team"] = team
    body: Object = {
        "selector": {"matchLabels": selector},
        "template": {"metadata": {"labels": named}, "spec": {"containers": list(containers), **spec}},
    }
    if kind != "DaemonSet":
        body["replicas"] = replicas
    if kind == "StatefulSet":
        body["serviceName"] = name
    metadata = {"name": name, "namespace": namespace, "labels": named}
    return {"apiVersion": "apps/v1", "kind": kind, "metadata": metadata, "spec": body}


def cron_job(namespace: str, name: str, schedule: str, containers: Sequence[Object], **spec: Any) -> Object:
    """A CronJob; `spec` goes into its pods' spec."""
    pod = {"restartPolicy": "Never", "containers": list(containers), **spec}
    labels = {"app.kubernetes.io/name": name}
    template = {"spec": {"template": {"metadata": {"labels": labels}, "spec": pod}, "backoffLimit": 2}}
    return {
        "apiVersion": "batch/v1",
        "kind": "CronJob",
        "metadata": {"name": name, "namespace": namespace, "labels": labels},
        "spec": {"schedule": schedule, "concurrencyPolicy": "Forbid", "jobTemplate": template},
    }


def service(
    namespace: str, name: str, ports: Mapping[str, int], *, kind: str = "ClusterIP", **spec: Any
) -> Object:
    """A Service for the workload of its name."""
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": name, "namespace": namespace, "labels": {"app.kubernetes.io/name": name}},
        "spec": {
            "type": kind,
            "selector": {"app.kubernetes.io/name": name},
            "ports": [{"name": key, "port": port, "targetPort": port} for key, port in ports.items()],
            **spec,
        },
    }


def policy(namespace: str, name: str, *, pods: Mapping[str, str] | None = None, **spec: Any) -> Object:
    """A NetworkPolicy for `pods`, all of them if none are given."""
    selector = {"matchLabels": dict(pods)} if pods else {}
    return {
        "apiVersion": "networking.k8s.io/v1",
        "kind": "NetworkPolicy",
        "metadata": {"name": name, "namespace": namespace},
        "spec": {"podSelector": selector, **spec},
    }


def default_deny(namespace: str, *directions: str) -> Object:
    """Nothing in, nothing out, unless another policy allows it."""
    return policy(namespace, "default-deny", policyTypes=list(directions or ("Ingress", "Egress")))


def allow_dns(namespace: str) -> Object:
    """Name resolution, without which default deny stops everything."""
    ports = [{"protocol": protocol, "port": 53} for protocol in ("UDP", "TCP")]
    system = {"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "kube-system"}}}
    return policy(namespace, "allow-dns", policyTypes=["Egress"], egress=[{"to": [system], "ports": ports}])


def allow_ingress(namespace: str, name: str, source: str, port: str | int) -> Object:
    """Traffic to the workload `name` from the namespace `source`."""
    peer = {"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": source}}}
    rule = {"from": [peer], "ports": [{"port": port}]}
    return policy(
        namespace,
        f"allow-{source}-to-{name}",
        pods={"app.kubernetes.io/name": name},
        policyTypes=["Ingress"],
        ingress=[rule],
    )
