"""What changed between two recordings of a cluster: objects by kind, and the fields that differ.

Lists are compared as bytes first: only what differs is decoded. A kind that one of the two recordings lacks is unknown;
its objects neither came nor went.
"""

from __future__ import annotations

from collections.abc import Container, Iterator
from typing import Any

import msgspec

from pytest_kspec import typed
from pytest_kspec.cluster.objects.items import BROKEN_JSON, gc_paused
from pytest_kspec.cluster.sources.snapshot import SnapshotSource
from pytest_kspec.cluster.sources.snapshotfile import Failure
from pytest_kspec.errors import SourceUnavailable
from pytest_kspec.kube.objectdiff import ChangedObject, Key, KindDiff, changes
from pytest_kspec.kube.resources import ResourceType


class _Metadata(msgspec.Struct, gc=False):
    name: str = ""
    namespace: str = ""


class _Head(msgspec.Struct, gc=False):
    metadata: _Metadata


def compare_snapshots(
    before: SnapshotSource, after: SnapshotSource, only: Container[tuple[str, str]] | None = None
) -> tuple[KindDiff, ...]:
    """Kinds that differ or cannot be compared, sorted. Raises SourceUnavailable for a damaged snapshot.

    only: (group, kind) of those that are meant; None: all

    Kinds that neither recording holds, such as events, are left out.
    """
    old, new = _by_kind(before), _by_kind(after)
    found = (
        _compare(old.get(key), new.get(key), before, after)
        for key in sorted({*old, *new})
        if only is None or key in only
    )
    return tuple(diff for diff in found if diff is not None and (diff or diff.unknown))


def _by_kind(source: SnapshotSource) -> dict[tuple[str, str], ResourceType]:
    return {(t.group, t.kind): t for t in source.types()}


def _compare(
    old: ResourceType | None, new: ResourceType | None, before: SnapshotSource, after: SnapshotSource
) -> KindDiff | None:
    shown = new or old
    assert shown is not None
    failed = {name: _failure(source, shown) for name, source in (("first", before), ("second", after))}
    missing = [f"in the {name}: {failure.what}" for name, failure in failed.items() if failure is not None]
    if missing:
        # What is left out of every recording (events) was never meant to be compared.
        meant = all(failure is None or failure.error == "NotServed" for failure in failed.values())
        both = len(missing) == len(failed) or old is None or new is None
        return None if meant and both else KindDiff(shown, unknown="; ".join(missing))
    left, right = _list(before, old), _list(after, new)
    return None if left == right else _diff(shown, _objects(left, before), _objects(right, after))


def _failure(source: SnapshotSource, resource_type: ResourceType) -> Failure | None:
    """Why the recording has no list of a kind that was served."""
    wanted = (resource_type.group, resource_type.kind)
    return next((f for f in source.recorded().errors if (f.group, f.kind) == wanted), None)


def _list(source: SnapshotSource, resource_type: ResourceType | None) -> bytes:
    """The items as they were recorded, their hash verified. A kind that was not served has no objects."""
    return b"".join(bytes(page) for page in source.pages(resource_type)) if resource_type else b""


def _objects(content: bytes, source: SnapshotSource) -> dict[Key, bytes]:
    if not content:
        return {}
    try:
        with gc_paused():
            return dict(_keyed(content))
    except BROKEN_JSON as error:
        raise SourceUnavailable(f"a list could not be read: {error}.", where=source.ref) from error


def _keyed(content: bytes) -> Iterator[tuple[Key, bytes]]:
    for raw in typed.from_json(content, list[msgspec.Raw] | None) or ():
        metadata = typed.from_json(raw, _Head).metadata
        yield (metadata.namespace, metadata.name), bytes(raw)


def _diff(resource_type: ResourceType, old: dict[Key, bytes], new: dict[Key, bytes]) -> KindDiff:
    changed = []
    for key in sorted(old.keys() & new.keys()):
        if old[key] != new[key] and (fields := changes(_decode(old[key]), _decode(new[key]))):
            changed.append(ChangedObject(*key, fields))
    return KindDiff(
        resource_type,
        tuple(sorted(new.keys() - old.keys())),
        tuple(sorted(old.keys() - new.keys())),
        tuple(changed),
    )


def _decode(raw: bytes) -> dict[str, Any]:
    found: dict[str, Any] = msgspec.json.decode(raw)
    return found
