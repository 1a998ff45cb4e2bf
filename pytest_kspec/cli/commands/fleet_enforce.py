"""`kspec fleet enforce`: the same policies on many clusters."""

from __future__ import annotations

import sys
from functools import partial
from typing import TYPE_CHECKING

from pytest_kspec.cli.commands.cluster_show import fit, table
from pytest_kspec.cli.output import agreed, nobody_to_ask, note, say, say_json, style
from pytest_kspec.enforce.engines import engine, engines, webhook
from pytest_kspec.enforce.engines.kyverno import APIS
from pytest_kspec.enforce.modes import Mode
from pytest_kspec.errors import EXIT_FINDINGS, EXIT_NOT_EVALUATED, UsageError
from pytest_kspec.fleet.enforcing import Order, Synced, Total, look, sync, totals
from pytest_kspec.reports.shared.text import plural
from pytest_kspec.shown import printable
from pytest_kspec.storage.fleetrun import preference

if TYPE_CHECKING:
    import argparse
    from collections.abc import Sequence

    from pytest_kspec.enforce.engines import Engine
    from pytest_kspec.fleet.targets.model import Target
    from pytest_kspec.spec.loading import LoadedSpec

_ENGINE = "vap"
_WORDS = {"create": "created", "change": "changed", "keep": "unchanged", "remove": "removed"}
_WOULD = {"create": "to create", "change": "to change", "keep": "unchanged", "remove": "to remove"}
_COLOURS = {"away": "yellow", "failed": "red", "differs": "red", "ok": "green", "duplicate": "cyan"}


def enforce(args: argparse.Namespace, found: Sequence[Target]) -> int:
    """Show which clusters are meant, and bring them up to date. Raises UsageError."""
    order = _order(args)
    found = sorted(found, key=lambda target: preference(target.name, target.ref))
    if args.status:
        return _status(args, order, found)
    targets = [target for target in found if target.allow_enforcement or target.origin == "context"]
    for target in found:
        if target not in targets:
            note(f"skipped: {target.name} does not allow enforcement (spec.allowEnforcement)")
    if not targets:
        raise (
            _nowhere("none of the selected clusters allows enforcement.", "'kspec cluster enable' allows it.")
            if found
            else _nowhere()
        )
    for target in targets:
        note(f"  {target.name}  {target.server}")
    if not order.dry_run and not args.yes:
        if error := nobody_to_ask("kspec fleet enforce"):
            raise error
        what = "Remove the policies from" if order.mode is None else f"Apply mode {order.mode} to"
        if not agreed(f"{what} {plural(len(targets), 'cluster')}?"):
            say("nothing was applied")
            return 0
    text = args.output == "text"
    done, untried = sync(targets, order, say=partial(_say, order.dry_run) if text else _silent)
    if not text:
        _print_json(order, done, untried)
    else:
        for total in totals(done):
            say(_total(total, order.dry_run))
    if untried:
        names = ", ".join(target.name for target in untried[:10])
        label = style("stopped:", "red", "bold", stream=sys.stderr)
        note(f"{label} a cluster of the first wave failed; {len(untried)} others were not changed: {names}")
    return EXIT_NOT_EVALUATED if untried or any(one.failed or one.away for one in done) else 0


def refuse_other_engines(args: argparse.Namespace) -> None:
    """Options of an engine that is not chosen were meant for something. Raises UsageError."""
    for option, given, name in (
        ("--kyverno-api", args.kyverno_api != APIS[0], "kyverno"),
        ("--image", args.image, webhook.NAME),
        ("--namespace", args.namespace, webhook.NAME),
    ):
        if given and name != (args.engine or _ENGINE):
            raise UsageError(
                f"'{option}' has no effect without --engine {name}.", where="kspec fleet enforce"
            )


def _nowhere(
    what: str = "no cluster is selected.", fix: str = "Use --all-contexts, --context, --source or -l."
) -> UsageError:
    return UsageError(what, where="kspec fleet enforce", fix=fix)


def _status(args: argparse.Namespace, order: Order, targets: Sequence[Target]) -> int:
    """What is in force, a line for each cluster and specification, and totals. Also of clusters that allow nothing."""
    if not targets:
        raise _nowhere()
    done = look(targets, order, say=_silent)
    if args.output == "json":
        _print_json(order, done, (), looked=True)
    else:
        headers = ["NAME", "SPEC", "STATE", "MODE", "POLICIES", "PROBLEM"]
        for line in table(headers, [_row(one) for one in done], fit("")):
            say(line)
        for total in totals(done, looked=True):
            say(_total(total, True, looked=True))
    if any(one.error for one in done):
        return EXIT_NOT_EVALUATED
    return EXIT_FINDINGS if any(one.problems for one in done) else 0


def _row(one: Synced) -> list[str]:
    problems = [*one.problems, one.error, f"is {one.same_as}" if one.same_as else ""]
    texts = [printable(" ".join(text.split())) for text in problems if text]
    more = f" (and {len(texts) - 1} more)" if len(texts) > 1 else ""
    return [
        printable(one.cluster),
        printable(one.spec),
        _word(one, looked=True),
        one.mode or "-",
        str(one.in_force) if not (one.error or one.same_as) else "-",
        texts[0] + more if texts else "",
    ]


def _word(one: Synced, *, looked: bool) -> str:
    return "differs" if looked and one.state == "failed" and not one.error else one.state


def _order(args: argparse.Namespace) -> Order:
    from datetime import UTC, datetime
    from pathlib import Path

    from pytest_kspec.cli import arguments
    from pytest_kspec.plan.checkset import load_checks
    from pytest_kspec.results.exemptions import load_exemptions
    from pytest_kspec.spec.effective import Library
    from pytest_kspec.spec.loading import find_specs, load_spec

    paths = find_specs(arguments.read_specs(args))
    specs: list[LoadedSpec] = [load_spec(path, Library(tuple(paths))) for path in paths]
    names = [spec.name for spec in specs]
    if len(set(names)) < len(names):
        raise UsageError(
            "two specifications have the same name; their policies would overwrite each other.",
            where=", ".join(spec.path for spec in specs if names.count(spec.name) > 1),
            fix="Give one of them another metadata.name.",
        )
    more = [item for path in args.exemptions for item in load_exemptions(path)]
    for spec in specs:
        spec.exemptions.extend(more)
    if args.status and (args.remove or args.dry_run):
        raise UsageError(
            "--status cannot be combined with --remove or --dry-run.", where="kspec fleet enforce"
        )
    if args.mode and args.remove:
        raise UsageError("--mode and --remove cannot be combined.", where="kspec fleet enforce")
    if not (args.mode or args.remove or args.status):
        raise UsageError(
            "no mode is given.", where="kspec fleet enforce", fix="Add --mode audit or --mode enforce."
        )
    checks = [Path(path) for path in (*args.checks, *(path for spec in specs for path in spec.checks))]
    mode = Mode(args.mode) if args.mode else None
    chosen, now = _engine(args, specs), datetime.now(UTC)
    return Order(specs, load_checks(checks), chosen, mode, now, args.dry_run, args.allow_empty, args)


def _engine(args: argparse.Namespace, specs: Sequence[LoadedSpec]) -> Engine:
    name = args.engine or _ENGINE
    if name == webhook.NAME:
        from pytest_kspec.fleet.webhook import Deployed, checked_image, packed

        if args.remove:
            return Deployed("", {}, args.namespace or webhook.NAMESPACE)
        image = checked_image(args.image) if args.image or not args.status else ""
        files = {spec.name: packed(spec, args.checks, args.exemptions) for spec in specs}
        return Deployed(image, files, args.namespace or webhook.NAMESPACE)
    if name not in engines():
        raise UsageError(
            f"{name!r} is not an engine.", where="--engine", fix=f"Use one of: {', '.join(engines())}."
        )
    if args.kyverno_api not in APIS:
        raise UsageError(
            f"{args.kyverno_api!r} is not an API of Kyverno.",
            where="--kyverno-api",
            fix=f"Use one of: {', '.join(APIS)}.",
        )
    return engine(name)


def _silent(one: Synced) -> None:
    """With JSON, nothing but the document is written."""


def _say(dry_run: bool, one: Synced) -> None:
    words = _WOULD if dry_run else _WORDS
    counts = ", ".join(f"{count} {words[what]}" for what, count in one.changes.items() if count)
    label = _word(one, looked=False)
    same = f"is {one.same_as}" if one.same_as else ""
    parts = [same, counts, *one.problems, one.error]
    say(
        f"{style(label, _COLOURS[label])} {one.cluster} ({one.spec}): "
        f"{'; '.join(filter(None, parts)) or 'nothing to do'}"
    )


def _total(total: Total, dry_run: bool, *, looked: bool = False) -> str:
    state = "could be compared; nothing was changed (--dry-run)" if dry_run else "up to date"
    parts = [f"{total.ok} of {plural(total.clusters, 'cluster')} {'as required' if looked else state}"]
    parts += [f"{total.differ} not"] if total.differ else []
    parts += [f"{total.away} away"] if total.away else []
    parts += [f"{total.failed} failed"] if total.failed else []
    return f"{total.spec}: {', '.join(parts)}"


def _print_json(
    order: Order, done: Sequence[Synced], untried: Sequence[Target], *, looked: bool = False
) -> None:
    from pytest_kspec.reports.json import pretty

    clusters = [
        {
            "name": one.cluster,
            "spec": one.spec,
            "state": _word(one, looked=looked),
            "mode": one.mode,
            "changes": one.changes,
            "inForce": one.in_force,
            "problems": list(one.problems),
            "error": one.error,
            "sameAs": one.same_as,
        }
        for one in done
    ]
    sums = [
        {
            "spec": one.spec,
            "clusters": one.clusters,
            "ok": one.ok,
            "differ": one.differ,
            "away": one.away,
            "failed": one.failed,
        }
        for one in totals(done, looked=looked)
    ]
    head = {"apiVersion": "kspec.io/v1alpha1", "kind": "FleetEnforcement", "engine": order.engine.NAME}
    lists = {
        "specs": [spec.name for spec in order.specs],
        "totals": sums,
        "clusters": clusters,
        "untried": [target.name for target in untried],
    }
    say_json(pretty({**head, **lists}))
