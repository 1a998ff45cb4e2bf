"""A pydantic model as a structural OpenAPI v3 schema, as CustomResourceDefinitions want it.

JSON Schema says more than a structural schema may: references, alternatives of types, closed objects. What is left
out here is checked when an object is read, and named in `validations.NOT_SAID`. Unknown keys are the API server's
own business: it refuses or prunes them.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel

from pytest_kspec.crds.schema import validations

MAX_ITEMS = 256
"""Longest list, unless `validations.MAX_ITEMS` says something else: CEL rules are admitted for bounded data only."""

MAX_LENGTH = 512
MAX_PROSE = 4096
_PROSE = frozenset((
    "description", "reason", "title", "message", "remediation", "error", "details", "lastError", "expected",
    "fullReport", "reportURL",
))  # fmt: skip
_LONG = frozenset(("caData", "caBundle", "template", "publicKeys", "trustedRoot"))

_FORMATS = frozenset(("date-time", "byte"))  # of others the API server warns

_SCALAR = {"minProperties": 1, "maxProperties": 0, "minItems": 1, "maxItems": 0}
# Text, number or truth value, or a list of those. A schema may not name several types; but of objects and lists
# that have at least one entry and at most none there are none.
_FIELD_SCALAR = {"x-kubernetes-preserve-unknown-fields": True, **_SCALAR}
_FIELD_VALUE = {
    "x-kubernetes-preserve-unknown-fields": True,
    "minProperties": 1,
    "maxProperties": 0,
    "maxItems": 64,
    "items": _FIELD_SCALAR,
}
# A bound of a field: number or text.
_INT_OR_STRING = {"x-kubernetes-int-or-string": True, "maxLength": 64}
_KEPT = (
    "type", "format", "pattern", "enum", "minimum", "maximum", "minLength", "maxLength", "minItems", "maxItems",
    "not", "x-kubernetes-preserve-unknown-fields",
)  # fmt: skip


def structural(model: type[BaseModel], *, without: frozenset[str] = frozenset()) -> dict[str, Any]:
    """The schema of a model. without: keys at the top that the resource does not have."""
    schema = model.model_json_schema(by_alias=True, mode="validation")
    definitions = schema.get("$defs", {})
    made = _part(schema, definitions, model.__name__, "")
    for name in without:
        del made["properties"][name]
    return made


def _part(schema: Mapping[str, Any], definitions: Mapping[str, Any], owner: str, key: str) -> dict[str, Any]:
    """owner: name of the model that this schema is of, "" for none; key: the key that holds it."""
    if "$ref" in schema:
        name = str(schema["$ref"]).rpartition("/")[2]
        schema = {**definitions[name], **{k: v for k, v in schema.items() if k != "$ref"}}
        owner = name
    options = [o for o in schema.get("anyOf", schema.get("oneOf", ())) if o != {"type": "null"}]
    if options:
        return _one_of(options, schema, definitions, key)
    kind = schema.get("type")
    made: dict[str, Any] = {}
    if schema.get("description"):
        made["description"] = schema["description"]
    if kind == ["string", "integer", "boolean"]:
        return made | _FIELD_SCALAR
    if kind == ["string", "integer"]:
        return (
            made
            | {name: schema[name] for name in _KEPT if name in schema and name != "type"}
            | _INT_OR_STRING
        )
    made |= {name: schema[name] for name in _KEPT if name in schema}
    if made.get("format") not in _FORMATS:
        made.pop("format", None)
    if isinstance(kind, list):  # text or number in a file: a custom resource has text
        made["type"] = "string"
    if "const" in schema:
        made |= {"type": "string", "enum": [schema["const"]]}
    default = schema.get("default")
    if default is not None and default not in ("", [], {}):
        made["default"] = default
    if made.get("type") == "string":
        _bound_text(made, key)
    elif kind == "array":
        made.setdefault("maxItems", validations.MAX_ITEMS.get((owner, key), MAX_ITEMS))
        made["items"] = _part(schema["items"], definitions, "", key)
    elif kind == "object":
        made |= _object(schema, definitions, owner, key)
    return made


def _object(
    schema: Mapping[str, Any], definitions: Mapping[str, Any], owner: str, key: str
) -> dict[str, Any]:
    if "properties" not in schema:
        values = schema.get("additionalProperties", {})
        inner = _part(values, definitions, "", key) if isinstance(values, dict) else {}
        if not inner.get("type"):
            return {"x-kubernetes-preserve-unknown-fields": True}
        return {"additionalProperties": inner, "maxProperties": 64}
    made: dict[str, Any] = {
        "properties": {
            name: _part(value, definitions, owner if value.get("type") == "array" else "", name)
            | validations.FIELDS.get((owner, name), {})
            for name, value in schema["properties"].items()
        }
    }
    if schema.get("required"):
        made["required"] = list(schema["required"])
    rules = validations.RULES.get(owner, ())
    if rules:
        made["x-kubernetes-validations"] = [{"rule": rule.rule, "message": rule.message} for rule in rules]
    return made | validations.MODELS.get(owner, {})


def _one_of(
    options: list[Mapping[str, Any]], schema: Mapping[str, Any], definitions: Mapping[str, Any], key: str
) -> dict[str, Any]:
    """`Model | None` is the model; text or mapping is the mapping; scalars of several types are a field value."""
    outer = {name: schema[name] for name in ("description", "default") if name in schema}
    if len(options) == 1:
        return _part({**options[0], **outer}, definitions, "", key)
    references = [option for option in options if "$ref" in option]
    if references:
        return _part({**references[0], **outer}, definitions, "", key)
    return {"description": schema["description"], **_FIELD_VALUE}


def _bound_text(made: dict[str, Any], key: str) -> None:
    if "enum" in made or made.get("format") == "date-time" or key in _LONG:
        return
    made.setdefault("maxLength", MAX_PROSE if key in _PROSE else MAX_LENGTH)
