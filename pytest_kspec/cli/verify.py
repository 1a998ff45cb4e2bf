"""`kspec verify`: is a bundle of evidence what was signed, and does the scan say the same again?"""

from __future__ import annotations

import contextlib
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from pytest_kspec.cli.output import note, say, style
from pytest_kspec.errors import EXIT_FINDINGS, EXIT_NOT_EVALUATED, EvidenceError, KspecError, UsageError

if TYPE_CHECKING:
    import argparse
    from typing import BinaryIO

    from pytest_kspec.evidence.manifest import File, Manifest, Replay
    from pytest_kspec.model.result import ClusterResult, ScanResult

DESCRIPTION = """\
Verify a bundle of evidence: its signature, the SHA-256 of every file, and then replay: the snapshots
are scanned again with the specifications and exemptions of the bundle, as of the moment of the scan,
and every verdict and finding must be the same.

Checks of the user's own are code: those of a bundle run only with --run-checks, and then with all that
you may do. Look at them first.

Others verify the signature as well:

  base64 -d BUNDLE.sig > sig
  openssl dgst -sha256 -verify key.pub -signature sig BUNDLE
  cosign verify-blob --key key.pub --signature BUNDLE.sig \\
    --insecure-ignore-tlog BUNDLE

Exit codes: 0 verified; 1 it is not what it says (signature, digest, or another verdict);
2 it cannot be replayed; 4 usage."""

EXAMPLES = """
kspec verify evidence.tar.gz --key key.pub
kspec verify evidence.tar.gz --key key.pub --no-replay
"""

SHOWN = 50


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of the command."""
    parser.add_argument("bundle", metavar="BUNDLE", help="what 'kspec evidence' wrote")
    parser.add_argument("--key", required=True, metavar="PUB", help="public key, PEM, ECDSA on P-256")
    parser.add_argument("--signature", metavar="FILE", help="the signature (default: BUNDLE.sig)")
    parser.add_argument("--no-replay", action="store_true", help="signature and digests only")
    parser.add_argument(
        "--run-checks", action="store_true", help="run the bundle's own checks: code of whoever made it"
    )


def run(args: argparse.Namespace) -> int:
    """Verify, then replay."""
    import tempfile

    from pytest_kspec.evidence.signature import key_id, load_public, verify
    from pytest_kspec.evidence.unpack import unpack
    from pytest_kspec.reports import json

    key = load_public(args.key)
    signature = _read(args.signature or f"{args.bundle}.sig")
    with _open(args.bundle) as file, tempfile.TemporaryDirectory(prefix="kspec-") as name:
        folder = Path(name)
        verify(file, signature, key, args.bundle)
        say(f"signature: good, by {key_id(key)}")
        manifest = unpack(file, folder, args.bundle, _wanted(args))
        say(f"digests: {len(manifest.files)} files are what was signed")
        try:
            result = json.read(folder / "result.json")
        except UsageError as error:
            raise EvidenceError("its result cannot be read.", where=args.bundle) from error
        by = f" by {result.run_by}" if result.run_by else ""
        say(f"scan: {result.started_at}{by}, pytest-kspec {result.tool_version}")
        if args.no_replay:
            say("replay: not asked for")
            return 0
        return _replay(manifest, result, folder, args.run_checks)


def _wanted(args: argparse.Namespace) -> _Wanted:
    return _Wanted(replay=not args.no_replay, code=args.run_checks)


class _Wanted:
    """What may get onto the disk. Code only when it shall run."""

    def __init__(self, *, replay: bool, code: bool) -> None:
        self._replay, self._code = replay, code

    def __call__(self, file: File) -> bool:
        return file.role == "result" or (self._replay and (self._code or file.role != "check"))


def _replay(manifest: Manifest, result: ScanResult, folder: Path, run_checks: bool) -> int:
    try:
        has_code = _stay_inside(manifest, folder)
    except KspecError as error:
        return _refused(str(error))
    if has_code and not run_checks:
        return _refused(
            "the bundle has checks of its own, which are code. Look at them, then add --run-checks."
        )
    replays = {(one.cluster, one.spec_path): one for one in manifest.replays}
    scanned: dict[str, ScanResult] = {}
    codes = {0}
    for cluster in result.clusters:
        title = f"{cluster.name}, {cluster.spec_name} {cluster.spec_version}".strip()
        one = replays.get((cluster.name, cluster.spec_path))
        if one is None or not one.snapshot:
            reason = one.reason if one else "the bundle does not say with what"
            codes.add(_refused(f"{title}: {reason}."))
            continue
        try:
            again = _scan(manifest, result, one, folder, scanned, run_checks)
        except KspecError as error:
            codes.add(_refused(f"{title}: {error}"))
            continue
        codes.add(_compare(title, cluster, again))
    return max(codes, key=_WEIGHT.index)


_WEIGHT = (0, EXIT_NOT_EVALUATED, EXIT_FINDINGS)
"""What differs weighs more than what cannot be replayed."""


def _refused(why: str) -> int:
    note(f"{style('cannot be replayed:', 'red', stream=sys.stderr)} {why}")
    return EXIT_NOT_EVALUATED


def _stay_inside(manifest: Manifest, folder: Path) -> bool:
    """A specification may name files: those of the bundle only, never those of this machine.

    Returns whether checks are asked for that are not built in. Raises UsageError, SpecError.
    """
    from pytest_kspec.model.effective import Library
    from pytest_kspec.model.specfile import load_spec

    inside = folder.resolve()
    specs = sorted({one.spec for one in manifest.replays})
    has_code = bool(manifest.checks) or any(file.role == "check" for file in manifest.files.values())
    with contextlib.chdir(folder):
        for name in specs:
            spec = load_spec(name, Library(tuple(map(Path, specs))))
            for path in (*map(Path, spec.files), *spec.checks):
                if not path.resolve().is_relative_to(inside):
                    raise UsageError("it names a file outside of the bundle.", where=name)
            has_code = has_code or bool(spec.checks)
    return has_code


def _scan(
    manifest: Manifest,
    result: ScanResult,
    one: Replay,
    folder: Path,
    scanned: dict[str, ScanResult],
    run_checks: bool,
) -> ClusterResult:
    """The result of the same scan, from the files of the bundle, as of the moment that it was."""
    from datetime import datetime

    from pytest_kspec.cli.scan_run import scan_result
    from pytest_kspec.model import clock

    if one.snapshot not in scanned:
        specs = sorted({other.spec for other in manifest.replays if other.snapshot == one.snapshot})
        try:
            moment = datetime.fromisoformat(result.started_at)
        except ValueError as error:
            raise EvidenceError(f"{result.started_at!r} is no time.") from error
        with contextlib.chdir(folder), clock.at(moment):
            scanned[one.snapshot] = scan_result(
                specs,
                clusters=[f"./{one.snapshot}"],
                checks=manifest.checks,
                exemptions=manifest.exemptions,
                run_checks=run_checks,
            )
    for cluster in scanned[one.snapshot].clusters:
        if (cluster.name, cluster.spec_path) == (one.cluster, one.spec):
            return cluster
    raise EvidenceError("nothing of it is in the replay.")


def _compare(title: str, recorded: ClusterResult, replayed: ClusterResult) -> int:
    from pytest_kspec.evidence.compare import differences

    found = list(differences(recorded, replayed))
    if recorded.evidence.snapshot_sha256 != replayed.evidence.snapshot_sha256:
        found.insert(0, "the snapshot is not the one that the result names")
    if not found:
        count = sum(len(check.findings) for check in recorded.checks)
        say(f"replay: {title}: {len(recorded.checks)} verdicts and {count} findings are the same")
        return 0
    say(f"{style('replay:', 'red')} {title}: {len(found)} differences")
    for line in found[:SHOWN]:
        say(f"  {line}")
    if len(found) > SHOWN:
        say(f"  and {len(found) - SHOWN} more")
    return EXIT_FINDINGS


def _open(path: str) -> BinaryIO:
    try:
        return open(path, "rb")
    except OSError as error:
        raise UsageError(f"cannot be read: {error.strerror or error}.", where=path) from error


def _read(path: str) -> bytes:
    with _open(path) as file:
        return file.read(1 << 16)
