"""`kspec verify`: is a bundle or an attestation what was signed, and does the scan, or the result, say the same?"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from pytest_kspec.cli.output import say
from pytest_kspec.errors import UsageError

if TYPE_CHECKING:
    import argparse
    from typing import BinaryIO

    from pytest_kspec.evidence.manifest import File

DESCRIPTION = """\
Verify an evidence bundle: its signature and the SHA-256 of every file. Then replay the scan: the snapshots
are scanned again with the specifications and exemptions of the bundle, as of the time of the original scan.
Everything in the result must be the same, except times and the user who ran it.

For an attestation (.intoto.jsonl or .intoto.json), verify the signature, and that it matches the result of
--result. The result itself is verified only with a bundle.

Your own checks are code. Those in a bundle run only with --run-checks, and then with all your permissions.
Review them first.

The signature can also be verified with other tools:

  base64 -d BUNDLE.sig > sig
  openssl dgst -sha256 -verify key.pub -signature sig BUNDLE
  cosign verify-blob --key key.pub --signature BUNDLE.sig \\
    --insecure-ignore-tlog BUNDLE

Exit codes: 0 verified; 1 verification failed (signature, digest, or a difference); 2 the
scan cannot be replayed, or the bundle was made by another version; 4 usage error."""

EXAMPLES = """
kspec verify evidence.tar.gz --key key.pub
kspec verify evidence.tar.gz --key key.pub --no-replay
kspec verify r.intoto.json --result r.json --key key.pub
"""

SHOWN = 50


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of the command."""
    parser.add_argument("bundle", metavar="BUNDLE", help="bundle or attestation written by 'kspec evidence'")
    parser.add_argument("--key", required=True, metavar="PUB", help="public key (PEM, ECDSA on P-256)")
    parser.add_argument("--signature", metavar="FILE", help="signature file (default: BUNDLE.sig)")
    parser.add_argument("--result", metavar="RESULT", help="JSON report that an attestation is about")
    parser.add_argument("--no-replay", action="store_true", help="verify only the signature and the digests")
    parser.add_argument(
        "--run-checks",
        action="store_true",
        help="run your own checks from the bundle, which are code of its author",
    )


def run(args: argparse.Namespace) -> int:
    """Verify, then replay."""
    import tempfile
    from contextlib import nullcontext

    from pytest_kspec.cli.replay import replay
    from pytest_kspec.evidence import document
    from pytest_kspec.evidence.manifest import RESULT
    from pytest_kspec.evidence.signature import key_id, load_public, verify
    from pytest_kspec.evidence.unpack import unpack
    from pytest_kspec.extend.registry import ours_only

    key = load_public(args.key)
    if _is_attestation(args.bundle):
        return _attested(args)
    signature = _read(args.signature or f"{args.bundle}.sig")
    if args.result:
        raise UsageError(
            "is for attestations: a bundle contains its result.", where="--result", fix="Leave it out."
        )
    with _open(args.bundle) as file, tempfile.TemporaryDirectory(prefix="kspec-") as name:
        folder = Path(name)
        verify(file, signature, key, args.bundle)
        say(f"signature: good, by {key_id(key)}")
        manifest = unpack(file, folder, args.bundle, _wanted(args))
        say(f"digests: {len(manifest.files)} files match the signed digests")
        result = document.read((folder / RESULT).read_bytes(), "its result", args.bundle)
        by = f" by {_word(result.get('runBy'))}" if result.get("runBy") else ""
        say(f"scan: {_word(result.get('startedAt'))}{by}, with {_word(manifest.tool)}")
        if args.no_replay:
            say("replay: skipped (--no-replay); the result itself was not verified")
            return 0
        with nullcontext() if args.run_checks else ours_only():
            return replay(manifest, result, folder, args.bundle, run_checks=args.run_checks)


def _is_attestation(path: str) -> bool:
    """JSON; a bundle is a gzip file."""
    with _open(path) as file:
        return file.read(1) == b"{"


def _attested(args: argparse.Namespace) -> int:
    """Verify the signature, then compare with the result."""
    import io

    from pytest_kspec.errors import EXIT_FINDINGS
    from pytest_kspec.evidence import attestation, envelope
    from pytest_kspec.evidence.signature import key_id, load_public, verify
    from pytest_kspec.reports import json
    from pytest_kspec.reports.shared.text import plural

    if not args.result and not args.no_replay:
        raise UsageError(
            "an attestation is verified with the result that it is about.",
            where=args.bundle,
            fix="Add --result RESULT, or --no-replay to verify only the signature.",
        )
    key = load_public(args.key)
    raw = attestation.read_file(args.bundle)
    if envelope.is_envelope(raw):
        if args.signature:
            raise UsageError(
                "a DSSE envelope contains its signature.", where="--signature", fix="Leave it out."
            )
        raw = envelope.unseal(raw, key, args.bundle)
    else:
        verify(io.BytesIO(raw), _read(args.signature or f"{args.bundle}.sig"), key, args.bundle)
    say(f"signature: good, by {key_id(key)}")
    found = attestation.read(raw, args.bundle)
    if args.no_replay:
        say("result: skipped (--no-replay); whether the attestation matches its result was not verified")
        return 0
    result = json.content(args.result)
    lines = attestation.verify(found, result, args.bundle, args.result)
    if lines:
        say(f"attestation: {plural(len(lines), 'difference')}")
        for line in lines[:SHOWN]:
            say(f"  {line}")
        if len(lines) > SHOWN:
            say(f"  and {len(lines) - SHOWN} more")
        return EXIT_FINDINGS
    predicate = found["predicate"]
    counts = ", ".join(f"{len(predicate[name])} {word}" for name, word in attestation.COUNTED)
    say(f"attestation: {predicate['result']}: {counts} tests, the same as in {args.result}")
    return 0


def _wanted(args: argparse.Namespace) -> _Wanted:
    return _Wanted(replay=not args.no_replay, code=args.run_checks)


class _Wanted:
    """What may get onto the disk. Code only when it shall run."""

    def __init__(self, *, replay: bool, code: bool) -> None:
        self._replay, self._code = replay, code

    def __call__(self, file: File) -> bool:
        return file.role == "result" or (self._replay and (self._code or file.role != "check"))


def _word(value: object) -> str:
    """Of a result that may hold anything: one short line."""
    from pytest_kspec.evidence.compare import shown

    return shown(value)[1:-1] if isinstance(value, str) else shown(value)


def _open(path: str) -> BinaryIO:
    try:
        return open(path, "rb")
    except OSError as error:
        raise UsageError(f"could not be read: {error.strerror or error}.", where=path) from error


def _read(path: str) -> bytes:
    with _open(path) as file:
        return file.read(1 << 16)
