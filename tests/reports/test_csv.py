from __future__ import annotations

import csv
import io
import json

import pytest

from pytest_kspec.reports import csv as csv_report
from pytest_kspec.reports import writer
from pytest_kspec.results.fingerprint import fingerprint
from pytest_kspec.results.result import ScanResult
from tests.docs.pages import ROOT
from tests.reports import results


def rows(result: ScanResult) -> list[dict[str, str]]:
    text = writer.render(result, "csv").decode()
    assert text.count("\n") == text.count("\r\n")
    return list(csv.DictReader(io.StringIO(text, newline=""), strict=True))


def test_a_row_for_each_finding_and_one_for_each_requirement_without() -> None:
    found = rows(results.one())
    checks = results.one().clusters[0].checks
    assert len(found) == sum(max(len(c.findings), 1) for c in checks)
    web = next(r for r in found if r["container"] == "app" and r["severity"] == "critical")
    assert {name: web[name] for name in ("cluster", "verdict", "status", "count", "actual", "expected")} == {
        "cluster": "prod-eu",
        "verdict": "fail",
        "status": "open",
        "count": "50",
        "actual": "true",
        "expected": "unset or false",
    }
    assert (web["owner_kind"], web["owner_namespace"], web["owner_name"]) == ("Deployment", "shop", "web")
    first = results.privileged().findings[0]
    assert web["fingerprint"] == fingerprint(results.UID, "podSecurity.standard[privileged]", first)
    assert json.loads(web["patch"]) == first.fix
    agent = next(r for r in found if r["exemption"] == "node-agent")
    assert (agent["status"], agent["exemption_approver"]) == ("exempt", "j.doe@example.com")
    error = next(r for r in found if r["requirement"] == "rbac.forbiddenRules[core/secrets]")
    assert (error["verdict"], error["status"], error["count"]) == ("error", "", "")
    assert error["reason"].endswith("403 Forbidden")


@pytest.mark.parametrize(
    "text", ["=1+1", "+1", "-1", "@SUM(A1)", "\t=1", "\r=1", "＝1", " =1", "\n=cmd|' /C calc'!A0"]
)
def test_no_cell_is_a_formula(text: str) -> None:
    found = results.finding(results.ref(text, text, text), text, text, text, text, container=text)
    check = results.check(text, text, "low", "fail", reason=text, remediation=text, findings=(found,))
    (row,) = rows(results.scan(results.cluster(text, checks=(check,), spec_name=text)))
    assert [c for c in row.values() if c.lstrip()[:1] in tuple("=+-@＝＋－＠\t\r") and c] == []


def test_the_columns_are_documented() -> None:
    page = (ROOT / "docs" / "reports.md").read_text("utf-8")
    assert [name for name in csv_report.COLUMNS if f"`{name}`" not in page] == []
    assert tuple(rows(results.one())[0]) == csv_report.COLUMNS
