"""A recorded cluster as a source. Every file's hash is verified before its first use; nothing outside it is
touched.

What a live scan was refused, a replay is refused too: the errors are recorded with the rest.
"""

from __future__ import annotations

import gzip
import hashlib
import io
import mmap
import os
import tarfile
import zlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import IO

from pytest_kspec.cluster import refusals
from pytest_kspec.cluster.snapshotfile import ARCHIVES, INDEX, MAX_INDEX_BYTES, SnapshotInfo, decode_index
from pytest_kspec.errors import NotServed, SourceError, SourceUnavailable
from pytest_kspec.model.resources import ClusterInfo, ResourceType

MAX_ARCHIVE_BYTES = 4 << 30
"""Unpacked size at which an archive is refused."""
MAX_MEMBERS = 20_000
MAX_HEADER_BYTES = 64 << 10
"""Of one member's long names and other PAX or GNU records, which tarfile reads at once."""

Buffer = bytes | memoryview

_AGAIN = "Copy it again, or record the cluster again with kspec snapshot."


class SnapshotSource:
    """A snapshot folder or archive. name: the recorded cluster's; read from `snapshot.json` when asked
    for.
    """

    kind = "snapshot"

    def __init__(self, ref: str) -> None:
        self.ref = ref
        self._store: _Folder | _Archive = _Archive(ref) if ref.endswith(ARCHIVES) else _Folder(ref)
        self._info: SnapshotInfo | None = None
        self._sha256 = ""
        self._complete = False
        self._verified: set[str] = set()

    @property
    def name(self) -> str:
        """The recorded cluster's name; the file's where `snapshot.json` is broken (every check will say
        so).
        """
        try:
            name = self.recorded().cluster.name
        except SourceError:
            name = ""
        return name or Path(self.ref).resolve().name

    def recorded(self) -> SnapshotInfo:
        """All of `snapshot.json`. Raises SourceUnavailable."""
        if self._info is None:
            index = bytes(self._store.index())
            self._info = decode_index(index, self.ref)
            self._sha256 = hashlib.sha256(index).hexdigest()
        return self._info

    @property
    def sha256(self) -> str:
        """Digest of `snapshot.json`, which holds those of all files. Raises SourceUnavailable."""
        self.recorded()
        return self._sha256

    def info(self) -> ClusterInfo:
        """As recorded. Raises SourceUnavailable where any file is not as it was recorded: a check that reads
        no more than the version must not pass on a damaged record.
        """
        info = self.recorded()
        self.types()
        for name in info.files:
            self._read(name)
        return ClusterInfo(self.name, self.kind, info.cluster.version, info.cluster.uid)

    def types(self) -> Sequence[ResourceType]:
        """What the cluster served. Raises SourceUnavailable where a file is missing or was put in."""
        info = self.recorded()
        if not self._complete:
            there = self._store.names()
            for name in sorted(info.files):
                if name not in there:
                    raise SourceUnavailable(f"{name} is missing.", where=self.ref, fix=_AGAIN)
            for name in sorted(there - set(info.files) - {INDEX}):
                raise SourceUnavailable(
                    f"{name} is not part of this snapshot: {INDEX} has no hash of it.",
                    where=self.ref,
                    fix="Remove it.",
                )
            self._complete = True
        return info.resource_types()

    def pages(self, resource_type: ResourceType) -> Iterator[Buffer]:
        """The one list of this kind, its hash verified."""
        info = self.recorded()
        wanted = (resource_type.group, resource_type.kind)
        for name, file in info.files.items():
            if (file.group, file.kind) == wanted:
                yield self._read(name)
                return
        for failure in info.errors:
            if (failure.group, failure.kind) == wanted:
                raise failure.raised(self.name)
        if any((known.group, known.kind) == wanted for known in info.types):
            raise NotServed(f"{resource_type.resource} were not recorded.", where=self.name)
        raise refusals.not_served(resource_type.kind, resource_type.group, self.name)

    def _read(self, name: str) -> Buffer:
        content = self._store.read(name)
        if name not in self._verified:
            if hashlib.sha256(content).hexdigest() != self.recorded().files[name].sha256:
                raise SourceUnavailable(
                    f"{name} is not what was recorded: its SHA-256 differs.", where=self.ref, fix=_AGAIN
                )
            self._verified.add(name)
        return content

    def close(self) -> None:
        """Let go of what was read."""
        self._store.close()


class _Folder:
    def __init__(self, path: str) -> None:
        self._path = path

    def index(self) -> Buffer:
        path = os.path.join(self._path, INDEX)
        with _errors(self._path, INDEX), open(path, "rb") as file:
            content = file.read(MAX_INDEX_BYTES + 1)
        if len(content) > MAX_INDEX_BYTES:
            raise SourceUnavailable(f"{INDEX} is larger than {MAX_INDEX_BYTES >> 20} MiB.", where=self._path)
        return content

    def names(self) -> set[str]:
        with _errors(self._path, "the folder"):
            return {name for name in os.listdir(self._path) if name.endswith(".json")}

    def read(self, name: str) -> Buffer:
        path = os.path.join(self._path, name)
        with _errors(self._path, name), open(path, "rb") as file:
            if os.path.islink(path):
                raise SourceUnavailable(f"{name} is a link, not a file.", where=self._path, fix=_AGAIN)
            if not os.fstat(file.fileno()).st_size:
                return b""
            return memoryview(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ))

    def close(self) -> None:
        """Maps are closed with the last page that uses them."""


class _Archive:
    """Unpacked into memory, never to the disk: no name in it can reach a file."""

    def __init__(self, path: str) -> None:
        self._path = path
        self._members: dict[str, bytes] | None = None
        self._index: bytes | None = None

    def index(self) -> Buffer:
        if self._index is None:
            for name, content in self._walk():
                if name == INDEX:
                    self._index = content
                    break
            else:
                raise SourceUnavailable(f"the archive holds no {INDEX}.", where=self._path, fix=_AGAIN)
        return self._index

    def names(self) -> set[str]:
        return set(self._all())

    def read(self, name: str) -> Buffer:
        return self._all()[name]

    def close(self) -> None:
        self._members = None

    def _all(self) -> dict[str, bytes]:
        if self._members is None:
            members: dict[str, bytes] = {}
            for name, content in self._walk():
                if name in members:
                    raise SourceUnavailable(f"the archive holds {name} twice.", where=self._path, fix=_AGAIN)
                members[name] = content
            self._members = members
        return self._members

    def _walk(self) -> Iterator[tuple[str, bytes]]:
        """(file name, content); the archive's one top folder is left out of the names."""
        top: str | None = None
        with (
            _errors(self._path, "the archive"),
            gzip.open(self._path, "rb") as unpacked,
            tarfile.open(fileobj=_Bounded(unpacked, self._path), mode="r|", tarinfo=_Member) as archive,
        ):
            for count, member in enumerate(archive):
                folder, slash, name = member.name.removeprefix("./").rstrip("/").rpartition("/")
                if count >= MAX_MEMBERS:
                    raise SourceUnavailable(
                        f"the archive holds more than {MAX_MEMBERS} files.", where=self._path
                    )
                if member.isdir():
                    continue
                if (
                    not member.isreg()
                    or "/" in folder
                    or folder == ".."
                    or name in ("", "..")
                    or (slash and not folder)
                ):
                    raise SourceUnavailable(
                        f"the archive holds {member.name!r}, which no snapshot has.",
                        where=self._path,
                        fix=_AGAIN,
                    )
                if top is None:
                    top = folder
                elif top != folder:
                    raise SourceUnavailable(
                        "the archive holds several folders.", where=self._path, fix=_AGAIN
                    )
                content = archive.extractfile(member)
                if content is not None:
                    yield name, content.read()


class _Member(tarfile.TarInfo):
    """A member whose extra headers are few and small: tarfile holds each in memory, and descends for each.

    No snapshot has sparse files, whose maps are not bounded either.
    """

    def _proc_member(self, archive: tarfile.TarFile) -> tarfile.TarInfo:
        left = MAX_HEADER_BYTES
        if not self.isreg() and not self.isdir():
            left = getattr(archive, "headers_left", left) - self.size - tarfile.BLOCKSIZE
            if left < 0 or self.size < 0:
                raise tarfile.HeaderError(f"it has headers of more than {MAX_HEADER_BYTES >> 10} KiB")
        archive.headers_left = left  # type: ignore[attr-defined]
        member: tarfile.TarInfo = super()._proc_member(archive)  # type: ignore[misc]
        return member

    def _proc_sparse(self, *_: object) -> tarfile.TarInfo:
        raise tarfile.HeaderError("it holds a sparse file")

    _proc_gnusparse_00 = _proc_gnusparse_01 = _proc_gnusparse_10 = _proc_sparse


class _Bounded(io.RawIOBase):
    """Reads up to a bound, so that a bomb cannot fill the memory."""

    def __init__(self, stream: IO[bytes] | gzip.GzipFile, where: str) -> None:
        self._stream = stream
        self._where = where
        self._left = MAX_ARCHIVE_BYTES

    def readable(self) -> bool:
        return True

    def read(self, size: int = -1) -> bytes:
        wanted = self._left + 1 if size < 0 else min(size, self._left + 1)
        content = self._stream.read(wanted)
        self._left -= len(content)
        if self._left < 0:
            raise SourceUnavailable(
                f"the archive unpacks to more than {MAX_ARCHIVE_BYTES >> 30} GiB.", where=self._where
            )
        return content


class _errors:  # reads as a statement: with _errors(where, what)
    """Errors of files and archives become SourceUnavailable that names the file."""

    def __init__(self, where: str, what: str) -> None:
        self._where = where
        self._what = what

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        if isinstance(error, EOFError | tarfile.TarError | zlib.error | gzip.BadGzipFile):
            raise SourceUnavailable(
                f"{self._what} is damaged: {error}.", where=self._where, fix=_AGAIN
            ) from error
        if isinstance(error, FileNotFoundError):
            raise SourceUnavailable(f"{self._what} is missing.", where=self._where, fix=_AGAIN) from error
        if isinstance(error, OSError | ValueError):
            reason = getattr(error, "strerror", None) or str(error)
            raise SourceUnavailable(f"{self._what} cannot be read: {reason}.", where=self._where) from error
