"""Policy templates: the part of a specification with parameters in it, built-in or the user's own.

A template is data, never code: `{{ name }}` is replaced by a parameter's value, `when` and `unless` leave a mapping
out. A parameter that nothing uses is an error, since it would be one without effect.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any, Literal, Self

from msgspec import Struct
from msgspec.structs import replace

from pytest_kspec.errors import SpecError
from pytest_kspec.regexes import regex
from pytest_kspec.spec import layers
from pytest_kspec.spec.base import Flag, SpecVersion, Text, no_entries
from pytest_kspec.spec.declared import Field, SpecModel, model_validator
from pytest_kspec.spec.layers import Node
from pytest_kspec.spec.problems import Problems, shown, suggest
from pytest_kspec.yamlfiles.reading import Document, Position, key_text, parse_document, read_document

TEMPLATE_KIND = "PolicyTemplate"
BUILTIN = Path(__file__).with_name("policytemplates")
CONDITIONS = ("when", "unless")

_PLACEHOLDER = regex(r"\{\{\s*([A-Za-z_][A-Za-z0-9_-]*)\s*\}\}")
_TYPES = {"string": "a string", "int": "an integer", "bool": "true or false", "array": "a list"}
_NAME = regex(r"[A-Za-z_][A-Za-z0-9_-]*")


def has_type(value: Any, kind: str) -> bool:
    """Whether a value is of a parameter type; an array holds text, numbers and truth values."""
    match kind:
        case "string":
            return isinstance(value, str)
        case "int":
            return type(value) is int
        case "bool":
            return isinstance(value, bool)
    return isinstance(value, list) and all(isinstance(entry, str | int) for entry in value)


class TemplateParameter(SpecModel):
    """A parameter of a template."""

    name: Text = Field(description="Name, as in `{{ name }}`.")
    type: Literal["string", "int", "bool", "array"] = Field(description="Type of its values.")
    description: str = Field("", description="Description.")
    default: Any = Field(
        None,
        description="Value if none is given. Without a default, a key whose value "
        "is exactly this parameter is omitted.",
    )
    required: Flag = Field(False, description="Whether a value must be given.")
    allowed_values: list[Any] = Field(
        default_factory=no_entries,
        description="Allowed values (of each item, for an array). Empty: any.",
    )

    @model_validator(mode="after")
    def _fits(self) -> Self:
        if not _NAME.fullmatch(self.name):
            raise ValueError(f"name: {self.name!r} is not a valid name; use letters, digits, - and _.")
        if self.required and self.default is not None:
            raise ValueError("default: has no effect, because a value is required.")
        entry_type = "array" if self.type == "array" else self.type
        for index, value in enumerate(self.allowed_values):
            if not has_type([value] if self.type == "array" else value, entry_type):
                raise ValueError(
                    f"allowedValues[{index}]: must be {_TYPES[self.type]}, found {shown(value)}."
                )
        if self.default is not None and (wrong := self.problem(self.default)):
            raise ValueError(f"default: {wrong}")
        return self

    def problem(self, value: Any) -> str:
        """What is wrong with a value, or ""."""
        if not has_type(value, self.type):
            return f"must be {_TYPES[self.type]}, found {shown(value)}."
        if not self.allowed_values:
            return ""
        for entry in value if isinstance(value, list) else [value]:
            if entry not in self.allowed_values:
                allowed = [str(value) for value in self.allowed_values]
                hint = suggest(entry, allowed)
                return f"{shown(entry)} is not allowed; allowed: {', '.join(allowed)}.{hint}"
        return ""


class TemplateMetadata(SpecModel):
    """What the template is called."""

    name: Text = Field(description="Name that policyTemplate.name refers to.")
    version: SpecVersion | None = Field(None, description="Version of the template.")
    description: str = Field("", description="Description.")
    labels: dict[str, str] = Field(default_factory=dict, description="Labels.")


class TemplateDocument(SpecModel):
    """A file of a policy template."""

    api_version: Literal["kspec.dev/v1"] = Field(description="kspec.dev/v1.")
    kind: Literal["PolicyTemplate"] = Field(description="PolicyTemplate.")
    metadata: TemplateMetadata = Field(description="Name of the template.")
    parameters: list[TemplateParameter] = Field(
        default_factory=no_entries, description="Parameters of the template."
    )
    spec: dict[str, Any] = Field(
        description="Part of a specification; `{{ name }}` is replaced by the value of a parameter."
    )


def read_as(value: Any, kind: str) -> Any:
    """The value, of this type where it is text that says one: a custom resource may hold texts only."""
    if isinstance(value, str):
        if kind == "bool" and value in ("true", "false"):
            return value == "true"
        if kind == "int" and re.fullmatch(r"-?(0|[1-9]\d{0,17})", value):
            return int(value)
    return value


class Template(Struct, frozen=True, eq=False):
    """A template that is right in itself. path: its file, or `<name>` for a built-in one."""

    name: str
    description: str
    path: str
    parameters: Mapping[str, TemplateParameter]
    _document: Document

    @property
    def sha256(self) -> str:
        """Digest of its file."""
        return self._document.sha256

    def default(self, name: str) -> Node | None:
        """The default value of a parameter, knowing its place."""
        index = list(self.parameters).index(name)
        entry = self.parameters[name]
        return (
            None if entry.default is None else layers.read(self._document, ("parameters", index, "default"))
        )

    @property
    def part(self) -> Node:
        """The `spec:` part, placeholders and all."""
        return layers.read(self._document, ("spec",))


def builtin_names() -> list[str]:
    """Names of the built-in templates."""
    return sorted(path.stem for path in BUILTIN.glob("*.yaml"))


@cache
def builtin(name: str) -> Template:
    """A built-in template."""
    text = (BUILTIN / f"{name}.yaml").read_text(encoding="utf-8")
    return template_of(parse_document(text, f"<{name}>"))


def load_template(path: Path) -> Template:
    """Read a template file. Raises SpecError with every problem."""
    return template_of(read_document(path))


def template_of(document: Document) -> Template:
    """A template of its document. Raises SpecError with every problem."""
    for index, (at, path, text) in enumerate(document.problems):
        if text == "a key must be a string.":
            document.problems[index] = (at, path, f"{text} Put {{{{ name }}}} in quotes.")
    problems = Problems(document)
    found = problems.validate(TemplateDocument)
    data = document.data if isinstance(document.data, dict) else {}
    for key in ("policyTemplate", "policyInheritance"):
        if isinstance(data.get("spec"), dict) and key in data["spec"]:
            problems.add(("spec", key), "a template cannot have a template or bases.", at_key=True)
    if found is not None:
        _check_uses(document, found, problems)
    valid = problems.require(found)
    parameters = {parameter.name: parameter for parameter in valid.parameters}
    return Template(valid.metadata.name, valid.metadata.description, document.path, parameters, document)


def _check_uses(document: Document, found: TemplateDocument, problems: Problems) -> None:
    """Each parameter has a name of its own and is used, each placeholder is a parameter."""
    names: dict[str, int] = {}
    for index, parameter in enumerate(found.parameters):
        if names.setdefault(parameter.name, index) != index:
            problems.add(("parameters", index, "name"), f"{shown(parameter.name)} occurs twice.")
    used: set[str] = set()
    for path, node in layers.read(document, ("spec",)).leaves(("spec",)):
        for part in path:
            if isinstance(part, str) and "{{" in part:
                problems.add(path, "a parameter can be used in a value, but not in a key.", at_key=True)
        if not isinstance(node.value, str):
            continue
        for match in _PLACEHOLDER.finditer(node.value):
            used.add(match[1])
            if match[1] not in names:
                problems.add(
                    path, f"{shown(match[1])} is not a parameter of this template.{suggest(match[1], names)}"
                )
        rest = _PLACEHOLDER.sub("", node.value)
        if "{{" in rest or "}}" in rest:
            problems.add(path, "a parameter must be written as {{ name }}.")
    for name, index in names.items():
        if name not in used:
            problems.add(
                ("parameters", index, "name"), f"spec does not use {shown(name)}, so it has no effect."
            )


def instantiate(template: Template, asked: Node) -> Node:
    """The part of a specification that a template makes of these parameters.

    asked: the specification's `policyTemplate`
    Raises SpecError for unknown, missing and wrong parameters, with their places.
    """
    given = asked.get("parameters")
    values, problems = _values(template, asked, given.value if given is not None else {})
    if not problems:
        filler = _Filler(template, values)
        made = filler.fill(template.part)
        problems = filler.problems
        if made is not None and not problems:
            return made
    found = sorted(problems, key=lambda problem: (problem[0].path, problem))
    lines = tuple(f"{layers.place(at)}: {text}" for at, text in found)
    raise SpecError(f"the template {template.name!r} cannot be used.", problems=lines)


def _values(
    template: Template, asked: Node, given: Mapping[str, Node]
) -> tuple[dict[str, Node], list[tuple[Position, str]]]:
    problems: list[tuple[Position, str]] = []
    values: dict[str, Node] = {}
    where = "spec.policyTemplate.parameters"
    for name, node in given.items():
        parameter = template.parameters.get(name)
        key = key_text((*where.split("."), name))
        if parameter is None:
            known = ", ".join(template.parameters) or "none"
            hint = suggest(name, template.parameters) or f" It has: {known}."
            problems.append(
                (node.key_at, f"{key}: the template {template.name!r} does not have this parameter.{hint}")
            )
        else:
            read = replace(node, value=read_as(node.value, parameter.type))
            if wrong := parameter.problem(read.plain()):
                problems.append((node.at, f"{key}: {wrong}"))
            else:
                values[name] = read
    for name, parameter in template.parameters.items():
        if name in given:
            continue
        if parameter.required:
            text = f"{where}: the template {template.name!r} requires the parameter {name!r}."
            problems.append((asked.key_at, text))
        elif (default := template.default(name)) is not None:
            values[name] = default
    return values, problems


class _Filler:
    """Replaces placeholders; what is left out is None."""

    def __init__(self, template: Template, values: Mapping[str, Node]) -> None:
        self._template = template
        self._values = values
        self.problems: list[tuple[Position, str]] = []

    def fill(self, node: Node) -> Node | None:
        if isinstance(node.value, str):
            return self._text(node)
        if isinstance(node.value, list):
            return replace(
                node, value=[made for entry in node.value if (made := self.fill(entry)) is not None]
            )
        if not isinstance(node.value, dict):
            return node
        if not self._holds(node):
            return None
        inner = node.without(*CONDITIONS).value
        filled = {key: made for key, value in inner.items() if (made := self.fill(value)) is not None}
        # A section of which nothing is left asks for nothing.
        return None if inner and not filled else replace(node, value=filled)

    def _text(self, node: Node) -> Node | None:
        whole = _PLACEHOLDER.fullmatch(node.value)
        if whole:
            value = self._values.get(whole[1])
            return None if value is None else replace(value, key_at=node.key_at)
        return replace(node, value="".join(self._pieces(node)))

    def _pieces(self, node: Node) -> Iterator[str]:
        end = 0
        for match in _PLACEHOLDER.finditer(node.value):
            yield node.value[end : match.start()]
            end = match.end()
            value = self._values.get(match[1])
            if value is None:
                text = f"the parameter {match[1]!r} is part of a text and has no value: add a default."
                self.problems.append((node.at, text))
            elif isinstance(value.value, list):
                self.problems.append((node.at, f"the list {match[1]!r} cannot be part of a text."))
            else:
                yield str(value.value).lower() if isinstance(value.value, bool) else str(value.value)
        yield node.value[end:]

    def _holds(self, node: Node) -> bool:
        for key in CONDITIONS:
            condition = node.get(key)
            if condition is None:
                continue
            whole = _PLACEHOLDER.fullmatch(condition.value) if isinstance(condition.value, str) else None
            if whole is None:
                text = f"{key}: must be exactly one parameter, such as '{{{{ name }}}}'."
                self.problems.append((condition.at, text))
                return False
            value = self._values.get(whole[1])
            # Of text and lists: not empty. Of a parameter without a value: false.
            if bool(value is not None and value.value) != (key == "when"):
                return False
        return True


def find_template(name: str, others: Sequence[Template]) -> Template | None:
    """The template of this name: a built-in one or one of these."""
    if name in builtin_names():
        return builtin(name)
    return next((template for template in others if template.name == name), None)
