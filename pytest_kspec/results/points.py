"""How results moved over time, as a store of results knows it and reports draw it.

Points are plain numbers of one run; nothing here is computed from findings again, so that the line a report draws ends
where the same run's own report says.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from msgspec import Struct
from msgspec.structs import asdict


class FrameworkPoint(Struct, frozen=True):
    """One framework on one cluster in one run. score: 0-100 or None; coverage: 0-100."""

    id: str
    score: float | None
    coverage: float


class TrendPoint(Struct, frozen=True):
    """One specification on one cluster in one run.

    finished_at: RFC 3339 in UTC, of the run; run: its id in the store
    score: 0-100 with one decimal, or None where nothing was evaluated
    passed, failed, errors, skipped count requirements; findings (open ones), exempt and known count findings
    left_out: requirements of the specification that the run did not select (`-k`); more than 0: the run is partial
    frameworks: sorted by id
    """

    finished_at: str
    cluster: str
    spec: str
    spec_version: str
    score: float | None
    passed: int
    failed: int
    errors: int
    skipped: int
    findings: int
    exempt: int
    known: int
    frameworks: tuple[FrameworkPoint, ...] = ()
    run: str = ""
    cluster_id: str = ""
    left_out: int = 0

    @property
    def selected(self) -> int:
        """How many requirements the run is about."""
        return self.passed + self.failed + self.errors + self.skipped

    def to_wire(self) -> dict[str, Any]:
        """Plain data, keys as in the JSON report and in `kspec history -o json`."""
        return {
            "finishedAt": self.finished_at,
            "cluster": self.cluster,
            "clusterId": self.cluster_id,
            "spec": self.spec,
            "specVersion": self.spec_version,
            "score": self.score,
            "pass": self.passed,
            "fail": self.failed,
            "error": self.errors,
            "skip": self.skipped,
            "findings": self.findings,
            "exempt": self.exempt,
            "known": self.known,
            "leftOut": self.left_out,
            "frameworks": [asdict(framework) for framework in self.frameworks],
            "run": self.run,
        }

    @classmethod
    def from_wire(cls, data: Mapping[str, Any]) -> TrendPoint:
        """The inverse of `to_wire`."""
        return cls(
            finished_at=data["finishedAt"],
            cluster=data["cluster"],
            spec=data["spec"],
            spec_version=data["specVersion"],
            score=data["score"],
            passed=data["pass"],
            failed=data["fail"],
            errors=data["error"],
            skipped=data["skip"],
            findings=data["findings"],
            exempt=data["exempt"],
            known=data["known"],
            frameworks=tuple(FrameworkPoint(f["id"], f["score"], f["coverage"]) for f in data["frameworks"]),
            run=data["run"],
            cluster_id=data.get("clusterId", ""),
            left_out=data.get("leftOut", 0),
        )


class CheckPoint(Struct, frozen=True):
    """One requirement on one cluster in one run.

    Verdict, severity and reason as in results; findings, exempt and known count findings.
    """

    finished_at: str
    cluster: str
    spec: str
    check: str
    severity: str
    verdict: str
    findings: int
    exempt: int
    known: int
    run: str = ""
    reason: str = ""
    cluster_id: str = ""

    def to_wire(self) -> dict[str, Any]:
        """Plain data, keys as in `kspec history --check ID -o json`."""
        wire = asdict(self)
        wire["finishedAt"] = wire.pop("finished_at")
        wire["clusterId"] = wire.pop("cluster_id")
        return wire
