"""What the checks of one cluster say about the controls of a compliance framework.

A control is met only if every check that answers it was evaluated and passed. One that checks answer only in part is
at best `partlyMet`: the rest is named for a person to look at. One that no check answers here is `manual` (a person
must look) or `notEvaluated`; neither ever counts as met, and coverage is shown beside the score.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Any

from msgspec import Struct, field


class ControlStatus(StrEnum):
    """met; partlyMet (checks pass, but answer it in part); notMet (an answering check failed); notEvaluated (error,
    skipped, or not asked for); manual.
    """

    MET = "met"
    PARTLY_MET = "partlyMet"
    NOT_MET = "notMet"
    NOT_EVALUATED = "notEvaluated"
    MANUAL = "manual"


class ControlResult(Struct, frozen=True):
    """One control on one cluster.

    id, title: as in the catalog or in the specification's own mapping
    checks:    ids of the results that answer it, sorted
    reason:    why it is not evaluated or manual; if it is met, whether exemptions were needed; "" otherwise
    remaining: what a person must look at besides, where checks answer it in part; "" otherwise
    """

    id: str
    title: str
    status: ControlStatus
    checks: tuple[str, ...] = ()
    reason: str = ""
    remaining: str = ""

    @property
    def evaluated(self) -> bool:
        """Whether checks came to a verdict, be it in part."""
        return self.status in (ControlStatus.MET, ControlStatus.PARTLY_MET, ControlStatus.NOT_MET)

    def to_wire(self) -> dict[str, Any]:
        """Plain data, keys as in the JSON report."""
        return {
            "id": self.id,
            "title": self.title,
            "status": self.status.value,
            "checks": list(self.checks),
            "reason": self.reason,
            "remaining": self.remaining,
        }

    @classmethod
    def from_wire(cls, data: dict[str, Any]) -> ControlResult:
        """The inverse of `to_wire`."""
        return cls(
            data["id"],
            data["title"],
            ControlStatus(data["status"]),
            tuple(data["checks"]),
            data["reason"],
            data.get("remaining", ""),
        )


class FrameworkSummary(Struct, frozen=True):
    """Counts of controls. What was answered in part counts half: in the score if it is met, in coverage always.

    in_part:  of those that are met in part or not met, how many checks answer in part only
    score:    percent of met among those that were evaluated, one decimal, rounded down; None where none was
    coverage: percent of controls that were evaluated among all, one decimal, rounded down
    """

    met: int
    partly_met: int
    not_met: int
    not_evaluated: int
    manual: int
    in_part: int = 0

    @property
    def evaluated(self) -> int:
        """Controls that checks came to a verdict on."""
        return self.met + self.partly_met + self.not_met

    @property
    def total(self) -> int:
        """All controls."""
        return self.evaluated + self.not_evaluated + self.manual

    @property
    def score(self) -> float | None:
        """Of what was evaluated, how much is met."""
        halves = 2 * self.met + self.partly_met
        return (500 * halves // self.evaluated) / 10 if self.evaluated else None

    @property
    def coverage(self) -> float:
        """Of all controls, how many were evaluated; 0 for none."""
        halves = 2 * self.evaluated - self.in_part
        return (500 * halves // self.total) / 10 if self.total else 0.0

    def to_wire(self) -> dict[str, Any]:
        """Keys as in the JSON report."""
        return {
            "met": self.met,
            "partlyMet": self.partly_met,
            "notMet": self.not_met,
            "notEvaluated": self.not_evaluated,
            "manual": self.manual,
            "score": self.score,
            "coverage": self.coverage,
        }


class FrameworkResult(Struct, frozen=True):
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
        in_part = sum(1 for control in self.controls if control.evaluated and control.remaining)
        return FrameworkSummary(
            met=counts[ControlStatus.MET],
            partly_met=counts[ControlStatus.PARTLY_MET],
            not_met=counts[ControlStatus.NOT_MET],
            not_evaluated=counts[ControlStatus.NOT_EVALUATED],
            manual=counts[ControlStatus.MANUAL],
            in_part=in_part,
        )

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
