"""From what a check did (findings, an exception, nothing) to its result: the one place of verdicts.

Checks may use `pytest.skip` and `pytest.fail`. What these raise is known by the modules that define it, which are there
if somebody used them: pytest itself is not imported here.
"""

from __future__ import annotations

import sys
from contextlib import suppress
from typing import Any

from msgspec.structs import replace

from pytest_kspec.checks.check import Check
from pytest_kspec.errors import KspecError, NotApplicable
from pytest_kspec.evaluate.findings import Findings
from pytest_kspec.evaluate.timelimit import TimeLimitExceeded
from pytest_kspec.kube.reference import ResourceRef
from pytest_kspec.results.finding import Finding
from pytest_kspec.results.result import CheckResult
from pytest_kspec.results.verdict import Verdict
from pytest_kspec.shown import well_formed
from pytest_kspec.spec.requirement import Requirement

TEXT_LIMIT = 2000
LINE_LIMIT = 240


def no_fixture(name: str) -> str:
    """What is said of a name in a check that nothing stands behind."""
    return f"unknown fixture {name!r}: 'pytest --fixtures' lists all fixtures."


def ends_the_run(error: BaseException) -> bool:
    """Whether it is meant for the whole run: Ctrl-C, and `pytest.exit`."""
    return isinstance(error, KeyboardInterrupt) or _raised_by_pytest(error, "_pytest.outcomes", "Exit")


def _raised_by_pytest(error: BaseException, module: str, name: str) -> bool:
    kind = getattr(sys.modules.get(module), name, None)
    return isinstance(kind, type) and isinstance(error, kind)


def record_exception(error: BaseException, findings: Findings) -> None:
    """Turn what a check raised into a finding, a skip or an error. Never into a pass."""
    if isinstance(error, NotApplicable):
        findings.skip(str(error))
    elif isinstance(error, KspecError | TimeLimitExceeded):
        findings.error(str(error))
    elif _raised_by_pytest(error, "_pytest.outcomes", "Skipped"):
        findings.skip(str(error))
    elif isinstance(error, AssertionError) or _raised_by_pytest(error, "_pytest.outcomes", "Failed"):
        text = str(error).strip() or "assertion failed"
        # After a message of the author's, pytest's explanation of the expression says nothing more.
        text = text.partition("\nassert ")[0]
        findings.add(None, message=text[:TEXT_LIMIT])
    elif _raised_by_pytest(error, "_pytest.fixtures", "FixtureLookupError") and getattr(
        error, "argname", None
    ):
        findings.error(no_fixture(error.argname))  # type: ignore[attr-defined]  # seen in the line above
    else:
        text = str(error).strip()
        findings.error(f"the check raised {type(error).__name__}{': ' if text else ''}{text}"[:TEXT_LIMIT])


def record_return(value: object, findings: Findings) -> None:
    """A check reports to `findings`. One that returns something else than None may have reported nothing at all."""
    if value is not None:
        findings.error(
            f"the check returned {type(value).__name__}, but the return value "
            f"is ignored: call findings.add or use assert"
        )


def make_result(
    check: Check,
    requirement: Requirement,
    findings: Findings | None,
    *,
    id: str = "",
    nodeid: str = "",
    title: str = "",
    duration_s: float = 0.0,
    reason: str = "",
) -> CheckResult:
    """The result of one requirement. Without findings: not evaluated, for this reason (verdict error).

    id: with its parameters, where there are some; else the requirement's
    """
    result = CheckResult(
        id=id or requirement.id,
        nodeid=nodeid,
        title=well_formed(title or check.title),
        severity=check.severity,
        verdict=Verdict.ERROR,
        controls={name: list(ids) for name, ids in sorted(requirement.controls.items())},
        remediation=well_formed(check.remediation),
        reason=well_formed(reason),
        location=well_formed(requirement.location),
        duration_seconds=duration_s,
    )
    if findings is None:
        return result
    verdict, why = findings.verdict()
    return replace(
        result,
        verdict=verdict,
        reason=well_formed(why),
        examined=findings.examined_count,
        findings=tuple(map(_text_only, findings.results())),
    )


def _text_only(finding: Finding) -> Finding:
    """The same finding, where all that should be text is text that UTF-8 can hold: a check may have said anything,
    and what cannot cross processes would end the worker and the run.
    """
    with suppress(TypeError):  # one of them is no text at all
        if "".join((finding.path, finding.container, *finding.resource, *finding.owner)).isascii():
            return finding
    return replace(
        finding,
        path=_text(finding.path),
        container=_text(finding.container),
        resource=ResourceRef(*map(_text, finding.resource)),
        owner=ResourceRef(*map(_text, finding.owner)),
    )


def _text(value: object) -> str:
    return "" if value is None else well_formed(str(value))


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
        lines.append(f"Required by {wire['location']}")
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
