"""`kspec explain`: everything that a check says about itself, for the one who has to act on it."""

from __future__ import annotations

from textwrap import wrap
from typing import TYPE_CHECKING

from pytest_kspec.cli import arguments
from pytest_kspec.cli.commands.checks import SEVERITY_STYLES
from pytest_kspec.cli.output import say, style, width

if TYPE_CHECKING:
    import argparse

    from pytest_kspec.checks.check import Check

DESCRIPTION = """\
Explain a check: what it examines, which values it allows, why it matters, where the rule comes from, which
controls it covers, how to fix a finding, and which specification key requires it. ID is the id of a check
or of a requirement, as printed in reports and by 'kspec checks'."""

EXAMPLES = """
kspec explain 'podSecurity.standard[privileged]'
kspec explain workloads.containers.required[securityContext.runAsNonRoot]
kspec explain acme.team-label --checks checks/
"""

JUDGES = {
    "object": "each object by itself",
    "namespace": "each namespace by itself",
    "cluster": "the cluster as a whole",
}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of the command."""
    parser.add_argument("id", metavar="ID", help="id of a check or of a requirement")
    arguments.add_checks(parser)


def run(args: argparse.Namespace) -> int:
    """Explain it."""
    from pathlib import Path

    from pytest_kspec.plan.checkset import load_checks
    from pytest_kspec.reference.asked import asked_by

    check = load_checks([Path(path) for path in args.checks]).get(args.id)
    say(style(check.id, "bold"))
    for line in wrap(check.title, width()):
        say(line)
    say()
    say(f"severity      {style(check.severity.value, *SEVERITY_STYLES[check.severity.value])}")
    keys = asked_by(check)
    say(f"required by   {', '.join(keys) if keys else 'every specification'}")
    for catalog, ids in sorted(check.controls.items()):
        say(f"controls      {catalog}: {', '.join(ids)}")
    reads = f"{', '.join(check.reads.kinds) or 'no objects'}{'' if check.reads.known else ', and others'}"
    for line in wrap(f"reads         {reads}", width(), subsequent_indent=" " * 14):
        say(line)
    say(f"judges        {JUDGES[check.judges]}")
    _paragraphs("Why", check.doc)
    _what(check)
    _paragraphs("Fix", check.remediation)
    say()
    say(f"Defined at {_place(check)}")
    return 0


def _paragraphs(heading: str, text: str) -> None:
    say()
    say(f"{style(heading, 'bold')}")
    for number, paragraph in enumerate(text.split("\n\n")):
        if number:
            say()
        for line in wrap(" ".join(paragraph.split()), width() - 2):
            say(f"  {line}")


def _what(check: Check) -> None:
    """The summary of the module's docstring, what is restricted, and the rest of the docstring."""
    summary, _, rest = check.module_doc.partition("\n\n")
    if summary:
        _paragraphs("What", summary)
    for number, (label, text) in enumerate(check.about.facts if check.about else ()):
        if number == 0:
            say()
        say(f"  {label}:")
        for entry in text.splitlines():
            # A field path stays whole, so that it can be copied.
            for part in wrap(
                entry, width(), initial_indent="    ", subsequent_indent="    ", break_long_words=False
            ):
                say(part)
    for paragraph in rest.split("\n\n") if rest else ():
        say()
        for line in wrap(" ".join(paragraph.split()), width() - 2):
            say(f"  {line}")


def _place(check: Check) -> str:
    """The file, relative to the working folder where that is shorter."""
    from pathlib import Path

    assert check.path is not None
    path = check.path
    if path.is_relative_to(Path.cwd()):
        path = path.relative_to(Path.cwd())
    return f"{path}:{check.line}"
