"""`kspec crds`: the custom resources of kspec as CustomResourceDefinitions."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pytest_kspec.cli.output import say, say_yaml
from pytest_kspec.errors import UsageError

if TYPE_CHECKING:
    import argparse

DESCRIPTION = """\
Print the CustomResourceDefinitions of kspec (group kspec.io, v1alpha1) as YAML: all of them, or
those that are named by kind or short name. They are made from the models that read specifications,
so what the API server accepts is what kspec reads.

  AlertConfig (ac)             ComplianceReport (cr)
  ClusterSpecification (cspec) DriftConfig (dc)
  ClusterTarget (ct)           DriftReport (dr)

Nothing is changed in a cluster: 'kubectl apply' does that. '--report cr' of 'kspec scan' needs
ComplianceReport, '--spec cr:NAME' needs ClusterSpecification."""

EXAMPLES = """
kspec crds | kubectl apply --server-side -f -
kspec crds compliancereport clusterspecification > crds.yaml
kspec crds --list
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of the command."""
    parser.add_argument("kinds", nargs="*", metavar="KIND", help="kind or short name; default: all")
    parser.add_argument("--list", action="store_true", help="list the kinds instead, one a line")


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
                f"there is no kind '{name}'.",
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
