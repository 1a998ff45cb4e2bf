"""Differences that are to be ignored: all that an entry sets must match."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import NamedTuple

from pytest_kspec.crds.models.driftconfig import IgnoredDrift
from pytest_kspec.drift.events import DriftEvent
from pytest_kspec.kube.globs import Globs


class Left(NamedTuple):
    """What is left of an event. event: None where all of it is ignored; partly: whether some fields of it are."""

    event: DriftEvent | None
    partly: bool = False


class Ignoring:
    """The entries of a DriftConfig, or of a file."""

    def __init__(self, entries: Iterable[IgnoredDrift]) -> None:
        self._entries = [(one, _globs(one.namespace), _globs(one.name)) for one in entries]

    def left(self, event: DriftEvent) -> Left:
        """What of the event is not ignored."""
        fields = event.fields
        for entry, namespaces, names in self._entries:
            resource = event.resource
            if entry.kind and entry.kind != resource.kind:
                continue
            if namespaces is not None and not namespaces.match(resource.namespace):
                continue
            if names is not None and not names.match(resource.name):
                continue
            if not entry.fields:
                return Left(None)
            if not fields and event.path and _within(event.path, entry.fields):
                return Left(None)
            fields = tuple(field for field in fields if not _within(field.path, entry.fields))
            if event.fields and not fields:
                return Left(None)
        if fields == event.fields:
            return Left(event)
        path = fields[0].path if len(fields) == 1 else ""
        return Left(replace(event, fields=fields, path=path), partly=True)


def _globs(pattern: str) -> Globs | None:
    return Globs([pattern]) if pattern else None


def _within(path: str, paths: Sequence[str]) -> bool:
    return any(path == one or path.startswith((f"{one}.", f"{one}[")) for one in paths)
