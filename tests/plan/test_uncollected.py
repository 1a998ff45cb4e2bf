"""A `@check` is collected, or an error that names its place: never nothing."""

from __future__ import annotations

import textwrap
from pathlib import Path

import pytest

from pytest_kspec.errors import CheckError
from pytest_kspec.plan.checkset import load_checks

HEAD = """\
import functools, pytest, pytest_kspec
from pytest_kspec import check
MADE = functools.partial(check, title="T", severity="low", remediation="R.")

@check(id="acme.good", title="T", severity="low", remediation="R.")
def test_good(pods):
    '''Why.'''
    assert pods is not None

"""
CHECK = '@check(id="acme.lost", title="T", severity="low", remediation="R.")\n'
LINE = HEAD.count("\n") + 1


def write(folder: Path, text: str, name: str = "test_it.py", head: str = HEAD) -> Path:
    path = folder / name
    path.parent.mkdir(exist_ok=True)
    path.write_text(head + text)
    return path


def method(
    check: str = CHECK, of: str = "Test", above: str = "", below: str = "", head: str = "def test_lost(self):"
) -> str:
    inner = f"{above}{check}{below}{head}\n    '''Why.'''\n    raise NotImplementedError\n"
    return f"class {of}:\n" + textwrap.indent(inner, "    ")


FUNCTION = "def test_lost():\n    '''Why.'''\n    raise NotImplementedError\n"
WRAP = "def hide(func):\n    def wrapper():\n        func()\n    return wrapper\n"
WRAPS = WRAP.replace("    def wrapper", "    @functools.wraps(func)\n    def wrapper")


@pytest.mark.parametrize(
    ("text", "line", "said"),
    [
        (method(), 1, "it is in the class Test"),
        (method(of="Checks"), 1, "it is in the class Checks"),
        (method(above="@staticmethod\n", head="def test_lost():"), 1, "it is in the class Test"),
        (method(below="@staticmethod\n", head="def test_lost():"), 1, "not a function but a staticmethod"),
        (method(below="@classmethod\n", head="def test_lost(cls):"), 1, "not a function but a classmethod"),
        (method(below="@property\n"), 1, "not a function but a property"),
        (method(CHECK.replace("@check", "@pytest_kspec.check")), 1, "it is in the class Test"),
        (method('@MADE(id="acme.lost")\n'), 1, "it is in the class Test"),
        (method('@[MADE][0](id="acme.lost")\n'), 1, "its name is used for something else"),
        ("class A:\n" + textwrap.indent(method(), "    "), 2, "it is in the class Test"),
        ("def outer():\n" + textwrap.indent(CHECK + FUNCTION, "    "), 1, "it is in the function outer"),
        ("async def outer():\n" + textwrap.indent(CHECK + FUNCTION, "    "), 1, "it is in the function outer"),
        (CHECK + "class TestLost:\n    '''Why.'''\n", 0, "not a function but a type"),
        (CHECK + "@pytest.fixture\n" + FUNCTION, 0, "not a function but a FixtureFunctionDefinition"),
        ("@pytest.fixture\n" + CHECK + FUNCTION, 0, "a decorator above @check hides it"),
        (CHECK + "async " + FUNCTION, 0, "no yield, no async def"),
        (CHECK + FUNCTION + "    yield\n", 0, "no yield, no async def"),
        (CHECK + "async " + FUNCTION + "    yield\n", 0, "no yield, no async def"),
        (CHECK + FUNCTION + "test_lost = 1\n", 0, "its name is used for something else"),
        (CHECK + FUNCTION + "def test_lost():\n    pass\n", 0, "its name is used for something else"),
        (CHECK + FUNCTION + "del test_lost\n", 0, "its name is used for something else"),
        (WRAP + "@hide\n" + CHECK + FUNCTION, 4, "a decorator above @check hides it"),
        (WRAPS + "@hide\n" + CHECK + FUNCTION, 5, "a decorator above @check hides it"),
        (CHECK + "@functools.partial\n" + FUNCTION, 0, "not a function but a partial"),
    ],
)  # fmt: skip
@pytest.mark.parametrize("head", [HEAD, HEAD[: HEAD.index("@check")]], ids=["beside", "alone"])
def test_a_check_that_would_vanish(tmp_path: Path, text: str, line: int, said: str, head: str) -> None:
    path = write(tmp_path / "checks", text, head=head)
    for named in (path, path.parent):
        for _ in range(2):  # a module that is imported already is judged in the same way
            with pytest.raises(CheckError) as caught:
                load_checks([named])
            assert said in str(caught.value)
            assert f"{path}:{head.count(chr(10)) + 1 + line}" in str(caught.value)


def test_files_that_are_not_modules_of_checks(tmp_path: Path) -> None:
    folder = tmp_path / "checks"
    write(folder, "")
    for name, said in (
        ("labels.py", "its file is not called test_*.py"),
        ("conftest.py", "its file is not called test_*.py"),
        ("__init__.py", "its file is not called test_*.py"),
        ("inner/labels.py", "its file is not called test_*.py"),
    ):
        path = write(folder, CHECK + FUNCTION, name, head="from pytest_kspec import check\n")
        with pytest.raises(CheckError) as caught:
            load_checks([folder])
        assert f"{path}:2" in str(caught.value)
        assert said in str(caught.value)
        path.unlink()
    assert "acme.good" in load_checks([folder]).entries


def test_a_check_that_is_imported_from_a_file_outside(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write(tmp_path, CHECK + FUNCTION, "shared_checks.py", head="from pytest_kspec import check\n")
    monkeypatch.syspath_prepend(tmp_path)
    checks = write(tmp_path / "checks", "from shared_checks import test_lost\n")
    with pytest.raises(CheckError, match="its file is not collected") as caught:
        load_checks([checks])
    assert f"{path}:2" in str(caught.value)


@pytest.mark.parametrize(
    ("text", "line", "said"),
    [
        ("if not True:\n" + textwrap.indent(CHECK + FUNCTION, "    "), 1, "the code that defines it did not run"),
        (
            "try:\n    import no_such_library\n"
            + textwrap.indent(CHECK + FUNCTION, "    ") + "except ImportError:\n    pass\n",
            2,
            "the code that defines it did not run, because of a condition or an exception. Define it always",
        ),
        (
            "import contextlib\nwith contextlib.suppress(Exception):\n    1 / 0\n"
            + textwrap.indent(CHECK + FUNCTION, "    "),
            3,
            "the code that defines it did not run",
        ),
        ("def test_lost(pods):\n    assert pods\n", 0, "it is a test of the cluster without @check"),
        ("class Test:\n    def test_lost(self, findings):\n        assert 0\n", 1, "a test of the cluster without"),
        ("@pytest.mark.skip\ndef test_lost(rbac):\n    assert 0\n", 0, "it is a test of the cluster without"),
        (
            "import functools\nmine = functools.partial(check, severity='low')\n"
            "class Test:\n" + textwrap.indent(CHECK.replace("@check", "@mine") + FUNCTION, "    "),
            3,
            "it is in the class Test",
        ),
        (
            "def mine(**more):\n    return check(**more)\n"
            "def make():\n" + textwrap.indent(CHECK.replace("@check", "@mine") + FUNCTION, "    "),
            3,
            "it is in the function make",
        ),
        (
            "def make():\n    made = " + CHECK.removeprefix("@").strip() + "\n"
            + textwrap.indent("@made\n" + FUNCTION, "    "),
            2,
            "it is in the function make",
        ),
    ],
)  # fmt: skip
def test_a_check_that_is_not_made(tmp_path: Path, text: str, line: int, said: str) -> None:
    path = write(tmp_path / "checks", text)
    with pytest.raises(CheckError, match=said) as caught:
        load_checks([path])
    first = path.read_text(encoding="utf-8").count("\n") - text.count("\n") + 1
    assert f"{path}:{first + line}: a check is not collected: " in str(caught.value)


def test_what_is_collected(tmp_path: Path) -> None:
    more = CHECK.replace("lost", "{}")
    text = (
        "if True:\n" + textwrap.indent(more.format("branch") + FUNCTION.replace("lost", "branch"), "    ")
        + "if not True:\n" + textwrap.indent(more.format("branch") + FUNCTION.replace("lost", "branch"), "    ")
        + "def test_of_python(tmp_path):\n    pass\n"
        + '@pytest.mark.skip\n' + more.format("marked") + FUNCTION.replace("lost", "marked")
        + more.format("any-name") + FUNCTION.replace("test_lost", "any_name")
        + "from pytest_kspec import check as mine\n" + more.format("alias").replace("@check", "@mine") + FUNCTION
    )  # fmt: skip
    folder = write(tmp_path / "checks", text).parent
    write(
        folder,
        "from .test_it import test_good as again\n" + CHECK + FUNCTION,
        "more_test.py",
        head="from pytest_kspec import check\n",
    )
    checkset = load_checks([folder, folder / "test_it.py"])
    own = {name for name in checkset.entries if name.startswith("acme.")}
    assert own == {f"acme.{name}" for name in ("good", "branch", "marked", "any-name", "alias", "lost")}
