"""`kspec cluster add`: from contexts of this machine to objects of a hub."""

from __future__ import annotations

import json
import sys
from functools import partial
from typing import TYPE_CHECKING

from pytest_kspec.cli.commands.cluster import pairs
from pytest_kspec.cli.output import note, say, say_json, say_yaml
from pytest_kspec.errors import EXIT_NOT_EVALUATED, SourceError, SourceUnavailable, UsageError
from pytest_kspec.shown import printable

if TYPE_CHECKING:
    import argparse

    from pytest_kspec.cluster.writing.write import Writer
    from pytest_kspec.fleet.targets.adding import Added, Object, Wish


def add(args: argparse.Namespace) -> int:
    """Prove access, then print or apply. Nothing is written for a context that fails; the others are."""
    from pytest_kspec.cli.commands.cluster_show import say_problem
    from pytest_kspec.crds.names import NAMESPACE
    from pytest_kspec.fleet.targets.adding import Wish
    from pytest_kspec.fleet.targets.adding import added as make

    if not args.names:
        raise UsageError(
            "no context is given.", where="kspec cluster add", fix="See 'kspec cluster discover'."
        )
    if args.output not in ("", "yaml", "json"):
        raise UsageError("the output format of add must be yaml or json.", where="-o")
    if args.name and len(args.names) > 1:
        raise UsageError("it cannot be used with several contexts.", where="--name")
    labels, parameters = pairs(args.label, "--label"), pairs(args.parameter, "--parameter")
    _check_labels(labels)
    if parameters and not args.provider:
        raise UsageError("it requires --provider.", where="--parameter", fix="Add --provider NAME.")
    made: list[Added] = []
    failed = 0
    for context in dict.fromkeys(args.names):
        wish = Wish(
            context,
            args.namespace or NAMESPACE,
            args.name,
            labels,
            args.provider,
            parameters,
            args.kubeconfig,
        )
        try:
            one = make(wish)
            notices = [*one.notices, *([] if args.no_proof else _proven(wish))]
        except SourceError as error:
            say_problem(context, error)
            failed += 1
            continue
        for notice in notices:
            note(printable(notice))
        made.append(one)
    if made:
        _apply(args, made) if args.apply else _write(args, made)
    return EXIT_NOT_EVALUATED if failed else 0


def _proven(wish: Wish) -> list[str]:
    """Who the credentials are. Raises SourceError where they may not do what a scan does."""
    from pytest_kspec.cluster.sources.live import LiveSource
    from pytest_kspec.fleet.targets.look import LOOK
    from pytest_kspec.fleet.targets.proof import prove

    source = LiveSource(wish.context, kubeconfig=wish.kubeconfig, limits=LOOK)
    try:
        proof = prove(source)
    finally:
        source.close()
    who = f" as {proof.user}" if proof.user else ""
    if proof.missing:
        raise SourceUnavailable(
            f"a scan{who} would lack the rights: {', '.join(proof.missing)}.",
            where=wish.context,
            fix="Grant them (docs/sources.md), or add --no-proof.",
        )
    return [
        f"{wish.context}: {proof.version}, uid {proof.uid}{who}: everything that a scan reads may be listed."
    ]


def _write(args: argparse.Namespace, made: list[Added]) -> None:
    if any(one.secret for one in made) and sys.stdout.isatty() and not args.with_secret:
        raise UsageError(
            "the output contains credentials.",
            where="kspec cluster add",
            fix="Pipe it to 'kubectl apply -f -', or add --apply or --with-secret.",
        )
    objects = _objects(made)
    if args.output == "json":
        say_json(json.dumps({"apiVersion": "v1", "kind": "List", "items": objects}, indent=2) + "\n")
        return
    from pytest_kspec.enforce.manifests import to_yaml

    say_yaml(to_yaml(objects))


def _apply(args: argparse.Namespace, made: list[Added]) -> None:
    from pytest_kspec.cli.commands.cluster_show import hub_of

    hub = hub_of(args)
    for obj in _objects(made):
        metadata = obj["metadata"]
        hub.access.do(partial(_applied, obj=obj, dry_run=args.dry_run))
        what = "would be applied" if args.dry_run else "applied"
        say(f"{obj['kind']} {metadata['namespace']}/{metadata['name']} {what}")


def _applied(writer: Writer, obj: Object, dry_run: bool) -> None:
    writer.apply(obj, dry_run=dry_run)


def _objects(made: list[Added]) -> list[Object]:
    return [obj for one in made for obj in one.objects]


def _check_labels(labels: dict[str, str]) -> None:
    from pytest_kspec.kube.selectortext import is_label

    for key, value in labels.items():
        if not is_label(key, value):
            raise UsageError(f"'{key}={value}' is not a label.", where="--label")
