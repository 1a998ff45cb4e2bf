"""docs/spec-reference.md, generated from the models: every key with type, default and meaning.

`python -m pytest_kspec.reference.specdoc docs/spec-reference.md` writes it; a test fails when it is stale.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from pytest_kspec.spec.document import NOT_READ, ExemptionsDocument, SpecDocument
from pytest_kspec.spec.operations import NOT_EVALUATED
from pytest_kspec.spec.problems import model_of
from pytest_kspec.spec.schema import exemptions_schema, spec_schema, template_schema
from pytest_kspec.spec.templates import TemplateDocument
from pytest_kspec.spec.twins import twin_model

_INTRO = """\
# Specification reference

This page is generated from the models (`make docs`). `kspec schema` prints JSON Schema for editors.

A specification is one YAML (or JSON) document. Files say `apiVersion: kspec.dev/v1`, custom resources
`apiVersion: kspec.io/v1alpha1`; both have the same keys. A specification requires only
what is written in it: a section that is left out has no requirements.

* A key that is not listed here is an error, with its line and a suggestion. So is a key that occurs twice,
  or that has no value.
* Numbers, versions and dates keep their text: `minVersion: 1.30` is version 1.30, not 1.3.
* Only `true` and `false` are truth values; `yes` and `on` are words.
* Anchors, aliases and `<<` merges work within one document; as for kubectl, what is merged replaces a key that is
  written before it. A file holds one document of at most 1 MiB.
* `*` and `?` are wildcards where the description says so; brackets and dots stand for themselves.
"""
_EXEMPTIONS = """
## Exemption files

Exemptions of their own file (`--kspec-exemptions`) apply beside `spec.policyExemptions`, with the same keys.
"""

_TEMPLATES = """\
## Policy templates

The part of a specification with parameters in it; [Templates](policies.md#templates) explains them.
"""


def render_reference() -> str:
    """The page as Markdown."""
    document, template = twin_model(SpecDocument), twin_model(TemplateDocument)
    lines = [_INTRO]
    lines += _table("Document", "", document, spec_schema())
    schema = spec_schema()
    described: dict[type[BaseModel], str] = {}
    for path, model in _sections(document, ""):
        if model in described:
            lines += [f"## `{path}`", "", f"The same keys as `{described[model]}`.", ""]
        else:
            described[model] = path
            lines += _table(f"`{path}`", path, model, schema)
    lines.append(_EXEMPTIONS)
    lines += _table("Exemptions document", "", twin_model(ExemptionsDocument), exemptions_schema())
    lines.append(_TEMPLATES)
    lines += _table("Template document", "", template, template_schema())
    for path, model in _sections(template, ""):
        lines += _table(f"`{path}` of a template", path, model, template_schema())
    return "\n".join(lines).rstrip() + "\n"


def _sections(model: type[BaseModel], path: str) -> Iterator[tuple[str, type[BaseModel]]]:
    """Models below this one with their key paths, in the order of the keys."""
    for name, field in model.model_fields.items():
        inner = model_of(field.annotation)
        if inner is not None:
            here = f"{path}.{field.alias or name}" if path else field.alias or name
            if "list[" in str(field.annotation):
                here += "[]"
            yield here, inner
            yield from _sections(inner, here)


def _table(title: str, path: str, model: type[BaseModel], schema: dict[str, Any]) -> list[str]:
    definition = schema["$defs"].get(model.__name__, schema)
    lines = [
        f"## {title}",
        "",
        _doc(model),
        "",
        "| Key | Type | Default | Meaning |",
        "| --- | --- | --- | --- |",
    ]
    unread = [field.alias for field in model.model_fields.values() if field.description == NOT_READ]
    for name, field in model.model_fields.items():
        key = field.alias or name
        if key in unread:
            continue
        shape = definition["properties"][key]
        default = "required" if field.is_required() else f"`{shape['default']}`" if "default" in shape else ""
        if default in ("`True`", "`False`"):
            default = default.lower()
        full = f"{path}.{key}".removeprefix("spec.")
        note = f" **Not evaluated**: {NOT_EVALUATED[full]}." if full in NOT_EVALUATED else ""
        meaning = (field.description or "").replace("|", "\\|")
        lines.append(f"| `{key}` | {_type(shape)} | {default} | {meaning}{note} |")
    if unread:
        lines.append(f"| {', '.join(f'`{key}`' for key in unread)} | any | | {NOT_READ} |")
    lines.append("")
    return lines


def _doc(model: type[BaseModel]) -> str:
    return " ".join((model.__doc__ or "").split())


def _type(shape: dict[str, Any]) -> str:
    if "enum" in shape:
        return ", ".join(f"`{value}`" for value in shape["enum"])
    if "const" in shape:
        return f"`{shape['const']}`"
    if "$ref" in shape:
        return "mapping"
    for union in ("oneOf", "anyOf"):
        if union in shape:
            return " or ".join(dict.fromkeys(_type(option) for option in shape[union]))
    kind = shape.get("type")
    if kind == "array":
        return f"list of {_type(shape['items'])}"
    if kind == "object":
        return "mapping of text" if isinstance(shape.get("additionalProperties"), dict) else "mapping"
    if kind == "integer":
        low, high = shape.get("minimum"), shape.get("maximum")
        return f"number, {low} to {high}" if high else f"number, at least {low}"
    if kind == ["string", "integer"]:
        return "text or number"
    if kind == ["string", "integer", "boolean"]:
        return "text, number or boolean"
    return {"string": "text", "boolean": "boolean"}.get(str(kind), "text" if kind else "any")


if __name__ == "__main__":
    Path(sys.argv[1]).write_text(render_reference(), encoding="utf-8")
