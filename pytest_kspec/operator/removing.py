"""Removal of all that was applied for a specification, also by v0.3: what can be removed is, whatever cannot."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

from pytest_kspec.cluster.writing.write import Writer
from pytest_kspec.enforce import apply as applying
from pytest_kspec.enforce.engines import ENGINES, engine
from pytest_kspec.errors import NotServed, SourceError, SourceUnavailable
from pytest_kspec.operator import legacy
from pytest_kspec.operator.status import Note
from pytest_kspec.spec.loading import LoadedSpec, spec_from_part

_OLD = "kyverno"
"""The engine of v0.3."""
OLD_POLICIES = "v0.3"
"""What is left of it, beside the engines."""
OPERATION = "delete"
"""In the words of metrics."""


class Removed(NamedTuple):
    """An object that is gone. engine: whose it was; object: its kind and name"""

    engine: str
    object: str


class Removal(NamedTuple):
    """What came of it. removed: what is gone; failure: why something may still be there"""

    removed: tuple[Removed, ...] = ()
    failure: SourceError | None = None

    @property
    def notes(self) -> list[Note]:
        """Events of what is gone."""
        return pruned(self.removed)

    @property
    def changes(self) -> Mapping[str, Sequence[tuple[str, bool]]]:
        """By engine, as `Enforced.changes`."""
        counts = Counter(one.engine for one in self.removed)
        return {name: ((OPERATION, False),) * count for name, count in counts.items()}


def remove(name: str, writer: Writer, but: Sequence[str] = ()) -> Removal:
    """Remove all of the specification of this name. but: engines whose policies stay.

    A failure does not stop the rest, unless the cluster does not answer.
    """
    spec = spec_from_part({}, name=name)  # what it asks for does not matter
    removed: list[Removed] = []
    failure: SourceError | None = None
    for one in (*ENGINES, ""):  # "": what v0.3 left
        if one in but:
            continue
        try:
            planned = _planned(one, spec, writer)
        except SourceUnavailable as error:
            return Removal(tuple(removed), failure or error)
        except SourceError as error:
            failure = failure or error
            continue
        for change in planned:
            try:
                removed += [
                    Removed(one or _OLD, done.object) for done in applying.carry_out([change], writer)
                ]
            except SourceUnavailable as error:
                return Removal(tuple(removed), failure or error)
            except SourceError as error:
                failure = failure or error
    return Removal(tuple(removed), failure)


def engines_left(name: str, writer: Writer, but: Sequence[str] = ()) -> list[str]:
    """Engines of which something is there for the specification of this name. Raises SourceError."""
    spec = spec_from_part({}, name=name)
    there = [one for one in (*ENGINES, "") if one not in but and _planned(one, spec, writer)]
    return [one or OLD_POLICIES for one in there]


def _planned(one: str, spec: LoadedSpec, writer: Writer) -> Sequence[applying.Change]:
    """All that an engine has there for a specification; "": what v0.3 left."""
    try:
        return applying.removals(spec, engine(one), writer) if one else legacy.removals(spec.name, writer)
    except NotServed:
        return ()  # of a kind that is not served there is nothing


def pruned(removed: Iterable[Removed]) -> list[Note]:
    """Events of what is gone."""
    return [Note("Normal", "PolicyPruned", f"{one.object}.") for one in removed]
