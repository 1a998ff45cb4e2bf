"""Reads a bundle that may come from anywhere: every header, name, size and digest is checked before anything is used.

The archive is read as a stream, block by block, with the header format that `pack` writes and no other: no links, no
devices, no extended headers, no name that is not in the manifest. Nothing is allocated by what a header claims.
"""

from __future__ import annotations

import gzip
import hashlib
import os
import tarfile
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO

from pytest_kspec.cluster.api.gunzip import gunzip
from pytest_kspec.errors import EvidenceError
from pytest_kspec.evidence.manifest import (
    MANIFEST,
    MAX_BYTES,
    MAX_FILES,
    MAX_MANIFEST_BYTES,
    TOP,
    File,
    Manifest,
    decode,
)
from pytest_kspec.evidence.pack import header

_CHUNK = 1 << 20
_MAX_PADDING = 1 << 20
_MAX_UNPACKED = MAX_BYTES + MAX_MANIFEST_BYTES + 2 * tarfile.BLOCKSIZE * (MAX_FILES + 1) + 2 * _MAX_PADDING


def unpack(file: BinaryIO, target: Path, where: str, wanted: Callable[[File], bool]) -> Manifest:
    """Check all of a bundle and write what is `wanted` below the empty folder `target`. Raises EvidenceError."""
    file.seek(0)
    try:
        with gunzip(file, _MAX_UNPACKED) as stream:
            return _Reader(stream, where).run(target, wanted)
    except (EOFError, zlib.error, gzip.BadGzipFile, tarfile.TarError) as error:
        raise EvidenceError(f"the bundle is damaged: {error}.", where=where) from error
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise EvidenceError(f"the bundle could not be unpacked: {reason}.", where=where) from error


class _Reader:
    def __init__(self, stream: BinaryIO, where: str) -> None:
        self._stream = stream
        self._where = where

    def run(self, target: Path, wanted: Callable[[File], bool]) -> Manifest:
        manifest = self._manifest()
        left = dict(manifest.files)
        while left:
            name, size = self._header()
            expected = left.pop(name, None)
            if expected is None:
                raise self._error(f"{name!r} is not in the manifest, or occurs twice.")
            if size != expected.size:
                raise self._error(f"{name} does not have the size that is in the manifest.")
            path = target.joinpath(*name.split("/")) if wanted(expected) else None
            if self._content(size, path) != expected.sha256:
                raise self._error(f"{name} was changed after it was bundled: its SHA-256 differs.")
        self._end()
        return manifest

    def _manifest(self) -> Manifest:
        name, size = self._header()
        if name != MANIFEST or size > MAX_MANIFEST_BYTES:
            raise self._error(f"the bundle does not begin with its {MANIFEST}.")
        raw = self._exactly(size)
        self._padding(size)
        return decode(raw, self._where)

    def _header(self) -> tuple[str, int]:
        block = self._exactly(tarfile.BLOCKSIZE)
        if not any(block):
            raise self._error("files are missing.")
        info = tarfile.TarInfo.frombuf(block, "utf-8", "strict")
        if info.type != tarfile.REGTYPE or info.size < 0 or not info.name.startswith(f"{TOP}/"):
            raise self._error(f"{info.name!r} is not valid in a bundle.")
        known = (
            header(info.name, info.size, int(info.mtime), mode=mode) for mode in (0o600, 0o644)
        )  # older ones
        if block not in known:
            raise self._error(f"the header of {info.name!r} is not valid in a bundle.")
        return info.name.removeprefix(f"{TOP}/"), info.size

    def _content(self, size: int, path: Path | None) -> str:
        digest, left = hashlib.sha256(), size
        file: BinaryIO | None = None
        try:
            if path is not None:
                path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
                file = os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb")
            while left:
                chunk = self._exactly(min(_CHUNK, left))
                left -= len(chunk)
                digest.update(chunk)
                if file is not None:
                    file.write(chunk)
        finally:
            if file is not None:
                file.close()
        self._padding(size)
        return digest.hexdigest()

    def _padding(self, size: int) -> None:
        if any(self._exactly(-size % tarfile.BLOCKSIZE)):
            raise self._error("the bundle contains data between its files.")

    def _end(self) -> None:
        rest = self._stream.read(_MAX_PADDING)
        if any(rest) or len(rest) < 2 * tarfile.BLOCKSIZE or self._stream.read(1):
            raise self._error("the bundle contains data after its files.")

    def _exactly(self, size: int) -> bytes:
        content = self._stream.read(size)
        if len(content) != size:
            raise EOFError("it ends too early")
        return content

    def _error(self, what: str) -> EvidenceError:
        return EvidenceError(what, where=self._where)
