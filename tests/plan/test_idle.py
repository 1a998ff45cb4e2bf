"""A check that only builds what would evaluate something is an error that names the line."""

from __future__ import annotations

from pathlib import Path

import pytest

from pytest_kspec.errors import CheckError
from pytest_kspec.plan.checkset import load_checks

HEAD = '''\
from pytest_kspec import check

@check(id="acme.idle", title="T", severity="low", remediation="R.")
def test_idle(pods, services, findings):
    """Why."""
    print(len(pods))
'''


def load(folder: Path, body: str) -> None:
    path = folder / "test_it.py"
    path.write_text(HEAD + "".join(f"    {line}\n" for line in body.splitlines()))
    load_checks([path])


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ("(findings.add(s) for s in services)", "a generator is built here and never runs"),
        ("map(findings.add, services)", r"map\(…\) is built here and never runs"),
        ("for pod in pods:\n    filter(None, services)", r"filter\(…\) is built here and never runs"),
        ("assert (s.name for s in services)", "a generator is always true"),
        ("assert map(len, services), 'why'", r"map\(…\) is always true"),
        ("assert (len(services) == 1, 'one')", "a tuple is always true"),
        ("assert lambda: not services", "a function is always true"),
        ("if not (s for s in services):\n    findings.add(None)", "a generator is always true"),
        ("x = 1 if (s for s in services) else findings.add(None)", "a generator is always true"),
    ],
)  # fmt: skip
@pytest.mark.filterwarnings("ignore:assertion is always true:SyntaxWarning")
@pytest.mark.filterwarnings("ignore:assertion is always true:pytest.PytestAssertRewriteWarning")
def test_what_is_built_and_never_runs(tmp_path: Path, body: str, said: str) -> None:
    with pytest.raises(CheckError, match=said) as caught:
        load(tmp_path, body)
    line = HEAD.count("\n") + 1 + body.startswith("for ")
    assert f"{tmp_path / 'test_it.py'}:{line}" in str(caught.value)


@pytest.mark.parametrize(
    "body",
    [
        "assert all(s.name for s in services)",
        "found = (s for s in services)\nassert list(found)",
        "for s in map(str, services):\n    findings.add(None, message=s)",
        "assert [s for s in services]",
        "assert ()",
    ],
)
def test_what_runs(tmp_path: Path, body: str) -> None:
    load(tmp_path, body)
