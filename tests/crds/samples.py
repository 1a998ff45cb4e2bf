"""The samples of examples/custom-resources, and the model that reads each kind's spec."""

import re
from pathlib import Path
from typing import Any

import yaml
from pydantic import ValidationError

from pytest_kspec.crds.definitions import DEFINITIONS, Definition
from pytest_kspec.errors import SpecError
from pytest_kspec.model.specfile import spec_from_part

_OF_PODS = re.compile(
    r"workloads\.containers\.\w+\[\d+\]\.(key|value): (no Kubernetes Pod|[\w.]+ (is|takes)|an empty list says)"
)
"""Problems that need to know the fields of a Pod (`validations.NOT_SAID`)."""

FOLDER = Path(__file__).parents[2] / "examples" / "custom-resources"


def sample(definition: Definition) -> dict[str, Any]:
    with (FOLDER / f"{definition.kind.lower()}.yaml").open() as file:
        loaded: dict[str, Any] = yaml.safe_load(file)
    return _texts(loaded)  # type: ignore[no-any-return]


def _texts(data: Any) -> Any:
    """YAML reads `2027-03-31` as a date; what is sent to a server is JSON."""
    if isinstance(data, dict):
        return {key: _texts(value) for key, value in data.items()}
    if isinstance(data, list):
        return [_texts(value) for value in data]
    return data if isinstance(data, str | int | float | bool | None) else data.isoformat()


def problem(definition: Definition, spec: Any) -> str:
    """What our reader says against this spec; "" if nothing."""
    try:
        if definition.kind == "ClusterSpecification":
            spec_from_part(spec)
        else:
            definition.spec.model_validate(spec)
    except ValidationError as error:
        return str(error)
    except SpecError as error:
        return "\n".join(line for line in error.problems if not _OF_PODS.search(line))
    return ""


__all__ = ["DEFINITIONS", "FOLDER", "problem", "sample"]
