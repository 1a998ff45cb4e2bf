"""Writes a bundle. The same files give the same bytes: sorted, without owners, with the time of the scan."""

from __future__ import annotations

import gzip
import hashlib
import io
import tarfile
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import BinaryIO, NamedTuple

from pytest_kspec.errors import SourceUnavailable, UsageError
from pytest_kspec.evidence.manifest import MANIFEST, MAX_BYTES, TOP, File, Manifest, Role, name_problem

_CHUNK = 1 << 20


class Content(NamedTuple):
    """What is to be packed under a name: a file of the disk, or bytes."""

    role: Role
    source: Path | bytes

    def open(self) -> BinaryIO:
        """To be read once. Raises SourceUnavailable."""
        if isinstance(self.source, bytes):
            return io.BytesIO(self.source)
        try:
            return self.source.open("rb")
        except OSError as error:
            raise SourceUnavailable(
                f"could not be read: {error.strerror or error}.", where=str(self.source)
            ) from error


def describe(contents: Mapping[str, Content]) -> dict[str, File]:
    """Size and digest of each. Raises UsageError for a name or a size that no bundle has."""
    found = {}
    for name, content in sorted(contents.items()):
        if problem := name_problem(name, content.role):
            raise UsageError(f"{problem}: {name!r}.", where="kspec evidence", fix="Rename the file.")
        digest, size = hashlib.sha256(), 0
        with content.open() as file:
            while chunk := file.read(_CHUNK):
                digest.update(chunk)
                size += len(chunk)
        found[name] = File(content.role, size, digest.hexdigest())
    if sum(file.size for file in found.values()) > MAX_BYTES:
        raise UsageError(f"the evidence is larger than {MAX_BYTES >> 30} GiB.", where="kspec evidence")
    return found


LATEST = 1 << 33
"""Seconds since 1970 that a file of a tar archive can have: until 2242."""


def pack(out: BinaryIO, manifest: Manifest, contents: Mapping[str, Content]) -> None:
    """Write the archive. Raises SourceUnavailable where a file changes meanwhile."""
    moment = int(datetime.fromisoformat(manifest.finished_at).timestamp())
    if not 0 <= moment < LATEST:
        raise UsageError("finishedAt is not a time that an archive can hold.", where="--from")
    encoded = manifest.encode()
    with gzip.GzipFile(filename="", mode="wb", fileobj=out, mtime=0) as zipped:
        _add(zipped, MANIFEST, len(encoded), io.BytesIO(encoded), moment)
        for name, file in sorted(manifest.files.items()):
            with contents[name].open() as content:
                seen = _add(zipped, name, file.size, content, moment)
            if seen != file.sha256:
                raise SourceUnavailable("was changed while it was packed.", where=name, fix="Try again.")
        zipped.write(b"\0" * 2 * tarfile.BLOCKSIZE)


def _add(out: gzip.GzipFile, name: str, size: int, content: BinaryIO, moment: int) -> str:
    """Returns the digest of what was written; of less or more than `size` bytes none."""
    try:
        out.write(header(f"{TOP}/{name}", size, moment))
    except ValueError as error:
        raise UsageError(f"the path is too long: {name!r}.", where="kspec evidence") from error
    digest, left = hashlib.sha256(), size
    while left and (chunk := content.read(min(_CHUNK, left))):
        digest.update(chunk)
        out.write(chunk)
        left -= len(chunk)
    if left or content.read(1):
        return ""
    out.write(b"\0" * (-size % tarfile.BLOCKSIZE))
    return digest.hexdigest()


def header(name: str, size: int, moment: int, *, mode: int = 0o600) -> bytes:
    """What stands before a file; who unpacks it alone may read it. Raises ValueError for a name that is too long."""
    info = tarfile.TarInfo(name)
    info.size, info.mtime, info.mode = size, moment, mode
    return info.tobuf(tarfile.USTAR_FORMAT, "utf-8", "strict")
