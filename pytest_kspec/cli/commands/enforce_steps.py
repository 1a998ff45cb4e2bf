"""What `kspec enforce` does to one cluster, and how it says it."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterable, Sequence
from contextlib import closing
from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, NamedTuple

from pytest_kspec.cli.output import agreed, note, say, say_yaml, style, width
from pytest_kspec.cluster.inventory.inventory import Inventory
from pytest_kspec.cluster.sources.open import default_ref, open_source
from pytest_kspec.cluster.writing.write import Writer
from pytest_kspec.enforce import apply as applying
from pytest_kspec.enforce import inforce, seen, succession
from pytest_kspec.enforce.engines import Generated, InForce, Wanted
from pytest_kspec.enforce.manifests import to_yaml
from pytest_kspec.enforce.modes import Mode
from pytest_kspec.enforce.plan import EnforcementPlan, NotEnforceable, enforcement_plan
from pytest_kspec.enforce.preview import preview
from pytest_kspec.errors import (
    EXIT_FINDINGS,
    EXIT_NOT_EVALUATED,
    NotApplicable,
    ReportError,
    SourceError,
    UsageError,
)
from pytest_kspec.files import write_whole
from pytest_kspec.reports.shared.text import plural

if TYPE_CHECKING:
    import argparse

    from pytest_kspec.cluster.sources.live import LiveSource
    from pytest_kspec.enforce.engines import Engine
    from pytest_kspec.plan.checkset import CheckSet
    from pytest_kspec.spec.loading import LoadedSpec

SYSTEM = "kube-system"
_SHOWN, _SHOWN_DRY = 4, 40  # lines of a diff of one object: applied, and by --dry-run
_PENDING_S, _POLL_S = 15.0, 0.5
_DONE = {"create": "created", "change": "changed", "keep": "unchanged", "remove": "removed"}
_COLOURS = {"create": "green", "change": "yellow", "remove": "red"}


class Run(NamedTuple):
    """One specification on one cluster. cluster_name: "" where it is not known."""

    spec: LoadedSpec
    engine: Engine
    mode: Mode
    checkset: CheckSet
    now: datetime
    args: argparse.Namespace


def apply(item: Run) -> int:
    """Show what changes, and do it unless it is a dry run."""
    with closing(live_source(item)) as source:
        wanted = _wanted(item, source.info().version, item.args.cluster_name or source.name)
        made = item.engine.generate(wanted)
        _tell(item, wanted, made)
        writer = Writer(source, on_warning=lambda text: note(f"{source.name}: {text}"))
        planned = applying.changes(item.spec, item.engine, made.manifests, writer)
        for change in planned:
            if change.diff or item.args.dry_run:
                _show(change, item.args.dry_run)
        if item.args.dry_run:
            say(f"{_counts(planned)}; nothing was applied (--dry-run)")
            return _empty(item, wanted, made)
        changing = [change for change in planned if change.what != "keep"]
        if item.mode is Mode.ENFORCE and changing and not _agreed(item, source.name, changing):
            say("nothing was applied")
            return 0
        turnover = succession.succession(planned, made.manifests, wanted)
        _carry_out([change for change in planned if change not in turnover.old], writer)
        if turnover.old:
            _take_over(item, wanted, turnover, writer)
        _note_problems(item, writer)
        state = (
            f"mode {item.mode}"
            if wanted.active or made.timeless
            else "not active now, so no binding is written"
        )
        say(f"{item.spec.name} on {source.name}: {_counts(planned)}; {state}")
        if item.mode is Mode.ENFORCE and (wanted.active or made.timeless):
            return _empty(item, wanted, made) or _see(item, wanted, made, writer)
    return _empty(item, wanted, made)


def _carry_out(changes: Sequence[applying.Change], writer: Writer) -> None:
    for change in applying.carry_out(changes, writer):
        say(f"{style(_DONE[change.what], _COLOURS.get(change.what, 'bold'))} {change.object}")


def _take_over(item: Run, wanted: Wanted, turnover: succession.Succession, writer: Writer) -> None:
    """Remove policies of another kind of this engine once those that were applied are in force."""
    deadline = time.monotonic() + _PENDING_S
    while not succession.is_in_force(turnover.of_new(_in_force(item, writer)), wanted):
        if time.monotonic() > deadline:
            note(
                f"{style('note:', 'yellow', stream=sys.stderr)} {turnover.text}. Run the same command again later."
            )
            return
        time.sleep(_POLL_S)
    _carry_out(turnover.old, writer)


def _in_force(item: Run, writer: Writer) -> list[InForce]:
    return inforce.in_force(item.engine, applying.existing(item.spec, item.engine, writer), writer)


def _empty(item: Run, wanted: Wanted, made: Generated) -> int:
    """2, and why, where the engine makes nothing of the specification, so that nothing is kept out; else 0."""
    inactive = wanted.plan.rules and not wanted.active and not made.timeless
    if made.manifests or inactive or item.args.allow_empty:
        return 0
    return _nothing(
        f"{item.spec.name}: nothing in it can be enforced by {item.engine.NAME}, "
        f"so nothing is denied. Add requirements "
        "that admission can evaluate (workloads, podSecurity, network.allowedServiceTypes), or use --allow-empty."
    )


def _nothing(what: str) -> int:
    note(f"{style('error:', 'red', 'bold', stream=sys.stderr)} {what}")
    return EXIT_NOT_EVALUATED


def _agreed(item: Run, cluster: str, changing: Sequence[applying.Change]) -> bool:
    """Say what will happen, and ask unless --yes is given."""
    note(
        f"{style('warning:', 'yellow', 'bold', stream=sys.stderr)} in mode enforce, {cluster} denies objects that "
        f"violate {item.spec.name} when they are created or changed. --preview lists what would be denied today; "
        "--mode audit only warns; --remove undoes this."
    )
    return bool(item.args.yes) or agreed(f"Apply {plural(len(changing), 'change')} to {cluster}?")


def _see(item: Run, wanted: Wanted, made: Generated, writer: Writer) -> int:
    """Wait until the cluster is seen to deny. 2 where it still admits what violates the specification."""
    try:
        quiet = Writer(writer.source)  # until it denies, a cluster warns of each object that is tried
        found = seen.look(wanted, made, item.checkset, quiet)
    except SourceError as error:
        note(f"{style('note:', 'yellow', stream=sys.stderr)} no denial was observed: {error}")
        return 0
    if found.denied:
        say(seen.sentence(found))
    for problem in seen.problems(found):
        note(f"{style('note:', 'yellow', stream=sys.stderr)} {problem}")
    return EXIT_NOT_EVALUATED if found.admitted else 0


def _note_problems(item: Run, writer: Writer) -> None:
    """What keeps it from doing what it should: above all a webhook that cannot be called yet."""
    for entry in _in_force(item, writer):
        for problem in () if entry.pending else entry.problems:
            note(f"{style('note:', 'yellow', stream=sys.stderr)} {entry.name}: {problem}")


def remove(item: Run) -> int:
    """Remove all that was generated for the specification."""
    with closing(live_source(item)) as source:
        writer = Writer(source)
        planned = applying.removals(item.spec, item.engine, writer)
        for change in applying.carry_out(planned, writer):
            say(f"removed {change.object}")
        if not planned:
            say(f"{item.spec.name} has no policies to remove ({item.engine.NAME} on {source.name})")
    return 0


def status(item: Run) -> int:
    """What is in force, as the cluster says."""
    with closing(live_source(item)) as source:
        writer = Writer(source)
        objects, found = _read_back(item, writer)
        wanted = _wanted(item, source.info().version, item.args.cluster_name or source.name)
        made = item.engine.generate(wanted)
        other = Mode.ENFORCE if wanted.mode is Mode.AUDIT else Mode.AUDIT
        either = [made.manifests, item.engine.generate(replace(wanted, mode=other)).manifests]
        differing = applying.differences(objects, either) if objects else {}
        say(f"{item.spec.name} on {source.name}, engine {item.engine.NAME}:")
        problems = 0
        for entry in found:
            shown = style(entry.mode, "green") if entry.mode else style("not in force", "red")
            say(f"  {entry.name}: {shown}")
            for problem in (*entry.problems, *differing.pop((entry.kind, entry.name), ())):
                problems += 1
                say(f"    {style(problem, 'yellow')}")
        for (kind, name), texts in differing.items():
            problems += 1
            say(f"  {kind} {name}: {style(', '.join(texts), 'red')}")
        problems += _outdated(objects, item.now)
        if not found:
            say(f"  {style('nothing is in force', 'red')}")
        _left_out([*wanted.plan.not_enforceable, *made.not_enforceable])
    return EXIT_FINDINGS if problems or not found or not all(entry.mode for entry in found) else 0


def _read_back(item: Run, writer: Writer) -> tuple[list[dict[str, Any]], list[InForce]]:
    """Objects and what they do; waits a moment for a cluster that has not looked at them yet."""
    deadline = time.monotonic() + _PENDING_S
    while True:
        objects = applying.existing(item.spec, item.engine, writer)
        found = inforce.in_force(item.engine, objects, writer)
        if not any(entry.pending for entry in found) or time.monotonic() > deadline:
            return objects, found
        time.sleep(_POLL_S)


def show_preview(item: Run) -> int:
    """What would be refused if it were created again."""
    ref = item.args.cluster or item.spec.own_cluster or default_ref(item.args.kubeconfig)
    with closing(open_source(ref, kubeconfig=item.args.kubeconfig)) as source:
        inventory = Inventory(source)
        try:
            version = inventory.info.version
        except NotApplicable:
            version = ""
        wanted = _wanted(item, version, item.args.cluster_name or source.name)
        made = item.engine.generate(wanted)
        found = preview(wanted.plan, inventory, wanted.cluster_name or "", made.excluded)
    for refused in found.refused:
        times = f" ({refused.objects} objects)" if refused.objects > 1 else ""
        say(style(f"{refused.owner}{times}", "bold"))
        for requirement, text in refused.violations:
            say(f"  [{requirement}] {text}")
    for error in found.errors:
        note(f"{style('not examined:', 'yellow', stream=sys.stderr)} {error}")
    total = sum(refused.objects for refused in found.refused)
    say(f"{item.spec.name} on {source.name}: {total} of {found.examined} objects would be denied")
    _left_out([*wanted.plan.not_enforceable, *made.not_enforceable])
    if found.errors or _empty(item, wanted, made):
        return EXIT_NOT_EVALUATED
    if found.is_empty and not item.args.allow_empty:
        return _nothing(
            f"{source.name}: there is no object that {item.spec.name} could deny. Check that this is the right "
            "cluster or folder. If this is intended, add --allow-empty."
        )
    return EXIT_FINDINGS if found.refused else 0


def write_manifests(runs: Sequence[Run]) -> int:
    """All manifests in one file, with the cluster's version and name if one is named; none for no objects."""
    manifests: list[dict[str, Any]] = []
    code = 0
    for item in runs:
        version, name = "", item.args.cluster_name
        if item.args.cluster:
            with closing(live_source(item)) as source:
                version, name = source.info().version, name or source.name
        wanted = _wanted(item, version, name)
        made = item.engine.generate(wanted)
        _tell(item, wanted, made)
        manifests += made.manifests
        code = max(code, _empty(item, wanted, made))
    if code and not manifests:
        return code
    text, path = to_yaml(manifests), runs[0].args.output
    if path == "-":
        say_yaml(text)
        return code
    from pathlib import Path

    try:
        write_whole(Path(path), text.encode())
    except OSError as error:
        raise ReportError(f"could not be written: {error.strerror or error}.", where=path) from error
    say(f"{path}: {plural(len(manifests), 'object')}")
    return code


def _wanted(item: Run, version: str, cluster_name: str | None) -> Wanted:
    plan = enforcement_plan(item.spec, item.checkset, version=version, now=item.now)
    # In mode monitor nothing is written, but what could not be is still told.
    mode = Mode.AUDIT if item.mode is Mode.MONITOR else item.mode
    return Wanted(plan, mode, cluster_name, item.args)


def _tell(item: Run, wanted: Wanted, made: Generated) -> None:
    """What is not enforced, until when this is right, and what may lock the cluster out."""
    _left_out([*wanted.plan.not_enforceable, *made.not_enforceable])
    if not wanted.active and not made.timeless:
        note(f"{item.spec.name} is not active now (timeBasedActivation): no binding is written.")
    if wanted.boundary is not None and not made.timeless:
        until = wanted.boundary.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        note(
            f"{style('apply again', 'yellow', stream=sys.stderr)} at {until}, when an exemption or a period ends."
        )
    for requirement in wanted.plan.by_pod_alone:
        note(
            f"{style('note:', 'yellow', stream=sys.stderr)} {requirement}: admission does not read ServiceAccounts: "
            "a pod must set the field itself, while a scan uses the value of its ServiceAccount."
        )
    if SYSTEM not in made.excluded and _covers_system(wanted.plan):
        note(
            f"{style('note:', 'yellow', stream=sys.stderr)} {SYSTEM} is not excluded (namespaceScope, "
            "podSecurity.exemptions): check --preview before you enforce."
        )


def _covers_system(plan: EnforcementPlan) -> bool:
    from pytest_kspec.spec.scope import NAME_LABEL, in_scope

    scope = plan.spec.spec.namespace_scope
    inside = in_scope(scope, SYSTEM, {NAME_LABEL: SYSTEM})
    return inside and any(plan.holds(rule, SYSTEM) for rule in plan.rules if rule.target == "pods")


def _left_out(items: Iterable[NotEnforceable]) -> None:
    found = sorted(items)
    if found:
        note(f"not enforced, only scanned ({len(found)}):")
        for entry in found:
            note(f"  {entry.requirement_id}: {entry.reason}")


def _show(change: applying.Change, dry_run: bool) -> None:
    what = change.what if dry_run else f"will {change.what}"
    say(f"{style(what, _COLOURS.get(change.what, 'bold'))} {change.object}")
    wide, most = width(), _SHOWN_DRY if dry_run else _SHOWN
    for line in change.diff[:most]:
        text = line if len(line) <= wide - 4 else f"{line[: wide - 5]}…"
        say(f"    {style(text, 'green' if line.startswith('+') else 'red')}")
    if len(change.diff) > most:
        say(f"    … and {len(change.diff) - most} more lines")


def _counts(planned: Sequence[applying.Change]) -> str:
    words = {"create": "to create", "change": "to change", "keep": "unchanged", "remove": "to remove"}
    numbers = [(sum(change.what == what for change in planned), text) for what, text in words.items()]
    return ", ".join(f"{number} {text}" for number, text in numbers if number) or "nothing to do"


def _outdated(objects: Sequence[dict[str, Any]], now: datetime) -> int:
    """How many moments have passed at which objects had to be made again."""
    late = applying.outdated(objects, now)
    for moment in late:
        say(f"  {style(f'out of date since {moment}: apply again', 'red')}")
    return len(late)


def live_source(item: Run) -> LiveSource:
    """The live cluster that is meant. Raises UsageError where it is none."""
    from pytest_kspec.cluster.sources.live import LiveSource

    ref = item.args.cluster or item.spec.own_cluster or default_ref(item.args.kubeconfig)
    source = open_source(ref, kubeconfig=item.args.kubeconfig)
    if not isinstance(source, LiveSource):
        raise UsageError(
            "policies cannot be applied to a snapshot or to manifests.",
            where=ref,
            fix="Name a kubeconfig context, or write manifests with -o.",
        )
    return source
