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

    from pytest_kspec.evidence.gather import Gathered
    from pytest_kspec.results.result import ScanResult

DESCRIPTION = """\
Bundle a result with its specifications, exemptions, snapshots and your own checks, record the SHA-256 of
each file, and sign the bundle. The files are found by the paths in the result; a file that changed since
the scan is an error. 'kspec verify' checks the bundle and replays the scan.

With '-o FILE.intoto.jsonl', attest the result instead: an in-toto statement with the predicate test-result v0.1,
whose subject is the SHA-256 of RESULT, in a signed DSSE envelope. With '-o FILE.intoto.json', the statement is
written without an envelope, with its signature beside it.

The signature is written to FILE.sig in the format of cosign: ECDSA on P-256 over SHA-256. The passphrase
of the key is read from $KSPEC_KEY_PASSPHRASE; if that is not set, you are prompted. To create a key:

  openssl genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-256 -out key.pem
  openssl pkey -in key.pem -pubout -out key.pub"""

EXAMPLES = """
kspec evidence --from result.json --key key.pem -o evidence.tar.gz
kspec evidence --from r.json --snapshot eu.tar.gz --key key.pem -o r.tar.gz
kspec evidence --from r.json --key key.pem -o r.intoto.jsonl
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of the command."""
    parser.add_argument("--from", dest="result", required=True, metavar="RESULT", help="a JSON report")
    for name, text in (
        ("spec", "specification of the scan"),
        ("snapshot", "snapshot of the scan"),
        ("exemptions", "exemptions file of the scan"),
        ("checks", "file or folder of your own checks that the scan ran"),
    ):
        where = "; the result does not contain it" if name == "checks" else " (default: from the result)"
        parser.add_argument(
            f"--{name}", action="append", default=[], metavar="PATH", help=f"{text}; may be repeated{where}"
        )
    parser.add_argument(
        "--baseline",
        default="",
        metavar="FILE",
        help="baseline of the scan (default: from the result)",
    )
    parser.add_argument("--key", required=True, metavar="KEY", help="private key (PEM, ECDSA on P-256)")
    parser.add_argument(
        "-o",
        "--output",
        required=True,
        metavar="FILE",
        help="bundle to write, a .tar.gz file, or attestation to write: a .intoto.jsonl file (DSSE envelope), or a "
        ".intoto.json file with its signature beside it",
    )


def run(args: argparse.Namespace) -> int:
    """Gather, pack, sign."""
    import tempfile

    import pytest_kspec
    from pytest_kspec.evidence import attestation, envelope
    from pytest_kspec.evidence.gather import gather
    from pytest_kspec.evidence.manifest import Manifest
    from pytest_kspec.evidence.pack import describe, pack
    from pytest_kspec.evidence.signature import SUFFIX, key_id, sign
    from pytest_kspec.files import whole_file, write_whole
    from pytest_kspec.reports import json

    if args.output.endswith((attestation.SUFFIX, envelope.SUFFIX)):
        return _attest(args)
    if not args.output.endswith((".tar.gz", ".tgz")):
        raise UsageError(
            "a bundle must be a .tar.gz file, an attestation a .intoto.jsonl or .intoto.json file.",
            where=f"-o {args.output}",
            fix="Use a name that ends in .tar.gz or .intoto.jsonl.",
        )
    key = _key(args.key)
    raw = json.content(args.result)  # once: what is signed is what was read
    result = json.parse(raw, args.result)
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
            with whole_file(Path(args.output), private=True) as out:
                pack(out, manifest, found.contents)
                out.seek(0)
                write_whole(Path(f"{args.output}{SUFFIX}"), sign(out, key))
        except OSError as error:
            what = f"the bundle could not be written: {error.strerror or error}."
            raise ReportError(what, where=args.output) from error
    say(f"{args.output}: {len(manifest.files)} files")
    say(f"{args.output}{SUFFIX}: signature of {key_id(key.public_key())}")
    _warn(result, found)
    return 0


def _warn(result: ScanResult, found: Gathered) -> None:
    """What `kspec verify` will find different, or cannot do."""
    import pytest_kspec

    if result.tool_version != pytest_kspec.__version__:
        label = style("another version:", "yellow", stream=sys.stderr)
        note(
            f"{label} pytest-kspec {result.tool_version} made the result, and this is {pytest_kspec.__version__}: "
            "'kspec verify' will report this. Create the bundle with the version that made the result."
        )
    for replay in found.replays:
        if replay.reason:
            label = style("cannot be replayed:", "yellow", stream=sys.stderr)
            note(
                f"{label} {replay.cluster}: {replay.reason}. Record the cluster "
                f"with 'kspec snapshot' and scan the snapshot."
            )


def _attest(args: argparse.Namespace) -> int:
    """The statement about the result, and its signature."""
    import io

    from pytest_kspec.evidence import envelope
    from pytest_kspec.evidence.attestation import attest
    from pytest_kspec.evidence.signature import SUFFIX, key_id, sign
    from pytest_kspec.files import write_whole
    from pytest_kspec.reports import json

    for name in ("spec", "snapshot", "exemptions", "checks", "baseline"):
        if getattr(args, name):
            raise UsageError(
                "an attestation contains no files.",
                where=f"--{name}",
                fix=f"Leave --{name} out, or make a bundle.",
            )
    key = _key(args.key)
    made = attest(json.content(args.result), args.result)
    sealed = args.output.endswith(envelope.SUFFIX)
    try:
        if sealed:
            write_whole(Path(args.output), envelope.seal(made, key))
        else:
            write_whole(Path(args.output), made)
            write_whole(Path(f"{args.output}{SUFFIX}"), sign(io.BytesIO(made), key))
    except OSError as error:
        what = f"the attestation could not be written: {error.strerror or error}."
        raise ReportError(what, where=args.output) from error
    by = key_id(key.public_key())
    say(f"{args.output}: attestation of {args.result}{f', signed by {by}' if sealed else ''}")
    if not sealed:
        say(f"{args.output}{SUFFIX}: signature of {by}")
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
