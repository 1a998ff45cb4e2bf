"""`kspec snapshot`: record a cluster, and say what is in the record and what is not."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from pytest_kspec.cli import arguments
from pytest_kspec.cli.output import is_interactive, note, say, style
from pytest_kspec.errors import EXIT_NOT_EVALUATED
from pytest_kspec.shown import printable

if TYPE_CHECKING:
    import argparse

    from pytest_kspec.cluster.sources.snapshotfile import SnapshotInfo

DESCRIPTION = """\
Record a live cluster in a folder or a .tar.gz archive. All kinds that the cluster serves and that you may
list are recorded. The snapshot can be scanned later and elsewhere ('kspec scan SPEC --cluster FILE'). Its
files are readable only by you. It never contains the data of Secrets and ConfigMaps, managedFields, or
values that look like credentials; the number of redacted values is recorded.

The exit code is 2 if a kind could not be read: this is recorded in the snapshot, and checks that need the
kind end with an error."""

EXAMPLES = """
kspec snapshot -o prod-eu.tar.gz
kspec snapshot --cluster prod-eu -o snapshots/prod-eu/
"""

_REDACTED = {
    "configMapData": "in data of ConfigMaps",
    "annotations": "annotations",
    "arguments": "arguments",
    "environment": "environment variables",
    "headers": "headers",
    "other": "other values",
}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of the command."""
    parser.add_argument(
        "--cluster", metavar="REF", help='kubeconfig context, or "in-cluster" (default: the current context)'
    )
    arguments.add_kubeconfig(parser)
    parser.add_argument(
        "-o", "--output", metavar="PATH", required=True, help=".tar.gz file or folder to write"
    )
    parser.add_argument(
        "--kinds",
        metavar="KIND",
        action="append",
        default=[],
        help="record only these, such as Deployment,Role, for 'kspec drift' (default: all); may be repeated",
    )


def run(args: argparse.Namespace) -> int:
    """Record it."""
    from contextlib import closing

    from pytest_kspec.cluster.recording.record import record
    from pytest_kspec.cluster.sources.open import default_ref, open_source
    from pytest_kspec.errors import UsageError

    ref = args.cluster or default_ref(args.kubeconfig)
    only: set[tuple[str, str]] | None = None
    with closing(open_source(ref, kubeconfig=args.kubeconfig)) as source:
        if source.kind == "manifests":  # what is missing there is not known; in a snapshot it is not there
            raise UsageError(
                "manifests cannot be recorded, because they are not a cluster.",
                where=ref,
                fix="'kspec scan' reads them as they are.",
            )
        if args.kinds:
            from pytest_kspec.drift.configuration import chosen

            kinds = [word for words in args.kinds for word in words.split(",") if word]
            types = chosen(kinds, source.types(), "--kinds", f"{source.name} does not have")
            only = {(one.group, one.kind) for one in types}
        made = record(source, args.output, _Progress() if is_interactive(sys.stderr) else None, only)
    return _summary(made, args.output)


class _Progress:
    """One line that is written over: only where somebody looks at it."""

    def __call__(self, resource: str, done: int, total: int) -> None:
        text = f"{done}/{total} {resource}" if done < total else ""
        sys.stderr.write(f"\r\x1b[K{printable(text)}")
        sys.stderr.flush()


def _summary(made: SnapshotInfo, path: str) -> int:
    """What was recorded. What was left out on purpose is no warning; what was refused is."""
    objects = sum(file.items for file in made.files.values())
    cluster = f"{made.cluster.name} {made.cluster.version}".strip()
    say(f"{path}: {cluster}, {objects:,} objects of {len(made.files)} kinds")
    if made.redacted:
        counts = ", ".join(f"{count:,} {_REDACTED.get(what, what)}" for what, count in made.redacted.items())
        say(f"redacted: {counts}")
    from pytest_kspec.cluster.recording.record import NOT_CHOSEN

    missing = [one for one in made.errors if one.error != "NotServed" and one.what != NOT_CHOSEN]
    for failure in missing:
        fix = f" {failure.fix}" if failure.fix else ""
        note(f"{style('not recorded:', 'yellow', stream=sys.stderr)} {failure.kind}: {failure.what}{fix}")
    if missing:
        note("Checks that need these kinds will end with an error on this snapshot.")
    return EXIT_NOT_EVALUATED if missing else 0
