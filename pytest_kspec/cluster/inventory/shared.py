"""What one xdist worker fetched from a live cluster, the others read: answers and refusals, in files of
this user only.

A file appears complete (written aside, then renamed) under a lock that ends with its holder, so a worker
that is killed while it lists leaves nothing behind, and the next one lists anew.
"""

from __future__ import annotations

import hashlib
import mmap
import os
import secrets
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

import msgspec
from filelock import FileLock, Timeout

from pytest_kspec import errors
from pytest_kspec.cluster.limits import default_limits
from pytest_kspec.cluster.sources.source import Pages
from pytest_kspec.errors import KspecError, SourceUnavailable
from pytest_kspec.kube.resources import ClusterInfo, ResourceType

LOCK_MARGIN_S = 300.0
"""Other workers wait for the holder of a lock this much longer than its cluster may take; one that dies gives its lock
back at once.
"""

Buffer = bytes | memoryview
_LENGTH_BYTES = 8


class Shared:
    """One cluster's part of the shared folder."""

    def __init__(self, folder: Path, ref: str) -> None:
        self._folder = folder / hashlib.sha256(ref.encode()).hexdigest()[:16]
        self._ref = ref
        self._lock_timeout_s = default_limits().cluster_s + LOCK_MARGIN_S

    def info(self, fetch: Callable[[], ClusterInfo]) -> ClusterInfo:
        """Fetched by the first worker that asks. Raises what `fetch` raised there."""
        value, _ = self._once("info", lambda: (list(fetch()), ()))
        return ClusterInfo(*value)

    def types(self, fetch: Callable[[], Sequence[ResourceType]]) -> Sequence[ResourceType]:
        """The same for what is served."""
        value, _ = self._once("types", lambda: ([list(found) for found in fetch()], ()))
        return [ResourceType(*found) for found in value]

    def pages(self, resource_type: ResourceType, fetch: Callable[[ResourceType], Iterable[Buffer]]) -> Pages:
        """The same for a list of one kind; pages are mapped, not copied, and one at a time is in memory."""

        def read() -> tuple[str, Iterable[Buffer]]:
            found = fetch(resource_type)
            return getattr(found, "resource_version", ""), found

        version, pages = self._once(f"list-{resource_type.resource}", read)
        return Pages(pages, version)

    def _once(
        self, name: str, fetch: Callable[[], tuple[Any, Iterable[Buffer]]]
    ) -> tuple[Any, Sequence[Buffer]]:
        path = self._folder / f"{name}.pages"
        try:
            if not path.exists():
                self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
                with FileLock(self._folder / f"{name}.lock", timeout=self._lock_timeout_s, mode=0o600):
                    if not path.exists():
                        self._fetch(path, fetch)
            return _read(path)
        except Timeout as error:
            raise SourceUnavailable(
                f"another worker did not finish {name} within {self._lock_timeout_s:.0f} s.",
                where=self._ref,
            ) from error
        except OSError as error:
            raise SourceUnavailable(
                f"workers could not share {name.removeprefix('list-')}: {error.strerror or error}.",
                where=str(self._folder.parent),
                fix="Check the free space of the temporary folder, or set TMPDIR to another one.",
            ) from error

    def _fetch(self, path: Path, fetch: Callable[[], tuple[Any, Iterable[Buffer]]]) -> None:
        """Pages as they come, then what is said of them, then how long that is: none waits for the others."""
        aside = path.with_name(f"{path.name}.{secrets.token_hex(6)}")
        lengths: list[int] = []
        header: dict[str, Any]
        try:
            with open(os.open(aside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
                try:
                    value, pages = fetch()
                    for page in pages:
                        lengths.append(file.write(page))
                    header = {"value": value, "lengths": lengths}
                except KspecError as error:
                    header = {"error": [type(error).__name__, error.what, error.where, error.fix]}
                text = msgspec.json.encode(header)
                file.write(text + len(text).to_bytes(_LENGTH_BYTES, "big"))
            aside.rename(path)
        finally:
            aside.unlink(missing_ok=True)


def _read(path: Path) -> tuple[Any, Sequence[Buffer]]:
    with path.open("rb") as file:
        mapped = memoryview(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ))
    end = len(mapped) - _LENGTH_BYTES
    header = msgspec.json.decode(mapped[end - int.from_bytes(mapped[end:], "big") : end])
    if "error" in header:
        name, what, where, fix = header["error"]
        raise getattr(errors, name)(what, where=where, fix=fix)
    start, pages = 0, []
    for length in header["lengths"]:
        pages.append(mapped[start : start + length])
        start += length
    return header["value"], pages
