"""What fixtures hand to a check, each under the name of its fixture: `workloads: Workloads`, `nodes: Nodes`.

`Cluster`, `Rbac`, `Signatures` and `Findings` are classes of their own (`pytest_kspec.session`).
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Protocol, TypeAlias

from pytest_kspec.kube.resources import Container, Resource, Resources, Workload

Workloads: TypeAlias = Resources[Workload]
"""The fixture `workloads`: pods, the pod templates of controllers, and pods in objects of other kinds.

Iterating or indexing counts as examining and raises nothing: what cannot be listed is an error before the check begins.
"""

Pods: TypeAlias = Resources[Workload]
"""The fixture `pods`: pods that run or may run, without templates."""

Containers: TypeAlias = Iterator[tuple[Workload, Container]]
"""The fixture `containers`: (workload, container) of init, ordinary and ephemeral containers. It can be read once."""

Namespaces: TypeAlias = Resources[Resource]
"""The fixture `namespaces`: Namespaces in scope.

Of manifests, one may be known by its name only: its `labels`, `annotations` and `raw` raise NotApplicable.
"""

Nodes: TypeAlias = Resources[Resource]
"""The fixture `nodes`: Nodes of the cluster."""

Services: TypeAlias = Resources[Resource]
"""The fixture `services`: Services of all namespaces in scope."""

NetworkPolicies: TypeAlias = Resources[Resource]
"""The fixture `network_policies`: NetworkPolicies (networking.k8s.io) of all namespaces in scope."""


class ResourceLister(Protocol):
    """The fixture `resources`: lists objects of any kind, custom resources included."""

    def __call__(self, kind: str, group: str | None = None) -> Resources[Resource]:
        """All objects of a kind that are in scope.

        kind:  as in manifests ("PodDisruptionBudget")
        group: API group ("policy"); "" is the core group; None: the one group that serves the kind

        Raises AccessDenied, NotServed, SourceError.
        """
        ...
