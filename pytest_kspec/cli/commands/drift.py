"""`kspec drift`: what of a cluster is not as it was applied, and who changed it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pytest_kspec.cli import arguments

if TYPE_CHECKING:
    import argparse

DESCRIPTION = """\
Detect drift: policies of a specification that were changed, deleted or added
since 'kspec enforce' or the operator applied them.

  kspec drift detect -s SPEC      compare, and print each difference

Policies are compared with the answer of the API server to a dry run, so that
its defaults are not drift. Each difference names who changed the object, and
when, if managedFields say it. Nothing is changed in the cluster.

Without --mode, the mode is enforcement.mode of the specification; if the
specification has no section enforcement, it is the mode of the policies that
are applied.

Exit codes: 0 no drift; 1 drift; 2 something could not be compared, or there was
nothing to compare; 4 usage error."""

EXAMPLES = """
kspec drift detect -s prod.yaml
kspec drift detect -s prod.yaml --context prod-eu -o json --output-file d.json
"""

ACTIONS = ("detect",)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of the command."""
    from pytest_kspec.enforce.engines import ENGINES, engine, engines

    parser.add_argument("action", choices=ACTIONS, help="what to do")
    arguments.add_specs(parser)
    parser.add_argument(
        "--cluster",
        "--context",
        metavar="CONTEXT",
        help="kubeconfig context (default: as for 'kspec scan')",
    )
    arguments.add_kubeconfig(parser)
    arguments.add_checks(parser)
    arguments.add_exemptions(parser)
    parser.add_argument(
        "--cluster-name", metavar="NAME", help="name of the cluster in exemptions (default: its own name)"
    )
    parser.add_argument(
        "--engine", choices=list(engines()), default="vap", help="engine of the policies (default: vap)"
    )
    parser.add_argument("--mode", choices=("audit", "enforce"), help="mode of the policies")
    arguments.add_allow_empty(parser, "a specification without policies to compare")
    parser.add_argument(
        "-o", "--output", metavar="FORMAT", choices=("text", "json"), default="text", help="text or json"
    )
    parser.add_argument("--output-file", metavar="FILE", help="write the result to a file")
    for name in sorted(ENGINES):
        engine(name).add_arguments(parser)


def run(args: argparse.Namespace) -> int:
    """Do what is asked."""
    from pytest_kspec.cli.commands import drift_steps

    return drift_steps.detect(args)
