"""mypy, as `make lint` runs it, on checks that are right and on checks that are wrong."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
FOLDER = Path(__file__).parent
_REPORT = re.compile(r'^[^:]+:(\d+): (?:note: Revealed type is "(.*)"|error: .*\[([a-z-]+)\])$', re.MULTILINE)
_SAID = re.compile(r"# [RE]: (.+)$")


@pytest.mark.parametrize("name", ["accepted.py", "refused.py"])
def test_what_a_type_checker_reports(name: str) -> None:
    file = FOLDER / name
    done = subprocess.run(
        [sys.executable, "-m", "mypy", "--hide-error-context", file.relative_to(ROOT)],
        cwd=ROOT,
        capture_output=True,
        text=True,
    )
    found = {(int(line), revealed or code) for line, revealed, code in _REPORT.findall(done.stdout)}
    lines = enumerate(file.read_text(encoding="utf-8").splitlines(), 1)
    assert found == {(number, said[1]) for number, text in lines if (said := _SAID.search(text))}, done.stdout


def test_the_linter_looks_at_all_code_and_its_tests() -> None:
    import tomllib

    tools = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]
    assert {"pytest_kspec", "builtin_checks", "tests"} <= set(tools["mypy"]["files"])
