"""Modules of checks: what a folder brings, what it does not, and that their sources are what runs."""

from __future__ import annotations

import py_compile
import sys
from pathlib import Path

import pytest

from pytest_kspec.errors import CheckError
from pytest_kspec.plan.checkset import load_checks
from pytest_kspec.plan.importing import import_file

CHECK = """\
from pytest_kspec import check
from .helper import TITLE
from .inner import deep
from .inner.deep import NAME

@check(id=f"acme.{NAME}", title=TITLE, severity="low", remediation="Do it.")
def test_own(pods):
    '''Why.'''
    assert pods is not None
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made = tmp_path / "checks"
    (made / "inner").mkdir(parents=True)
    (made / "test_own.py").write_text(CHECK)
    (made / "helper.py").write_text("TITLE = 'Right'\n")
    (made / "inner" / "deep.py").write_text("from ..helper import TITLE\nNAME = 'own'\n")
    return made


@pytest.mark.parametrize("packages", [(), ("",), ("inner",), ("", "inner")])
def test_modules_of_a_folder_import_each_other(folder: Path, packages: tuple[str, ...]) -> None:
    for package in packages:
        (folder / package / "__init__.py").write_text("")
    before = list(sys.path)
    assert load_checks([folder]).entries["acme.own"].check.title == "Right"
    assert sys.path == before
    assert not list(folder.rglob("*.pyc"))


def test_what_is_above_a_folder_does_not_run(folder: Path) -> None:
    (folder / "__init__.py").write_text("")
    (folder.parent / "__init__.py").write_text("raise SystemExit('ran')")
    (folder.parent / "conftest.py").write_text("raise SystemExit('ran')")
    assert "acme.own" in load_checks([folder]).entries
    (folder / "above.py").write_text("from .. import anything\n")
    with pytest.raises(CheckError, match="ImportError: attempted relative import beyond"):
        import_file(folder / "above.py", folder)


@pytest.mark.parametrize("name", ["test_own", "helper"])
def test_a_compiled_file_beside_a_source_does_not_run(folder: Path, tmp_path: Path, name: str) -> None:
    """Python takes one that says of itself that it need not be compared with its source."""
    evil = tmp_path / "evil.py"
    evil.write_text("raise SystemExit('ran')")
    compiled = folder / "__pycache__" / f"{name}.{sys.implementation.cache_tag}.pyc"
    mode = py_compile.PycInvalidationMode.UNCHECKED_HASH
    py_compile.compile(str(evil), str(compiled), invalidation_mode=mode)
    assert load_checks([folder]).entries["acme.own"].check.title == "Right"


def test_a_compiled_file_alone_is_no_module(folder: Path, tmp_path: Path) -> None:
    (folder / "helper.py").rename(tmp_path / "evil.py")
    py_compile.compile(str(tmp_path / "evil.py"), str(folder / "helper.pyc"))
    with pytest.raises(CheckError, match="No module named 'helper'"):
        load_checks([folder])


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("def (", "SyntaxError"),
        ("raise ValueError('x')", "ValueError: x"),
        ("raise SystemExit(3)", "SystemExit: 3"),
        ("import pytest; pytest.skip('later', allow_module_level=True)", "Skipped: later"),
        ("import pytest; pytest.importorskip('nonsense_module')", "No module named 'nonsense_module'"),
        ("import pytest; pytest.exit('enough')", "Exit: enough"),
        ("import pytest; pytest.fail('no')", "Failed: no"),
        ("import nonsense_module", "No module named 'nonsense_module'"),
        ("from .nonsense import x", "No module named 'nonsense'"),
    ],
)
def test_what_cannot_be_imported_names_the_file(tmp_path: Path, text: str, said: str) -> None:
    path = tmp_path / "test_it.py"
    path.write_text(text)
    for _ in range(2):
        with pytest.raises(CheckError, match="cannot be imported") as caught:
            import_file(path, tmp_path)
        assert said in str(caught.value)
        assert str(path) in str(caught.value)
    with pytest.raises(CheckError, match="not a Python file"):
        import_file(tmp_path / "spec.yaml", tmp_path)
