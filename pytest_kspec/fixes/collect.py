"""What a result offers: one patch for each object, and the objects to create. Worst findings first."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from pytest_kspec.fixes.merge import merge
from pytest_kspec.kube.reference import ResourceRef
from pytest_kspec.results.finding import Finding
from pytest_kspec.results.result import ScanResult
from pytest_kspec.results.verdict import Severity


@dataclass(frozen=True, slots=True)
class ObjectFix:
    """All that is to be done to one object of one cluster.

    patch:     strategic merge patch; or the whole object where it is `new`
    checks:    ids of the requirements whose findings it removes, sorted
    conflicts: paths at which two fixes differ; the fix of the more severe finding was used
    """

    cluster: str
    resource: ResourceRef
    patch: dict[str, Any]
    checks: tuple[str, ...]
    conflicts: tuple[str, ...] = ()
    new: bool = False

    @property
    def manifest(self) -> dict[str, Any]:
        """The patch with the names of its object, as kubectl and kustomize read it from a file."""
        names: dict[str, Any] = {"name": self.resource.name}
        if self.resource.namespace:
            names["namespace"] = self.resource.namespace
        metadata = {**names, **self.patch.get("metadata", {})}
        head = {"apiVersion": self.resource.api_version, "kind": self.resource.kind, "metadata": metadata}
        return {**head, **{key: value for key, value in self.patch.items() if key not in head}}


@dataclass(frozen=True, slots=True)
class Fixes:
    """Patches and new objects, sorted by cluster and object; how many findings need a person instead."""

    objects: tuple[ObjectFix, ...]
    fixed: int
    personal: int


def collect(result: ScanResult, wanted: Callable[[str], bool] = lambda _: True) -> Fixes:
    """Everything that this result offers for requirements that are `wanted`. Exempted findings are accepted."""
    found: dict[tuple[str, ResourceRef, bool], list[tuple[Severity, str, Finding]]] = {}
    personal = 0
    for cluster in result.clusters:
        for check in cluster.checks:
            if not wanted(check.id):
                continue
            for finding in check.findings:
                if finding.exemption is not None:
                    continue
                if not finding.fix:
                    personal += 1
                    continue
                new = "kind" in finding.fix
                ref = _ref(finding.fix) if new else finding.resource
                found.setdefault((cluster.name, ref, new), []).append((check.severity, check.id, finding))
    objects = []
    for (cluster_name, ref, new), entries in sorted(found.items(), key=lambda item: item[0]):
        entries.sort(key=lambda entry: (-entry[0].rank, entry[1], entry[2].path, entry[2].message))
        patch, conflicts = merge(finding.fix for _, _, finding in entries)
        checks = tuple(sorted({check_id for _, check_id, _ in entries}))
        objects.append(ObjectFix(cluster_name, ref, patch, checks, conflicts, new))
    return Fixes(tuple(objects), sum(map(len, found.values())), personal)


def _ref(manifest: dict[str, Any]) -> ResourceRef:
    metadata = manifest.get("metadata") or {}
    return ResourceRef(
        str(manifest.get("apiVersion", "")),
        str(manifest["kind"]),
        str(metadata.get("namespace") or ""),
        str(metadata.get("name") or ""),
    )
