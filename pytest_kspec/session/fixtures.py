"""The fixtures of checks: thin views on `CheckContext`. They exist in runs with a specification only."""

from __future__ import annotations

from typing import Any

import pytest

from pytest_kspec.checks.fixturetypes import (
    Containers,
    Namespaces,
    NetworkPolicies,
    Nodes,
    Pods,
    ResourceLister,
    Services,
    Workloads,
)
from pytest_kspec.errors import UsageError
from pytest_kspec.evaluate.context import CheckContext, Cluster, Rbac, Signatures
from pytest_kspec.evaluate.findings import Findings
from pytest_kspec.results.exemptions import Exemptions
from pytest_kspec.session.collect import ComplianceItem
from pytest_kspec.spec.requirement import Requirement
from pytest_kspec.spec.sections import ClusterSpecification


@pytest.fixture
def kspec_context(request: pytest.FixtureRequest) -> CheckContext:
    """Everything else is made of this."""
    item = request.node
    if not isinstance(item, ComplianceItem) or item.context is None:
        raise UsageError(
            f"'{item.name}' uses a fixture of pytest-kspec, but is not a check.",
            fix="Decorate it with @pytest_kspec.check(…) and add its file to the checks of the run.",
        )
    return item.context


@pytest.fixture
def cluster(kspec_context: CheckContext) -> Cluster:
    """The cluster: name, version, uid, source, list(kind, group), serves(kind, group)."""
    return kspec_context.cluster


@pytest.fixture
def spec(kspec_context: CheckContext) -> ClusterSpecification:
    """The specification, as models."""
    return kspec_context.spec


@pytest.fixture
def requirement(kspec_context: CheckContext) -> Requirement:
    """What this item answers: id, key, value, location."""
    return kspec_context.requirement


@pytest.fixture
def findings(kspec_context: CheckContext) -> Findings:
    """The collector: add, apply, examined, error, skip."""
    return kspec_context.findings


@pytest.fixture
def exemptions(kspec_context: CheckContext) -> Exemptions:
    """All exemptions of this specification; `findings` applies them by itself."""
    return kspec_context.exemptions


@pytest.fixture
def pods(kspec_context: CheckContext) -> Pods:
    """Pods that run or may run."""
    return kspec_context.pods


@pytest.fixture
def workloads(kspec_context: CheckContext) -> Workloads:
    """Pods, and the pod templates of controllers."""
    return kspec_context.workloads


@pytest.fixture
def containers(kspec_context: CheckContext) -> Containers:
    """(workload, container) for every container of all three lists."""
    return kspec_context.containers


@pytest.fixture
def namespaces(kspec_context: CheckContext) -> Namespaces:
    """Namespaces."""
    return kspec_context.namespaces


@pytest.fixture
def nodes(kspec_context: CheckContext) -> Nodes:
    """Nodes."""
    return kspec_context.nodes


@pytest.fixture
def services(kspec_context: CheckContext) -> Services:
    """Services."""
    return kspec_context.services


@pytest.fixture
def network_policies(kspec_context: CheckContext) -> NetworkPolicies:
    """NetworkPolicies."""
    return kspec_context.network_policies


@pytest.fixture
def rbac(kspec_context: CheckContext) -> Rbac:
    """Roles and bindings."""
    return kspec_context.rbac


@pytest.fixture
def resources(kspec_context: CheckContext) -> ResourceLister:
    """Objects of any kind, by `resources(kind, group=None)`."""
    return kspec_context.resources


@pytest.fixture
def signatures(kspec_context: CheckContext) -> Signatures:
    """Who signed an image: signers, verify(references)."""
    return kspec_context.signatures


@pytest.fixture
def kube(kspec_context: CheckContext) -> Any:
    """The official client's ApiClient, bound to this cluster."""
    return kspec_context.kube
