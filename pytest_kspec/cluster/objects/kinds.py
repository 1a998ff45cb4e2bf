"""The built-in kinds. Manifests hold kind and apiVersion only: plural and scope come from this table.

It does not decide what a live cluster serves; its own discovery does.
"""

from __future__ import annotations

from functools import cache

from pytest_kspec.kube.resources import ResourceType

# group version | Kind plural, cluster-scoped kinds after `/`. Versions: what a current API server prefers.
_TABLE = """
 v1 | Pod pods Service services ConfigMap configmaps Secret secrets ServiceAccount serviceaccounts
 v1 | ReplicationController replicationcontrollers PodTemplate podtemplates ResourceQuota resourcequotas
 v1 | LimitRange limitranges PersistentVolumeClaim persistentvolumeclaims Endpoints endpoints Event events
 v1 / Namespace namespaces Node nodes PersistentVolume persistentvolumes
apps v1 | Deployment deployments StatefulSet statefulsets DaemonSet daemonsets ReplicaSet replicasets
apps v1 | ControllerRevision controllerrevisions
batch v1 | Job jobs CronJob cronjobs
autoscaling v2 | HorizontalPodAutoscaler horizontalpodautoscalers
policy v1 | PodDisruptionBudget poddisruptionbudgets
networking.k8s.io v1 | NetworkPolicy networkpolicies Ingress ingresses
networking.k8s.io v1 / IngressClass ingressclasses IPAddress ipaddresses ServiceCIDR servicecidrs
rbac.authorization.k8s.io v1 | Role roles RoleBinding rolebindings
rbac.authorization.k8s.io v1 / ClusterRole clusterroles ClusterRoleBinding clusterrolebindings
admissionregistration.k8s.io v1 / ValidatingWebhookConfiguration validatingwebhookconfigurations
admissionregistration.k8s.io v1 / MutatingWebhookConfiguration mutatingwebhookconfigurations
admissionregistration.k8s.io v1 / ValidatingAdmissionPolicy validatingadmissionpolicies
admissionregistration.k8s.io v1 / ValidatingAdmissionPolicyBinding validatingadmissionpolicybindings
admissionregistration.k8s.io v1 / MutatingAdmissionPolicy mutatingadmissionpolicies
admissionregistration.k8s.io v1 / MutatingAdmissionPolicyBinding mutatingadmissionpolicybindings
apiextensions.k8s.io v1 / CustomResourceDefinition customresourcedefinitions
apiregistration.k8s.io v1 / APIService apiservices
storage.k8s.io v1 / StorageClass storageclasses CSIDriver csidrivers CSINode csinodes
storage.k8s.io v1 / VolumeAttachment volumeattachments VolumeAttributesClass volumeattributesclasses
storage.k8s.io v1 | CSIStorageCapacity csistoragecapacities
scheduling.k8s.io v1 / PriorityClass priorityclasses
node.k8s.io v1 / RuntimeClass runtimeclasses
coordination.k8s.io v1 | Lease leases
discovery.k8s.io v1 | EndpointSlice endpointslices
events.k8s.io v1 | Event events
certificates.k8s.io v1 / CertificateSigningRequest certificatesigningrequests
flowcontrol.apiserver.k8s.io v1 / FlowSchema flowschemas
flowcontrol.apiserver.k8s.io v1 / PriorityLevelConfiguration prioritylevelconfigurations
resource.k8s.io v1 | ResourceClaim resourceclaims ResourceClaimTemplate resourceclaimtemplates
resource.k8s.io v1 / DeviceClass deviceclasses ResourceSlice resourceslices
"""

# Kinds that hold a pod or a pod template → the path of that pod in the object.
TEMPLATE_PATHS = {
    ("", "Pod"): "",
    ("", "PodTemplate"): "template.",
    ("", "ReplicationController"): "spec.template.",
    ("apps", "Deployment"): "spec.template.",
    ("apps", "StatefulSet"): "spec.template.",
    ("apps", "DaemonSet"): "spec.template.",
    ("apps", "ReplicaSet"): "spec.template.",
    ("batch", "Job"): "spec.template.",
    ("batch", "CronJob"): "spec.jobTemplate.spec.template.",
}


@cache
def builtin_types() -> tuple[ResourceType, ...]:
    """All built-in kinds, core group first."""
    found = []
    for line in _TABLE.strip("\n").splitlines():
        separator = " | " if " | " in line else " / "
        group_version, names = line.split(separator)
        group, version = group_version.split(" ")
        words = names.split()
        found += [
            ResourceType(group, version, kind, plural, separator == " | ")
            for kind, plural in zip(words[::2], words[1::2], strict=True)
        ]
    return tuple(found)


@cache
def _by_group_kind() -> dict[tuple[str, str], ResourceType]:
    return {(t.group, t.kind): t for t in builtin_types()}


def split_api_version(api_version: str) -> tuple[str, str]:
    """`apps/v1` → ("apps", "v1"); `v1` → ("", "v1")."""
    group, slash, version = api_version.rpartition("/")
    return (group, version) if slash else ("", api_version)


def type_of(api_version: str, kind: str, *, namespaced: bool = True) -> ResourceType:
    """The type of an object, in the version that the object has. Of unknown kinds the plural is a guess,
    for display.
    """
    group, version = split_api_version(api_version)
    known = _by_group_kind().get((group, kind))
    if known is not None:
        return known._replace(version=version)
    return ResourceType(group, version, kind, guess_plural(kind), namespaced)


def guess_plural(kind: str) -> str:
    """`Policy` → `policies`; never used in a request."""
    name = kind.lower()
    if name.endswith(("s", "x", "z", "ch", "sh")):
        return name + "es"
    if name.endswith("y") and name[-2:-1] not in "aeiou":
        return name[:-1] + "ies"
    return name + "s"


def preference(resource_type: ResourceType) -> tuple[bool, bool, bool, str]:
    """Sort key where several groups serve one kind: core, then built-in, then `*.k8s.io`, then by name.

    So `NetworkPolicy` without a group is the one of networking.k8s.io, not a network plugin's own.
    """
    group = resource_type.group
    builtin = (group, resource_type.kind) in _by_group_kind()
    return (group != "", not builtin, not group.endswith(".k8s.io"), group)
