"""The documents around a specification or a list of exemptions: apiVersion, kind, metadata."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field

from pytest_kspec.model.spec import ClusterSpecification
from pytest_kspec.model.spec_base import SpecModel, SpecVersion, Text
from pytest_kspec.model.spec_exemption import Exemption

FILE_VERSION = "kspec.dev/v1"
RESOURCE_VERSION = "kspec.io/v1alpha1"
SPEC_KIND = "ClusterSpecification"
EXEMPTIONS_KIND = "Exemptions"
NOT_READ = "Of a custom resource; not read."


class Metadata(SpecModel):
    """What the specification is called. The keys that only an API server writes are accepted and not read."""

    name: Text = Field(description="Name in reports.")
    version: SpecVersion | None = Field(None, description="Version of the specification; required in files.")
    description: str = Field("", description="What it is for.")
    labels: dict[str, str] = Field(default_factory=dict, description="Labels.")
    annotations: dict[str, str] = Field(default_factory=dict, description="Annotations of a custom resource.")
    namespace: Any = Field(None, description=NOT_READ)
    uid: Any = Field(None, description=NOT_READ)
    generate_name: Any = Field(None, description=NOT_READ)
    generation: Any = Field(None, description=NOT_READ)
    resource_version: Any = Field(None, description=NOT_READ)
    creation_timestamp: Any = Field(None, description=NOT_READ)
    deletion_timestamp: Any = Field(None, description=NOT_READ)
    deletion_grace_period_seconds: Any = Field(None, description=NOT_READ)
    finalizers: Any = Field(None, description=NOT_READ)
    owner_references: Any = Field(None, description=NOT_READ)
    managed_fields: Any = Field(None, description=NOT_READ)
    self_link: Any = Field(None, description=NOT_READ)


class SpecDocument(SpecModel):
    """A specification file or ClusterSpecification custom resource."""

    api_version: Literal["kspec.dev/v1", "kspec.io/v1alpha1"] = Field(
        description="kspec.dev/v1 in files, kspec.io/v1alpha1 in custom resources."
    )
    kind: Literal["ClusterSpecification"] = Field(description="ClusterSpecification.")
    metadata: Metadata = Field(description="Name and version.")
    spec: ClusterSpecification = Field(description="What the cluster must look like.")
    status: Any = Field(None, description=NOT_READ)


class ExemptionsMetadata(SpecModel):
    """What a list of exemptions is called."""

    name: str = Field("", description="Name of the list.")
    description: str = Field("", description="What it is for.")


class ExemptionsDocument(SpecModel):
    """A file of exemptions that apply beside those of the specification."""

    api_version: Literal["kspec.dev/v1"] = Field(description="kspec.dev/v1.")
    kind: Literal["Exemptions"] = Field(description="Exemptions.")
    metadata: ExemptionsMetadata | None = Field(None, description="Name of the list.")
    exemptions: Annotated[list[Exemption], Field(description="Findings that are accepted.")]
