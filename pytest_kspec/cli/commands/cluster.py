"""`kspec cluster`: the clusters of a fleet."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

from pytest_kspec.cli import arguments
from pytest_kspec.errors import UsageError

if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable

DESCRIPTION = """\
Find clusters, register them as ClusterTargets in a hub (the cluster that
describes the others), and manage them.

  kspec cluster discover        list the contexts of the kubeconfig
  kspec cluster add CONTEXT     prove access, print a Secret and a ClusterTarget
  kspec cluster list [NAME…]    list the ClusterTargets with their last status
  kspec cluster status [NAME…]  contact each cluster now
  kspec cluster enable NAME…    allow policies to be applied to the clusters
  kspec cluster disable NAME…   no longer allow it; existing policies stay
  kspec cluster sync NAME…      apply policies of specifications now (-s SPEC)
  kspec cluster rotate NAME…    replace the token of the clusters by a new one
  kspec cluster remove NAME…    delete the ClusterTargets and their Secrets

NAME may contain * and ?; -l selects by labels. Commands that change clusters
list them first, and need --yes without a terminal. They change a tenth of the
clusters at a time, and stop if one of these fails. Exit codes: 0 done; 1 a
change stopped early; 2 a cluster or the hub did not answer; 4 usage error."""

EXAMPLES = """
kspec cluster add prod-eu --label env=prod | kubectl apply -f -
kspec cluster add --from-argocd --apply
kspec cluster list -l env=prod -o wide
kspec cluster status --from contexts
kspec cluster enable -l env=prod --yes
"""

_ACTIONS = {
    "discover": "show",
    "list": "show",
    "status": "show",
    "add": "add",
    "enable": "change",
    "disable": "change",
    "rotate": "change",
    "sync": "change",
    "remove": "change",
}
"""Action → the module `cluster_…` with a function of its name."""

_CHOICE = frozenset({"names", "selector", "hub", "sources", "namespace", "kubeconfig"})
_CHANGE = _CHOICE | {"yes", "dry_run"}
USES = {
    "discover": frozenset({"names", "selector", "kubeconfig", "output"}),  # it says that it lists all
    "list": _CHOICE | {"output"},
    "status": _CHOICE | {"output"},
    "add": _CHOICE
    | {"output", "label", "name", "provider", "parameter", "from_argocd", "argocd_namespace"}
    | {"no_proof", "apply", "with_secret", "dry_run"},
    "enable": _CHANGE | {"engine"},
    "disable": _CHANGE,
    "rotate": _CHANGE | {"lifetime"},
    "sync": _CHANGE | {"spec", "mode", "engine"},
    "remove": _CHANGE | {"prune", "orphan"},
}
"""Action → the arguments that it uses."""

OUTPUTS = ("table", "wide", "json", "yaml", "name")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of the command."""
    parser.add_argument("action", choices=sorted(_ACTIONS), metavar="ACTION", help="see above")
    parser.add_argument("names", nargs="*", metavar="NAME", help="names of clusters; with add: contexts")
    parser.add_argument(
        "-l", "--selector", metavar="LABELS", default="", help="only clusters with these labels: env=prod"
    )
    parser.add_argument(
        "-o",
        "--output",
        metavar="FORMAT",
        choices=OUTPUTS,
        default="",
        help="table (default), wide, json, yaml or name; with add: yaml (default) or json",
    )
    place = parser.add_argument_group("source of the clusters")
    place.add_argument(
        "--hub", metavar="CONTEXT", default="", help="the hub (default: $KSPEC_HUB, else the current context)"
    )
    place.add_argument(
        "--from",
        dest="sources",
        action="append",
        choices=sorted(SOURCES),
        default=[],
        metavar="SOURCE",
        help="targets (default), contexts, argocd or clusterprofiles; may be repeated",
    )
    place.add_argument(
        "-n",
        "--namespace",
        metavar="NAME",
        default="",
        help="namespace of the hub's objects (with add: kspec-system)",
    )
    arguments.add_kubeconfig(place)
    added = parser.add_argument_group("with add")
    added.add_argument(
        "--label",
        action="append",
        default=[],
        metavar="KEY=VALUE",
        help="label of the ClusterTarget; may be repeated",
    )
    added.add_argument(
        "--name", metavar="NAME", default="", help="name of the ClusterTarget (default: that of the context)"
    )
    added.add_argument(
        "--provider",
        metavar="NAME",
        default="",
        help="get credentials from this credential provider; store none",
    )
    added.add_argument(
        "--parameter",
        action="append",
        default=[],
        metavar="KEY=VALUE",
        help="value for the provider; may be repeated",
    )
    added.add_argument(
        "--from-argocd",
        action="store_true",
        help="add the clusters of Argo CD's cluster Secrets in the hub; NAME and -l select some of them",
    )
    added.add_argument(
        "--argocd-namespace", metavar="NAME", default="", help="namespace of these Secrets (default: argocd)"
    )
    added.add_argument("--no-proof", action="store_true", help="do not connect to the cluster")
    added.add_argument("--apply", action="store_true", help="apply to the hub instead of printing")
    added.add_argument("--with-secret", action="store_true", help="print credentials even on a terminal")
    change = parser.add_argument_group("with changes")
    change.add_argument("-y", "--yes", action="store_true", help="do not ask for confirmation")
    change.add_argument(
        "--dry-run", action="store_true", help="only show what would change; also with --apply"
    )
    change.add_argument(
        "-s",
        "--spec",
        action="append",
        default=[],
        metavar="SPEC",
        help="with sync: specification; may be repeated",
    )
    change.add_argument(
        "--mode",
        choices=("audit", "enforce"),
        default="",
        help="with sync: mode (default: that of the specification)",
    )
    change.add_argument(
        "--engine",
        action="append",
        default=[],
        metavar="NAME",
        help="with enable: check the permissions that this engine needs: vap (default), kyverno or webhook; may be "
        "repeated. With sync: vap (default) or kyverno",
    )
    change.add_argument(
        "--prune", action="store_true", help="with remove: first delete the policies of kspec on the cluster"
    )
    change.add_argument(
        "--orphan",
        action="store_true",
        help="with remove: keep policies on the cluster, without checking for them",
    )
    change.add_argument(
        "--lifetime",
        metavar="DURATION",
        default="24h",
        help="with rotate: lifetime of the new token (default: %(default)s)",
    )


SOURCES = {
    "contexts": "context",
    "targets": "target",
    "argocd": "argocd",
    "clusterprofiles": "clusterprofile",
}


def run(args: argparse.Namespace) -> int:
    """Do what is asked."""
    module = import_module(f"pytest_kspec.cli.commands.cluster_{_ACTIONS[args.action]}")
    action: Callable[[argparse.Namespace], int] = getattr(
        module, args.action if args.action != "list" else "listed"
    )
    return action(args)


def pairs(given: list[str], option: str) -> dict[str, str]:
    """KEY=VALUE texts as a mapping. Raises UsageError."""
    found = {}
    for text in given:
        key, sign, value = text.partition("=")
        if not sign or not key:
            raise UsageError(f"'{text}' has no '=' between a key and a value.", where=option)
        found[key] = value
    return found
