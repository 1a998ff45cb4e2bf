"""`kspec enforce`: keep out what a scan would find; say what cannot be kept out, and what is really in force."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pytest_kspec.cli import arguments
from pytest_kspec.cli.output import nobody_to_ask, note
from pytest_kspec.errors import UsageError

if TYPE_CHECKING:
    import argparse

    from pytest_kspec.cli.commands.enforce_steps import Run

DESCRIPTION = """\
Generate and apply admission policies from the rules of a specification, so that
a cluster rejects what a scan would report.

modes:
  monitor   write nothing; list what would be denied today, like --preview
  audit     admit violations, with a warning and an audit annotation
  enforce   deny violations

Without --mode, the mode is enforcement.mode of the specification if
enforcement.enabled is true, and monitor otherwise. The changes are shown before
they are applied. Before mode enforce is applied, you are asked to confirm; then
violating objects are sent as dry runs until the cluster denies them. Policies
are labelled with their specification: objects of other specifications, and
objects that kspec did not create, are never changed. Requirements that
admission cannot evaluate are listed with the reason.

Exit codes: 0 done; 1 something would be denied (monitor, --preview) or is not
in force (--status); 2 something could not be evaluated or applied, is not
denied yet, or there is nothing to enforce or to deny; 4 usage error."""

EXAMPLES = """
kspec enforce prod.yaml --mode audit -o policies.yaml  write manifests
kspec enforce prod.yaml --mode enforce --yes           do not ask
kspec enforce prod.yaml --preview --cluster eu.tar.gz  list denials
kspec enforce prod.yaml --status
kspec enforce prod.yaml --remove
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of the command, and those of each engine of ours."""
    from pytest_kspec.enforce.engines import ENGINES, engine, engines

    known = engines()

    arguments.add_specs(parser)
    parser.add_argument(
        "--engine",
        choices=list(known),
        default="vap",
        help="; ".join(f"{name}: {text}" for name, text in known.items()) + " (default: vap)",
    )
    parser.add_argument("--mode", choices=("monitor", "audit", "enforce"), help="what to do with violations")
    parser.add_argument(
        "--cluster",
        metavar="REF",
        help="kubeconfig context; for --preview also a snapshot or manifests (default: as for 'kspec scan'; "
        "none with -o)",
    )
    arguments.add_kubeconfig(parser)
    arguments.add_checks(parser)
    arguments.add_exemptions(parser)
    parser.add_argument(
        "--cluster-name", metavar="NAME", help="name of the cluster in exemptions (default: its own name)"
    )
    what = parser.add_mutually_exclusive_group()
    what.add_argument(
        "-o", "--output", metavar="FILE", help='write manifests to a file and apply nothing; "-" prints them'
    )
    what.add_argument("--dry-run", action="store_true", help="show what would change and apply nothing")
    what.add_argument(
        "--preview", action="store_true", help="list existing objects that would be denied if created again"
    )
    what.add_argument("--status", action="store_true", help="show which policies are in force")
    what.add_argument("--remove", action="store_true", help="remove all policies of the specification")
    parser.add_argument(
        "-y", "--yes", action="store_true", help="do not ask for confirmation before mode enforce is applied"
    )
    arguments.add_allow_empty(
        parser, "a specification with nothing to enforce, or a cluster with nothing to deny,"
    )
    for name in sorted(ENGINES):  # of packages, none: their code is imported when they are chosen
        engine(name).add_arguments(parser)


def run(args: argparse.Namespace) -> int:
    """Each specification in its turn; the worst exit code counts."""
    from pytest_kspec.cli.commands import enforce_steps

    refuse_other_engines(args, args.engine, "enforce")
    runs = _runs(args)
    codes = []
    for item in runs:
        if len(runs) > 1:
            note(f"{item.spec.path}: {item.spec.name}")
        codes.append(_one(item))
    if args.output:
        codes.append(enforce_steps.write_manifests(runs))
    return max(codes)


def refuse_other_engines(args: argparse.Namespace, chosen: str, command: str) -> None:
    """Options of engines of ours that are not chosen were meant for something. Raises UsageError."""
    from pytest_kspec.enforce.engines import ENGINES, engine

    for name in sorted(set(ENGINES) - {chosen}):
        parser = arguments.Parser(command, description="", examples="")
        engine(name).add_arguments(parser)
        parser.refuse_unused(args, f"--engine {chosen}", ())


def _one(item: Run) -> int:
    from pytest_kspec.cli.commands import enforce_steps
    from pytest_kspec.enforce.modes import Mode

    if item.args.status:
        return enforce_steps.status(item)
    if item.args.remove:
        return enforce_steps.remove(item)
    if item.args.preview:
        return enforce_steps.show_preview(item)
    if item.args.output:
        return 0
    if item.mode is Mode.MONITOR:
        return enforce_steps.show_preview(item)
    return enforce_steps.apply(item)


def _runs(args: argparse.Namespace) -> list[Run]:
    from datetime import UTC, datetime
    from pathlib import Path

    from pytest_kspec.cli.commands.enforce_steps import Run
    from pytest_kspec.enforce.engines import engine
    from pytest_kspec.enforce.modes import Mode, asked_mode
    from pytest_kspec.plan.checkset import load_checks
    from pytest_kspec.results.exemptions import load_exemptions
    from pytest_kspec.spec.effective import Library
    from pytest_kspec.spec.loading import find_specs, load_spec

    found: list[Run] = []
    now = datetime.now(UTC)
    more = [item for path in args.exemptions for item in load_exemptions(path)]
    paths = find_specs(arguments.read_specs(args))
    for path in paths:
        spec = load_spec(path, Library(tuple(paths)))
        same = next((item.spec.path for item in found if item.spec.name == spec.name), None)
        if same is not None:
            raise UsageError(
                f"{same} has the name {spec.name} too; their policies would overwrite each other.",
                where=spec.path,
                fix="Give one of them another metadata.name.",
            )
        spec.exemptions.extend(more)
        mode = Mode(args.mode) if args.mode else asked_mode(spec)
        if args.output and mode is Mode.MONITOR:
            raise UsageError(
                "mode monitor writes no policies.",
                where=spec.path,
                fix="Give --mode audit or --mode enforce.",
            )
        acts = not (args.output or args.dry_run or args.preview or args.status or args.remove)
        if mode is Mode.ENFORCE and acts and not args.yes and (error := nobody_to_ask("--mode enforce")):
            raise error
        checkset = load_checks([Path(check) for check in (*args.checks, *spec.checks)])
        found.append(Run(spec, engine(args.engine), mode, checkset, now, args))
    return found
