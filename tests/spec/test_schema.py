"""JSON Schema and reference page: made from the models, valid, complete, up to date."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import jsonschema
import pytest
from pydantic import BaseModel

from pytest_kspec.reference.specdoc import render_reference
from pytest_kspec.spec.document import NOT_READ, ExemptionsDocument, SpecDocument
from pytest_kspec.spec.operations import NOT_EVALUATED
from pytest_kspec.spec.problems import model_of
from pytest_kspec.spec.schema import exemptions_schema, spec_schema, template_schema
from pytest_kspec.spec.templates import BUILTIN, TemplateDocument
from pytest_kspec.spec.twins import twin_model
from pytest_kspec.yamlfiles.reading import read_document

ROOT = Path(__file__).parents[2]
SPECS = sorted((Path(__file__).parent / "data" / "specs").glob("*.yaml")) + [
    ROOT / "examples" / "specs" / name for name in ("minimal.yaml", "production.yaml", "every-key.yaml")
]


def errors(schema: dict[str, Any], data: Any) -> list[str]:
    validator = jsonschema.Draft202012Validator(schema)
    return sorted(error.message for error in validator.iter_errors(data))


@pytest.mark.parametrize(
    "schema",
    [spec_schema(), exemptions_schema(), template_schema()],
    ids=["spec", "exemptions", "template"],
)
def test_the_schemas_are_schemas(schema: dict[str, Any]) -> None:
    jsonschema.Draft202012Validator.check_schema(schema)
    assert schema["$schema"] == "https://json-schema.org/draft/2020-12/schema"


@pytest.mark.parametrize("path", SPECS, ids=lambda path: f"{path.parent.name}-{path.stem}")
def test_specifications_match_the_schema(path: Path) -> None:
    assert errors(spec_schema(), read_document(path).data) == []


def test_exemption_files_match_the_schema() -> None:
    assert (
        errors(exemptions_schema(), read_document(ROOT / "examples" / "specs" / "exemptions.yaml").data) == []
    )


@pytest.mark.parametrize(
    "path", [*sorted(BUILTIN.glob("*.yaml")), ROOT / "examples" / "04-policies" / "templates" / "limits.yaml"]
)
def test_templates_match_the_schema(path: Path) -> None:
    assert errors(template_schema(), read_document(path).data) == []


def test_what_an_editor_underlines() -> None:
    valid = read_document(SPECS[0]).data
    assert errors(spec_schema(), {**valid, "apiVersion": "kspec.dev/v2"}) == [
        "'kspec.dev/v2' is not one of ['kspec.dev/v1', 'kspec.io/v1alpha1']"
    ]
    assert errors(spec_schema(), {**valid, "metadata": {"name": "a"}}) == ["'version' is a required property"]
    resource = {
        **valid,
        "apiVersion": "kspec.io/v1alpha1",
        "metadata": {"name": "a", "uid": "b"},
        "status": {},
    }
    assert errors(spec_schema(), resource) == []
    spec = {"network": {"defaultDeny": "yes", "disallowedPorts": [0]}, "kubernetes": None, "netwrok": {}}
    assert errors(spec_schema(), {**valid, "spec": spec}) == [
        "'yes' is not of type 'boolean'",
        "0 is less than the minimum of 1",
        "Additional properties are not allowed ('netwrok' was unexpected)",
        "None is not of type 'object'",
    ]


def test_an_unquoted_version_is_not_underlined() -> None:
    """To an editor `minVersion: 1.30` is a number; we read its text."""
    valid = read_document(SPECS[0]).data
    assert errors(spec_schema(), {**valid, "spec": {"kubernetes": {"minVersion": 1.30}}}) == []


def models(model: type[BaseModel], path: str = "") -> list[tuple[str, type[BaseModel]]]:
    found = [(path, model)]
    for name, field in model.model_fields.items():
        inner = model_of(field.annotation)
        if inner is not None:
            found += models(inner, f"{path}.{field.alias or name}".lstrip("."))
    return found


@pytest.mark.parametrize(
    ("path", "model"),
    [
        found
        for model in (SpecDocument, ExemptionsDocument, TemplateDocument)
        for found in models(twin_model(model))
    ],
    ids=lambda value: str(value),
)
def test_every_model_and_key_is_described(path: str, model: type[BaseModel]) -> None:
    assert model.__doc__
    for name, field in model.model_fields.items():
        assert field.description, f"{path}.{name}"
        assert field.description.endswith("."), f"{path}.{name}"


def test_the_reference_page_is_up_to_date() -> None:
    page = (ROOT / "docs" / "spec-reference.md").read_text(encoding="utf-8")
    assert page == render_reference(), "run: python -m pytest_kspec.reference.specdoc docs/spec-reference.md"


def test_the_reference_page_says_what_is_not_evaluated() -> None:
    page = render_reference()
    assert [page.count(f"**Not evaluated**: {reason}.") for reason in NOT_EVALUATED.values()] == [1] * len(
        NOT_EVALUATED
    )


def test_the_example_with_every_key_has_every_key() -> None:
    data = read_document(ROOT / "examples" / "specs" / "every-key.yaml").data
    missing = []

    def look(model: type[BaseModel], values: list[Any], path: str) -> None:
        for name, field in model.model_fields.items():
            key = field.alias or name
            found = [value[key] for value in values if isinstance(value, dict) and key in value]
            if not found and field.description != NOT_READ:
                missing.append(f"{path}.{key}")
            inner = model_of(field.annotation)
            if inner is not None:
                flat = [v for value in found for v in (value if isinstance(value, list) else [value])]
                look(inner, flat, f"{path}.{key}")

    look(twin_model(SpecDocument), [data], "")
    # clusterRef is written as text there, so the keys of its other form are not, nor is what cannot stand beside it;
    # the first three are for `required` only.
    forbidden = ".spec.workloads.containers.forbidden"
    assert missing == [
        *(f"{forbidden}.{key}" for key in ("allowed", "anyOf.allowed", "orUnset")),
        ".spec.clusterRef.name",
        ".spec.clusterRef.namespace",
        ".spec.clusterSelector",
        *(f".spec.clusterSelector.{key}" for key in ("matchLabels", "matchExpressions")),
        *(f".spec.clusterSelector.matchExpressions.{key}" for key in ("key", "operator", "values")),
    ]
