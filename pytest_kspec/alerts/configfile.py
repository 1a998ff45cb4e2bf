"""An AlertConfig in a file: what `kspec scan --alert FILE` and `kspec alert` read."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

from pydantic import Field

from pytest_kspec.alerts.routing import Plan, make_plan
from pytest_kspec.crds.models.alertconfig import AlertConfigSpec
from pytest_kspec.crds.names import GROUP, VERSION
from pytest_kspec.spec.document import require_kind
from pytest_kspec.spec.problems import Problems
from pytest_kspec.spec.twins import StrictModel
from pytest_kspec.yamlfiles.reading import read_document

KIND = "AlertConfig"


class _Metadata(StrictModel):
    """Of a file or of an object that was read from a cluster."""

    model_config = StrictModel.model_config | {"extra": "ignore"}

    name: str = Field("", description="Name of the configuration.")
    namespace: str = Field("", description="Its namespace.")


class AlertConfigDocument(StrictModel):
    """The whole file."""

    api_version: Literal["kspec.io/v1alpha1"]
    kind: Literal["AlertConfig"]
    metadata: _Metadata = Field(default_factory=lambda: _Metadata.model_validate({}))
    spec: AlertConfigSpec
    status: dict[str, Any] = Field(default_factory=dict)


def load_config(path: str | Path) -> Plan:
    """Read a configuration. Raises SpecError with every problem, each with its place."""
    document = read_document(path)
    require_kind(document, KIND, (f"{GROUP}/{VERSION}",))
    problems = Problems(document)
    found = problems.require(problems.validate(AlertConfigDocument))
    return make_plan(found.metadata.name or Path(path).stem, found.spec, str(path))
