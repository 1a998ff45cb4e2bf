"""What a check may ask for by name, for one requirement on one cluster; the fixtures are thin views on it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pytest_kspec.checks.reads import UNKNOWN, Reads
from pytest_kspec.errors import CheckError, NotApplicable
from pytest_kspec.evaluate.findings import Findings, Grouping
from pytest_kspec.kube.podkinds import pod_kinds
from pytest_kspec.kube.resources import Container, Resource, Resources, Workload
from pytest_kspec.results.exemptions import Exemptions

FIXTURES = (
    *("cluster", "spec", "requirement", "findings", "exemptions"),
    *("pods", "workloads", "containers", "namespaces", "nodes", "services", "network_policies"),
    *("rbac", "resources", "signatures", "kube"),
)
"""What a check may ask for by name: attributes of `CheckContext`."""

if TYPE_CHECKING:
    from pytest_kspec.cluster.inventory.inventory import Inventory
    from pytest_kspec.evaluate.scoped import ScopeView
    from pytest_kspec.results.annotated import AnnotationMatcher
    from pytest_kspec.results.finding import Finding
    from pytest_kspec.signatures.outcomes import Outcome
    from pytest_kspec.signatures.verify import SignatureVerifier
    from pytest_kspec.spec.requirement import Requirement
    from pytest_kspec.spec.sections import ClusterSpecification


def make_verifier(shared: Path | None = None) -> SignatureVerifier:
    """For one run; shared: folder where its workers share what they found out."""
    from pytest_kspec.signatures.outcomes import Outcomes
    from pytest_kspec.signatures.verify import SignatureVerifier

    return SignatureVerifier(Outcomes(shared))


class Cluster:
    """The cluster that is examined; the fixture `cluster`."""

    def __init__(self, inventory: Inventory, findings: Findings, reads: Reads = UNKNOWN) -> None:
        self._inventory = inventory
        self._findings = findings
        self._reads = reads

    @property
    def name(self) -> str:
        """As in the node id."""
        return self._inventory.source.name

    @property
    def source(self) -> str:
        """`live`, `snapshot` or `manifests`."""
        return self._inventory.source.kind

    @property
    def version(self) -> str:
        """The API server's gitVersion ("v1.34.1-eks-113cf36").

        Raises NotApplicable for manifests, SourceError.
        """
        self._findings.looked()
        with self._findings.reading():
            version = self._inventory.info.version
        if not version:
            raise NotApplicable("manifests have no API server, so its version is not known.")
        return version

    @property
    def uid(self) -> str:
        """UID of the kube-system namespace, or ""."""
        self._findings.looked()
        with self._findings.reading():
            return self._inventory.info.uid

    def list(self, kind: str, group: str | None = None) -> Resources[Resource]:
        """All objects of a kind, in scope or not. Raises AccessDenied, NotServed, SourceUnavailable.

        Raises CheckError for a kind that the check does not declare, though it declares some (`reads`).
        """
        self._findings.offer(kind)
        with self._findings.reading():
            self.demand(kind, group)
            items = self._inventory.list(kind, group)
        return Resources(items, self._findings.examined, self._findings.looked)

    def demand(self, kind: str, group: str | None) -> None:
        """Raises CheckError for a kind that a check with `reads` does not declare."""
        if not self._reads.known:
            return
        found = self._inventory.find(kind, group)
        of = group or "" if found is None else found.group
        if not self._reads.covers(of, kind):
            name = f"{of}/{kind}" if of else kind
            raise CheckError(
                f"the check reads {name}, which it does not declare.", fix=f"Add '{name}' to reads."
            )

    def serves(self, kind: str, group: str | None = None) -> bool:
        """Whether the cluster serves this kind. Raises CheckError as `list`."""
        self._findings.looked()
        with self._findings.reading():
            self.demand(kind, group)
            return self._inventory.serves(kind, group)


class Rbac:
    """Roles and bindings, each kind listed at its first use; the fixture `rbac`."""

    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster

    @property
    def roles(self) -> Resources[Resource]:
        """Roles of all namespaces."""
        return self._cluster.list("Role", "rbac.authorization.k8s.io")

    @property
    def cluster_roles(self) -> Resources[Resource]:
        """ClusterRoles."""
        return self._cluster.list("ClusterRole", "rbac.authorization.k8s.io")

    @property
    def role_bindings(self) -> Resources[Resource]:
        """RoleBindings of all namespaces."""
        return self._cluster.list("RoleBinding", "rbac.authorization.k8s.io")

    @property
    def cluster_role_bindings(self) -> Resources[Resource]:
        """ClusterRoleBindings."""
        return self._cluster.list("ClusterRoleBinding", "rbac.authorization.k8s.io")

    @property
    def service_accounts(self) -> Resources[Resource]:
        """ServiceAccounts of all namespaces."""
        return self._cluster.list("ServiceAccount", "")


class Signatures:
    """Signatures of images, as stored in their registries; the fixture `signatures`."""

    def __init__(self, spec: ClusterSpecification, verifier: Callable[[], SignatureVerifier]) -> None:
        images = spec.workloads.images if spec.workloads else None
        self.signers = tuple(images.signatures) if images else ()
        self._verifier = verifier

    def verify(self, images: Iterable[str]) -> Mapping[str, Outcome]:
        """Outcome of each reference by `workloads.images.signatures`: digest, signed, reason, problem.

        Asks registries, each image once a run. Raises nothing: what is not known has a `problem`.
        """
        return self._verifier().verify(images, self.signers)


class CheckContext:
    """All that a check of one requirement on one cluster can ask for, named as the fixtures."""

    def __init__(
        self,
        inventory: Inventory,
        grouping: Grouping,
        spec: ClusterSpecification,
        requirement: Requirement,
        exemptions: Exemptions,
        knows: Callable[[Finding], bool] | None = None,
        scope: ScopeView | None = None,
        verifier: Callable[[], SignatureVerifier] | None = None,
        annotated: AnnotationMatcher | None = None,
        reads: Reads = UNKNOWN,
    ) -> None:
        """reads: what the check may list.

        verifier: of the run; None: one of its own. annotated: exemptions in annotations, where they may matter.
        """
        self.inventory = inventory
        self.signatures = Signatures(spec, verifier or make_verifier)
        self._scope = scope
        self.spec = spec
        self.requirement = requirement
        self.exemptions = exemptions
        matcher = exemptions.for_check(requirement.id, inventory.source.name)
        self.findings = Findings(
            matcher,
            grouping,
            knows,
            scope.covers if scope is not None else None,
            lambda: inventory.mounting,
            annotated,
        )
        self.cluster = Cluster(inventory, self.findings, reads)

    def _collection(self, name: str, items: Sequence[Any]) -> Resources[Any]:
        self.findings.offer(name)
        chosen = items if self._scope is None else self._scope.select(items)
        return Resources(chosen, self.findings.examined, self.findings.looked)

    @property
    def rbac(self) -> Rbac:
        """Roles and bindings."""
        self.findings.offer("rbac")
        return Rbac(self.cluster)

    @property
    def pods(self) -> Resources[Workload]:
        """Pods that run or may run."""
        return self._collection("pods", self.inventory.pods())

    @property
    def workloads(self) -> Resources[Workload]:
        """Pods, the pod templates of controllers, and pods in objects of foreign kinds."""
        return self._collection("workloads", self.inventory.workloads(pod_kinds(self.spec.pod_templates)))

    @property
    def containers(self) -> Iterator[tuple[Workload, Container]]:
        """(workload, container) for all containers of all three lists."""
        return ((workload, container) for workload in self.workloads for container in workload.containers)

    @property
    def namespaces(self) -> Resources[Resource]:
        """Namespaces in scope."""
        return self._listed("namespaces", "Namespace", "")

    @property
    def nodes(self) -> Resources[Resource]:
        """Nodes."""
        return self.cluster.list("Node", "")

    @property
    def services(self) -> Resources[Resource]:
        """Services of all namespaces in scope."""
        return self._listed("services", "Service", "")

    @property
    def network_policies(self) -> Resources[Resource]:
        """NetworkPolicies of all namespaces in scope."""
        return self._listed("network_policies", "NetworkPolicy", "networking.k8s.io")

    @property
    def resources(self) -> Callable[..., Resources[Resource]]:
        """Objects of any kind in scope, custom resources included. Raises CheckError as `Cluster.list`."""
        self.findings.offer("resources")

        def resources(kind: str, group: str | None = None) -> Resources[Resource]:
            return self._listed(kind, kind, group)

        return resources

    def _listed(self, name: str, kind: str, group: str | None) -> Resources[Resource]:
        with self.findings.reading():
            self.cluster.demand(kind, group)
            items = self.inventory.list(kind, group)
        return self._collection(name, items)

    @property
    def kube(self) -> Any:
        """The official client's ApiClient, bound to this cluster. Raises NotApplicable without one."""
        client = getattr(self.inventory.source, "api_client", None)
        if client is None:
            raise NotApplicable(
                f"a check with the fixture 'kube' needs a live cluster; this is {self.cluster.source}."
            )
        self.findings.looked()  # what it asks for there is not known
        return client()
