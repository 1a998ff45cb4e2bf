"""Metrics providers.

metrics-server is found by what it serves, the API metrics.k8s.io, whoever serves it. Prometheus is found by
the image of its containers or its app label: not by name, which exporters and operators share. Any other
provider is found by image, by app label, or by a part of the pod's name ("datadog" in datadog-agent-x7k2p).
A pod counts when it runs and is ready. A Service of that name without selector stands for a provider
outside the cluster. No namespace is presumed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, NamedTuple

from pytest_kspec import (
    About,
    Cluster,
    ClusterSpecification,
    Findings,
    NotApplicable,
    Resource,
    Workload,
    check,
)

ABOUT = About(
    restricts=(
        "APIService metrics.k8s.io status.conditions[Available]; Pods by image, app label and name; Services"
    ),
    allowed=(
        "every provider of observability.metrics.providers runs; without providers, at least one that is"
        " known"
    ),
    source="the specification; Kubernetes, resource metrics pipeline and API aggregation",
)

METRICS_API = "metrics.k8s.io"
APP_LABELS = ("app.kubernetes.io/name", "app.kubernetes.io/part-of", "k8s-app", "app")
KNOWN = (
    "metrics-server",
    "prometheus",
    "alloy",
    "ama-metrics",
    "cloudwatch-agent",
    "datadog",
    "dynatrace",
    "grafana-agent",
    "newrelic",
    "opentelemetry-collector",
    "telegraf",
    "victoria-metrics",
    "vmagent",
)


class Found(NamedTuple):
    """What there is of one provider. serving: True if it works; what: for people."""

    serving: bool
    what: str


@check(
    id="observability.metrics",
    title="The required metrics providers are running",
    severity="medium",
    remediation="Install the provider; if it is installed but not ready, kubectl describe shows why.",
    about=ABOUT,
    not_admission="it is about what runs in the cluster, not about a single object",
    key="observability.metrics.required",
    cluster_wide=True,
    reads=("apiregistration.k8s.io/APIService", "Pod", "Service"),
)
def test_metrics(cluster: Cluster, spec: ClusterSpecification, findings: Findings) -> None:
    """Without metrics, a workload that uses too many resources is not noticed, and autoscaling does not work."""
    if cluster.source == "manifests":
        raise NotApplicable("manifests do not contain what runs in a cluster")
    metrics = spec.observability and spec.observability.metrics
    providers = metrics.providers if metrics else []
    findings.examined(max(len(providers), 1))
    if not providers:
        if not any(look_for(name, cluster).serving for name in KNOWN):
            what = "no known metrics provider is running"
            findings.add(None, expected=f"at least one of {', '.join(KNOWN)}", message=what)
        return
    for provider in dict.fromkeys(providers):
        found = look_for(provider, cluster)
        if not found.serving:
            what = f"metrics provider {provider}: {found.what}"
            findings.add(None, path=provider, actual=found.what, expected="running and ready", message=what)


def look_for(provider: str, cluster: Cluster) -> Found:
    """One provider, by what it serves."""
    name = provider.strip().lower()
    if name == "metrics-server":
        return metrics_api(cluster.list("APIService", "apiregistration.k8s.io"))
    matches = is_prometheus if name == "prometheus" else named(name)
    idle = [pod for pod in cluster.list("Pod", "") if isinstance(pod, Workload) and matches(pod)]
    if any(is_ready(pod) for pod in idle):
        return Found(True, "running")
    if idle:
        return Found(False, f"found ({pod_names(idle)}), but no pod of it is ready")
    for service in cluster.list("Service", ""):
        outside = not service.spec.get("selector")
        if outside and (service.name == name or name in app_labels(service.labels)):
            return Found(True, f"outside the cluster, as Service {service.namespace}/{service.name}")
    return Found(False, "not found")


def metrics_api(api_services: Iterable[Resource]) -> Found:
    """The API of resource metrics, whoever serves it."""
    registered = [api for api in api_services if api.spec.get("group") == METRICS_API]
    for api in registered:
        if condition(api.raw, "Available") == "True":
            return Found(True, f"APIService {api.name} is available")
    if registered:
        return Found(False, f"APIService {registered[0].name} is registered, but not available")
    return Found(False, f"not found: no APIService serves {METRICS_API}")


def is_prometheus(pod: Workload) -> bool:
    """A Prometheus server: by image, or by label, where old charts tell components apart."""
    if any(image == "prometheus" or image.endswith("-prometheus") for image in image_names(pod)):
        return True
    if "prometheus" not in app_labels(pod.labels):
        return False
    return pod.labels.get("component", pod.labels.get("app.kubernetes.io/component", "server")) in (
        "server",
        "prometheus",
    )


def named(provider: str) -> Callable[[Workload], bool]:
    """Whether a pod is one of this provider's."""
    part = f"-{provider}-"

    def matches(pod: Workload) -> bool:
        return part in f"-{pod.name}-" or provider in app_labels(pod.labels) or provider in image_names(pod)

    return matches


def app_labels(labels: Mapping[str, str]) -> Iterator[str]:
    """Values of the labels that name an application."""
    return (labels[key].lower() for key in APP_LABELS if key in labels)


def image_names(pod: Workload) -> Iterator[str]:
    """Last part of the repository of each container's image."""
    for container in pod.containers:
        image = container.raw.get("image")
        if container.list == "containers" and isinstance(image, str):
            yield image.partition("@")[0].rpartition("/")[2].partition(":")[0]


def is_ready(pod: Workload) -> bool:
    """Running, and not told to be unready."""
    return pod.phase == "Running" and condition(pod.raw, "Ready") != "False"


def condition(raw: Mapping[str, Any], kind: str) -> str:
    """Status of a condition: "True", "False", "Unknown", or "" if there is none."""
    status = raw.get("status")
    conditions = status.get("conditions") if isinstance(status, dict) else None
    for entry in conditions if isinstance(conditions, list) else ():
        if isinstance(entry, dict) and entry.get("type") == kind:
            return str(entry.get("status", ""))
    return ""


def pod_names(pods: list[Workload]) -> str:
    """The first, and how many more."""
    first = f"{pods[0].namespace}/{pods[0].name}"
    return first if len(pods) == 1 else f"{first} and {len(pods) - 1} more"
