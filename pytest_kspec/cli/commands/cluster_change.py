"""`kspec cluster enable | disable | rotate | remove`: changes of many clusters, shown first, in waves."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pytest_kspec.cli.commands.cluster_show import chosen, hub_of, say_problem
from pytest_kspec.cli.output import agreed, nobody_to_ask, note, say
from pytest_kspec.errors import EXIT_FINDINGS, SourceUnavailable, UsageError
from pytest_kspec.shown import printable

if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable, Collection, Mapping
    from typing import Any

    from pytest_kspec.cluster.writing.write import Writer
    from pytest_kspec.fleet.targets.hub import Hub
    from pytest_kspec.fleet.targets.model import Target

API_VERSION, KIND = "kspec.io/v1alpha1", "ClusterTarget"


def enable(args: argparse.Namespace) -> int:
    """Allow policies, where they could be applied."""
    from pytest_kspec.fleet.targets.look import LOOK
    from pytest_kspec.fleet.targets.proof import ENFORCED, may_enforce

    hub = hub_of(args)
    asked = list(dict.fromkeys(args.engine)) or ["vap"]
    for name in asked:
        if name not in ENFORCED:
            raise UsageError(
                f"'{name}' is not an engine.", where="--engine", fix=f"Use one of: {', '.join(ENFORCED)}."
            )

    def change(target: Target) -> None:
        source = target.open(LOOK)
        try:
            missing = [one for name in asked for one in may_enforce(source, name)]
        finally:
            source.close()
        if missing:
            raise SourceUnavailable(
                f"policies of {', '.join(asked)} could not be applied: permissions are missing: "
                f"{', '.join(missing)}.",
                where=target.name,
            )
        _set(hub, target, True)

    return _change(args, "enable", lambda target: not target.allow_enforcement, change)


def disable(args: argparse.Namespace) -> int:
    """No longer allow policies; what is there stays. The clusters themselves are not asked."""
    hub = hub_of(args)
    return _change(
        args, "disable", lambda target: target.allow_enforcement, lambda target: _set(hub, target, False)
    )


def rotate(args: argparse.Namespace) -> int:
    """A new token for each."""
    from pytest_kspec.cli.commands.operator import seconds
    from pytest_kspec.fleet.targets.rotating import LONGEST_S, SHORTEST_S
    from pytest_kspec.fleet.targets.rotating import rotate as replace

    hub = hub_of(args)
    lifetime = int(seconds(args.lifetime, "--lifetime"))
    if not SHORTEST_S <= lifetime <= LONGEST_S:
        raise UsageError("the lifetime of a token must be between 10m and 24h.", where="--lifetime")

    def change(target: Target) -> None:
        done = replace(hub, *_key(target), lifetime)
        gone = f"; earlier tokens revoked: {len(done.revoked)}" if done.revoked else ""
        note(f"{printable(target.name)}: a token of {done.account}, valid until {done.expires}{gone}")

    return _change(args, "rotate", lambda target: True, change)


_SYNCED = ("vap", "kyverno")


def sync(args: argparse.Namespace) -> int:
    """Apply the policies of specifications to each, as `kspec enforce` does."""
    from pytest_kspec.cli.arguments import Parser
    from pytest_kspec.cli.commands import enforce

    if not args.spec:
        raise UsageError("no specification is given.", where="kspec cluster sync", fix="Add -s SPEC.")
    engines = list(dict.fromkeys(args.engine)) or ["vap"]
    if len(engines) > 1 or engines[0] not in _SYNCED:
        raise UsageError(
            f"sync applies the policies of one engine: {' or '.join(_SYNCED)}.",
            where=f"--engine {' --engine '.join(engines)}",
            fix="'kspec fleet enforce --engine webhook' runs the webhook in each cluster."
            if "webhook" in engines
            else "",
        )

    def change(target: Target) -> None:
        parser = Parser("enforce", description="", examples="")
        enforce.add_arguments(parser)
        words = [*args.spec, "--cluster", target.ref, "--yes", "--engine", *engines]
        words += ["--mode", args.mode] if args.mode else []
        words += ["--kubeconfig", args.kubeconfig] if args.kubeconfig else []
        if code := enforce.run(parser.parse_args(words)):
            raise SourceUnavailable(
                f"the policies were not completely applied (exit code {code}).", where=target.name
            )

    return _change(args, "sync", lambda target: target.allow_enforcement, change, left="not allowed there")


def remove(args: argparse.Namespace) -> int:
    """Delete ClusterTargets, and the Secrets that `add` made for them."""
    if args.prune and args.orphan:
        raise UsageError("--prune and --orphan cannot be combined.", where="kspec cluster remove")
    hub = hub_of(args)
    meant: set[tuple[str, str]] = set()

    def applies(target: Target) -> bool:
        meant.add(_key(target))
        return True

    def change(target: Target) -> None:
        stays = "" if args.orphan or args.prune else _other_name(hub, target, meant)
        if stays:
            note(
                f"{printable(target.name)}: policies on the cluster are kept, because {stays} is the same cluster"
            )
        elif not args.orphan:
            _clear(target, prune=args.prune)
        _delete(hub, target)

    return _change(args, "remove", applies, change)


def _other_name(hub: Hub, target: Target, removed: Collection[tuple[str, str]]) -> str:
    """A ClusterTarget of the same cluster that is not removed, "" where none is known: the cluster is renamed."""
    from pytest_kspec.fleet.targets.sharing import same_cluster

    namespace, name = _key(target)
    there = hub.access.do(lambda writer: writer.list(API_VERSION, KIND, namespace=namespace))
    mine = next((one for one in there if one["metadata"]["name"] == name), None)
    others = [one for one in there if (namespace, one["metadata"]["name"]) not in removed]
    return "" if mine is None else next(iter(same_cluster(mine, others)), "")


def _change(
    args: argparse.Namespace,
    what: str,
    applies: Callable[[Target], bool],
    change: Callable[[Target], None],
    left: str = "no change needed",
) -> int:
    """Show the list, ask, change it in waves. left: why `applies` leaves out others."""
    from pytest_kspec.fleet.targets.waves import roll_out, waves

    if args.sources and args.sources != ["targets"]:
        raise UsageError(f"only ClusterTargets can be changed: {what} takes no --from.", where="--from")
    if not args.names and not args.selector:
        raise UsageError(
            "no cluster is named.", where=f"kspec cluster {what}", fix="Name them, or add -l LABELS."
        )
    targets = chosen(args)
    due = [target for target in targets if applies(target)]
    for target in due:
        say(f"will {what} {printable(target.name)}   {printable(target.server) or '(unknown)'}")
    if count := len(targets) - len(due):
        say(f"{count} skipped: {left}")
    if not due:
        say("nothing to do")
        return 0
    total = len(waves(due))
    if args.dry_run:
        say("nothing was changed (--dry-run)")
        return 0
    if not args.yes:
        if error := nobody_to_ask(f"kspec cluster {what}"):
            raise error
        if not agreed(f"{what.capitalize()} {len(due)} in {total} wave{'s' if total > 1 else ''}?"):
            say("nothing was changed")
            return 0
    done = 0
    failed = []
    for one in roll_out(due, lambda target: target.name, change):
        if one.problem is None:
            done += 1
            say(f"{what}: {printable(one.name)} (wave {one.wave} of {total})")
        else:
            failed.append(one)
            say_problem(one.name, one.problem)
    say(f"{done} done, {len(failed)} failed, {len(due) - done - len(failed)} not tried")
    if failed:
        note(
            f"Stopped after wave {failed[-1].wave}. Run the same command again to continue with the remaining clusters."
        )
    return EXIT_FINDINGS if failed else 0


def _key(target: Target) -> tuple[str, str]:
    """Namespace and name of the object."""
    namespace, _, name = target.ref.partition(":")[2].partition("@")[0].partition("/")
    return namespace, name


def _set(hub: Hub, target: Target, allowed: bool) -> None:
    namespace, name = _key(target)
    patch = {"spec": {"allowEnforcement": allowed}}
    hub.access.do(lambda writer: writer.patch(API_VERSION, KIND, name, patch, namespace=namespace))


def _clear(target: Target, *, prune: bool) -> None:
    """Nothing of ours is left in the cluster. Raises SourceError where there is, or where that is not known."""
    from pytest_kspec.cluster.writing.write import Writer
    from pytest_kspec.fleet.targets.look import LOOK
    from pytest_kspec.fleet.targets.ours import delete, policies

    source = target.open(LOOK)
    try:
        writer = Writer(source)
        found = policies(writer)
        if found and not prune:
            raise SourceUnavailable(
                f"{len(found)} objects of kspec are in the cluster, among them {found[0]}.",
                where=target.name,
                fix="Delete them with --prune, or leave them with --orphan.",
            )
        for one in found:
            delete(one, writer)
            note(f"{printable(target.name)}: removed {one}")
    finally:
        source.close()


def _delete(hub: Hub, target: Target) -> None:
    namespace, name = _key(target)

    def act(writer: Writer) -> None:
        there = writer.find(API_VERSION, KIND, name, namespace=namespace)
        own = _own_secrets(writer, namespace, name, there)
        if there is not None:
            # Should this be the last that we do, the hub deletes them with it: no command would see them any more.
            owner = {"apiVersion": API_VERSION, "kind": KIND, "name": name, "uid": there["metadata"]["uid"]}
            owned = {"metadata": {"ownerReferences": [owner]}}
            for secret in own:
                writer.patch("v1", "Secret", secret, owned, namespace=namespace)
        writer.delete(API_VERSION, KIND, name, namespace=namespace)
        for secret in own:
            writer.delete("v1", "Secret", secret, namespace=namespace)

    hub.access.do(act)


def _own_secrets(writer: Writer, namespace: str, name: str, there: Mapping[str, Any] | None) -> list[str]:
    """What goes with a ClusterTarget. What another one uses, such as the same under a new name, is given to it."""
    from pytest_kspec.fleet.targets.adding import TARGET_LABEL
    from pytest_kspec.fleet.targets.rotating import BINDING_LABEL
    from pytest_kspec.fleet.targets.sharing import secrets_of, users_of

    others = [
        one for one in writer.list(API_VERSION, KIND, namespace=namespace) if one["metadata"]["name"] != name
    ]
    heirs = users_of(secrets_of(there), others) if there is not None else []
    own = []
    chosen = f"{TARGET_LABEL}={name}"
    for secret in writer.list("v1", "Secret", namespace=namespace, label_selector=chosen):
        metadata = secret["metadata"]
        # To one of the hub itself a token is bound, which is in the Secret that they share.
        users = heirs if BINDING_LABEL in metadata["labels"] else users_of([metadata["name"]], others)
        if not users:
            own.append(metadata["name"])
            continue
        moved = {"metadata": {"labels": {TARGET_LABEL: users[0]}}}
        writer.patch("v1", "Secret", metadata["name"], moved, namespace=namespace)
        note(f"{printable(name)}: the Secret {metadata['name']} is kept, because {users[0]} uses it")
    return own
