"""`kspec render`: the effective specification, with the file and line of every value."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from pytest_kspec.cli.output import say, say_json, say_yaml, style
from pytest_kspec.errors import UsageError
from pytest_kspec.shown import printable

if TYPE_CHECKING:
    import argparse

    from pytest_kspec.spec.layers import Node
    from pytest_kspec.spec.loading import LoadedSpec

DESCRIPTION = """\
Print the effective specification: the specification merged with its template (policyTemplate) and its
bases (policyInheritance). A comment on each line shows where the value is defined. The output is a complete
specification that can be scanned and compared."""

EXAMPLES = """
kspec render prod.yaml
kspec render prod.yaml -o json
kspec render teams/shop.yaml --with bases/  also look up bases in bases/
kspec render --templates                    list templates and parameters
"""

COMMENT_COLUMN = 48


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of the command."""
    parser.add_argument("spec", nargs="?", metavar="SPEC", help="specification: a file")
    parser.add_argument(
        "--with",
        action="append",
        default=[],
        dest="others",
        metavar="PATH",
        help="file or folder in which to look up bases; may be repeated",
    )
    parser.add_argument(
        "-o", "--output", choices=("yaml", "json"), default="yaml", help="format (default: yaml)"
    )
    parser.add_argument("--templates", action="store_true", help="list the built-in templates instead")


def run(args: argparse.Namespace) -> int:
    """Print it."""
    if args.templates:
        _print_templates()
        return 0
    if args.spec is None:
        raise UsageError("no specification is given.", fix="Name one, or write one with 'kspec init'.")
    from pathlib import Path

    from pytest_kspec.spec.effective import Library
    from pytest_kspec.spec.loading import find_specs, load_spec

    others = find_specs(args.others) if args.others else []
    loaded = load_spec(Path(args.spec), Library(tuple(others)))
    if args.output == "json":
        say_json(json.dumps(as_json(loaded), indent=2, ensure_ascii=False) + "\n")
    else:
        say_yaml("\n".join(as_yaml(loaded)))
    return 0


def as_json(loaded: LoadedSpec) -> dict[str, Any]:
    """The document, and beside it where each value is written: key path → "file:line:column"."""
    from pytest_kspec.spec.layers import place
    from pytest_kspec.yamlfiles.reading import key_text

    places = {key_text(("spec", *path)): place(node.at) for path, node in loaded.tree.leaves()}
    return {**_header(loaded), "spec": loaded.tree.plain(), "places": places}


def as_yaml(loaded: LoadedSpec) -> Iterator[str]:
    """Lines of the document; those with a value say where it is written."""
    for key, value in _header(loaded).items():
        if isinstance(value, dict):
            yield f"{key}:"
            for name, inner in value.items():
                yield f"  {name}: {_flow(inner)}"
        else:
            yield f"{key}: {_flow(value)}"
    lines = list(_lines("spec", loaded.tree, ""))
    column = min(max((len(text) for text, _ in lines), default=0) + 2, COMMENT_COLUMN)
    for text, node in lines:
        if node is None:
            yield text
        else:
            comment = style(f"# from {printable(node.at.path)}:{node.at.line}", "cyan")
            yield f"{text:<{column - 2}}  {comment}"


def _header(loaded: LoadedSpec) -> dict[str, Any]:
    from pytest_kspec.spec.document import FILE_VERSION, RESOURCE_VERSION, SPEC_KIND

    metadata: dict[str, Any] = {"name": loaded.name}
    if loaded.version:
        metadata["version"] = loaded.version
    if loaded.description:
        metadata["description"] = loaded.description
    if loaded.labels:
        metadata["labels"] = dict(loaded.labels)
    api_version = FILE_VERSION if loaded.version else RESOURCE_VERSION  # a resource may have no version
    return {"apiVersion": api_version, "kind": SPEC_KIND, "metadata": metadata}


def _lines(key: str, node: Node, indent: str) -> Iterator[tuple[str, Node | None]]:
    """(line, the value on it or None). A list entry's first key stands behind its dash."""
    value = node.value
    if not isinstance(value, dict | list) or not value:
        yield f"{indent}{_flow(key)}: {_flow(value)}", node
        return
    yield f"{indent}{_flow(key)}:", None
    inner = indent + "  "
    if isinstance(value, dict):
        for name, entry in value.items():
            yield from _lines(name, entry, inner)
        return
    for entry in value:
        if isinstance(entry.value, dict) and entry.value:
            within = [
                line for name, field in entry.value.items() for line in _lines(name, field, inner + "  ")
            ]
            first, leaf = within[0]
            yield f"{inner}- {first[len(inner) + 2 :]}", leaf
            yield from within[1:]
        else:
            yield f"{inner}- {_flow(entry.plain())}", entry


def _flow(value: Any) -> str:
    """A value on one line."""
    from pytest_kspec.yamlfiles.writing import Dumper, has_breaks

    if isinstance(value, str) and "\n" in value and not has_breaks(value):
        return json.dumps(value, ensure_ascii=False)  # which is YAML too
    import yaml

    text = yaml.dump(value, Dumper=Dumper, default_flow_style=True, allow_unicode=True, width=10**6)
    return str(text).removesuffix("...\n").strip()


def _print_templates() -> None:
    from pytest_kspec.spec import templates

    for number, name in enumerate(templates.builtin_names()):
        template = templates.builtin(name)
        if number:
            say()
        say(style(name, "bold"))
        _wrapped(template.description, "  ")
        for parameter in template.parameters.values():
            default = "" if parameter.default is None else f", default {json.dumps(parameter.default)}"
            allowed = (
                f", one of {', '.join(map(str, parameter.allowed_values))}"
                if parameter.allowed_values
                else ""
            )
            required = ", required" if parameter.required else ""
            say()
            say(f"  {style(parameter.name, 'cyan')} ({parameter.type}{default}{allowed}{required})")
            _wrapped(parameter.description, "    ")


def _wrapped(text: str, indent: str) -> None:
    from textwrap import wrap

    from pytest_kspec.cli.output import width

    for line in wrap(text, width(), initial_indent=indent, subsequent_indent=indent):
        say(line)
