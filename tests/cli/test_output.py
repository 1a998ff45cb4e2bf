"""Colour where it is wanted, and only there."""

import io

import pytest

from pytest_kspec.cli import output
from pytest_kspec.errors import SpecError


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize(
    ("env", "stream", "coloured"),
    [
        ({}, Terminal(), True),
        ({}, io.StringIO(), False),
        ({"NO_COLOR": "1"}, Terminal(), False),
        ({"NO_COLOR": ""}, Terminal(), True),
        ({"TERM": "dumb"}, Terminal(), False),
        ({"FORCE_COLOR": "1"}, io.StringIO(), True),
        ({"FORCE_COLOR": "1", "NO_COLOR": "1"}, Terminal(), False),
    ],
)
def test_colour(
    monkeypatch: pytest.MonkeyPatch, env: dict[str, str], stream: io.StringIO, coloured: bool
) -> None:
    for name in ("NO_COLOR", "FORCE_COLOR", "CI"):
        monkeypatch.delenv(name, raising=False)
    for name, value in ({"TERM": "xterm"} | env).items():
        monkeypatch.setenv(name, value)
    expected = "\x1b[31;1mFAIL\x1b[0m" if coloured else "FAIL"
    assert output.style("FAIL", "red", "bold", stream=stream) == expected


def test_all_problems_are_printed(capsys: pytest.CaptureFixture[str]) -> None:
    assert output.fail(SpecError("", problems=("a.yaml:1:1: x", "a.yaml:2:1: y"))) == 4
    assert capsys.readouterr().err == "error: a.yaml:1:1: x\nerror: a.yaml:2:1: y\n"
