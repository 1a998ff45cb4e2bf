"""Differences: what they are, how bad, who made them, and what a look at a cluster found."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Any, NamedTuple

from pytest_kspec.kube.objectdiff import ABSENT, FieldChange
from pytest_kspec.kube.reference import ResourceRef
from pytest_kspec.results.verdict import Severity


class DriftType(StrEnum):
    """policy: a generated policy; compliance: a requirement that passed before; configuration: a recorded object."""

    POLICY = "policy"
    COMPLIANCE = "compliance"
    CONFIGURATION = "configuration"


class DriftKind(StrEnum):
    """missing: it should be there; modified: it is another; extra: it should not be there; violation: of a check."""

    MISSING = "missing"
    MODIFIED = "modified"
    EXTRA = "extra"
    VIOLATION = "violation"


SEVERITIES = {
    DriftKind.MISSING: Severity.HIGH,
    DriftKind.MODIFIED: Severity.MEDIUM,
    DriftKind.EXTRA: Severity.LOW,
}
"""Of a violation: that of its check."""


class Action(StrEnum):
    """What was done, or is to be done, about a difference."""

    CREATE = "create"
    UPDATE = "update"
    DELETE = "delete"
    SKIP = "skip"
    MANUAL = "manual-required"


class Status(StrEnum):
    """What came of it. detected: nothing was done yet."""

    DETECTED = "detected"
    REMEDIATED = "remediated"
    FAILED = "failed"
    MANUAL = "manual-required"


class Author(NamedTuple):
    """Who wrote it last, and when, as managedFields say. time: RFC 3339, or ""."""

    manager: str
    time: str


class Remediation(NamedTuple):
    """The correction of one difference. time: RFC 3339; details: what was or would be changed, or why nothing was."""

    action: Action
    status: Status
    time: str
    error: str = ""
    details: str = ""


@dataclass(frozen=True, slots=True)
class DriftEvent:
    """One difference.

    path:    the field, where there is one
    check:   id of the check, of compliance drift
    fields:  what differs: `before` is as it should be, `after` as it is
    holder:  the tool that keeps the object, such as Argo CD, which is the one to correct it; "" for none
    expected, actual: whole values, where there are no fields; ABSENT for none
    first_seen: RFC 3339
    id:      what it is known by, beside its object: the fingerprint of a finding, which outlives the name of a pod
    """

    type: DriftType
    kind: DriftKind
    severity: Severity
    resource: ResourceRef
    message: str
    first_seen: str
    path: str = ""
    check: str = ""
    fields: tuple[FieldChange, ...] = ()
    expected: Any = ABSENT
    actual: Any = ABSENT
    author: Author | None = None
    holder: str = ""
    remediation: Remediation | None = None
    id: str = ""

    @property
    def key(self) -> tuple[str, str, str, str]:
        """What makes it the same difference at the next look."""
        one = self.resource
        place = self.id or f"{one.namespace}/{one.name}"
        return self.type.value, self.kind.value, self.check or f"{one.group}/{one.kind}", place

    def remediated(self, remediation: Remediation) -> DriftEvent:
        """A copy with what came of its correction."""
        return replace(self, remediation=remediation)


@dataclass(frozen=True, slots=True)
class Look:
    """What one look at one cluster found, worst first.

    at:       RFC 3339
    cluster:  its name; uid: which it is, "" where that is not known
    looked:   the types that were compared
    problems: what could not be compared, and why: then no difference does not mean that there is none
    outdated: what is as kspec applied it, and not as it would apply it now; no drift
    still:    keys of what is there and no event: ignored, or no worse than the last run; it did not clear
    """

    at: str
    spec: str
    version: str
    cluster: str
    uid: str
    looked: tuple[DriftType, ...]
    events: tuple[DriftEvent, ...]
    problems: tuple[str, ...] = ()
    outdated: tuple[str, ...] = ()
    still: frozenset[tuple[str, ...]] = frozenset()

    @property
    def severity(self) -> Severity | None:
        """The worst of the events; None where there are none."""
        return max((event.severity for event in self.events), key=lambda one: one.rank, default=None)

    def cleared(self, known: Iterable[DriftEvent]) -> tuple[DriftEvent, ...]:
        """Which of these are gone: they were looked for, everything could be compared, and they are not there."""
        if self.problems:
            return ()
        there = self.still | {event.key for event in self.events}
        return tuple(event for event in known if event.type in self.looked and event.key not in there)

    def count(self, type: DriftType) -> int:
        """How many events are of this type."""
        return sum(event.type is type for event in self.events)


def ordered(events: Iterable[DriftEvent]) -> tuple[DriftEvent, ...]:
    """Worst first, in an order that is the same every time."""
    return tuple(sorted(events, key=lambda one: (-one.severity.rank, one.key)))
