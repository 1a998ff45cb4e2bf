"""`kspec audit`: verify the chain of audit logs."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pytest_kspec.cli.output import note, say, style
from pytest_kspec.errors import EXIT_FINDINGS, UsageError

if TYPE_CHECKING:
    import argparse

DESCRIPTION = """\
Verify that no record of an audit log is missing or was changed. $KSPEC_AUDIT_LOG names the log that
kspec writes. Name files that were rotated before it, the oldest first.

The chain begins with record 1, unless the log itself records that its rotation removed older files. If older files are
stored elsewhere, or were removed by others, give the number of the first record with --from.

The files do not show whether lines were removed from the end of the last one. Note the digest that this command
prints, and pass it with --head the next time: its record must be in the files, or be the last one before them.

Exit codes: 0 the chain is complete; 1 it is not; 4 usage error."""

EXAMPLES = """
kspec audit verify audit.log
kspec audit verify audit.log.2 audit.log.1 audit.log --head 3f1c…
kspec audit verify audit.log --from 20140
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of the command."""
    parser.add_argument("action", choices=("verify",), help="verify")
    parser.add_argument("files", nargs="+", metavar="FILE", help="audit logs, the oldest first")
    parser.add_argument(
        "--head", metavar="DIGEST", default=None, help="digest that an earlier verification printed"
    )
    parser.add_argument(
        "--from",
        dest="first",
        type=int,
        metavar="N",
        default=1,
        help="number that the first record must have (default: %(default)s)",
    )


def run(args: argparse.Namespace) -> int:
    """Verify them. Raises UsageError for a file that cannot be read."""
    import re
    from contextlib import ExitStack

    from pytest_kspec.audit.chain import verify

    if args.head is not None and not re.fullmatch("[0-9a-fA-F]{64}", args.head):
        # A variable that is not set would verify less than was asked.
        raise UsageError(
            "this is not a digest of 64 hexadecimal digits.",
            where="--head",
            fix="Pass the digest that 'kspec audit verify' printed after 'head'.",
        )
    if args.first < 1:
        raise UsageError("the number of a record is 1 or more.", where="--from")
    with ExitStack() as stack:
        opened = []
        for path in args.files:
            try:
                opened.append((path, stack.enter_context(open(path, "rb"))))
            except OSError as error:
                raise UsageError(f"could not be read: {error.strerror}.", where=path) from error
        try:
            made = verify(opened, (args.head or "").lower(), args.first)
        except OSError as error:
            raise UsageError(f"could not be read: {error.strerror}.", where=", ".join(args.files)) from error
    for problem in made.problems:
        note(f"{style('✗', 'red')} {problem}")
    if not made.lines and not made.problems:
        raise UsageError("it contains no records.", where=", ".join(args.files))
    if made.problems:
        return EXIT_FINDINGS
    removed = f"; rotation removed the ones before {made.kept}" if 1 < made.first <= made.kept else ""
    say(f"{style('✓', 'green')} {made.lines} records, {made.first} to {made.last}{removed}")
    say(f"head {made.head}")
    return 0
