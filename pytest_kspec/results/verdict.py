"""Verdicts and severities."""

from __future__ import annotations

from enum import StrEnum

NOTHING_TO_EXAMINE = "nothing there to examine"
"""Reason of a skip where the check looked and there was nothing, unlike those where it could not look."""


class Severity(StrEnum):
    """How serious it is if a requirement is not met. Ordered by `rank`."""

    LOW = "low"
    MEDIUM = "medium"
    HIGH = "high"
    CRITICAL = "critical"

    @property
    def rank(self) -> int:
        """0 (low) to 3 (critical)."""
        return _RANKS[self]

    @property
    def weight(self) -> int:
        """Weight in the score: 1, 2, 4, 8 (docs/reports.md, "Score")."""
        return 1 << self.rank


_RANKS = {severity: rank for rank, severity in enumerate(Severity)}  # asked for with each finding of a report


class Verdict(StrEnum):
    """pass; fail (findings that no exemption covers); error (could not be evaluated); skip (nothing to examine)."""

    PASS = "pass"
    FAIL = "fail"
    ERROR = "error"
    SKIP = "skip"
