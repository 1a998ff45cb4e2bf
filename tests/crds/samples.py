"""The samples of examples/custom-resources, and the model that reads each kind's spec."""

from pathlib import Path
from typing import Any

import yaml
from pydantic import ValidationError

from pytest_kspec.crds.schema.definitions import DEFINITIONS, Definition

FOLDER = Path(__file__).parents[2] / "examples" / "custom-resources"


def sample(definition: Definition) -> dict[str, Any]:
    with (FOLDER / f"{definition.kind.lower()}.yaml").open() as file:
        loaded: dict[str, Any] = yaml.safe_load(file)
    return _texts(loaded)


def _texts(data: Any) -> Any:
    """YAML reads `2027-03-31` as a date; what is sent to a server is JSON."""
    if isinstance(data, dict):
        return {key: _texts(value) for key, value in data.items()}
    if isinstance(data, list):
        return [_texts(value) for value in data]
    return data if isinstance(data, str | int | float | bool | None) else data.isoformat()


def problem(definition: Definition, spec: Any) -> str:
    """What our reader says against this spec; "" if nothing."""
    names = [entry.get("name") for entry in _entries(spec, "policyExemptions") + _entries(spec, "webhooks")]
    if len(set(map(str, names))) < len(names):
        return "a name occurs twice"  # the reader of specifications says it, and lists by name do
    try:
        definition.spec.model_validate(spec)
    except ValidationError as error:
        return str(error)
    return ""


def _entries(spec: Any, key: str) -> list[dict[str, Any]]:
    found = spec.get(key) if isinstance(spec, dict) else None
    return [entry for entry in found if isinstance(entry, dict)] if isinstance(found, list) else []


__all__ = ["DEFINITIONS", "FOLDER", "problem", "sample"]
