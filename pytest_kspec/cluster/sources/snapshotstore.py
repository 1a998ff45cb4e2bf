"""Where the files of a snapshot are: a folder, or an archive unpacked into memory. Either may come from anywhere.

Sizes are known before anything is read: what a header or the file system says is compared with what is allowed.
"""

from __future__ import annotations

import gzip
import mmap
import os
import stat
import tarfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager

from pytest_kspec.cluster.api.gunzip import BUFFER_BYTES, gunzip
from pytest_kspec.cluster.limits import MEGABYTES, Limits, size
from pytest_kspec.cluster.objects.answers import Buffer
from pytest_kspec.cluster.sources.snapshotfile import INDEX, MAX_INDEX_BYTES
from pytest_kspec.errors import SourceUnavailable

MAX_MEMBERS = 20_000
MAX_HEADER_BYTES = 64 << 10
"""Of one member's long names and other PAX or GNU records, which tarfile reads at once."""

AGAIN = "Copy it again, or record the cluster again with kspec snapshot."


class _Room:
    """Bytes that the files of a snapshot may have in all, and one of them."""

    def __init__(self, limits: Limits, where: str) -> None:
        self._limits = limits
        self._where = where
        self._sizes: dict[str, int] = {}
        self._total = 0

    def take(self, name: str, count: int) -> None:
        """Raises SourceUnavailable. A file that is read again counts once."""
        most = MAX_INDEX_BYTES if name == INDEX else self._limits.list_bytes
        if count > most:
            fix = "" if name == INDEX else f"{MEGABYTES} raises this bound."
            raise SourceUnavailable(f"{name} is larger than {size(most)}.", where=self._where, fix=fix)
        self._total += count - self._sizes.get(name, 0)
        self._sizes[name] = count
        if self._total > self._limits.cluster_bytes:
            raise SourceUnavailable(
                f"the snapshot has more than {size(self._limits.cluster_bytes)}.",
                where=self._where,
                fix=f"{MEGABYTES} raises this bound.",
            )


class Folder:
    """Files that are mapped, not read."""

    def __init__(self, path: str, limits: Limits) -> None:
        self._path = path
        self._room = _Room(limits, path)

    def index(self) -> Buffer:
        return self.read(INDEX)

    def names(self) -> set[str]:
        with _errors(self._path, "the folder"):
            return {name for name in os.listdir(self._path) if name.endswith(".json")}

    def read(self, name: str) -> Buffer:
        path = os.path.join(self._path, name)
        with _errors(self._path, name), open(path, "rb", opener=_without_waiting) as file:
            if os.path.islink(path):
                raise SourceUnavailable(
                    f"{name} is a symbolic link, not a file.", where=self._path, fix=AGAIN
                )
            status = os.fstat(file.fileno())
            if not stat.S_ISREG(status.st_mode):
                raise SourceUnavailable(f"{name} is not a file.", where=self._path, fix=AGAIN)
            self._room.take(name, status.st_size)
            if not status.st_size:
                return b""
            return memoryview(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ))

    def close(self) -> None:
        """Maps are closed with the last page that uses them."""


class Archive:
    """Unpacked into memory, never to the disk: no name in it can reach a file."""

    def __init__(self, path: str, limits: Limits) -> None:
        self._path = path
        self._limits = limits
        self._members: dict[str, bytes] | None = None
        self._index: bytes | None = None
        self._broken: SourceUnavailable | None = None

    def index(self) -> Buffer:
        if self._index is None:
            with self._said_again():
                for name, content in self._walk():
                    if name == INDEX:
                        self._index = content
                        break
                else:
                    raise SourceUnavailable(
                        f"the archive does not contain {INDEX}.", where=self._path, fix=AGAIN
                    )
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
            with self._said_again():
                for name, content in self._walk():
                    if name in members:
                        raise SourceUnavailable(
                            f"the archive contains {name} twice.", where=self._path, fix=AGAIN
                        )
                    members[name] = content
            self._members = members
        return self._members

    @contextmanager
    def _said_again(self) -> Iterator[None]:
        """What is wrong with the archive is found out once: every requirement asks, and unpacking costs seconds."""
        if (known := self._broken) is not None:
            raise SourceUnavailable(known.what, where=known.where, fix=known.fix)
        try:
            yield
        except SourceUnavailable as error:
            self._broken = error
            raise

    def _walk(self) -> Iterator[tuple[str, bytes]]:
        """(file name, content); the archive's one top folder is left out of the names."""
        top: str | None = None
        room = _Room(self._limits, self._path)
        # Headers and padding come on top of the files, whose sizes are compared before they are unpacked.
        most = self._limits.cluster_bytes + MAX_MEMBERS * (MAX_HEADER_BYTES + tarfile.BLOCKSIZE)
        with (
            _errors(self._path, "the archive"),
            open(self._path, "rb", opener=_without_waiting) as file,
            gunzip(file, most) as unpacked,
            tarfile.open(fileobj=unpacked, mode="r|", tarinfo=_Member, bufsize=BUFFER_BYTES) as archive,
        ):
            for count, member in enumerate(archive):
                folder, slash, name = member.name.removeprefix("./").rstrip("/").rpartition("/")
                if count >= MAX_MEMBERS:
                    raise SourceUnavailable(
                        f"the archive contains more than {MAX_MEMBERS} files.", where=self._path
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
                        f"the archive contains {member.name!r}, which is not valid in a snapshot.",
                        where=self._path,
                        fix=AGAIN,
                    )
                if top is None:
                    top = folder
                elif top != folder:
                    raise SourceUnavailable(
                        "the archive contains several folders.", where=self._path, fix=AGAIN
                    )
                room.take(name, member.size)
                content = archive.extractfile(member)
                if content is not None:
                    yield name, content.read()


def _without_waiting(path: str, flags: int) -> int:
    """A pipe that nobody writes to is opened at once, and seen not to be a file."""
    return os.open(path, flags | os.O_NONBLOCK)


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
        raise tarfile.HeaderError("it has a sparse file")

    _proc_gnusparse_00 = _proc_gnusparse_01 = _proc_gnusparse_10 = _proc_sparse


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
                f"{self._what} is damaged: {error}.", where=self._where, fix=AGAIN
            ) from error
        if isinstance(error, FileNotFoundError):
            raise SourceUnavailable(f"{self._what} is missing.", where=self._where, fix=AGAIN) from error
        if isinstance(error, OSError | ValueError):
            reason = getattr(error, "strerror", None) or str(error)
            raise SourceUnavailable(
                f"{self._what} could not be read: {reason}.", where=self._where
            ) from error
