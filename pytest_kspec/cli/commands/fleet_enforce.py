"""`kspec fleet enforce`: the same policies on many clusters."""

from __future__ import annotations

import sys
from functools import partial
from typing import TYPE_CHECKING

from pytest_kspec.cli.output import agreed, nobody_to_ask, note, say, say_json, style
from pytest_kspec.enforce.engines import engine
from pytest_kspec.enforce.modes import Mode
from pytest_kspec.errors import EXIT_NOT_EVALUATED, UsageError
from pytest_kspec.fleet.enforcing import Order, Synced, sync
from pytest_kspec.reports.shared.text import plural

if TYPE_CHECKING:
    import argparse
    from collections.abc import Sequence

    from pytest_kspec.fleet.targets.model import Target
    from pytest_kspec.spec.loading import LoadedSpec

_ENGINE = "vap"
_WORDS = {"create": "created", "change": "changed", "keep": "unchanged", "remove": "removed"}
_WOULD = {"create": "to create", "change": "to change", "keep": "unchanged", "remove": "to remove"}


def enforce(args: argparse.Namespace, found: Sequence[Target]) -> int:
    """Show which clusters are meant, and bring them up to date. Raises UsageError."""
    order = _order(args)
    targets = [target for target in found if target.allow_enforcement or target.origin == "context"]
    for target in found:
        if target not in targets:
            note(f"left out: {target.name} does not allow enforcement (spec.allowEnforcement)")
    if not targets:
        raise UsageError(
            "none of the selected clusters allows enforcement." if found else "no cluster is selected.",
            where="kspec fleet enforce",
            fix="'kspec cluster enable' allows it."
            if found
            else "Use --all-contexts, --context, --source or -l.",
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
        _print_json(order.specs, done, untried)
    else:
        for spec in order.specs:
            say(_total(spec.name, done, order.dry_run))
    if untried:
        names = ", ".join(target.name for target in untried[:10])
        label = style("stopped:", "red", "bold", stream=sys.stderr)
        note(f"{label} a cluster of the first wave failed; {len(untried)} others are as they were: {names}")
    return EXIT_NOT_EVALUATED if untried or any(one.failed or one.away for one in done) else 0


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
            "two specifications have one name; their policies would overwrite each other.",
            where=", ".join(spec.path for spec in specs if names.count(spec.name) > 1),
            fix="Give one of them another metadata.name.",
        )
    more = [item for path in args.exemptions for item in load_exemptions(path)]
    for spec in specs:
        spec.exemptions.extend(more)
    if not args.mode and not args.remove:
        raise UsageError(
            "no mode is given.", where="kspec fleet enforce", fix="Add --mode audit or --mode enforce."
        )
    checks = [Path(path) for path in (*args.checks, *(path for spec in specs for path in spec.checks))]
    mode = None if args.remove else Mode(args.mode)
    return Order(
        specs, load_checks(checks), engine(_ENGINE), mode, datetime.now(UTC), args.dry_run, args.allow_empty
    )


def _silent(one: Synced) -> None:
    """With JSON, nothing but the document is written."""


def _say(dry_run: bool, one: Synced) -> None:
    words = _WOULD if dry_run else _WORDS
    counts = ", ".join(f"{count} {words[what]}" for what, count in one.changes.items() if count)
    label = "away" if one.away else "failed" if one.failed else "ok"
    colour = {"away": "yellow", "failed": "red", "ok": "green"}[label]
    parts = [counts, *one.problems, one.error]
    say(
        f"{style(label, colour)} {one.cluster} ({one.spec}): {'; '.join(filter(None, parts)) or 'nothing to do'}"
    )


def _total(spec: str, done: Sequence[Synced], dry_run: bool) -> str:
    mine = [one for one in done if one.spec == spec]
    good = sum(not one.failed and not one.away for one in mine)
    away, failed = sum(one.away for one in mine), sum(one.failed for one in mine)
    state = "could be compared; nothing was changed (--dry-run)" if dry_run else "up to date"
    parts = [f"{good} of {plural(len(mine), 'cluster')} {state}"]
    parts += [f"{away} away"] if away else []
    parts += [f"{failed} failed"] if failed else []
    return f"{spec}: {', '.join(parts)}"


def _print_json(specs: Sequence[LoadedSpec], done: Sequence[Synced], untried: Sequence[Target]) -> None:
    from pytest_kspec.reports.json import pretty

    clusters = [
        {
            "name": one.cluster,
            "spec": one.spec,
            "state": "away" if one.away else "failed" if one.failed else "ok",
            "changes": one.changes,
            "inForce": one.in_force,
            "problems": list(one.problems),
            "error": one.error,
        }
        for one in done
    ]
    head = {"apiVersion": "kspec.io/v1alpha1", "kind": "FleetEnforcement", "specs": [s.name for s in specs]}
    say_json(pretty(head | {"clusters": clusters, "untried": [target.name for target in untried]}))
