"""`kspec snapshot`: write down a cluster, so that it can be checked anywhere, and again.

Recorded: every kind that is served and can be listed, but for what changes by the second and no check reads
          (NOISE). Never recorded: data of Secrets and ConfigMaps, what may be a credential anywhere else
          (`pytest_kspec.redaction`; the index counts it), managedFields, copies of objects in annotations.
          A kind that was refused is recorded as refused. Apart from the time, the same cluster gives the
          same bytes. What is written appears at once and complete, or not at all, and only its owner may
          read it.
"""

from __future__ import annotations

import contextlib
import gzip
import hashlib
import io
import os
import secrets
import shutil
import tarfile
from collections.abc import Callable, Container, Iterable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, BinaryIO

import msgspec

import pytest_kspec
from pytest_kspec.cluster.objects.items import BROKEN_JSON, complete, gc_paused, items_of
from pytest_kspec.cluster.sources.snapshotfile import (
    ARCHIVES,
    INDEX,
    Cluster,
    Failure,
    File,
    SnapshotInfo,
    Tool,
    Type,
)
from pytest_kspec.cluster.sources.source import Source
from pytest_kspec.errors import ReportError, SourceError, SourceUnavailable, Unreachable, UsageError
from pytest_kspec.files import refuse_link, whole_file
from pytest_kspec.kube.resources import ResourceType
from pytest_kspec.redaction.objects import Counts, redact_object

NOISE = {
    "componentstatuses",
    "controllerrevisions.apps",
    "csistoragecapacities.storage.k8s.io",
    "endpoints",
    "endpointslices.discovery.k8s.io",
    "events",
    "events.events.k8s.io",
    "ipaddresses.networking.k8s.io",
    "leases.coordination.k8s.io",
    "resourceslices.resource.k8s.io",
}
NOISY_GROUPS = {"metrics.k8s.io", "wgpolicyk8s.io", "openreports.io", "reports.kyverno.io"}

NOT_CHOSEN = "it was not recorded: other kinds were chosen."
"""What a snapshot says of a kind that was left out: not that there is none."""

Progress = Callable[[str, int, int], None]
"""Called with (resource, kinds done, kinds in all) before each kind."""


def record(
    source: Source,
    path: str | Path,
    progress: Progress | None = None,
    only: Container[tuple[str, str]] | None = None,
) -> SnapshotInfo:
    """Write a snapshot of a cluster: an archive where `path` ends in .tar.gz or .tgz, else a folder.

    only: (group, kind) of what is recorded; the others are errors in it, and so are checks that need them. None: all

    An existing snapshot at `path` is replaced. Raises SourceError (the cluster could not be read at all),
    ReportError (it cannot be written), UsageError (something else is at `path`).
    """
    target = Path(path)
    _refuse_other(target)
    info = source.info()
    types = sorted(source.types(), key=lambda t: (t.resource, t.version))
    archive = target.name.endswith(ARCHIVES)
    failures = {one: failure for one in types if (failure := _left_out(one, only)) is not None}
    wanted = [one for one in types if one not in failures]
    files: dict[str, File] = {}
    redacted: dict[str, int] = {}
    with _scratch(target) as scratch:
        for done, one in enumerate(wanted):
            if progress is not None:
                progress(one.resource, done, len(wanted))
            try:
                content, count = _list(source, one, redacted)
            except Unreachable:
                raise  # the API server itself is gone, not one kind or one of the services behind it
            except SourceError as error:
                failures[one] = Failure(one.group, one.kind, type(error).__name__, error.what, error.fix)
                continue
            name = f"{one.resource}.json"
            _write(scratch / name, content)
            files[name] = File(one.group, one.kind, count, hashlib.sha256(content).hexdigest())
        made = SnapshotInfo(
            cluster=Cluster(info.name, info.uid, info.version),
            recorded_at=datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
            tool=Tool("pytest-kspec", pytest_kspec.__version__),
            types=tuple(Type(*resource_type) for resource_type in types),
            files=files,
            errors=tuple(failures[one] for one in types if one in failures),
            redacted=dict(sorted(redacted.items())),
        )
        _write(scratch / INDEX, made.encode())
        if archive:
            _pack(scratch, target)
        else:
            _move(scratch, target)
    if progress is not None:
        progress("", len(wanted), len(wanted))
    return made


def _left_out(one: ResourceType, only: Container[tuple[str, str]] | None) -> Failure | None:
    """Why a kind is not asked for; None: it is."""
    if _is_noise(one):
        reason = f"{one.resource} are never recorded, because they change constantly."
        return Failure(one.group, one.kind, "NotServed", reason)
    if only is not None and (one.group, one.kind) not in only:
        return Failure(one.group, one.kind, SourceUnavailable.__name__, NOT_CHOSEN)
    return None


def _is_noise(resource_type: ResourceType) -> bool:
    """Whether objects of it change constantly."""
    return resource_type.resource in NOISE or resource_type.group in NOISY_GROUPS


def _list(source: Source, resource_type: ResourceType, redacted: Counts) -> tuple[bytes, int]:
    """The list as it is written: one object a line, sorted by namespace and name. Counts what it takes out.

    Without the resourceVersion of the list, which changes with every write to the cluster: nobody can watch from a
    snapshot, and files of equal objects are equal.
    """
    lines: list[tuple[str, str, bytes]] = []
    for page in source.pages(resource_type):
        try:
            with gc_paused():
                for item in items_of(page, resource_type, source.name):
                    lines.append(_line(item, resource_type, redacted))
        except BROKEN_JSON as error:
            raise SourceUnavailable(
                f"the list of {resource_type.resource} could not be read: {error or 'nested too deeply'}.",
                where=source.name,
            ) from error
    lines.sort()
    head = msgspec.json.encode({"apiVersion": resource_type.api_version, "kind": f"{resource_type.kind}List"})
    body = b",\n".join(line for _, _, line in lines)
    return head[:-1] + b',"items":[\n' + body + b"\n]}\n", len(lines)


def _line(item: dict[str, Any], resource_type: ResourceType, redacted: Counts) -> tuple[str, str, bytes]:
    complete(item, resource_type, "")
    redact_object(item, redacted)
    metadata = item.get("metadata")
    names = metadata if isinstance(metadata, dict) else {}
    return str(names.get("namespace", "")), str(names.get("name", "")), msgspec.json.encode(item)


def _refuse_other(target: Path) -> None:
    try:
        refuse_link(target)
    except OSError as error:
        raise UsageError(f"could not be written: {error.strerror}.", where=str(target)) from error
    if os.path.isdir(target) and not target.name.endswith(ARCHIVES):
        if any(target.iterdir()) and not (target / INDEX).is_file():
            raise UsageError("this folder is not a snapshot and is not empty.", where=str(target))
    elif os.path.exists(target) and not (os.path.isfile(target) and target.name.endswith(ARCHIVES)):
        raise UsageError(
            "exists and is not a snapshot.",
            where=str(target),
            fix="Name a new folder, or a file ending in .tar.gz.",
        )


@contextlib.contextmanager
def _scratch(target: Path) -> Iterator[Path]:
    """A folder beside the target, gone afterwards whatever happens."""
    scratch = target.parent / f".kspec-{secrets.token_hex(8)}"
    try:
        try:
            scratch.mkdir(mode=0o700, parents=True)
            yield scratch
        finally:
            shutil.rmtree(scratch, ignore_errors=True)
    except OSError as error:
        raise ReportError(
            f"the snapshot could not be written: {error.strerror or error}.", where=str(target)
        ) from error


def _write(path: Path, content: bytes) -> None:
    with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
        file.write(content)


def _move(scratch: Path, target: Path) -> None:
    """Put the finished folder in place; a former snapshot goes only when the new one is there."""
    former = target.parent / f".kspec-{secrets.token_hex(8)}"
    if target.exists():
        target.rename(former)
    try:
        scratch.rename(target)
    except OSError:
        if former.exists():
            former.rename(target)
        raise
    shutil.rmtree(former, ignore_errors=True)


def _pack(scratch: Path, target: Path) -> None:
    top = target.name
    for suffix in ARCHIVES:
        top = top.removesuffix(suffix)
    names = sorted(path.name for path in scratch.iterdir())
    with whole_file(target, private=True) as file:
        write_archive(scratch, names, file, top or "snapshot")


def write_archive(folder: Path, names: Iterable[str], out: BinaryIO, top: str) -> None:
    """Files of a snapshot as one folder in a .tar.gz, `snapshot.json` first, without times and owners."""
    with (
        gzip.GzipFile(filename="", mode="wb", fileobj=out, mtime=0) as zipped,
        tarfile.open(fileobj=zipped, mode="w") as archive,
    ):
        for name in sorted(names, key=lambda name: (name != INDEX, name)):
            member = tarfile.TarInfo(f"{top}/{name}")
            member.mode = 0o600
            content = (folder / name).read_bytes()
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
