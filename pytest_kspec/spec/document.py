"""The documents around a specification or a list of exemptions: apiVersion, kind, metadata."""

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

from pytest_kspec.errors import SpecError
from pytest_kspec.files import open_named
from pytest_kspec.spec.base import SpecVersion, Text
from pytest_kspec.spec.declared import Field, SpecModel
from pytest_kspec.spec.exemption import Exemption
from pytest_kspec.spec.problems import shown, suggest
from pytest_kspec.spec.sections import ClusterSpecification
from pytest_kspec.yamlfiles.reading import Document

FILE_VERSION = "kspec.dev/v1"
RESOURCE_VERSION = "kspec.io/v1alpha1"
SPEC_KIND = "ClusterSpecification"
EXEMPTIONS_KIND = "Exemptions"
NOT_READ = "Part of custom resources; ignored."


class Metadata(SpecModel):
    """What the specification is called. The keys that only an API server writes are accepted and not read."""

    name: Text = Field(description="Name in reports.")
    version: SpecVersion | None = Field(None, description="Version of the specification. Required in files.")
    description: str = Field("", description="Description.")
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
    spec: ClusterSpecification = Field(description="Required state of the cluster.")
    status: Any = Field(None, description=NOT_READ)


class ExemptionsMetadata(SpecModel):
    """What a list of exemptions is called."""

    name: str = Field("", description="Name of the list.")
    description: str = Field("", description="Description.")


class ExemptionsDocument(SpecModel):
    """A file of exemptions that apply beside those of the specification."""

    api_version: Literal["kspec.dev/v1"] = Field(description="kspec.dev/v1.")
    kind: Literal["Exemptions"] = Field(description="Exemptions.")
    metadata: ExemptionsMetadata | None = Field(None, description="Name of the list.")
    exemptions: Annotated[list[Exemption], Field(description="Findings that are accepted.")]


NO_VALUE = "has no value: add a value or remove the key."


FILE_VERSIONS = (FILE_VERSION,)


SPEC_VERSIONS = (FILE_VERSION, RESOURCE_VERSION)


def require_kind(document: Document, kind: str, versions: Sequence[str]) -> None:
    """It is what is asked for at all; otherwise one error instead of an unknown key on every line."""
    data = document.data
    where = document.where(document.value_position(()))
    if not isinstance(data, dict):
        raise SpecError(
            f"must be a mapping with apiVersion and kind {kind}, found {shown(data)}.", where=where
        )
    found = data.get("kind")
    if found != kind:
        what = f"kind: {shown(found)} is not allowed" if "kind" in data else "kind: required key is missing"
        where = document.where(document.value_position(("kind",))) if "kind" in data else where
        raise SpecError(f"{what}; allowed: {kind}.{suggest(found or '', [kind])}", where=where)
    version = data.get("apiVersion")
    if version not in versions:
        what = (
            f"apiVersion: {shown(version)} is not allowed"
            if "apiVersion" in data
            else "apiVersion: required key is missing"
        )
        where = document.where(document.value_position(("apiVersion",))) if "apiVersion" in data else where
        raise SpecError(
            f"{what}; allowed: {', '.join(versions)}.{suggest(version or '', versions)}", where=where
        )


def has_kind(path: Path, kind: str) -> bool:
    """Whether a file says that it is of this kind, be it valid or not."""
    try:
        with open_named(path) as stream:
            head = stream.read(1 << 20)
    except OSError:
        return False
    return re.search(rb"^[\"']?kind[\"']?:\s*[\"']?" + kind.encode() + rb"\b", head, re.MULTILINE) is not None


def without_nulls(data: Any) -> Any:
    """Plain data without the keys that an API server wrote as `key: null`."""
    if isinstance(data, Mapping):
        return {key: without_nulls(value) for key, value in data.items() if value is not None}
    return [without_nulls(value) for value in data] if isinstance(data, list | tuple) else data
