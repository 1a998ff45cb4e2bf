"""What a cluster meets today: candidates for a first specification, tried with the checks themselves.

A candidate is asked for if half of what it concerns meets it already; what does not becomes an exemption that
somebody has to look at. So the draft is strict where the cluster is good, and green on the first day.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from pytest_kspec.clock import now
from pytest_kspec.cluster.sources.source import Source
from pytest_kspec.errors import KspecError
from pytest_kspec.evaluate.run import evaluate
from pytest_kspec.evaluate.scan import ClusterScan, Examined
from pytest_kspec.kube.images import parse_image
from pytest_kspec.kube.podkinds import pod_kinds
from pytest_kspec.kube.reference import ResourceRef
from pytest_kspec.kube.versions import Version
from pytest_kspec.plan.checkset import load_checks
from pytest_kspec.plan.plan import make_plan
from pytest_kspec.results.exemptions import Exemptions
from pytest_kspec.results.result import CheckResult
from pytest_kspec.results.verdict import Verdict
from pytest_kspec.spec.loading import spec_from_part

MOST = 0.5
"""Of the namespaces or workloads: so many must meet a candidate."""

LEVELS = ("restricted", "baseline")
REQUIRED: tuple[dict[str, Any], ...] = (
    {"key": "resources.requests.cpu", "exists": True},
    {"key": "resources.requests.memory", "exists": True},
    {"key": "resources.limits.memory", "exists": True},
    {"key": "securityContext.readOnlyRootFilesystem", "value": True},
)
FORBIDDEN: tuple[dict[str, Any], ...] = (
    {"key": "securityContext.privileged", "value": True},
    {"key": "hostPID", "value": True},
)
WILDCARD = {"apiGroup": "*", "resource": "*", "verbs": ["*"]}


@dataclass
class Draft:
    """A specification to be: `spec` is its plain data; `exempt`: (check, namespace, object) of every finding.

    notes: what could not be read or is left out, and why
    """

    cluster: str
    version: str
    spec: dict[str, Any] = field(default_factory=dict)
    exempt: list[tuple[str, str, ResourceRef]] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


class Survey:
    """One look at one cluster; each kind is listed once."""

    def __init__(self, source: Source) -> None:
        self._examined = Examined(source)
        self._inventory = self._examined.inventory
        self._checkset = load_checks()

    def draft(self) -> Draft:
        """Try every candidate. Raises SourceError if the cluster cannot be reached at all."""
        info = self._inventory.info
        draft = Draft(info.name, info.version)
        for section in (self._kubernetes, self._pod_security, self._network, self._workloads, self._rbac):
            try:
                section(draft)
            except KspecError as error:
                draft.notes.append(f"left out: {error}")
        self._exempt(draft)
        return draft

    def _kubernetes(self, draft: Draft) -> None:
        if not draft.version:
            draft.notes.append("kubernetes: manifests have no API server, so no version is required")
            return
        try:
            version = Version.parse(draft.version)
        except ValueError as error:
            draft.notes.append(f"kubernetes: {error}")
            return
        draft.spec["kubernetes"] = {"minVersion": f"{version.major}.{version.minor}"}

    def _pod_security(self, draft: Draft) -> None:
        """The strictest level that the pods of most namespaces meet."""
        namespaces = self._namespaces_with_pods
        if not namespaces:
            draft.notes.append("podSecurity: there are no pods")
            return
        for level in LEVELS:
            results = self._try({"podSecurity": {"enforce": level}}, "podSecurity.standard")
            bad = {f.owner.namespace for r in results for f in r.findings}
            if self._most(len(namespaces - bad), len(namespaces)):
                draft.spec["podSecurity"] = {"enforce": level, "audit": level, "warn": level}
                return
        draft.notes.append("podSecurity: the pods of most namespaces meet neither restricted nor baseline")

    def _network(self, draft: Draft) -> None:
        network: dict[str, Any] = {}
        namespaces = {n.name for n in self._inventory.list("Namespace", "")}
        results = self._try({"network": {"defaultDeny": True}}, "network.defaultDeny")
        bad = {f.resource.name for r in results for f in r.findings}
        if self._most(len(namespaces - bad), len(namespaces)):
            network["defaultDeny"] = True
        else:
            draft.notes.append("network.defaultDeny: most namespaces have no default deny policy")
        services = self._inventory.list("Service", "")
        if types := sorted({str(s.spec.get("type") or "ClusterIP") for s in services}):
            network["allowedServiceTypes"] = types
        if network:
            draft.spec["network"] = network

    def _workloads(self, draft: Draft) -> None:
        workloads = self._inventory.workloads(pod_kinds())
        owners = {w.owner for w in workloads}
        if not owners:
            draft.notes.append("workloads: there are no workloads")
            return
        containers: dict[str, Any] = {}
        for part, candidates in (("required", REQUIRED), ("forbidden", FORBIDDEN)):
            met = [c for c in candidates if self._most_meet(part, c, owners)]
            if met:
                containers[part] = met
        images: dict[str, Any] = {}
        references = Counter(self._registries())
        if references:
            images["allowedRegistries"] = sorted(references)
        results = self._try({"workloads": {"images": {"requireDigests": True}}}, "workloads.images")
        if self._most(len(owners - {f.owner for r in results for f in r.findings}), len(owners)):
            images["requireDigests"] = True
        parts = {"containers": containers, "images": images}
        draft.spec["workloads"] = {name: part for name, part in parts.items() if part}

    def _rbac(self, draft: Draft) -> None:
        if draft.version:
            draft.spec["rbac"] = {"forbiddenRules": [WILDCARD]}

    def _exempt(self, draft: Draft) -> None:
        """Everything that the draft would find. What is an error, or about the whole cluster, is noted."""
        for result in self._try(draft.spec) if draft.spec else ():
            if result.verdict is Verdict.ERROR:
                draft.notes.append(f"{result.id} could not be evaluated: {result.reason}")
            for finding in result.findings:
                ref = finding.owner
                if not ref.kind:
                    draft.notes.append(f"{result.id} is not met: {finding.message}")
                    continue
                namespace = ref.name if ref.kind == "Namespace" else ref.namespace
                draft.exempt.append((result.id, namespace, ref))

    def _most_meet(self, part: str, candidate: dict[str, Any], owners: set[ResourceRef]) -> bool:
        results = self._try({"workloads": {"containers": {part: [candidate]}}}, "workloads.containers")
        return self._most(len(owners - {f.owner for r in results for f in r.findings}), len(owners))

    @staticmethod
    def _most(good: int, of: int) -> bool:
        return of > 0 and good / of >= MOST

    @cached_property
    def _namespaces_with_pods(self) -> set[str]:
        return {w.namespace for w in self._inventory.workloads()}

    def _registries(self) -> Sequence[str]:
        found = []
        for workload in self._inventory.workloads():
            for container in workload.containers:
                image = container.raw.get("image")
                try:
                    found.append(parse_image(image).registry if isinstance(image, str) else "")
                except ValueError:
                    continue
        return [registry for registry in found if registry]

    def _try(self, part: dict[str, Any], prefix: str = "") -> list[CheckResult]:
        """Run the checks that this part of a specification asks for, exemptions aside."""
        moment = now()
        plan = make_plan(spec_from_part(part), self._checkset)
        scan = ClusterScan(plan, Exemptions([], moment), self._examined, moment)
        return [
            evaluate(planned.entry.check, scan.context(planned))
            for planned in plan.planned
            if planned.requirement.id.startswith(prefix) and self._asked(planned)
        ]

    @staticmethod
    def _asked(planned: Any) -> bool:
        """Not the checks that run for every specification: the draft cannot leave them out."""
        check = planned.entry.check
        return check.key is not None or check.requirements is not None
