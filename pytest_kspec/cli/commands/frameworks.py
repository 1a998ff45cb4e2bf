"""`kspec frameworks`: the built-in compliance frameworks, and for each control what answers it."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from pytest_kspec.cli.output import say, say_json, style, width

if TYPE_CHECKING:
    import argparse

    from pytest_kspec.frameworks.catalog import Catalog, CatalogControl

DESCRIPTION = """\
List the built-in compliance frameworks, or the controls of one framework: the checks that cover each
control, what the specification must require, and what must be reviewed manually. NAME is an id or a common
name. A scan reports the frameworks in compliance.frameworks; if the specification names none, it reports
every framework that has at least one covered control."""

EXAMPLES = """
kspec frameworks
kspec frameworks cis-kubernetes-1.10
kspec frameworks nist-800-53 --json
"""

_STYLES = {"full": ("green",), "partial": ("yellow",), "manual": ()}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of the command."""
    parser.add_argument("name", metavar="NAME", nargs="?", help="id or name of a framework")
    parser.add_argument("--json", action="store_true", help="print JSON")


def run(args: argparse.Namespace) -> int:
    """List all, or show one. Raises UsageError for a name that no catalog has."""
    from pytest_kspec.frameworks.catalog import catalogs, find_catalog

    chosen = list(catalogs().values())
    if args.name is not None:
        found = find_catalog(args.name)
        if found is None:
            raise _unknown(args.name)
        chosen = [found]
    if args.json:
        import msgspec

        say_json(json.dumps(msgspec.to_builtins(chosen), indent=2, ensure_ascii=False) + "\n")
    elif args.name is None:
        for catalog in chosen:
            _say_catalog(catalog)
        say()
        say(f"{len(chosen)} frameworks. 'kspec frameworks NAME' shows the controls of one.")
    else:
        _say_controls(chosen[0])
    return 0


def _unknown(name: str) -> Exception:
    from pytest_kspec.cli.arguments import meant
    from pytest_kspec.errors import UsageError
    from pytest_kspec.frameworks.catalog import catalogs

    fix = meant(name, list(catalogs())) or f"There are {', '.join(catalogs())}."
    return UsageError(f"unknown framework '{name}'.", where="kspec frameworks", fix=fix)


def _counts(catalog: Catalog) -> str:
    by = [control.coverage for control in catalog.controls]
    return (
        f"{len(by)} controls: {by.count('full')} covered by checks, {by.count('partial')} partially, "
        f"{by.count('manual')} for manual review"
    )


def _say_catalog(catalog: Catalog) -> None:
    say(style(catalog.id, "bold"))
    _say_wrapped(f"{catalog.name} {catalog.version} ({catalog.date})", 2)
    _say_wrapped(_counts(catalog), 2)


def _say_controls(catalog: Catalog) -> None:
    say(style(f"{catalog.name} {catalog.version}", "bold"))
    _say_wrapped(f"{catalog.source}, {catalog.date}", 0)
    _say_wrapped(_counts(catalog), 0)
    for control in catalog.controls:
        say()
        _say_control(control)


def _say_control(control: CatalogControl) -> None:
    say(f"{style(control.id, 'bold')}  {style(control.coverage, *_STYLES[control.coverage])}")
    _say_wrapped(control.title, 2)
    for entry in control.checks:
        _say_wrapped(f"check: {' or '.join(map(str, entry))}", 4)
    if control.also:
        _say_wrapped(f"also:  {', '.join(map(str, control.also))}", 4)
    if control.manual:
        _say_wrapped(f"person: {control.manual}", 4)


def _say_wrapped(text: str, indent: int) -> None:
    from textwrap import wrap

    lines = wrap(text, width() - indent - 2, break_on_hyphens=False)
    for number, line in enumerate(lines):
        say(" " * (indent + (2 if number else 0)) + line)
