"""`kspec validate`: everything that can be wrong with files, all at once, without a cluster."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from pytest_kspec.cli import arguments
from pytest_kspec.cli.output import fail, say
from pytest_kspec.errors import KspecError
from pytest_kspec.shown import printable

if TYPE_CHECKING:
    import argparse
    from pathlib import Path

DESCRIPTION = """\
Validate specifications, templates and exemption files without a cluster: keys, values, versions, patterns,
the fields in container rules, templates, bases, and your own checks that a specification uses. All errors
are printed at once, each with its line. The exit code is 4 if there are errors."""

EXAMPLES = """
kspec validate prod.yaml
kspec validate specs/ exemptions.yaml
kspec validate -s prod.yaml --checks checks/
"""

_EXEMPTIONS = b"kind: Exemptions"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of the command."""
    arguments.add_specs(parser)
    arguments.add_checks(parser)


def run(args: argparse.Namespace) -> int:
    """Validate every file; one that is wrong does not keep the others from being looked at."""
    from pathlib import Path

    from pytest_kspec.spec.loading import find_specs

    code = 0
    checks = [Path(path) for path in args.checks]
    paths = find_specs(arguments.read_specs(args))
    for path in paths:
        try:
            for line in _validate(path, checks, paths):
                say(printable(line))
        except KspecError as error:
            fail(error)
            code = max(code, error.exit_code)
    return code


def _head(path: Path) -> bytes:
    with path.open("rb") as file:
        return file.read(1000)


def _validate(path: Path, checks: list[Path], paths: list[Path]) -> list[str]:
    from pytest_kspec.results.exemptions import load_exemptions
    from pytest_kspec.spec.document import has_kind
    from pytest_kspec.spec.effective import Library
    from pytest_kspec.spec.loading import is_spec_file, load_spec
    from pytest_kspec.spec.templates import TEMPLATE_KIND, load_template

    if not is_spec_file(path) and os.path.isfile(path) and _EXEMPTIONS in _head(path):
        return [f"{path}: ok, {_count(len(load_exemptions(path)), 'exemption')}"]
    if os.path.isfile(path) and has_kind(path, TEMPLATE_KIND):
        template = load_template(path)
        return [f"{path}: ok, template {template.name}, {_count(len(template.parameters), 'parameter')}"]
    spec = load_spec(path, Library(tuple(paths)))
    from pytest_kspec.plan.checkset import load_checks
    from pytest_kspec.plan.plan import make_plan

    plan = make_plan(spec, load_checks([*checks, *spec.checks]))
    title = f"{spec.name} {spec.version}".strip()
    lines = [f"{path}: ok, {title}, {_count(len(plan.planned), 'requirement')}"]
    lines += [f"  {left.location}: {left.key}: not evaluated: {left.reason}" for left in plan.not_evaluated]
    return lines


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"
