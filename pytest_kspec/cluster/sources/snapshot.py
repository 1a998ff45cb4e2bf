"""A recorded cluster as a source. Every file's hash is verified before its first use; nothing outside it is
touched.

What a live scan was refused, a replay is refused too: the errors are recorded with the rest.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Sequence
from pathlib import Path

from pytest_kspec.cluster.limits import Limits, default_limits
from pytest_kspec.cluster.objects import refusals
from pytest_kspec.cluster.objects.answers import Buffer, Wrong, check_list, split_list
from pytest_kspec.cluster.sources.snapshotfile import ARCHIVES, INDEX, SnapshotInfo, decode_index
from pytest_kspec.cluster.sources.snapshotstore import AGAIN, Archive, Folder
from pytest_kspec.cluster.sources.source import Pages
from pytest_kspec.errors import Malformed, NotServed, SourceError, SourceUnavailable
from pytest_kspec.kube.resources import ClusterInfo, ResourceType


class SnapshotSource:
    """A snapshot folder or archive. name: the recorded cluster's; read from `snapshot.json` when asked
    for.
    """

    kind = "snapshot"

    def __init__(self, ref: str, limits: Limits | None = None) -> None:
        """limits: of what is unpacked; None: as for every cluster."""
        self.ref = ref
        limits = limits or default_limits()
        self._store: Folder | Archive = (
            Archive(ref, limits) if ref.endswith(ARCHIVES) else Folder(ref, limits)
        )
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
                    raise SourceUnavailable(f"{name} is missing.", where=self.ref, fix=AGAIN)
            for name in sorted(there - set(info.files) - {INDEX}):
                raise SourceUnavailable(
                    f"{name} is not part of this snapshot: {INDEX} has no hash for it.",
                    where=self.ref,
                    fix="Remove it.",
                )
            self._complete = True
        return info.resource_types()

    def pages(self, resource_type: ResourceType) -> Pages:
        """The one list of this kind, its hash verified."""
        info = self.recorded()
        wanted = (resource_type.group, resource_type.kind)
        for name, file in info.files.items():
            if (file.group, file.kind) == wanted:
                return self._items(name, resource_type)
        for failure in info.errors:
            if (failure.group, failure.kind) == wanted:
                raise failure.raised(self.name)
        if any((known.group, known.kind) == wanted for known in info.types):
            raise NotServed(f"{resource_type.resource} were not recorded.", where=self.name)
        raise refusals.not_served(resource_type.kind, resource_type.group, self.name)

    def _items(self, name: str, resource_type: ResourceType) -> Pages:
        try:
            head = split_list(self._read(name))
            check_list(head, resource_type.api_version, f"{resource_type.kind}List")
            if head.token:
                raise Wrong("is one page of several")
        except Wrong as wrong:
            raise Malformed(f"{name} {wrong}.", where=self.ref, fix=AGAIN) from None
        return Pages([head.items], str(head.metadata.get("resourceVersion", "")))

    def _read(self, name: str) -> Buffer:
        content = self._store.read(name)
        if name not in self._verified:
            if hashlib.sha256(content).hexdigest() != self.recorded().files[name].sha256:
                raise SourceUnavailable(
                    f"{name} was changed after it was recorded: its SHA-256 differs.",
                    where=self.ref,
                    fix=AGAIN,
                )
            self._verified.add(name)
        return content

    def close(self) -> None:
        """Let go of what was read."""
        self._store.close()


def open_snapshot(path: str, *, kubeconfig: str | None = None) -> SnapshotSource:
    """A folder, an archive, or the `snapshot.json` in a folder."""
    return SnapshotSource(os.path.dirname(path) or "." if os.path.basename(path) == INDEX else path)
