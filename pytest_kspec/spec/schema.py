"""JSON Schema of specification, exemption and template files, for editors. Made from the models: it cannot disagree.

What a schema cannot say (minVersion not above maxVersion, exemptions that never match) `kspec validate` says.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pytest_kspec.spec.document import FILE_VERSION, ExemptionsDocument, SpecDocument
from pytest_kspec.spec.operations import NOT_EVALUATED
from pytest_kspec.spec.templates import TemplateDocument

if TYPE_CHECKING:
    from pytest_kspec.spec.declared import SpecModel

DIALECT = "https://json-schema.org/draft/2020-12/schema"
SPEC_ID = "https://kspec.dev/schemas/v1/cluster-specification.json"
EXEMPTIONS_ID = "https://kspec.dev/schemas/v1/exemptions.json"
TEMPLATE_ID = "https://kspec.dev/schemas/v1/policy-template.json"


def spec_schema() -> dict[str, Any]:
    """Schema of a specification, as a file or as a custom resource."""
    schema = _schema(SpecDocument, SPEC_ID)
    # In a file the specification has a version; a custom resource has its own metadata instead.
    schema["if"] = {"properties": {"apiVersion": {"const": FILE_VERSION}}}
    schema["then"] = {"properties": {"metadata": {"required": ["name", "version"]}}}
    return schema


def exemptions_schema() -> dict[str, Any]:
    """Schema of a file of exemptions."""
    return _schema(ExemptionsDocument, EXEMPTIONS_ID)


def template_schema() -> dict[str, Any]:
    """Schema of a file of a policy template."""
    return _schema(TemplateDocument, TEMPLATE_ID)


def _schema(model: type[SpecModel], identifier: str) -> dict[str, Any]:
    from pytest_kspec.spec.twins import twin_model

    schema = twin_model(model).model_json_schema(by_alias=True, mode="validation")
    _simplify(schema)
    for key, reason in NOT_EVALUATED.items():
        _note(schema, key, reason)
    return {"$schema": DIALECT, "$id": identifier, **schema}


def _simplify(part: Any) -> None:
    """A key that may be left out may not be null either; titles that only repeat the key say nothing."""
    if isinstance(part, list):
        for entry in part:
            _simplify(entry)
    if not isinstance(part, dict):
        return
    options = part.get("anyOf")
    if isinstance(options, list) and {"type": "null"} in options:
        rest = [option for option in options if option != {"type": "null"}]
        if len(rest) == 1:
            del part["anyOf"]
            part.update({**rest[0], **part})
        else:
            part["anyOf"] = rest
    if part.get("default", 0) is None or part.get("default") in ("", [], {}):
        del part["default"]
    if isinstance(part.get("title"), str):
        del part["title"]
    for value in list(part.values()):
        _simplify(value)


def _note(schema: dict[str, Any], key: str, reason: str) -> None:
    """Say at the key that it is not evaluated. Nothing to do for a schema without specifications."""
    definitions = schema["$defs"]
    owner = definitions.get("ClusterSpecification")
    *sections, last = key.split(".")
    for section in sections if owner else ():
        owner = definitions[_model_name(owner["properties"][section])]
    if owner:
        owner["properties"][last]["description"] += f" Not evaluated: {reason}."


def _model_name(shape: dict[str, Any]) -> str:
    references = [option["$ref"] for option in shape.get("oneOf", [shape]) if "$ref" in option]
    return str(references[0]).rpartition("/")[2]
