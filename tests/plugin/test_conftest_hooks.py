"""Hooks of a project's conftest.py are called for requirements as for the tests beside the specification."""

from __future__ import annotations

import pytest

from tests.plugin.conftest import Project

HOOKS = """
import pathlib
LOG = pathlib.Path(__file__).with_name("heard.txt")

def heard(what, item):
    with LOG.open("a") as log:
        log.write(f"{what} {item.name}\\n")

def pytest_runtest_setup(item):
    heard("setup", item)

def pytest_runtest_call(item):
    heard("call", item)

def pytest_runtest_teardown(item):
    heard("teardown", item)

def pytest_runtest_makereport(item, call):
    heard(call.when, item)

def pytest_runtest_logreport(report):
    pass
"""
OWN = """
from pytest_kspec import check

@check(id="acme.own", title="Own", severity="low", remediation="None.")
def test_own(pods):
    '''Beside the others.'''
    assert pods is not None
"""
BUILT_IN, CUSTOM = "network.allowedServiceTypes", "acme.own"
ALL = {"setup", "call", "teardown"}


def heard(project: Project, folder: str) -> dict[str, set[str]]:
    log = project.path / folder / "heard.txt"
    found: dict[str, set[str]] = {}
    for line in log.read_text().splitlines() if log.exists() else ():
        what, name = line.split(" ", 1)
        found.setdefault(name, set()).add(what)
    return {name: found[name] for name in (BUILT_IN, CUSTOM) if name in found}


@pytest.mark.parametrize("workers", [(), ("-n", "1")], ids=["one", "workers"])
def test_they_are_those_of_the_folders_of_the_specification(
    project: Project, workers: tuple[str, ...]
) -> None:
    for folder in (".", "specs", "checks", "tests"):
        project.write(f"{folder}/conftest.py", HOOKS)
    project.write("checks/test_own.py", OWN)
    project.write("tests/test_unit.py", "def test_unit(): pass\n")
    (project.path / "strict.yaml").rename(project.path / "specs" / "strict.yaml")
    asked = (
        "--kspec-spec=specs/strict.yaml",
        "--kspec-cluster=./prod",
        "--kspec-checks=checks",
        "-p",
        "no:cacheprovider",
    )
    chosen = ("-k", f"{BUILT_IN} or own or unit", "tests", *workers)
    project.pytester.runpytest_subprocess(*asked, *chosen)
    assert heard(project, ".") == {BUILT_IN: ALL, CUSTOM: ALL}
    assert heard(project, "specs") == {BUILT_IN: ALL}
    assert heard(project, "checks") == {CUSTOM: ALL}
    assert heard(project, "tests") == {}


def test_of_a_specification_elsewhere_they_are_those_of_the_root_folder(
    project: Project, tmp_path_factory: pytest.TempPathFactory
) -> None:
    elsewhere = tmp_path_factory.mktemp("elsewhere")
    (project.path / "strict.yaml").rename(elsewhere / "strict.yaml")
    (elsewhere / "conftest.py").write_text(HOOKS)
    project.write("conftest.py", HOOKS)
    project.write("pytest.ini", "[pytest]\n")
    spec = elsewhere / "strict.yaml"
    project.pytester.runpytest_subprocess(
        f"--rootdir={project.path}", f"--kspec-spec={spec}", "--kspec-cluster=./prod", "-k", BUILT_IN
    )
    assert heard(project, ".") == {BUILT_IN: ALL}


def test_what_a_hook_skips_was_not_evaluated_as_asked(project: Project) -> None:
    project.write(
        "conftest.py",
        "import pytest\ndef pytest_runtest_setup(item):\n"
        f"    if item.name == {BUILT_IN!r}:\n        pytest.skip('not on Sundays')\n",
    )
    out = project.run("-k", "network")
    assert project.verdicts()[BUILT_IN] in ("skip", "error")
    assert out.ret != 0


@pytest.mark.parametrize(
    ("words", "more"),
    [
        ((), False),
        (("strict.yaml",), False),
        (("strict.yaml::prod",), False),
        (("more",), True),
        (("more/test_more.py", "strict.yaml"), True),
    ],
)
@pytest.mark.parametrize("workers", [(), ("-n1",)])
def test_what_lies_beside_a_specification_is_not_looked_at(
    project: Project, words: tuple[str, ...], more: bool, workers: tuple[str, ...]
) -> None:
    """pytest asks its plugins about each file in the folder of one that is named: a cost, and no use."""
    project.write("notes.txt", "")
    project.write("more/test_more.py", "def test_more():\n    pass\n")
    project.write(
        "conftest.py",
        "def pytest_ignore_collect(collection_path, config):\n"
        "    with open(config.rootpath / 'seen', 'a') as out:\n"
        "        out.write(collection_path.name + chr(10))\n",
    )
    project.run(*workers, *words)
    assert set(project.verdicts().values()) == {"pass", "fail", "skip"}
    log = project.path / "seen"
    assert ("notes.txt" in log.read_text().split() if log.exists() else False) == more
