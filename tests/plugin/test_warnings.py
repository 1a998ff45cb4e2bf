"""A warning of code below a check decides nothing about a cluster, in projects that make warnings errors too."""

from __future__ import annotations

import pytest

from tests.plugin.conftest import Project

ERROR = "[pytest]\nfilterwarnings = error\n"
CHECKS = """\
import threading, warnings
import pytest
from pytest_kspec import check

def asks(id):
    return check(id=id, title='It warns', severity='low', remediation='None.')

def old():
    warnings.warn('old', DeprecationWarning, stacklevel=2)

@pytest.fixture
def warns():
    old()

def pytest_generate_tests(metafunc):
    old()

@asks('acme.warns')
def test_warns(findings, warns):
    '''A library does.'''
    old()

@asks('acme.asserts')
@pytest.mark.filterwarnings('error')
def test_asserts(findings):
    '''It wants to know.'''
    old()

@asks('acme.thread')
def test_thread(findings):
    '''Nobody heard what it found.'''
    thread = threading.Thread(target=lambda: 1 / 0)
    thread.start()
    thread.join()
"""


@pytest.mark.parametrize(
    ("ini", "args", "thread"),
    [
        (ERROR, (), "error"),
        (ERROR, ("-n", "1"), "error"),
        ("", ("-W", "error"), "error"),
        ("", ("-W", "error::DeprecationWarning"), "error"),
        ("", (), "error"),
    ],
    ids=["ini", "ini and xdist", "option", "one", "none"],
)
def test_warnings_are_listed_and_no_verdict(
    project: Project, ini: str, args: tuple[str, ...], thread: str
) -> None:
    project.write("pytest.ini", ini)
    project.write("checks/test_warns.py", CHECKS)
    out = project.run("--kspec-checks=checks", "-k", "acme", *args)
    assert project.verdicts() == {"acme.warns": "pass", "acme.asserts": "error", "acme.thread": thread}
    out.stdout.fnmatch_lines(["*warnings summary*", "*DeprecationWarning: old*"])


def test_tests_beside_them_are_as_strict_as_the_project_wants(project: Project) -> None:
    project.write("pytest.ini", ERROR)
    project.write("test_own.py", "import warnings\ndef test_own():\n    warnings.warn('old')\n")
    out = project.run("test_own.py", "-k", "own")
    assert out.parseoutcomes()["failed"] == 1


def test_a_report_is_written_whatever_its_library_warns_of(project: Project) -> None:
    project.write("pytest.ini", ERROR)
    project.write(
        "conftest.py",
        "import warnings\n"
        "def pytest_kspec_scan_finished(result):\n"
        "    warnings.warn('old', DeprecationWarning)\n",
    )
    out = project.run()
    assert "INTERNALERROR" not in out.stdout.str() + out.stderr.str()
    assert project.verdicts()


def test_what_raises_beside_a_check_is_no_pass(project: Project) -> None:
    """Another plugin, around the call: pytest fails, and so do our reports."""
    project.write(
        "broken.py",
        "import pytest\n"
        "@pytest.hookimpl(wrapper=True)\n"
        "def pytest_runtest_call(item):\n"
        "    yield\n"
        "    if 'AllowedServiceTypes' not in item.name:\n"
        "        raise OSError('no room')\n",
    )
    project.run("-p", "broken", clusters=("./stage",))
    assert set(project.verdicts("stage").values()) == {"error", "skip"}  # a check that skips ends before
