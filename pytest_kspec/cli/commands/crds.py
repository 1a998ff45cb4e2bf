"""`kspec crds`: the custom resources of kspec as CustomResourceDefinitions."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pytest_kspec.cli.output import say, say_yaml
from pytest_kspec.errors import UsageError

if TYPE_CHECKING:
    import argparse

DESCRIPTION = """\
Print the CustomResourceDefinitions of kspec (group kspec.io, version v1alpha1) as YAML. Without an
argument, all are printed. They are generated from the models that kspec reads, so kspec can read every object
that the API server accepts.

  AlertConfig (ac)             ComplianceReport (cr)
  ClusterSpecification (cspec) DriftConfig (dc)
  ClusterTarget (ct)           DriftReport (dr)

This command does not change a cluster; use 'kubectl apply' to install the definitions. 'kspec scan
--report cr' needs ComplianceReport, '--spec cr:NAME' needs ClusterSpecification."""

EXAMPLES = """
kspec crds | kubectl apply --server-side -f -
kspec crds compliancereport clusterspecification > crds.yaml
kspec crds --list
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of the command."""
    parser.add_argument("kinds", nargs="*", metavar="KIND", help="kind or short name (default: all)")
    parser.add_argument("--list", action="store_true", help="list the kinds instead, one per line")


def run(args: argparse.Namespace) -> int:
    """Print them. Raises UsageError for an unknown kind."""
    from pytest_kspec.cli.arguments import meant
    from pytest_kspec.crds.schema import definitions

    chosen = []
    for name in args.kinds or [one.kind for one in definitions.DEFINITIONS]:
        found = definitions.find(name)
        if found is None:
            kinds = [one.kind for one in definitions.DEFINITIONS]
            raise UsageError(
                f"unknown kind '{name}'.",
                where="kspec crds",
                fix=meant(name.lower(), [kind.lower() for kind in kinds]) or f"Kinds: {', '.join(kinds)}.",
            )
        if found not in chosen:
            chosen.append(found)
    if args.list:
        for one in chosen:
            scope = "namespaced" if one.namespaced else "cluster"
            say(f"{one.kind:<21} {one.name:<34} {', '.join(one.short_names):<18} {scope}")
    else:
        say_yaml(definitions.to_yaml([definitions.manifest(one) for one in chosen]))
    return 0
