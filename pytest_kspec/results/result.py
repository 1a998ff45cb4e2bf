"""The one document that every report reads: ScanResult, one entry for each specification and cluster.

Everything is sorted here, so that the same input gives the same bytes apart from times.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from collections.abc import Set as AbstractSet
from typing import Any

import msgspec
from msgspec import Struct, field

from pytest_kspec import typed
from pytest_kspec.results.baselined import BaselineUse
from pytest_kspec.results.evidence import NO_EVIDENCE, Evidence, ExemptionUse
from pytest_kspec.results.finding import Finding
from pytest_kspec.results.frameworks import FrameworkResult
from pytest_kspec.results.identity import cluster_id
from pytest_kspec.results.moments import moment
from pytest_kspec.results.points import FrameworkPoint, TrendPoint
from pytest_kspec.results.verdict import NOTHING_TO_EXAMINE, Severity, Verdict
from pytest_kspec.spec.notes import NotEvaluated

API_VERSION = "kspec.io/v1alpha1"


def names_of(check_id: str) -> Iterator[str]:
    """The requirements whose result this can be: itself, and that of which it is a set of parameters: `id[…]`."""
    yield check_id
    cut = check_id.find("[")
    while cut >= 0:
        yield check_id[:cut]
        cut = check_id.find("[", cut + 1)


def is_of_any(check_id: str, requirements: AbstractSet[str]) -> bool:
    """Whether a result is that of one of these requirements, or of a set of its parameters; of thousands, at once."""
    return any(name in requirements for name in names_of(check_id))


class CheckResult(Struct, frozen=True):
    """The result of one requirement on one cluster.

    id:               id of the requirement (Requirement.id)
    nodeid:           node id in pytest
    reason:           reason of the verdict skip or error, otherwise ""
    examined:         number of objects that were examined
    duration_seconds: wall time of the check, in seconds
    location:         file:line:column of the requirement in the specification
    """

    id: str
    nodeid: str
    title: str
    severity: Severity
    verdict: Verdict
    controls: dict[str, list[str]] = field(default_factory=dict)
    remediation: str = ""
    reason: str = ""
    location: str = ""
    examined: int = 0
    duration_seconds: float = 0.0
    findings: tuple[Finding, ...] = ()

    @property
    def is_met(self) -> bool:
        """Passed, and not only because a baseline has what was found: that fails no run, and is not compliance."""
        return self.verdict is Verdict.PASS and not self.known_findings

    @property
    def open_findings(self) -> tuple[Finding, ...]:
        """Findings that no exemption covers and no baseline has."""
        return tuple(f for f in self.findings if f.is_open)

    @property
    def exempted_findings(self) -> tuple[Finding, ...]:
        """Findings that an exemption covers."""
        return tuple(f for f in self.findings if f.exemption is not None)

    @property
    def known_findings(self) -> tuple[Finding, ...]:
        """Findings that a baseline has and no exemption covers."""
        return tuple(f for f in self.findings if f.known and f.exemption is None)

    def to_wire(self) -> dict[str, Any]:
        """Plain data, keys as in the JSON report."""
        return {
            "id": self.id,
            "nodeid": self.nodeid,
            "title": self.title,
            "severity": self.severity.value,
            "verdict": self.verdict.value,
            "controls": {name: list(ids) for name, ids in sorted(self.controls.items())},
            "remediation": self.remediation,
            "reason": self.reason,
            "location": self.location,
            "examined": self.examined,
            "durationSeconds": round(self.duration_seconds, 6),
            "findings": [f.to_wire() for f in self.findings],
        }

    @classmethod
    def from_wire(cls, data: dict[str, Any]) -> CheckResult:
        """The inverse of `to_wire`. Raises KeyError or ValueError on other data."""
        return cls(
            id=data["id"],
            nodeid=data["nodeid"],
            title=data["title"],
            severity=Severity(data["severity"]),
            verdict=Verdict(data["verdict"]),
            controls=data["controls"],
            remediation=data["remediation"],
            reason=data["reason"],
            location=data["location"],
            examined=data["examined"],
            duration_seconds=data["durationSeconds"],
            findings=tuple(Finding.from_wire(f) for f in data["findings"]),
        )


class Summary(Struct, frozen=True):
    """Counts of one cluster. `exempt` counts findings that an exemption covers, `known` those that a baseline has and
    no exemption covers; the others count checks. `tolerated` are those passed ones that are not met: they pass only
    because a baseline has what they found. `weight` is that of the checks that apply, `weight_met` that of those
    that are met.

    score: 0-100 with one decimal, or None when nothing was evaluated, be it by errors: the weight (1, 2, 4, 8 by
    severity) of met checks over the weight of passed, failed and errored ones. Skipped checks do not count.
    """

    passed: int
    failed: int
    errors: int
    skipped: int
    exempt: int
    known: int
    score: float | None
    tolerated: int = 0
    weight: int = 0
    weight_met: int = 0

    @property
    def met(self) -> int:
        """Passed, and not only by a baseline."""
        return self.passed - self.tolerated

    @property
    def evaluated(self) -> int:
        """Passed or failed."""
        return self.passed + self.failed

    @property
    def applicable(self) -> int:
        """All that were not skipped."""
        return self.evaluated + self.errors

    @classmethod
    def of(cls, checks: Iterable[CheckResult]) -> Summary:
        """Count these results."""
        counts = dict.fromkeys(Verdict, 0)
        exempt = known = good = applicable = met = 0
        for check in checks:
            counts[check.verdict] += 1
            exempt += len(check.exempted_findings)
            known += len(check.known_findings)
            if check.verdict is not Verdict.SKIP:
                applicable += check.severity.weight
                if check.is_met:
                    good += check.severity.weight
                    met += 1
        # Rounded down, so that 100 is shown only when everything passed.
        evaluated = counts[Verdict.PASS] + counts[Verdict.FAIL]
        score = (1000 * good // applicable) / 10 if evaluated else None
        return cls(
            counts[Verdict.PASS],
            counts[Verdict.FAIL],
            counts[Verdict.ERROR],
            counts[Verdict.SKIP],
            exempt,
            known,
            score,
            counts[Verdict.PASS] - met,
            applicable,
            good,
        )

    def to_wire(self) -> dict[str, Any]:
        """Keys as in the JSON report."""
        return {
            "pass": self.passed,
            "fail": self.failed,
            "error": self.errors,
            "skip": self.skipped,
            "exempt": self.exempt,
            "known": self.known,
            "score": self.score,
        }


class ClusterResult(Struct, frozen=True):
    """All results of one specification on one cluster.

    name: name of the cluster; source: "live", "snapshot" or "manifests"; version: version of the API server, or "";
    uid: UID of the namespace kube-system, or "". frameworks: status of the controls of each framework.
    baseline: how the baseline was used for this cluster, None without a baseline.
    not_selected: ids of requirements of the specification that this run did not select (`-k` and the like), sorted;
    `id[…]` is one set of parameters. The result contains nothing about them.
    """

    name: str
    source: str
    version: str
    uid: str
    spec_name: str
    spec_version: str
    spec_path: str
    checks: tuple[CheckResult, ...]
    exemptions: tuple[ExemptionUse, ...] = ()
    not_evaluated: tuple[NotEvaluated, ...] = ()
    evidence: Evidence = NO_EVIDENCE
    frameworks: tuple[FrameworkResult, ...] = ()
    baseline: BaselineUse | None = None
    not_selected: tuple[str, ...] = ()

    @property
    def id(self) -> str:
        """Which cluster it is, whatever it is called (`model.identity`)."""
        return cluster_id(self.uid, self.source, self.name)

    @property
    def summary(self) -> Summary:
        """Counts and score."""
        return Summary.of(self.checks)

    @property
    def is_empty(self) -> bool:
        """Nothing was evaluated: there is nothing to examine, or the specification is not active."""
        return all(check.verdict is Verdict.SKIP for check in self.checks)

    @property
    def is_inactive(self) -> bool:
        """The specification asks for nothing at the time of this run."""
        return any(left.key == "timeBasedActivation" for left in self.not_evaluated)

    def looked_at(self, check: CheckResult, *, allow_empty: bool = False) -> bool:
        """Whether a finding of it that is not there is gone: not so after an error, nor where a check did not look.

        "Nothing to examine" counts only where something else was examined: a wrong path looks like an empty cluster;
        or where the user said that it may be empty.
        """
        if check.verdict is Verdict.SKIP:
            return check.reason == NOTHING_TO_EXAMINE and (allow_empty or not self.is_empty)
        return check.verdict is not Verdict.ERROR

    @property
    def is_partial(self) -> bool:
        """Whether the run did not select all requirements of the specification."""
        return bool(self.not_selected)

    def point(self, finished_at: str, run: str = "") -> TrendPoint:
        """What is drawn of it over time."""
        summary = self.summary
        return TrendPoint(
            finished_at=finished_at,
            cluster=self.name,
            spec=self.spec_name,
            spec_version=self.spec_version,
            score=summary.score,
            passed=summary.passed,
            failed=summary.failed,
            errors=summary.errors,
            skipped=summary.skipped,
            findings=sum(len(check.open_findings) for check in self.checks),
            exempt=summary.exempt,
            known=summary.known,
            frameworks=tuple(
                FrameworkPoint(framework.id, framework.summary.score, framework.summary.coverage)
                for framework in sorted(self.frameworks, key=lambda framework: framework.id)
            ),
            run=run,
            cluster_id=self.id,
            left_out=len(self.not_selected),
        )

    def to_wire(self) -> dict[str, Any]:
        """Plain data, keys as in the JSON report."""
        return {
            "name": self.name,
            "source": self.source,
            "version": self.version,
            "uid": self.uid,
            "spec": {"name": self.spec_name, "version": self.spec_version, "path": self.spec_path},
            "evidence": self.evidence.to_wire(),
            "summary": self.summary.to_wire(),
            "checks": [c.to_wire() for c in self.checks],
            "exemptions": [e.to_wire() for e in self.exemptions],
            "notEvaluated": [n.to_wire() for n in self.not_evaluated],
            "frameworks": [f.to_wire() for f in self.frameworks],
            "baseline": self.baseline.to_wire() if self.baseline else None,
            **({"notSelected": list(self.not_selected)} if self.not_selected else {}),
        }

    @classmethod
    def from_wire(cls, data: dict[str, Any]) -> ClusterResult:
        """The inverse of `to_wire`; the summary is counted again, not read."""
        return cls(
            name=data["name"],
            source=data["source"],
            version=data["version"],
            uid=data["uid"],
            spec_name=data["spec"]["name"],
            spec_version=data["spec"]["version"],
            spec_path=data["spec"]["path"],
            checks=tuple(CheckResult.from_wire(c) for c in data["checks"]),
            exemptions=tuple(
                ExemptionUse(
                    e["name"],
                    e["reason"],
                    e["approver"],
                    e["expiresAt"],
                    e["location"],
                    e["state"],
                    e["matched"],
                )
                for e in data["exemptions"]
            ),
            not_evaluated=tuple(
                NotEvaluated(n["key"], n["reason"], n["location"], tuple(n.get("names", ())))
                for n in data["notEvaluated"]
            ),
            evidence=Evidence.from_wire(data["evidence"]) if "evidence" in data else NO_EVIDENCE,
            frameworks=tuple(FrameworkResult.from_wire(f) for f in data.get("frameworks", ())),
            baseline=BaselineUse.from_wire(data["baseline"]) if data.get("baseline") else None,
            not_selected=tuple(data.get("notSelected", ())),
        )


class ScanResult(Struct, frozen=True):
    """One run.

    started_at and finished_at: RFC 3339 in UTC. clusters: sorted by name, then specification.
    run_by: who ran it, such as the address of a CI job or `user@host`; "" if unknown.
    trend: earlier and this run's points, oldest first, where a history is given (`kspec report --history`).
    """

    tool_version: str
    started_at: str
    finished_at: str
    clusters: tuple[ClusterResult, ...]
    run_by: str = ""
    trend: tuple[TrendPoint, ...] = ()

    @property
    def summary(self) -> Summary:
        """Counts and score over all clusters."""
        return Summary.of(check for cluster in self.clusters for check in cluster.checks)

    @property
    def empty(self) -> tuple[ClusterResult, ...]:
        """Clusters of which nothing was evaluated although the specification is active, as with a wrong path."""
        return tuple(cluster for cluster in self.clusters if cluster.is_empty and not cluster.is_inactive)

    def to_wire(self) -> dict[str, Any]:
        """The document of `--kspec-report json:FILE`."""
        return {
            "apiVersion": API_VERSION,
            "kind": "ScanResult",
            "tool": {"name": "pytest-kspec", "version": self.tool_version},
            "startedAt": self.started_at,
            "finishedAt": self.finished_at,
            "runBy": self.run_by,
            "summary": self.summary.to_wire(),
            "clusters": [c.to_wire() for c in self.clusters],
            "trend": [p.to_wire() for p in self.trend],
        }

    @classmethod
    def from_wire(cls, data: dict[str, Any]) -> ScanResult:
        """The inverse of `to_wire`, of data from anywhere. Raises KeyError, TypeError, AttributeError or ValueError on
        other data, also where a value has another type than its field, or a time of a run is none.
        """
        made = cls(
            tool_version=data["tool"]["version"],
            started_at=data["startedAt"],
            finished_at=data["finishedAt"],
            clusters=tuple(ClusterResult.from_wire(c) for c in data["clusters"]),
            run_by=data.get("runBy", ""),
            trend=tuple(TrendPoint.from_wire(p) for p in data.get("trend", ())),
        )
        for text in (made.started_at, made.finished_at, *(point.finished_at for point in made.trend)):
            if moment(text) is None:
                raise ValueError(f"{text!r} is not an RFC 3339 time with a time zone")
        try:
            return typed.convert(msgspec.to_builtins(made), cls)
        except msgspec.ValidationError as error:
            raise ValueError(str(error)) from error
