"""Imports modules of checks from the paths that the user named, and nothing beside or above those.

A folder that was named is a package of its own, under a name that no other package has: its modules may import each
other (`from .helper import …`, with or without `__init__.py`), and nothing of it is found by another name. `sys.path`
stays as it is, and no compiled file is read in place of a check's source.
"""

from __future__ import annotations

import hashlib
import importlib.util
import sys
from collections.abc import Callable
from importlib.machinery import ModuleSpec
from pathlib import Path
from types import CodeType, ModuleType

from pytest_kspec.errors import CheckError

Compiler = Callable[[Path], CodeType]


def compile_source(path: Path) -> CodeType:
    """The code of a module as Python runs it. Raises OSError, SyntaxError, ValueError."""
    return compile(path.read_bytes(), str(path), "exec", dont_inherit=True)


def import_file(path: Path, named: Path, compiler: Compiler = compile_source) -> ModuleType:
    """Import the module at `path`, which is `named` or lies in this folder.

    compiler: from a path to the code that is run. Raises CheckError if it cannot be imported.
    """
    if path.suffix != ".py":
        raise CheckError("this is not a Python file.", where=str(path))
    try:
        if path == named:
            return _module(_unique(path), path, compiler)
        *folders, _ = path.relative_to(named).parts
        package = _package(_unique(named), named, compiler)
        for index, folder in enumerate(folders):
            package = _package(f"{package}.{_part(folder)}", named.joinpath(*folders[: index + 1]), compiler)
        return _module(f"{package}.{_part(path.stem)}", path, compiler)
    except CheckError:
        raise
    except (Exception, SystemExit) as error:
        raise CheckError(f"cannot be imported: {type(error).__name__}: {error}", where=str(path)) from error


def _unique(path: Path) -> str:
    """The same in each process of a run: workers compare what they collected."""
    digest = hashlib.sha256(str(path.resolve()).encode(errors="surrogateescape")).hexdigest()
    return f"kspec_checks_{digest[:16]}_{_part(path.stem)}"


def _part(name: str) -> str:
    return name.replace(".", "_")


def _package(name: str, folder: Path, compiler: Compiler) -> str:
    if name not in sys.modules:
        init = folder / "__init__.py"
        if init.is_file():
            _module(name, init, compiler, folder)
        else:
            spec = ModuleSpec(name, None, is_package=True)
            spec.submodule_search_locations = [str(folder.resolve())]
            sys.modules[name] = importlib.util.module_from_spec(spec)
    return name


def _module(name: str, path: Path, compiler: Compiler, folder: Path | None = None) -> ModuleType:
    if name in sys.modules:
        return sys.modules[name]
    found = None if folder is None else [str(folder.resolve())]
    spec = importlib.util.spec_from_file_location(name, path.resolve(), submodule_search_locations=found)
    assert spec is not None  # the file ends in .py
    module = sys.modules[name] = importlib.util.module_from_spec(spec)
    try:
        exec(compiler(path.resolve()), vars(module))
    except BaseException:
        del sys.modules[name]
        raise
    return module
