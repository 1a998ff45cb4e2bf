"""`kspec init`: the first specification, from what a cluster has today."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from pytest_kspec.cli import arguments
from pytest_kspec.cli.output import note, say, say_yaml
from pytest_kspec.errors import ReportError, UsageError

if TYPE_CHECKING:
    import argparse
    from pathlib import Path

DESCRIPTION = """\
Write a first specification from the current state of a cluster: its version, the Pod Security level that
most namespaces meet, default deny if most namespaces have it, and the registries and Service types in use.
Objects that do not meet it are exempted for 90 days with the reason "found by kspec init, review": review
these exemptions first. The cluster can be a live cluster, a snapshot or a folder of manifests."""

EXAMPLES = """
kspec init
kspec init --cluster prod-eu -o prod-eu.yaml
kspec init --cluster snapshot.tar.gz -o - | less
"""

VALID_DAYS = 90
STDOUT = "-"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of the command."""
    parser.add_argument(
        "--cluster",
        metavar="REF",
        help='kubeconfig context, snapshot, manifests or "in-cluster" (default: the current context)',
    )
    arguments.add_kubeconfig(parser)
    parser.add_argument(
        "-o",
        "--output",
        metavar="FILE",
        default="cluster-spec.yaml",
        help='file to write, "-" for standard output (default: cluster-spec.yaml)',
    )
    parser.add_argument("--force", action="store_true", help="replace the file if it exists")


def run(args: argparse.Namespace) -> int:
    """Look at the cluster, write the file."""
    import re
    from contextlib import closing
    from datetime import UTC, datetime, timedelta
    from pathlib import Path

    path = Path(args.output)
    if args.output != STDOUT and os.path.exists(path) and not args.force:
        raise UsageError(
            "exists already.", where=args.output, fix="Use another name with -o, or add --force."
        )
    from pytest_kspec.cluster.sources.open import default_ref, open_source
    from pytest_kspec.onboard.draft import render
    from pytest_kspec.onboard.survey import Survey
    from pytest_kspec.spec.loading import spec_from_text

    with closing(
        open_source(args.cluster or default_ref(args.kubeconfig), kubeconfig=args.kubeconfig)
    ) as source:
        draft = Survey(source).draft()
    today = datetime.now(UTC)
    text = render(
        draft,
        name=re.sub(r"[^a-z0-9]+", "-", draft.cluster.lower()).strip("-") or "cluster",
        today=today.date().isoformat(),
        expires=(today + timedelta(days=VALID_DAYS)).date().isoformat(),
    )
    spec_from_text(text, args.output)  # what is written can be read again
    if args.output == STDOUT:
        say_yaml(text)
        return 0
    _write(path, text, replace=args.force)
    say(
        f"{args.output}: a first specification of {draft.cluster}, with {len(draft.exempt)} findings exempted"
    )
    for left in draft.notes:
        note(f"note: {left}")
    cluster = f" --cluster {args.cluster}" if args.cluster else ""
    say(f"Review it, then run: kspec scan {args.output}{cluster}")
    return 0


def _write(path: Path, text: str, *, replace: bool) -> None:
    """The file; never over one that exists, unless asked to."""
    from pytest_kspec.files import write_whole

    try:
        write_whole(path, text.encode(), replace=replace)
    except OSError as error:
        raise ReportError(
            f"could not be written: {error.strerror}.", where=str(path), fix="Use another name with -o."
        ) from error
