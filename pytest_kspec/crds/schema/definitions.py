"""The custom resources: names, scope, columns, and the models that their schemas are made of."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from pydantic import BaseModel

from pytest_kspec.crds.models.alertconfig import AlertConfigSpec, AlertConfigStatus
from pytest_kspec.crds.models.clusterspecification import ClusterSpecificationStatus
from pytest_kspec.crds.models.clustertarget import ClusterTargetSpec, ClusterTargetStatus
from pytest_kspec.crds.models.compliancereport import ComplianceReportSpec, ComplianceReportStatus
from pytest_kspec.crds.models.driftconfig import DriftConfigSpec, DriftConfigStatus
from pytest_kspec.crds.models.driftreport import DriftReportSpec, DriftReportStatus
from pytest_kspec.crds.names import GROUP, VERSION
from pytest_kspec.crds.schema.structural import structural
from pytest_kspec.spec.sections import ClusterSpecification
from pytest_kspec.spec.twins import twin_model


class Column(NamedTuple):
    """A column of `kubectl get`. priority 1: with `-o wide` only."""

    name: str
    path: str
    type: str = "string"
    priority: int = 0


class Definition(NamedTuple):
    """One custom resource. without: keys of the model that the resource does not have."""

    kind: str
    plural: str
    short_names: tuple[str, ...]
    description: str
    spec: type[BaseModel]
    status: type[BaseModel]
    columns: tuple[Column, ...]
    namespaced: bool = True
    without: frozenset[str] = frozenset()

    @property
    def name(self) -> str:
        """`compliancereports.kspec.io`."""
        return f"{self.plural}.{GROUP}"


AGE = Column("Age", ".metadata.creationTimestamp", "date")

DEFINITIONS = (
    Definition(
        "AlertConfig",
        "alertconfigs",
        ("ac",),
        "Which alerts are sent, and where.",
        AlertConfigSpec,
        AlertConfigStatus,
        (
            Column("Enabled", ".spec.enabled", "boolean", 1),
            Column("Slack", ".spec.slack.enabled", "boolean"),
            Column("Webhooks", ".spec.webhooks[*].name"),
            Column("Alerts Sent", ".status.alertsSent", "integer"),
            Column("Failed", ".status.alertsFailed", "integer", 1),
            AGE,
        ),
    ),
    Definition(
        "ClusterSpecification",
        "clusterspecifications",
        ("clusterspec", "cspec"),
        "Required state of a cluster.",
        twin_model(ClusterSpecification),
        ClusterSpecificationStatus,
        (
            Column("Phase", ".status.phase"),
            Column("Score", ".status.complianceScore", "integer"),
            Column("Last Scan", ".status.lastScanTime", "date"),
            Column("Mode", ".spec.enforcement.mode", "string", 1),
            Column("Errors", ".status.summary.errorChecks", "integer", 1),
            Column("Clusters", ".status.clusters.selected", "integer", 1),
            Column("Unreachable", ".status.clusters.unreachable", "integer", 1),
            AGE,
        ),
        namespaced=False,
        without=frozenset(("checks",)),
    ),
    Definition(
        "ClusterTarget",
        "clustertargets",
        ("ct",),
        "A cluster that is scanned from this cluster.",
        ClusterTargetSpec,
        ClusterTargetStatus,
        (
            Column("API Server", ".spec.apiServerURL"),
            Column("Reachable", ".status.reachable", "boolean"),
            Column("Version", ".status.version"),
            Column("Platform", ".status.platform"),
            Column("Nodes", ".status.nodeCount", "integer", 1),
            AGE,
        ),
    ),
    Definition(
        "ComplianceReport",
        "compliancereports",
        ("cr",),
        "Result of one specification on one cluster.",
        ComplianceReportSpec,
        ComplianceReportStatus,
        (
            Column("Cluster", ".spec.clusterName"),
            Column("Cluster Spec", ".spec.clusterSpecRef.name"),
            Column("Pass Rate", ".spec.summary.passRate", "integer"),
            Column("Scan Time", ".spec.scanTime", "date"),
            Column("Passed", ".spec.summary.passed", "integer", 1),
            Column("Failed", ".spec.summary.failed", "integer", 1),
            Column("Errors", ".spec.summary.errors", "integer", 1),
            Column("Phase", ".status.phase", "string", 1),
            AGE,
        ),
    ),
    Definition(
        "DriftConfig",
        "driftconfigs",
        ("dc",),
        "Drift detection: which clusters, when, and how differences are corrected.",
        DriftConfigSpec,
        DriftConfigStatus,
        (
            Column("Enabled", ".spec.enabled", "boolean"),
            Column("Strategy", ".spec.remediation.strategy"),
            Column("Schedule", ".spec.schedule"),
            Column("Interval", ".spec.interval"),
            Column("Last Run", ".status.lastRunTime", "date"),
            AGE,
        ),
    ),
    Definition(
        "DriftReport",
        "driftreports",
        ("dr",),
        "Differences of a cluster from its previous or its intended state.",
        DriftReportSpec,
        DriftReportStatus,
        (
            Column("Cluster", ".spec.clusterName"),
            Column("Cluster Spec", ".spec.clusterSpecRef.name"),
            Column("Drift", ".spec.driftDetected", "boolean"),
            Column("Severity", ".spec.severity"),
            Column("Events", ".status.totalEvents", "integer"),
            Column("Detection Time", ".spec.detectionTime", "date"),
            Column("Phase", ".status.phase", "string", 1),
            AGE,
        ),
    ),
)


def find(name: str) -> Definition | None:
    """By kind, plural, singular, short name or full name, in any case."""
    wanted = name.lower()
    for found in DEFINITIONS:
        if wanted in (found.kind.lower(), found.plural, found.name, *found.short_names):
            return found
    return None


def manifest(definition: Definition) -> dict[str, Any]:
    """The CustomResourceDefinition, as plain data in the order in which it is printed."""
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": definition.name, "labels": {"app.kubernetes.io/part-of": "kspec"}},
        "spec": {
            "group": GROUP,
            "names": {
                "kind": definition.kind,
                "listKind": f"{definition.kind}List",
                "plural": definition.plural,
                "singular": definition.kind.lower(),
                "shortNames": list(definition.short_names),
                "categories": ["kspec"],
            },
            "scope": "Namespaced" if definition.namespaced else "Cluster",
            "versions": [_version(definition)],
        },
    }


def _version(definition: Definition) -> dict[str, Any]:
    schema = {
        "description": definition.description,
        "type": "object",
        "required": ["spec"],
        "properties": {
            "apiVersion": {"description": f"{GROUP}/{VERSION}.", "type": "string"},
            "kind": {"description": f"{definition.kind}.", "type": "string"},
            "metadata": {"type": "object"},
            "spec": structural(definition.spec, without=definition.without),
            "status": structural(definition.status),
        },
    }
    return {
        "name": VERSION,
        "served": True,
        "storage": True,
        "additionalPrinterColumns": [_column(column) for column in definition.columns],
        "schema": {"openAPIV3Schema": schema},
        "subresources": {"status": {}},
    }


def _column(column: Column) -> dict[str, Any]:
    made: dict[str, Any] = {"name": column.name, "type": column.type, "jsonPath": column.path}
    return made | ({"priority": column.priority} if column.priority else {})


def to_yaml(documents: Sequence[dict[str, Any]]) -> str:
    """YAML documents, the same bytes each time."""
    import yaml

    dumper = getattr(yaml, "CSafeDumper", yaml.SafeDumper)
    return "".join(
        "---\n" + yaml.dump(one, Dumper=dumper, sort_keys=False, allow_unicode=True, width=110)
        for one in documents
    )
