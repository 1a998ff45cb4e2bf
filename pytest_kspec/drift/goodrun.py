"""The last good run as what objects are compared with: those of chosen kinds, as they were when all was compliant.

A recording is made before a scan and another after it. If the scan evaluated everything and found nothing, and the
recordings are the same, this is the state that was scanned: it becomes what later runs are compared with. A run that is
not good leaves what is kept as it is, and so does one that could not list a kind.
"""

from __future__ import annotations

import hashlib
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import pytest_kspec
from pytest_kspec.cluster.recording.record import record
from pytest_kspec.cluster.sources.snapshot import SnapshotSource
from pytest_kspec.cluster.sources.snapshotfile import SnapshotInfo
from pytest_kspec.cluster.sources.source import Source
from pytest_kspec.cluster.writing.write import Writer
from pytest_kspec.drift.configuration import Compared, differ, packed, wanted_of
from pytest_kspec.errors import KspecError
from pytest_kspec.results.identity import cluster_id
from pytest_kspec.results.result import ClusterResult

if TYPE_CHECKING:
    from pytest_kspec.storage.engine import Store
    from pytest_kspec.storage.recordings import Recording

_FIRST = "no good run is recorded to compare objects with: the first run in which every requirement is met will be."
_OLD = "the last good run was recorded by version {} of kspec: the next good run is what later ones are compared with."
_NAME = "recording.tar.gz"


class Good(NamedTuple):
    """Who compares what, and where it is kept.

    opened: the store, which the caller closes. owner: unlike that of all others on this cluster
    kinds:  as users name them; where: what names them
    """

    opened: Callable[[], Store]
    owner: str
    kinds: tuple[str, ...]
    where: str


class Looked(NamedTuple):
    """What differs from the last good run, and what may take its place.

    is_new:   what is there is not what is kept: a good run makes it so
    at:       time of the last good run, RFC 3339; "": there is none
    recorded: the objects of now; content: the same, as an archive
    """

    compared: Compared
    is_new: bool
    at: str
    recorded: SnapshotInfo
    content: bytes


def is_good(cluster: ClusterResult) -> bool:
    """Whether a scan evaluated everything, and all is met without the help of a baseline."""
    summary = cluster.summary
    return bool(summary.evaluated) and not (summary.failed or summary.errors or summary.tolerated)


@contextmanager
def _on_disk() -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise KspecError(
            f"a temporary file could not be used: {error.strerror}.", where=str(error.filename or "")
        ) from error


@_on_disk()
def look(good: Good, writer: Writer, now: str) -> Looked:
    """Compare the objects of now with those of the last good run. now: RFC 3339. Raises KspecError."""
    source = writer.source
    from pytest_kspec.storage import recordings

    with closing(good.opened()) as store:
        kept = recordings.find(store, _cluster(source), good.owner, now)
    if kept is not None and kept.kinds != _digest(good.kinds):
        kept = None
    with tempfile.TemporaryDirectory(prefix="kspec-") as folder:
        before = _unpacked(kept, folder)
        try:
            types = [*source.types(), *(before.types() if before is not None else ())]
            wanted = wanted_of(good.kinds, types, good.where)
            path = Path(folder, _NAME)
            recorded = record(source, path, only=wanted)
            problems = _unlisted(recorded, wanted)
            if kept is None or before is None:
                return Looked(
                    Compared((), (*problems, _FIRST)), not problems, "", recorded, path.read_bytes()
                )
            if kept.tool_version != pytest_kspec.__version__:
                said = (*problems, _OLD.format(kept.tool_version or "(none)"))
                return Looked(Compared((), said), not problems, kept.recorded_at, recorded, path.read_bytes())
            with closing(packed(path)) as after:
                found = differ(before, after, source, wanted, now, writer)
            is_new = not problems and before.recorded().files != recorded.files
            return Looked(found, is_new, kept.recorded_at, recorded, path.read_bytes())
        finally:
            if before is not None:
                before.close()


@_on_disk()
def keep(good: Good, looked: Looked, source: Source, now: str) -> bool:
    """Keep what was looked at as the last good run, if it is still there. now: of the look. Raises KspecError.

    To be called after a good scan that began after the look.
    """
    from pytest_kspec.storage import recordings

    wanted = frozenset((file.group, file.kind) for file in looked.recorded.files.values())
    with tempfile.TemporaryDirectory(prefix="kspec-") as folder:
        again = record(source, Path(folder, "again"), only=wanted)
    if again.files != looked.recorded.files:
        return False
    made = recordings.Recording(_digest(good.kinds), pytest_kspec.__version__, now, looked.content)
    with closing(good.opened()) as store:
        return recordings.keep(store, _cluster(source), good.owner, made)


def _unpacked(kept: Recording | None, folder: str) -> SnapshotSource | None:
    if kept is None:
        return None
    path = Path(folder, f"last-{_NAME}")
    path.write_bytes(kept.content)
    found = packed(path)
    try:
        found.recorded()
    except KspecError as error:
        raise KspecError(
            f"the recorded objects of the last good run cannot be read: {error.what}", where="the store"
        ) from error
    return found


def _unlisted(recorded: SnapshotInfo, wanted: frozenset[tuple[str, str]]) -> tuple[str, ...]:
    """Chosen kinds that could not be listed: such a recording is never kept."""
    return tuple(
        f"{failure.kind} could not be recorded: {failure.what}"
        for failure in recorded.errors
        if (failure.group, failure.kind) in wanted
    )


def _cluster(source: Source) -> str:
    return cluster_id(source.info().uid, "live", source.name)


def _digest(kinds: Sequence[str]) -> str:
    return hashlib.sha256("\0".join(sorted({one.lower() for one in kinds})).encode()).hexdigest()[:32]
