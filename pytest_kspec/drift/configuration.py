"""Configuration drift: objects of chosen kinds that are not as a snapshot recorded them.

The cluster is recorded in the same way as the snapshot was, so that what snapshots leave out (data of Secrets, status)
is no difference. Whoever chooses kinds chooses those that nobody but users changes.
"""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from typing import NamedTuple

from pytest_kspec.cluster.limits import MIB, default_limits
from pytest_kspec.cluster.recording.compare import compare_snapshots
from pytest_kspec.cluster.recording.record import NOISE, NOISY_GROUPS, record
from pytest_kspec.cluster.sources.snapshot import SnapshotSource
from pytest_kspec.cluster.sources.source import Source
from pytest_kspec.cluster.writing.write import Writer
from pytest_kspec.drift.authors import Authors
from pytest_kspec.drift.events import (
    SEVERITIES,
    Action,
    DriftEvent,
    DriftKind,
    DriftType,
    Remediation,
    Status,
)
from pytest_kspec.errors import UsageError
from pytest_kspec.kube.objectdiff import FieldChange, KindDiff
from pytest_kspec.kube.reference import ResourceRef
from pytest_kspec.kube.resources import ResourceType

UNPACKED = 256 * MIB
"""Bytes of all lists of a snapshot that is kept somewhere small, packed."""

LOOKED_UP = 200
"""Objects that are read to say who changed them."""


class Compared(NamedTuple):
    """What differs from the snapshot, and what could not be compared."""

    events: tuple[DriftEvent, ...]
    problems: tuple[str, ...]


def packed(path: Path) -> SnapshotSource:
    """A snapshot that was packed; what it unpacks to is bounded."""
    limits = default_limits()._replace(list_bytes=UNPACKED, cluster_bytes=UNPACKED)
    return SnapshotSource(str(path), limits)


def chosen(
    kinds: Sequence[str],
    types: Sequence[ResourceType],
    where: str,
    has_not: str = "the snapshot and the cluster do not have",
) -> list[ResourceType]:
    """The types that are meant by `deployments.apps`, `Deployment` or `Deployment.apps`. Raises UsageError."""
    found: list[ResourceType] = []
    for kind in kinds:
        wanted = kind.lower()
        meant = [
            one
            for one in types
            if wanted in (one.kind.lower(), one.resource.lower(), f"{one.kind}.{one.group}".lower())
        ]
        if not meant:
            raise UsageError(
                f"{has_not} the kind '{kind}'.",
                where=where,
                fix="Write Deployment, Deployment.apps or deployments.apps.",
            )
        found += [one for one in meant if one not in found]
    return found


def compare(
    snapshot: SnapshotSource,
    source: Source,
    kinds: Sequence[str],
    now: str,
    writer: Writer,
    where: str = "--kinds",
) -> Compared:
    """Compare. now: RFC 3339; where: what names the kinds. Raises UsageError, SourceError."""
    wanted = wanted_of(kinds, [*source.types(), *snapshot.types()], where)
    with tempfile.TemporaryDirectory(prefix="kspec-") as folder:
        path = Path(folder, "now")
        record(source, path, only=wanted)
        with closing(SnapshotSource(str(path))) as after:
            return differ(snapshot, after, source, wanted, now, writer)


def wanted_of(kinds: Sequence[str], types: Sequence[ResourceType], where: str) -> frozenset[tuple[str, str]]:
    """(group, kind) of the kinds that are meant, all of which can be recorded. Raises UsageError."""
    found = chosen(kinds, types, where)
    for one in found:
        if one.resource in NOISE or one.group in NOISY_GROUPS:
            raise UsageError(
                f"{one.resource} are never recorded, because they change constantly.",
                where=where,
                fix="Leave them out.",
            )
    return frozenset((one.group, one.kind) for one in found)


def differ(
    snapshot: SnapshotSource,
    after: SnapshotSource,
    source: Source,
    wanted: frozenset[tuple[str, str]],
    now: str,
    writer: Writer,
) -> Compared:
    """Compare two recordings of these kinds. source: the cluster of the second. Raises UsageError, SourceError."""
    ours, info = snapshot.info().uid, source.info()
    if ours and info.uid and ours != info.uid:
        raise UsageError(
            f"the snapshot is of another cluster than {source.name}.",
            where=snapshot.ref,
            fix="Record this one: kspec snapshot.",
        )
    diffs = compare_snapshots(snapshot, after, only=wanted)
    events: list[DriftEvent] = []
    problems = []
    if not ours or not info.uid:
        whose = "the snapshot" if not ours else source.name
        problems.append(
            f"it is not known whether the snapshot is of {source.name}: the UID of {whose} could not be read. "
            "Grant 'get' on the namespace kube-system, and record the snapshot with it."
        )
    authors = Authors(writer, LOOKED_UP)
    for diff in diffs:
        if diff.unknown:
            problems.append(f"{diff.type.resource} could not be compared: {diff.unknown}")
        else:
            events += _events(diff, now, authors)
    return Compared(tuple(events), tuple(problems))


def _events(diff: KindDiff, now: str, authors: Authors) -> list[DriftEvent]:
    def event(
        kind: DriftKind, key: tuple[str, str], text: str, fields: tuple[FieldChange, ...] = ()
    ) -> DriftEvent:
        ref = ResourceRef(diff.type.api_version, diff.type.kind, *key)
        who, tool = authors.of(ref, fields) if kind is not DriftKind.MISSING else (None, "")
        return DriftEvent(
            DriftType.CONFIGURATION,
            kind,
            SEVERITIES[kind],
            ref,
            f"{ref} {text}",
            now,
            path=fields[0].path if len(fields) == 1 else "",
            fields=fields,
            author=who,
            holder=tool,
            remediation=Remediation(
                Action.MANUAL, Status.MANUAL, now, details="Configuration drift is not corrected by kspec."
            ),
        )

    made = [
        event(DriftKind.MISSING, key, "was recorded, and does not exist any more.") for key in diff.removed
    ]
    made += [event(DriftKind.EXTRA, key, "was not recorded.") for key in diff.added]
    for one in diff.changed:
        shown = ", ".join(field.path for field in one.fields[:3])
        more = f" and {len(one.fields) - 3} more fields" if len(one.fields) > 3 else ""
        text = f"is not as it was recorded: {shown}{more}."
        made.append(event(DriftKind.MODIFIED, (one.namespace, one.name), text, one.fields))
    return made
