"""What the checks of one cluster say about the controls of a compliance framework.

A control is met only if every check that answers it was evaluated and passed. One that no check answers here is
`manual` (a person must look) or `notEvaluated`; neither ever counts as met, and coverage is shown beside the score.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any


class ControlStatus(StrEnum):
    """met; notMet (an answering check failed); notEvaluated (error, skipped, or not asked for); manual."""

    MET = "met"
    NOT_MET = "notMet"
    NOT_EVALUATED = "notEvaluated"
    MANUAL = "manual"


@dataclass(frozen=True, slots=True)
class ControlResult:
    """One control on one cluster.

    id, title: as in the catalogue or in the specification's own mapping
    checks:    ids of the results that answer it, sorted
    reason:    why it is not evaluated or manual, "" otherwise
    """

    id: str
    title: str
    status: ControlStatus
    checks: tuple[str, ...] = ()
    reason: str = ""

    def to_wire(self) -> dict[str, Any]:
        """Plain data, keys as in the JSON report."""
        return {
            "id": self.id,
            "title": self.title,
            "status": self.status.value,
            "checks": list(self.checks),
            "reason": self.reason,
        }

    @classmethod
    def from_wire(cls, data: dict[str, Any]) -> ControlResult:
        """The inverse of `to_wire`."""
        return cls(
            data["id"], data["title"], ControlStatus(data["status"]), tuple(data["checks"]), data["reason"]
        )


@dataclass(frozen=True, slots=True)
class FrameworkSummary:
    """Counts of controls.

    score:    percent of met among met and notMet, one decimal, rounded down; None where neither is there
    coverage: percent of controls that were evaluated (met or notMet) among all, one decimal, rounded down
    """

    met: int
    not_met: int
    not_evaluated: int
    manual: int

    @property
    def score(self) -> float | None:
        """Of what was evaluated, how much is met."""
        evaluated = self.met + self.not_met
        return (1000 * self.met // evaluated) / 10 if evaluated else None

    @property
    def coverage(self) -> float:
        """Of all controls, how many were evaluated; 0 for none."""
        total = self.met + self.not_met + self.not_evaluated + self.manual
        return (1000 * (self.met + self.not_met) // total) / 10 if total else 0.0

    def to_wire(self) -> dict[str, Any]:
        """Keys as in the JSON report."""
        return {
            "met": self.met,
            "notMet": self.not_met,
            "notEvaluated": self.not_evaluated,
            "manual": self.manual,
            "score": self.score,
            "coverage": self.coverage,
        }


@dataclass(frozen=True, slots=True)
class FrameworkResult:
    """One framework on one cluster. source: where the control ids come from; date: of that source, or ""."""

    id: str
    name: str
    version: str = ""
    source: str = ""
    date: str = ""
    controls: tuple[ControlResult, ...] = field(default=())

    @property
    def summary(self) -> FrameworkSummary:
        """Counts by status."""
        counts = dict.fromkeys(ControlStatus, 0)
        for control in self.controls:
            counts[control.status] += 1
        return FrameworkSummary(*(counts[status] for status in ControlStatus))

    def to_wire(self) -> dict[str, Any]:
        """Plain data, keys as in the JSON report."""
        return {
            "id": self.id,
            "name": self.name,
            "version": self.version,
            "source": self.source,
            "date": self.date,
            "summary": self.summary.to_wire(),
            "controls": [control.to_wire() for control in self.controls],
        }

    @classmethod
    def from_wire(cls, data: dict[str, Any]) -> FrameworkResult:
        """The inverse of `to_wire`; the summary is counted again, not read."""
        return cls(
            data["id"],
            data["name"],
            data["version"],
            data["source"],
            data["date"],
            tuple(ControlResult.from_wire(control) for control in data["controls"]),
        )
