"""What has to be in a cluster for the webhook to run there: namespace, rights, Deployment, Service, certificate.

The registration is not here: `kspec enforce --engine webhook` makes it for each specification.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from pytest_kspec.enforce.engines import webhook, webhook_client, webhook_state
from pytest_kspec.spec.operations import Certificate

Object = dict[str, Any]

PORT, READ_PORT = 9443, webhook_client.PORT
READER = webhook_client.READER
SECRET = "kspec-webhook-tls"
RBAC = "rbac.authorization.k8s.io/v1"
DEPLOYMENT = ("apps/v1", "Deployment")
INSTALLED = (
    ("v1", "ServiceAccount"),
    (RBAC, "ClusterRole"),
    (RBAC, "ClusterRoleBinding"),
    (RBAC, "Role"),
    (RBAC, "RoleBinding"),
    ("v1", "ConfigMap"),
    ("v1", "Service"),
    DEPLOYMENT,
    ("policy/v1", "PodDisruptionBudget"),
)
"""(apiVersion, kind) of what belongs to a webhook of a fleet, in the order in which it is applied."""

DURATION, RENEW_BEFORE = "2160h0m0s", "720h0m0s"
"""90 and 30 days, as `authority.Periods`."""


@dataclass(frozen=True, slots=True)
class Installation:
    """One webhook in a cluster.

    service:        name of its Service, and of all else that is its own
    arguments:      where it has its specifications from
    configurations: names of the registrations whose caBundle it may write; (): all
    mounts, volumes: of the pods, beside their own
    """

    image: str
    namespace: str
    service: str
    reader: str = READER
    secret: str = SECRET
    arguments: tuple[str, ...] = ("--from-cluster",)
    configurations: tuple[str, ...] = ()
    mounts: tuple[Object, ...] = field(default=())
    volumes: tuple[Object, ...] = field(default=())


def service_names(service: str, namespace: str) -> list[str]:
    """The names by which an API server and others in the cluster know a Service; the API server's first."""
    base = f"{service}.{namespace}"
    return [f"{base}.svc", service, base, f"{base}.svc.cluster.local"]


def manifests(image: str, namespace: str, service: str, issuer: Certificate | None) -> list[Object]:
    """In the order in which they are to be applied. issuer: cert-manager's; None: an authority of our own."""
    made = [_object("v1", "Namespace", namespace, ""), *objects(Installation(image, namespace, service))]
    return [*made, certificate(namespace, service, issuer)] if issuer is not None else made


def objects(one: Installation) -> list[Object]:
    """All but the namespace, in the order in which it is to be applied."""
    return [
        _object("v1", "ServiceAccount", one.service, one.namespace),
        _object("v1", "ServiceAccount", one.reader, one.namespace),
        *_rights(one),
        _service(one.namespace, one.service),
        _deployment(one),
        _object(
            "policy/v1",
            "PodDisruptionBudget",
            one.service,
            one.namespace,
            spec={"minAvailable": 1, "selector": {"matchLabels": _labels(one.service)}},
        ),
    ]


def certificate(namespace: str, service: str, issuer: Certificate) -> Object:
    """A Certificate of cert-manager: 90 days, renewed 30 days before its end, with a new key each time."""
    return _object(
        "cert-manager.io/v1",
        "Certificate",
        webhook.CERTIFICATE,
        namespace,
        spec={
            "secretName": SECRET,
            "duration": DURATION,
            "renewBefore": RENEW_BEFORE,
            "dnsNames": service_names(service, namespace),
            "usages": ["digital signature", "key encipherment", "server auth"],
            "privateKey": {"algorithm": "ECDSA", "size": 256, "rotationPolicy": "Always"},
            "issuerRef": {"name": issuer.issuer, "kind": issuer.issuer_kind, "group": "cert-manager.io"},
        },
    )


def _rights(one: Installation) -> list[Object]:
    namespace, service = one.namespace, one.service
    registrations = {
        "apiGroups": ["admissionregistration.k8s.io"],
        "resources": ["validatingwebhookconfigurations"],
    }
    cluster: list[Object] = [
        {"apiGroups": [""], "resources": ["namespaces"], "verbs": ["get"]},
        {"apiGroups": [""], "resources": ["events"], "verbs": ["create"]},
    ]
    if one.configurations:
        cluster += [
            {**registrations, "verbs": ["list"]},
            {**registrations, "resourceNames": list(one.configurations), "verbs": ["get", "patch"]},
        ]
    else:
        cluster.append({**registrations, "verbs": ["get", "list", "patch"]})
    if "--from-cluster" in one.arguments:
        cluster.append(
            {"apiGroups": ["kspec.io"], "resources": ["clusterspecifications"], "verbs": ["list", "watch"]}
        )
    cluster += [
        # Who reads metrics and policies, and whether they may.
        {"apiGroups": ["authentication.k8s.io"], "resources": ["tokenreviews"], "verbs": ["create"]},
        {"apiGroups": ["authorization.k8s.io"], "resources": ["subjectaccessreviews"], "verbs": ["create"]},
    ]
    read = [{"nonResourceURLs": ["/metrics", webhook_client.PATH], "verbs": ["get"]}]
    own = [
        {"apiGroups": [""], "resources": ["secrets"], "verbs": ["create"]},
        {
            "apiGroups": [""],
            "resources": ["secrets"],
            "resourceNames": [one.secret],
            "verbs": ["get", "update"],
        },
        # What the operator raises alerts of.
        {"apiGroups": [""], "resources": ["configmaps"], "verbs": ["create"]},
        {
            "apiGroups": [""],
            "resources": ["configmaps"],
            "resourceNames": [webhook_state.NAME],
            "verbs": ["get", "patch"],
        },
    ]
    subjects = [{"kind": "ServiceAccount", "name": service, "namespace": namespace}]
    rbac = "rbac.authorization.k8s.io"

    readers = [{"kind": "ServiceAccount", "name": one.reader, "namespace": namespace}]

    def ref(kind: str, name: str = service) -> Object:
        return {"apiGroup": rbac, "kind": kind, "name": name}

    return [
        _object(f"{rbac}/v1", "ClusterRole", service, "", rules=cluster),
        _object(
            f"{rbac}/v1", "ClusterRoleBinding", service, "", roleRef=ref("ClusterRole"), subjects=subjects
        ),
        _object(f"{rbac}/v1", "ClusterRole", one.reader, "", rules=read),
        _object(
            f"{rbac}/v1",
            "ClusterRoleBinding",
            one.reader,
            "",
            roleRef=ref("ClusterRole", one.reader),
            subjects=readers,
        ),
        _object(f"{rbac}/v1", "Role", service, namespace, rules=own),
        _object(f"{rbac}/v1", "RoleBinding", service, namespace, roleRef=ref("Role"), subjects=subjects),
    ]


def _service(namespace: str, service: str) -> Object:
    spec = {
        "selector": _labels(service),
        "ports": [
            {"name": "https", "port": 443, "targetPort": "https", "protocol": "TCP"},
            {"name": "read", "port": READ_PORT, "targetPort": "read", "protocol": "TCP"},
        ],
    }
    return _object("v1", "Service", service, namespace, spec=spec)


def _deployment(one: Installation) -> Object:
    namespace, service = one.namespace, one.service
    container = {
        "name": "webhook",
        "image": one.image,
        "command": ["kspec", "webhook"],
        "args": [
            *one.arguments,
            f"--tls-secret={namespace}/{one.secret}",
            f"--service={service}",
            "--audit-log=-",
        ],
        "ports": [{"name": "https", "containerPort": PORT}, {"name": "read", "containerPort": READ_PORT}],
        "readinessProbe": _probe("/readyz", 5),
        "livenessProbe": _probe("/healthz", 20),
        "resources": {
            "requests": {"cpu": "100m", "memory": "128Mi"},
            # The process for large reviews is a second one: one core more, and as much memory as it may use.
            "limits": {"cpu": "2", "memory": "768Mi"},
        },
        "securityContext": {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        },
        "volumeMounts": [{"name": "tmp", "mountPath": "/tmp"}, *one.mounts],
    }
    pod = {
        "serviceAccountName": service,
        "securityContext": {
            "runAsNonRoot": True,
            "runAsUser": 65532,
            "seccompProfile": {"type": "RuntimeDefault"},
        },
        "terminationGracePeriodSeconds": 30,
        "containers": [container],
        # Keys are read by OpenSSL from files only: they never reach a disk.
        "volumes": [{"name": "tmp", "emptyDir": {"medium": "Memory", "sizeLimit": "16Mi"}}, *one.volumes],
        "topologySpreadConstraints": [
            {
                "maxSkew": 1,
                "topologyKey": "kubernetes.io/hostname",
                "whenUnsatisfiable": "ScheduleAnyway",
                "labelSelector": {"matchLabels": _labels(service)},
            }
        ],
    }
    spec = {
        "replicas": 2,
        "selector": {"matchLabels": _labels(service)},
        "template": {"metadata": {"labels": _labels(service)}, "spec": pod},
    }
    return _object("apps/v1", "Deployment", service, namespace, spec=spec)


def _probe(path: str, period_s: int) -> Object:
    return {"httpGet": {"path": path, "port": "https", "scheme": "HTTPS"}, "periodSeconds": period_s}


def _labels(service: str) -> dict[str, str]:
    return {"app.kubernetes.io/name": service}


def _object(api_version: str, kind: str, name: str, namespace: str, **fields: Any) -> Object:
    metadata: Object = {"name": name, "labels": _labels(webhook.SERVICE)}
    if namespace:
        metadata["namespace"] = namespace
    return {"apiVersion": api_version, "kind": kind, "metadata": metadata, **fields}
