"""pytest's short summary has a line for each requirement that failed or could not be evaluated."""

from __future__ import annotations

import pytest

from tests.plugin.conftest import MANIFESTS, Project

CHECKS = """\
from pytest_kspec import check

@check(id='acme.many', title='It finds', severity='low', remediation='None.')
def test_many(findings, workloads):
    '''Three.'''
    for n in range(3):
        message = f'n{n} is\\x1b[2J wrong\\n::error::x ' + 'y' * 900
        findings.add(next(iter(workloads)), path=f'spec.n{n}', message=message)

@check(id='acme.raises', title='It raises', severity='low', remediation='None.')
def test_raises(findings):
    '''Once.'''
    raise OSError('no\\nroom')
"""
SHORT = "short test summary info"


def _lines(out: pytest.RunResult) -> list[str]:
    lines = out.stdout.lines
    begin = next(n for n, line in enumerate(lines) if SHORT in line)
    return [line for line in lines[begin:] if line.startswith(("FAILED", "ERROR"))]


@pytest.mark.parametrize("args", [(), ("-n", "1")])
def test_a_line_for_each(project: Project, monkeypatch: pytest.MonkeyPatch, args: tuple[str, ...]) -> None:
    monkeypatch.setenv("CI", "1")  # where pytest cuts nothing
    project.write("checks/test_own.py", CHECKS)
    out = project.run("--kspec-checks=checks", *args)
    first = f"Deployment web/shop: n0 is\\x1b[2J wrong ::error::x {'y' * 900}"
    many = f"FAILED strict.yaml::prod::acme.many - 3 findings: {first}"
    found = sorted(_lines(out))
    assert [line.partition(" - ")[0] for line in found] == [
        "ERROR strict.yaml::prod::acme.raises",
        "FAILED strict.yaml::prod::acme.many",
        "FAILED strict.yaml::prod::network.allowedServiceTypes",
        "FAILED strict.yaml::prod::podSecurity.standard[privileged]",
    ]
    assert found[0].endswith(" - not evaluated: the check raised OSError: no room")
    assert many.startswith(found[1].removesuffix("…"))
    assert 200 < len(found[1]) < 300
    assert "- Service web/shop: " in found[2]
    assert "FAILURES" not in out.stdout.str()


def test_as_wide_as_the_terminal(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CI", raising=False)
    monkeypatch.delenv("BUILD_NUMBER", raising=False)
    monkeypatch.setenv("COLUMNS", "80")
    assert all(len(line) <= 80 for line in _lines(project.run()))


def test_none_where_nobody_wants_them(project: Project) -> None:
    assert SHORT not in project.run("-rN").stdout.str()
    project.write("prod/all.yaml", MANIFESTS.replace("privileged: true", "privileged: false"))
    assert SHORT not in project.run("-k", "podSecurity").stdout.str()
