"""From what a check did (findings, an exception, nothing) to its result: the one place of verdicts."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from pytest_kspec.checks.check import Check
from pytest_kspec.errors import KspecError, NotApplicable
from pytest_kspec.evaluate.findings import Findings
from pytest_kspec.kube.reference import ResourceRef
from pytest_kspec.results.result import CheckResult
from pytest_kspec.results.verdict import Verdict
from pytest_kspec.spec.requirement import Requirement

Failed: type[BaseException] = pytest.fail.Exception
Skipped: type[BaseException] = pytest.skip.Exception
TEXT_LIMIT = 2000
LINE_LIMIT = 240


class TimeLimitExceeded(BaseException):
    """A check took too long. No Exception: a check that handles those does not go on."""

    def __init__(self, seconds: float) -> None:
        super().__init__(f"stopped: it took longer than the time limit of a check, {seconds:g} s")


def record_exception(error: BaseException, findings: Findings) -> None:
    """Turn what a check raised into a finding, a skip or an error. Never into a pass."""
    if isinstance(error, NotApplicable):
        findings.skip(str(error))
    elif isinstance(error, KspecError | TimeLimitExceeded):
        findings.error(str(error))
    elif isinstance(error, Skipped):
        findings.skip(str(error.msg) if hasattr(error, "msg") else str(error))
    elif isinstance(error, AssertionError | Failed):
        text = str(getattr(error, "msg", None) or error).strip() or "assertion failed"
        # After a message of the author's, pytest's explanation of the expression says nothing more.
        text = text.partition("\nassert ")[0]
        findings.add(None, message=text[:TEXT_LIMIT])
    elif isinstance(error, pytest.FixtureLookupError) and error.argname:
        findings.error(f"there is no fixture {error.argname!r}: 'pytest --fixtures' lists all.")
    else:
        text = str(error).strip()
        findings.error(f"the check raised {type(error).__name__}{': ' if text else ''}{text}"[:TEXT_LIMIT])


def record_return(value: object, findings: Findings) -> None:
    """A check reports to `findings`. One that returns something else than None may have reported nothing at all."""
    if value is not None:
        findings.error(
            f"the check returned {type(value).__name__}, which nobody reads: report with findings.add, or assert"
        )


def make_result(
    check: Check,
    requirement: Requirement,
    findings: Findings | None,
    *,
    nodeid: str = "",
    title: str = "",
    duration_s: float = 0.0,
    reason: str = "",
) -> CheckResult:
    """The result of one requirement. Without findings: not evaluated, for this reason (verdict error)."""
    result = CheckResult(
        id=requirement.id,
        nodeid=nodeid,
        title=title or check.title,
        severity=check.severity,
        verdict=Verdict.ERROR,
        controls={name: list(ids) for name, ids in sorted(requirement.controls.items())},
        remediation=check.remediation,
        reason=reason,
        location=requirement.location,
        duration_seconds=duration_s,
    )
    if findings is None:
        return result
    verdict, why = findings.verdict()
    return replace(
        result,
        verdict=verdict,
        reason=why,
        examined=findings.examined_count,
        findings=findings.results(),
    )


def finding_text(wire: dict[str, Any]) -> str:
    """One finding on one line: `Deployment web/shop (×3): container app: …`. wire: of `Finding.to_wire`."""
    times = f" (×{wire['count']})" if wire["count"] > 1 else ""
    return f"{ResourceRef.from_wire(wire['resource'])}{times}: {wire['message']}"


def failure_text(wire: dict[str, Any], limit: int = 10) -> str:
    """What pytest shows and JUnit carries for a result that is not a pass: plain text, capped."""
    lines = [f"not evaluated: {wire['reason']}"] if wire["verdict"] == Verdict.ERROR else []
    found = _open(wire)
    lines += map(finding_text, found[:limit])
    if len(found) > limit:
        lines.append(f"… and {len(found) - limit} more findings")
    if wire["remediation"]:
        lines.append(f"Fix: {wire['remediation']}")
    if wire["location"]:
        lines.append(f"Asked for at {wire['location']}")
    return "\n".join(lines)


def summary_text(wire: dict[str, Any]) -> str:
    """The same on one line of pytest's short summary: the reason, or how many findings and the first of them."""
    found = _open(wire)
    if wire["verdict"] == Verdict.ERROR:
        text = f"not evaluated: {wire['reason']}"
    elif not found:
        text = wire["reason"]
    else:
        text = f"{f'{len(found):,} findings: ' if len(found) > 1 else ''}{finding_text(found[0])}"
    text = " ".join(text[: 2 * LINE_LIMIT].split())
    return text if len(text) <= LINE_LIMIT else f"{text[: LINE_LIMIT - 1]}…"


def _open(wire: dict[str, Any]) -> list[dict[str, Any]]:
    return [f for f in wire["findings"] if f["exemption"] is None and not f["known"]]
