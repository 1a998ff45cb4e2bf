"""Imports modules of checks from the paths that the user named, and nothing beside or above those.

A folder that was named is a package of its own, under a name that no other package has: its modules may import each
other (`from .helper import …`, with or without `__init__.py`), and nothing of it is found by another name. `sys.path`
stays as it is, and no compiled file is read in place of a source: what a reviewer reads is what runs.
"""

from __future__ import annotations

import hashlib
import importlib.util
import sys
from collections.abc import Callable, Sequence
from importlib.machinery import ModuleSpec, SourceFileLoader
from pathlib import Path
from types import CodeType, ModuleType
from typing import Any, cast

from pytest_kspec.errors import CheckError
from pytest_kspec.supervised import SUPERVISOR, one_process

Compiler = Callable[[Path], CodeType]
_PREFIX = "kspec_checks_"


class _Source(SourceFileLoader):
    """Reads no compiled file, and writes none."""

    def path_stats(self, path: Any) -> Any:
        """Without these, a compiled file is not looked for."""
        raise OSError


class _Finder:
    """Finds what modules of checks import from the folder that was named."""

    @staticmethod
    def find_spec(name: str, path: Sequence[str] | None = None, _target: object = None) -> ModuleSpec | None:
        """None for all other modules. Raises ModuleNotFoundError."""
        if path is None or not name.startswith(_PREFIX):
            return None
        last = name.rpartition(".")[2]
        for folder in path:
            found = Path(folder, last)
            for file, inside in ((found / "__init__.py", [str(found)]), (Path(folder, f"{last}.py"), None)):
                if file.is_file():
                    loader = _Source(name, str(file))
                    return importlib.util.spec_from_file_location(
                        name, file, loader=loader, submodule_search_locations=inside
                    )
            if found.is_dir():
                return _namespace(name, found)
        raise ModuleNotFoundError(f"No module named {last!r} in {', '.join(path)}", name=name)


sys.meta_path.insert(0, cast("Any", _Finder))


def compile_source(path: Path) -> CodeType:
    """The code of a module as Python runs it. Raises OSError, SyntaxError, ValueError."""
    return compile(path.read_bytes(), str(path), "exec", dont_inherit=True)


def import_file(path: Path, named: Path, compiler: Compiler = compile_source) -> ModuleType:
    """Import the module at `path`, which is `named` or lies in this folder.

    compiler: from a path to the code that is run. Raises CheckError if it cannot be imported, Lost where that ended
    its process.
    """
    if path.suffix != ".py":
        raise CheckError("this is not a Python file.", where=str(path))
    SUPERVISOR.enter(f"while it imported {path}")
    try:
        if path == named:
            return _module(_unique(path), path, compiler)
        *folders, _ = path.relative_to(named).parts
        package = _package(_unique(named), named, compiler)
        for index, folder in enumerate(folders):
            package = _package(f"{package}.{_part(folder)}", named.joinpath(*folders[: index + 1]), compiler)
        return _module(f"{package}.{_part(path.stem)}", path, compiler)
    except (CheckError, KeyboardInterrupt):
        raise
    except BaseException as error:  # also what pytest.skip, pytest.importorskip and pytest.exit raise
        raise CheckError(f"cannot be imported: {type(error).__name__}: {error}", where=str(path)) from error


def imported() -> dict[str, ModuleType]:
    """Modules of checks that are in memory, by their names."""
    return {name: module for name, module in sys.modules.items() if name.startswith(_PREFIX)}


def forget(named: Path | None = None) -> None:
    """Import anew what is asked for again, as it is by then: what was named by this path; None: all."""
    first = _PREFIX if named is None else _unique(named)
    for name in [name for name in sys.modules if name.startswith(_PREFIX)]:
        if named is None or name == first or name.startswith(f"{first}."):
            del sys.modules[name]


def _unique(path: Path) -> str:
    """The same in each process of a run: workers compare what they collected."""
    digest = hashlib.sha256(str(path.resolve()).encode(errors="surrogateescape")).hexdigest()
    return f"{_PREFIX}{digest[:16]}_{_part(path.stem)}"


def _part(name: str) -> str:
    return name.replace(".", "_")


def _package(name: str, folder: Path, compiler: Compiler) -> str:
    if name not in sys.modules:
        init = folder / "__init__.py"
        if init.is_file():
            _module(name, init, compiler, folder)
        else:
            sys.modules[name] = importlib.util.module_from_spec(_namespace(name, folder.resolve()))
    return name


def _namespace(name: str, folder: Path) -> ModuleSpec:
    spec = ModuleSpec(name, None, is_package=True)
    spec.submodule_search_locations = [str(folder)]
    return spec


def _module(name: str, path: Path, compiler: Compiler, folder: Path | None = None) -> ModuleType:
    if name in sys.modules:
        return sys.modules[name]
    found = None if folder is None else [str(folder.resolve())]
    spec = importlib.util.spec_from_file_location(name, path.resolve(), submodule_search_locations=found)
    assert spec is not None  # the file ends in .py
    module = sys.modules[name] = importlib.util.module_from_spec(spec)
    try:
        with one_process():
            exec(compiler(path.resolve()), vars(module))
    except BaseException:
        del sys.modules[name]
        raise
    return module
