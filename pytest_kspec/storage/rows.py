"""What lists of a store hold: one kind of row each, with the keys that JSON documents have. Plain data."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Generic, TypeVar

import msgspec

T = TypeVar("T")

_WIRE = {"passed": "pass", "failed": "fail", "errors": "error", "skipped": "skip"}


def _wire(name: str) -> str:
    """Keys as in other JSON documents: verdicts by their names, the others in camel case."""
    head, *rest = name.split("_")
    return _WIRE.get(name) or head + "".join(part.capitalize() for part in rest)


@dataclass(frozen=True, slots=True)
class Listed(Generic[T]):
    """One page. total: how many rows all pages have; counts: rows by a property, without the filter for it."""

    rows: tuple[T, ...]
    total: int
    counts: Mapping[str, int] = field(default_factory=dict)


class Standing(msgspec.Struct, frozen=True, rename=_wire):
    """The newest result of a specification on a cluster, whole where one is. state: a key of `words.STATES`.

    left_out: requirements that the run did not select; more than 0: no whole run is stored
    """

    cluster: str
    cluster_id: str
    spec: str
    spec_version: str
    source: str
    version: str
    finished_at: str
    state: str
    score: float | None
    passed: int
    failed: int
    errors: int
    skipped: int
    findings: int
    exempt: int
    known: int
    left_out: int

    @property
    def selected(self) -> int:
        """Requirements that the result is about."""
        return self.passed + self.failed + self.errors + self.skipped

    @property
    def evaluated(self) -> int:
        """Passed or failed."""
        return self.passed + self.failed

    @property
    def applicable(self) -> int:
        """All that were not skipped."""
        return self.evaluated + self.errors


class RequirementTotals(msgspec.Struct, frozen=True, rename=_wire):
    """One requirement in the newest results of all clusters: how many of them by verdict. findings: open ones."""

    check: str
    title: str
    severity: str
    errors: int
    failed: int
    skipped: int
    passed: int
    findings: int


class RequirementResult(msgspec.Struct, frozen=True, rename=_wire):
    """A requirement in the newest result of a specification on a cluster."""

    cluster: str
    cluster_id: str
    spec: str
    check: str
    title: str
    severity: str
    verdict: str
    reason: str
    findings: int
    exempt: int
    known: int
    finished_at: str


class FindingRow(msgspec.Struct, frozen=True, rename=_wire):
    """A finding over all runs, as of the newest result. Times are RFC 3339; resolved_at is "" unless it is fixed."""

    cluster: str
    cluster_id: str
    spec: str
    check: str
    severity: str
    state: str
    what: str
    message: str
    kind: str
    namespace: str
    name: str
    path: str
    container: str
    reason: str
    first_seen: str
    last_seen: str
    resolved_at: str
    id: str


class FrameworkTotals(msgspec.Struct, frozen=True, rename=_wire):
    """A framework in the newest results of all clusters. Scores and coverage: 0-100; None: no cluster has one."""

    framework: str
    name: str
    version: str
    results: int
    lowest: float | None
    highest: float | None
    least_coverage: float
    most_coverage: float


class FrameworkResult(msgspec.Struct, frozen=True, rename=_wire):
    """A framework in the newest result of a specification on a cluster; met to manual count controls."""

    cluster: str
    cluster_id: str
    spec: str
    framework: str
    name: str
    version: str
    score: float | None
    coverage: float
    met: int
    not_met: int
    not_evaluated: int
    manual: int
    finished_at: str


class ExemptionRow(msgspec.Struct, frozen=True, rename=_wire):
    """An exemption that the newest result of a specification on a cluster was given."""

    name: str
    state: str
    reason: str
    approver: str
    expires_at: str
    location: str
    matched: int
    cluster: str
    cluster_id: str
    spec: str


class DriftRow(msgspec.Struct, frozen=True, rename=_wire):
    """A difference over time. state: present or cleared; drift_kind: missing, modified, extra or violation.

    object: kind, namespace and name; cleared_at: "" while it is present
    """

    cluster: str
    cluster_id: str
    spec: str
    type: str
    severity: str
    drift_kind: str
    state: str
    object: str
    message: str
    first_seen: str
    last_seen: str
    cleared_at: str


class Day(msgspec.Struct, frozen=True, rename=_wire):
    """The last whole result of each specification on each cluster of one day (UTC), together.

    score: the weight of met requirements over that of all that apply, 0-100; None where nothing was evaluated
    """

    day: str
    results: int
    score: float | None
    passed: int
    failed: int
    errors: int
    skipped: int
    findings: int
