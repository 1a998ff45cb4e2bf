"""`kspec cluster add`: from contexts of this machine to objects of a hub."""

from __future__ import annotations

import json
import sys
from functools import partial
from typing import TYPE_CHECKING

from pytest_kspec.cli.commands.cluster import pairs
from pytest_kspec.cli.output import note, say, say_json, say_yaml
from pytest_kspec.errors import (
    EXIT_NOT_EVALUATED,
    KspecError,
    SourceError,
    SourceUnavailable,
    UsageError,
    without_credentials,
)
from pytest_kspec.shown import printable

if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable

    from pytest_kspec.cluster.limits import Limits
    from pytest_kspec.cluster.sources.live import LiveSource
    from pytest_kspec.cluster.writing.write import Writer
    from pytest_kspec.fleet.targets.adding import Added, Object, Wish


def add(args: argparse.Namespace) -> int:
    """Prove access, then print or apply. Nothing is written for a context that fails; the others are."""
    from pytest_kspec.cli.commands.cluster_show import say_problem
    from pytest_kspec.crds.names import NAMESPACE
    from pytest_kspec.fleet.targets.adding import Wish
    from pytest_kspec.fleet.targets.adding import added as make

    from_argocd = args.from_argocd or args.sources == ["argocd"]
    if args.sources not in ([], ["contexts"], ["argocd"]) or (
        args.from_argocd and args.sources == ["contexts"]
    ):
        raise UsageError(
            "clusters are added from contexts, or from Argo CD.", where="--from", fix="Give one of them."
        )
    for option, given in (("--argocd-namespace", args.argocd_namespace), ("--selector", args.selector)):
        if given and not from_argocd:
            raise UsageError(f"'{option}' has no effect without --from-argocd.", where="kspec cluster add")
    if not args.names and not from_argocd:
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
    if from_argocd:
        if args.provider or args.name:
            raise UsageError("it cannot be combined with --provider or --name.", where="--from-argocd")
        return _from_argocd(args, labels)
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


def _from_argocd(args: argparse.Namespace, labels: dict[str, str]) -> int:
    """Argo CD's cluster Secrets as ClusterTargets, with Secrets of their own: references do not cross namespaces."""
    from pytest_kspec.cli.commands.cluster_show import hub_of, say_problem
    from pytest_kspec.crds.names import NAMESPACE
    from pytest_kspec.fleet.targets.adding import ARGOCD_ANNOTATION, Wish, of_context
    from pytest_kspec.fleet.targets.argocd import DEFAULT_NAMESPACE, IN_CLUSTER, argocds_own, stored
    from pytest_kspec.fleet.targets.find import Wanted, find_targets

    hub, namespace = hub_of(args), args.namespace or NAMESPACE
    place = args.argocd_namespace or DEFAULT_NAMESPACE
    wanted = Wanted(tuple(args.names), args.selector, args.kubeconfig, ("argocd",), place)
    found = find_targets(wanted, hub)
    if not found:
        raise UsageError(
            f"the namespace {place} of the hub has no cluster Secret of Argo CD that is selected.",
            where="--from-argocd",
            fix="Name its namespace with --argocd-namespace, and check -l.",
        )
    made: dict[str, Added] = {}
    failed = 0
    for target in found:
        secret = target.ref.partition(":")[2].partition("@")[0]
        try:
            if target.problem is not None:
                raise target.problem
            if target.server == IN_CLUSTER:
                raise argocds_own(secret)
            context, parameters = stored(hub, target)
            own = {
                key: value for key, value in (target.labels or {}).items() if "argocd.argoproj.io/" not in key
            }
            provider = "eks" if parameters is not None else ""
            wish = Wish(target.name, namespace, "", {**own, **labels}, provider, parameters or {})
            one = of_context(context, wish, {ARGOCD_ANNOTATION: secret})
            if one.name in made:
                raise SourceUnavailable(
                    f"another cluster Secret has the name {one.name}, too.",
                    where=secret,
                    fix="Rename one of them.",
                )
            notices = [*one.notices, *([] if args.no_proof else _proof(target.open, target.name))]
        except KspecError as error:
            say_problem(target.name, error)
            failed += 1
            continue
        if target.note:
            notices.append(f"{target.name}: {target.note} kspec reads the whole cluster.")
        for notice in notices:
            note(printable(notice))
        made[one.name] = one
    if made:
        _apply(args, list(made.values())) if args.apply else _write(args, list(made.values()))
    return EXIT_NOT_EVALUATED if failed else 0


def _proven(wish: Wish) -> list[str]:
    """Who the credentials are. Raises SourceError where they may not do what a scan does."""
    from pytest_kspec.cluster.sources.live import LiveSource

    return _proof(
        lambda limits: LiveSource(wish.context, kubeconfig=wish.kubeconfig, limits=limits), wish.context
    )


def _proof(opened: Callable[[Limits | None], LiveSource], name: str) -> list[str]:
    from pytest_kspec.fleet.targets.look import LOOK
    from pytest_kspec.fleet.targets.proof import prove

    source = opened(LOOK)
    try:
        proof = prove(source)
    finally:
        source.close()
    who = f" as {proof.user}" if proof.user else ""
    if proof.missing:
        raise SourceUnavailable(
            f"a scan{who} would lack the permissions: {', '.join(proof.missing)}.",
            where=name,
            fix="Grant them (docs/sources.md), or add --no-proof.",
        )
    return [f"{name}: {proof.version}, uid {proof.uid}{who}: everything that a scan reads may be listed."]


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
    objects = _objects(made)
    for obj in objects:
        hub.access.do(partial(_refuse_taken, obj=obj))
    if not args.dry_run:
        for obj in objects:  # what one of them would be refused for is said before any of them is there
            hub.access.do(partial(_applied, obj=obj, dry_run=True))
    # Targets first: one without its Secret is seen and removed like any other, a Secret without its target is not.
    for obj in sorted(objects, key=lambda one: str(one["kind"])):
        metadata = obj["metadata"]
        hub.access.do(partial(_applied, obj=obj, dry_run=args.dry_run))
        what = "would be applied" if args.dry_run else "applied"
        say(f"{obj['kind']} {metadata['namespace']}/{metadata['name']} {what}")


def _refuse_taken(writer: Writer, obj: Object) -> None:
    """Raises UsageError where another cluster has this name, or another program's Secret: neither is to be lost."""
    from pytest_kspec.fleet.targets.adding import ARGOCD_ANNOTATION, TARGET_LABEL

    metadata = obj["metadata"]
    there = writer.find(obj["apiVersion"], obj["kind"], metadata["name"], namespace=metadata["namespace"])
    if there is None:
        return
    where = f"{obj['kind']} {metadata['namespace']}/{metadata['name']}"
    if obj["kind"] == "Secret":
        label = (there["metadata"].get("labels") or {}).get(TARGET_LABEL)
        if label != metadata["labels"][TARGET_LABEL]:
            fix = "Choose another name with --name, or rename the Secret."
            raise UsageError("it exists, and was not created by 'kspec cluster add'.", where=where, fix=fix)
        return
    server, now = (one["spec"].get("apiServerURL", "").rstrip("/") for one in (there, obj))
    source = metadata["annotations"].get(ARGOCD_ANNOTATION)
    same_secret = source and source == (there["metadata"].get("annotations") or {}).get(ARGOCD_ANNOTATION)
    if server != now and not same_secret:
        raise UsageError(
            f"it exists, and is the cluster at {without_credentials(server)}, not at {now}.",
            where=where,
            fix="Choose another name with --name, or remove it first: kspec cluster remove NAME.",
        )


def _applied(writer: Writer, obj: Object, dry_run: bool) -> None:
    writer.apply(obj, dry_run=dry_run)


def _objects(made: list[Added]) -> list[Object]:
    return [obj for one in made for obj in one.objects]


def _check_labels(labels: dict[str, str]) -> None:
    from pytest_kspec.kube.selectortext import is_label

    for key, value in labels.items():
        if not is_label(key, value):
            raise UsageError(f"'{key}={value}' is not a label.", where="--label")
