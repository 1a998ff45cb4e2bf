"""The format of a snapshot: `snapshot.json` and one JSON list for each kind, in a folder or a .tar.gz.

Everything in `snapshot.json` is checked before it is used: it may come from anywhere.
"""

from __future__ import annotations

from typing import Any

import msgspec

from pytest_kspec import typed
from pytest_kspec.errors import AccessDenied, Malformed, NotServed, SourceError, SourceUnavailable
from pytest_kspec.kube.resources import ResourceType
from pytest_kspec.regexes import regex

API_VERSION, KIND = "kspec.io/v1alpha1", "Snapshot"
INDEX = "snapshot.json"
ARCHIVES = (".tar.gz", ".tgz")
MAX_INDEX_BYTES = 16 << 20

_FILE_NAME = regex(r"[a-z0-9][a-z0-9._-]{0,250}\.json")
_ERRORS: dict[str, type[SourceError]] = {
    cls.__name__: cls for cls in (AccessDenied, NotServed, SourceUnavailable, Malformed)
}


class Cluster(msgspec.Struct, frozen=True):
    """Which cluster was recorded."""

    name: str
    uid: str = ""
    version: str = ""


class Tool(msgspec.Struct, frozen=True):
    """What recorded it."""

    name: str
    version: str


class Type(msgspec.Struct, frozen=True):
    """A kind that the cluster served."""

    group: str
    version: str
    kind: str
    plural: str
    namespaced: bool


class File(msgspec.Struct, frozen=True):
    """One list. sha256: of the file's bytes, in hexadecimal."""

    group: str
    kind: str
    items: int
    sha256: str


class Failure(msgspec.Struct, frozen=True):
    """A kind that was served and is not in the snapshot. error: name of a SourceError."""

    group: str
    kind: str
    error: str
    what: str
    fix: str = ""

    def raised(self, where: str) -> SourceError:
        """The error as a live scan would have met it."""
        return _ERRORS.get(self.error, SourceUnavailable)(self.what, where=where, fix=self.fix)


class SnapshotInfo(msgspec.Struct, frozen=True, rename="camel", omit_defaults=False):
    """All of `snapshot.json`. files: file name → list; errors: kinds that could not be read or were left
    out; redacted: what may have been a credential → how many values.
    """

    cluster: Cluster
    recorded_at: str
    tool: Tool
    types: tuple[Type, ...]
    files: dict[str, File]
    errors: tuple[Failure, ...] = ()
    redacted: dict[str, int] = {}
    api_version: str = API_VERSION
    kind: str = KIND

    def encode(self) -> bytes:
        """`snapshot.json`, readable, with keys in a fixed order."""
        return msgspec.json.format(msgspec.json.encode(self), indent=2) + b"\n"

    def resource_types(self) -> tuple[ResourceType, ...]:
        """The kinds that were served."""
        return tuple(ResourceType(t.group, t.version, t.kind, t.plural, t.namespaced) for t in self.types)


def decode_index(raw: bytes, where: str) -> SnapshotInfo:
    """Read and check `snapshot.json`. Raises SourceUnavailable."""
    fix = "Record the cluster again with kspec snapshot."
    try:
        head: Any = msgspec.json.decode(raw)
        if not isinstance(head, dict) or head.get("kind") != KIND:
            raise SourceUnavailable(f"{INDEX} is not the index of a kspec snapshot.", where=where, fix=fix)
        if head.get("apiVersion") != API_VERSION:
            raise SourceUnavailable(
                f"the snapshot has format {head.get('apiVersion')!r}; this version reads {API_VERSION}.",
                where=where,
                fix=fix,
            )
        info = typed.convert(head, SnapshotInfo)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        text = "nested too deeply" if isinstance(error, RecursionError) else str(error)
        raise SourceUnavailable(f"{INDEX} could not be read: {text}.", where=where, fix=fix) from error
    for name in info.files:
        if name == INDEX or not _FILE_NAME.fullmatch(name):
            raise SourceUnavailable(
                f"{INDEX} names a file that is not valid in a snapshot: {name!r}.", where=where, fix=fix
            )
    held = [(file.group, file.kind) for file in info.files.values()]
    if len(set(held)) != len(held):
        raise SourceUnavailable(f"{INDEX} names two files for one kind.", where=where, fix=fix)
    return info
