"""`kspec schema`: the JSON Schema that editors complete and check specifications with."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from pytest_kspec.cli.output import say_json

if TYPE_CHECKING:
    import argparse

DESCRIPTION = """\
Print the JSON Schema of specification files (or of exemption or template files). Editors use it to complete
keys and to mark errors. For the YAML language server, put this line at the top of a specification:

  # yaml-language-server: $schema=kspec.schema.json"""

EXAMPLES = """
kspec schema > kspec.schema.json
kspec schema --exemptions > kspec-exemptions.schema.json
kspec schema --template > kspec-template.schema.json
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of the command."""
    kind = parser.add_mutually_exclusive_group()
    kind.add_argument("--exemptions", action="store_true", help="print the schema of exemption files instead")
    kind.add_argument("--template", action="store_true", help="print the schema of policy templates instead")


def run(args: argparse.Namespace) -> int:
    """Print the schema."""
    from pytest_kspec.spec import schema

    made = (
        schema.exemptions_schema()
        if args.exemptions
        else schema.template_schema()
        if args.template
        else schema.spec_schema()
    )
    say_json(json.dumps(made, indent=2, ensure_ascii=False) + "\n")
    return 0
