"""`kspec evidence`: a result and all that it rests on, as one signed archive."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pytest_kspec.cli.output import note, say, style
from pytest_kspec.errors import ReportError, UsageError

if TYPE_CHECKING:
    import argparse

DESCRIPTION = """\
Bundle a result with the specifications, exemptions, checks of your own and snapshots that it rests on,
and the SHA-256 of each; sign the bundle. The files are those that the result names; one that is not
what was scanned any more is refused. 'kspec verify' checks the bundle and replays the scan.

The signature is written beside it (FILE.sig), as cosign makes it: ECDSA on P-256 over SHA-256.
The passphrase of a key is read from $KSPEC_KEY_PASSPHRASE, else asked for. A key is made with:

  openssl genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-256 -out key.pem
  openssl pkey -in key.pem -pubout -out key.pub"""

EXAMPLES = """
kspec evidence --from result.json --key key.pem -o evidence.tar.gz
kspec evidence --from r.json --snapshot eu.tar.gz --key key.pem -o r.tar.gz
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of the command."""
    parser.add_argument("--from", dest="result", required=True, metavar="RESULT", help="a JSON report")
    for name, text in (
        ("spec", "specification that was scanned with"),
        ("snapshot", "snapshot that was scanned"),
        ("exemptions", "file of exemptions that was given to the scan"),
        ("checks", "file or folder of checks that was given to the scan"),
    ):
        where = "; not in the result" if name == "checks" else " (default: what the result names)"
        parser.add_argument(
            f"--{name}", action="append", default=[], metavar="PATH", help=f"{text}; may be repeated{where}"
        )
    parser.add_argument(
        "--baseline",
        default="",
        metavar="FILE",
        help="baseline that was given to the scan (default: what the result names)",
    )
    parser.add_argument("--key", required=True, metavar="KEY", help="private key, PEM, ECDSA on P-256")
    parser.add_argument("-o", "--output", required=True, metavar="FILE", help="the bundle, a .tar.gz")


def run(args: argparse.Namespace) -> int:
    """Gather, pack, sign."""
    import tempfile

    import pytest_kspec
    from pytest_kspec.evidence.gather import gather
    from pytest_kspec.evidence.manifest import Manifest
    from pytest_kspec.evidence.pack import describe, pack
    from pytest_kspec.evidence.signature import SUFFIX, key_id, sign
    from pytest_kspec.files import whole_file, write_whole
    from pytest_kspec.reports import json

    if not args.output.endswith((".tar.gz", ".tgz")):
        raise UsageError("a bundle is a .tar.gz.", where=f"-o {args.output}", fix="Let its name end so.")
    key = _key(args.key)
    result = json.read(args.result)
    raw = Path(args.result).read_bytes()
    target = Path(args.output)
    with tempfile.TemporaryDirectory(prefix="kspec-") as scratch:
        found = gather(
            result,
            raw,
            specs=args.spec,
            snapshots=args.snapshot,
            exemptions=args.exemptions,
            checks=args.checks,
            baseline=args.baseline,
            scratch=Path(scratch),
        )
        manifest = Manifest(
            tool=f"pytest-kspec {pytest_kspec.__version__}",
            finished_at=result.finished_at,
            files=describe(found.contents),
            replays=tuple(found.replays),
            exemptions=tuple(found.exemptions),
            checks=tuple(found.checks),
            baseline=found.baseline,
            places=found.places,
        )
        try:
            with whole_file(target, private=True) as out:
                pack(out, manifest, found.contents)
                out.seek(0)
                signature = sign(out, key)
                write_whole(Path(f"{target}{SUFFIX}"), signature)
        except OSError as error:
            what = f"the bundle cannot be written: {error.strerror or error}."
            raise ReportError(what, where=args.output) from error
    say(f"{args.output}: {len(manifest.files)} files")
    say(f"{args.output}{SUFFIX}: signature of {key_id(key.public_key())}")
    if result.tool_version != pytest_kspec.__version__:
        label = style("another version:", "yellow", stream=sys.stderr)
        note(
            f"{label} pytest-kspec {result.tool_version} made the result, and this is {pytest_kspec.__version__}: "
            "'kspec verify' will say so. Make the bundle with the version that scanned."
        )
    for replay in found.replays:
        if replay.reason:
            label = style("cannot be replayed:", "yellow", stream=sys.stderr)
            note(
                f"{label} {replay.cluster}: {replay.reason}. Record it with 'kspec snapshot' and scan the record."
            )
    return 0


def _key(path: str) -> Any:
    """Asks for a passphrase where the key has one, and somebody is there to ask."""
    from getpass import getpass

    from pytest_kspec.evidence.signature import PASSPHRASE, NeedsPassphrase, load_private

    try:
        return load_private(path, os.environ.get(PASSPHRASE))
    except NeedsPassphrase:
        if not sys.stdin.isatty():
            raise
    return load_private(path, getpass(f"Passphrase of {path}: "))
