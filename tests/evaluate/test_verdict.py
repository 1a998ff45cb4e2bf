"""What a check did becomes exactly one verdict, and the texts of pytest and JUnit say what it was."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pytest

from pytest_kspec import AccessDenied, Finding, Findings, NotApplicable, Workloads, check
from pytest_kspec.checks.authoring import ATTRIBUTE
from pytest_kspec.evaluate.verdict import (
    LINE_LIMIT,
    TEXT_LIMIT,
    ends_the_run,
    failure_text,
    make_result,
    no_fixture,
    summary_text,
)
from pytest_kspec.kube.reference import ResourceRef
from pytest_kspec.results.exemptions import Exemptions
from pytest_kspec.results.finding import AppliedExemption
from pytest_kspec.results.result import CheckResult
from pytest_kspec.results.verdict import Severity, Verdict
from pytest_kspec.spec.requirement import Requirement
from pytest_kspec.testing import evaluate

LOOKUP = importlib.import_module("_pytest.fixtures").FixtureLookupError


class Odd(Exception):
    msg = "not what it says"
    argname = "workloads"


def of(act: Callable[[], object]) -> tuple[str, str, list[str]]:
    @check(id="acme.case", title="A \ud800 title", severity="low", remediation="Mend \ud800 it.")
    def test_case(findings: Findings) -> Any:
        """It reports what it raises."""
        return act()

    (result,) = evaluate(test_case)
    assert (result.title, result.remediation) == ("A \\ud800 title", "Mend \\ud800 it.")
    assert (result.severity, result.examined) == (Severity.LOW, 0)
    return result.verdict.value, result.reason, [finding.message for finding in result.findings]


def raises(error: BaseException) -> tuple[str, str, list[str]]:
    def act() -> None:
        raise error

    return of(act)


def lookup(name: str) -> Any:
    error = LOOKUP.__new__(LOOKUP)
    error.argname = name
    return error


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (NotApplicable("manifests have none"), ("skip", "manifests have none", [])),
        (pytest.skip.Exception("not here"), ("skip", "not here", [])),
        (AccessDenied("cannot list pods"), ("error", "cannot list pods", [])),
        (pytest.fail.Exception("it is open"), ("fail", "", ["it is open"])),
        (AssertionError("port 22"), ("fail", "", ["port 22"])),
        (AssertionError("port 22\nassert 22 == 23"), ("fail", "", ["port 22"])),
        (AssertionError(), ("fail", "", ["assertion failed"])),
        (AssertionError("  \n"), ("fail", "", ["assertion failed"])),
        (AssertionError("x" * (TEXT_LIMIT + 1)), ("fail", "", ["x" * TEXT_LIMIT])),
        (ValueError(" of y "), ("error", "the check raised ValueError: of y", [])),
        (ValueError(), ("error", "the check raised ValueError", [])),
        (Odd("text"), ("error", "the check raised Odd: text", [])),
        (
            ValueError("y" * TEXT_LIMIT),
            ("error", f"the check raised ValueError: {'y' * TEXT_LIMIT}"[:TEXT_LIMIT], []),
        ),
        (lookup("wrkloads"), ("error", no_fixture("wrkloads"), [])),
        (LOOKUP.__new__(LOOKUP), ("error", "the check raised FixtureLookupError", [])),
    ],
    ids=lambda value: type(value).__name__,
)
def test_what_is_raised(error: BaseException, expected: tuple[str, str, list[str]]) -> None:
    assert raises(error) == expected


def test_what_is_returned_is_an_error_but_none() -> None:
    assert of(lambda: None) == ("pass", "", [])
    odd: tuple[object, ...] = (True, 0, [], "")
    for value in odd:
        said = f"the check returned {type(value).__name__}, but the return value is ignored: "
        assert of(lambda value=value: value) == ("error", f"{said}call findings.add or use assert", [])


def test_what_a_check_says_of_an_object_is_text() -> None:
    @check(id="acme.odd", title="Odd", severity="low", remediation="None.")
    def test_odd(workloads: Workloads, findings: Findings) -> None:
        """It says other things than text."""
        for workload in workloads:
            findings.add(workload, path="a\ud800", container=5, actual="x")  # type: ignore[arg-type]
            findings.add(workload, path="b", container=None, actual="y")  # type: ignore[arg-type]

    pod = {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": "web", "namespace": "shop"},
        "spec": {"containers": [{"name": "app"}]},
    }
    (result,) = evaluate(test_odd, objects=[pod])
    assert result.verdict is Verdict.FAIL
    assert sorted((f.path, f.container) for f in result.findings) == [("a\\ud800", "5"), ("b", "")]
    assert (
        {f.resource for f in result.findings}
        == {f.owner for f in result.findings}
        == {ResourceRef("v1", "Pod", "shop", "web")}
    )


def test_the_object_that_a_check_names_is_text() -> None:
    odd = ResourceRef("v1", "Pod", "shop", "a\ud800")

    @check(id="acme.named", title="Named", severity="low", remediation="None.")
    def test_named(findings: Findings) -> None:
        """It names an object itself."""
        findings.add(odd, message="found")

    (result,) = evaluate(test_named)
    (found,) = result.findings
    assert found.resource == found.owner == ResourceRef("v1", "Pod", "shop", "a\\ud800")


@check(id="acme.whole", title="Title of the check", severity="high", remediation="Mend it.")
def asked_for(findings: Findings) -> None:
    """Of which results are made."""
    findings.skip("not called here")


def test_a_result_names_its_requirement_its_item_and_what_was_seen() -> None:
    asked = Requirement(
        "acme.whole[a]", "acme", location="s.yaml:3:1", controls={"nsa": ("2", "1"), "cis": ("5.1",)}
    )
    of_check = getattr(asked_for, ATTRIBUTE)
    found = Findings(Exemptions([], datetime(2026, 6, 1, tzinfo=UTC)).for_check(asked.id, "c"))
    found.add(None, message="it is open")
    whole = CheckResult(
        id="acme.whole[a]-x",
        nodeid="s.yaml::c::acme.whole[a]",
        title="Title of the item",
        severity=Severity.HIGH,
        verdict=Verdict.FAIL,
        controls={"cis": ["5.1"], "nsa": ["2", "1"]},
        remediation="Mend it.",
        location="s.yaml:3:1",
        duration_seconds=1.5,
        examined=found.examined_count,
        findings=tuple(found.results()),
    )
    made = make_result(
        of_check,
        asked,
        found,
        id=whole.id,
        nodeid=whole.nodeid,
        title=whole.title,
        duration_s=1.5,
        reason="not used",
    )
    assert made == whole
    assert list(made.controls) == ["cis", "nsa"]
    assert make_result(of_check, asked, None, reason="no \ud800 connection") == CheckResult(
        id="acme.whole[a]",
        nodeid="",
        title="Title of the check",
        severity=Severity.HIGH,
        verdict=Verdict.ERROR,
        controls=whole.controls,
        remediation="Mend it.",
        location="s.yaml:3:1",
        reason="no \\ud800 connection",
    )
    odd = Requirement("acme.whole", "acme", location="\ud800.yaml:1:1")
    assert make_result(of_check, odd, None).location == "\\ud800.yaml:1:1"
    assert make_result(of_check, odd, None).reason == ""


def test_the_run_is_ended_by_ctrl_c_and_by_pytest_only() -> None:
    for error in (KeyboardInterrupt(), pytest.exit.Exception("enough")):
        assert ends_the_run(error)
    for other in (SystemExit(), pytest.skip.Exception("x"), ValueError()):
        assert not ends_the_run(other)


# -- as text ----------------------------------------------------------------------------------------------------

WEB, DB = (ResourceRef("apps/v1", "Deployment", "shop", name) for name in ("web", "db"))


def finding(ref: ResourceRef, message: str, **more: Any) -> Finding:
    return Finding(ref, ref, "spec.x", None, "", message, **more)


def wire(
    verdict: Verdict, *found: Finding, reason: str = "", remediation: str = "", location: str = ""
) -> Any:
    return CheckResult(
        "acme.case", "n", "t", Severity.LOW, verdict,
        reason=reason, remediation=remediation, location=location, findings=found,
    ).to_wire()  # fmt: skip


ACCEPTED = finding(WEB, "accepted", exemption=AppliedExemption("e", "r"))
KNOWN = finding(WEB, "known", known=True)


def test_a_failure_lists_open_findings_and_how_to_fix_them() -> None:
    several = finding(DB, "is bad", count=2)
    full = wire(
        Verdict.FAIL,
        ACCEPTED,
        finding(WEB, "is bad"),
        KNOWN,
        several,
        remediation="Mend.",
        location="s.yaml:3:1",
    )
    assert failure_text(full).splitlines() == [
        "Deployment shop/web: is bad",
        "Deployment shop/db (×2): is bad",
        "Fix: Mend.",
        "Required by s.yaml:3:1",
    ]
    assert failure_text(wire(Verdict.FAIL, ACCEPTED, KNOWN)) == ""
    assert (
        failure_text(wire(Verdict.ERROR, reason="403", remediation="Mend."))
        == "not evaluated: 403\nFix: Mend."
    )


def test_of_many_findings_the_first_are_listed_and_the_others_counted() -> None:
    twelve = [finding(WEB, f"m{i}") for i in range(12)]
    lines = failure_text(wire(Verdict.FAIL, *twelve)).splitlines()
    assert lines == [*(f"Deployment shop/web: m{i}" for i in range(10)), "… and 2 more findings"]
    assert len(failure_text(wire(Verdict.FAIL, *twelve[:10])).splitlines()) == 10
    two = failure_text(wire(Verdict.FAIL, *twelve), limit=1).splitlines()
    assert two == ["Deployment shop/web: m0", "… and 11 more findings"]


def test_the_short_summary_is_one_line() -> None:
    bad = finding(WEB, "is\n  bad")
    assert summary_text(wire(Verdict.FAIL, ACCEPTED, bad)) == "Deployment shop/web: is bad"
    assert summary_text(wire(Verdict.FAIL, bad, bad)) == "2 findings: Deployment shop/web: is bad"
    assert summary_text(wire(Verdict.FAIL, *[bad] * 1200)) == "1,200 findings: Deployment shop/web: is bad"
    assert summary_text(wire(Verdict.SKIP, ACCEPTED, reason="nothing there")) == "nothing there"
    assert summary_text(wire(Verdict.ERROR, bad, reason="403")) == "not evaluated: 403"
    for extra, last in ((0, "x"), (1, "…")):
        text = summary_text(wire(Verdict.SKIP, reason="x" * (LINE_LIMIT + extra)))
        assert text == "x" * (LINE_LIMIT - 1) + last
    spaced = summary_text(wire(Verdict.SKIP, reason="x " * 3 * LINE_LIMIT))
    assert spaced == ("x " * LINE_LIMIT)[: LINE_LIMIT - 1] + "…"
