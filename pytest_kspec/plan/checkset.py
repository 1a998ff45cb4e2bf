"""All checks: the built-in ones and the user's, found by path.

Files are walked, never registered by an import side effect: a check that lies in a given folder is in the
checkset, and a file that cannot be imported is an error that names it.
"""

from __future__ import annotations

import difflib
import importlib
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import cached_property
from pathlib import Path
from types import ModuleType

from msgspec import Struct
from msgspec.structs import replace

import pytest_kspec
from pytest_kspec.checks.authoring import ATTRIBUTE, noting
from pytest_kspec.checks.check import Check
from pytest_kspec.errors import CheckError, UsageError
from pytest_kspec.extend.places import CHECKS
from pytest_kspec.frameworks.catalog import catalogs, controls_of, refs_to
from pytest_kspec.plan.importing import forget, import_file
from pytest_kspec.plan.uncollected import refuse_uncollected
from pytest_kspec.spec.below import files_below

Importer = Callable[[Path, Path], ModuleType]
"""From a module, and the file or folder that was named for it, to the module."""
_MADE = "__kspec_made__"


class Entry(Struct, frozen=True):
    """A check and the module that it was found in."""

    check: Check
    module: ModuleType
    builtin: bool


class CheckSet:
    """Checks by id. Raises CheckError for two checks of one id, naming both places."""

    def __init__(self, entries: Iterable[Entry]) -> None:
        self.entries: dict[str, Entry] = {}
        for entry in entries:
            other = self.entries.get(entry.check.id)
            if other is not None:
                raise CheckError(
                    f"check id {entry.check.id!r} is already taken by {_place(other.check)}.",
                    where=_place(entry.check),
                    fix="Choose another id.",
                )
            self.entries[entry.check.id] = entry

    @cached_property
    def checks(self) -> list[Check]:
        """All checks, sorted by id."""
        return [self.entries[id].check for id in sorted(self.entries)]

    def find(self, requirement_id: str) -> Check | None:
        """The check of this id, or the check that answers this requirement (`id[part]`), or None."""
        entry = self.entries.get(requirement_id)
        while entry is None and requirement_id.endswith("]") and "[" in requirement_id:
            requirement_id = requirement_id[: requirement_id.rindex("[")]
            entry = self.entries.get(requirement_id)
        if entry is None and "[" in requirement_id:
            entry = self.entries.get(requirement_id.partition("[")[0])
        return entry.check if entry else None

    def get(self, check_id: str) -> Check:
        """Like `find`. Raises CheckError with a suggestion."""
        found = self.find(check_id)
        if found is None:
            near = difflib.get_close_matches(check_id, self.entries, n=1)
            fix = f"Did you mean '{near[0]}'?" if near else "'kspec checks' lists all."
            raise CheckError(f"no check has the id '{check_id}'.", fix=fix)
        return found


def load_checks(paths: Sequence[Path] = (), importer: Importer | None = None) -> CheckSet:
    """The built-in checks, those of installed packages, and those in `paths` (files or folders).

    Raises CheckError, UsageError.
    """
    return CheckSet([*_builtin(), *_installed(), *_custom(paths, importer or import_file)])


def _installed() -> Iterator[Entry]:
    """Checks of installed packages: of a package, all in its files `test_*.py`; of a module, those in it."""
    for entry in CHECKS.installed():
        module = CHECKS.load_entry(entry)
        found = list(_checks_of(module, builtin=False))
        for folder in getattr(module, "__path__", ()):
            for path in sorted(Path(folder).rglob("test_*.py")):
                inner = ".".join(path.relative_to(folder).with_suffix("").parts)
                part = entry._replace(value=f"{module.__name__}.{inner}")
                found += _checks_of(CHECKS.load_entry(part), builtin=False)
        if not found:
            raise CHECKS.broken(entry, "there is no check in it")
        for one in found:
            _require_controls(one.check)
        yield from found


def builtin_package() -> ModuleType:
    """The built-in checks: in the wheel they lie inside the package, in a checkout beside it."""
    inside = Path(pytest_kspec.__file__).parent / "builtin_checks"
    return importlib.import_module("pytest_kspec.builtin_checks" if inside.is_dir() else "builtin_checks")


def _builtin() -> Iterator[Entry]:
    package: ModuleType = CHECKS.load("built-in")()
    for path in sorted(path for folder in package.__path__ for path in Path(folder).glob("*/test_*.py")):
        name = f"{package.__name__}.{path.parent.name}.{path.stem}"
        for entry in _checks_of(importlib.import_module(name), builtin=True):
            yield replace(entry, check=replace(entry.check, controls=controls_of(refs_to(entry.check.id))))


def _custom(paths: Sequence[Path], importer: Importer) -> list[Entry]:
    seen: dict[Path, None] = {}
    made: list[Check] = []
    entries: list[Entry] = []
    others: dict[Path, None] = {}
    for given in paths:
        forget(given)  # an earlier run of this process may have imported them as they were then
    # Folders first: a file of one that is named by itself too has the conftest.py and the package of the folder.
    for given in sorted(paths, key=os.path.isfile):
        if os.path.isdir(given):
            everything = [path for path in files_below(given) if path.suffix == ".py"]
            files = [p for p in everything if p.name.startswith("test_") or p.stem.endswith("_test")]
            others |= dict.fromkeys(everything)
            if not files:
                raise UsageError("no check modules (test_*.py) in this folder.", where=str(given))
        elif os.path.isfile(given):
            files = [given]
        else:
            raise UsageError(
                "the file or folder of checks does not exist.", where=str(given), fix="Check --kspec-checks."
            )
        for file in files:
            if file.resolve() in seen:
                continue
            seen[file.resolve()] = None
            with noting() as new:
                module = importer(file, given)
            # Kept with the module: one that pytest imported, it may be asked for again.
            new = vars(module).setdefault(_MADE, new)
            made += new
            found = list(_checks_of(module, builtin=False))
            if not found:
                refuse_uncollected([], new, [file], [])
                raise CheckError(
                    "no check in this file.",
                    where=str(file),
                    fix="Decorate a function with @pytest_kspec.check(…).",
                )
            for entry in found:
                _require_controls(entry.check)
            entries += found
    refuse_uncollected(
        [entry.check for entry in entries],
        made,
        seen,
        [path for path in others if path.resolve() not in seen],
    )
    return entries


def _require_controls(check: Check) -> None:
    """A control that a complete catalog does not have is a typing error; it would look met."""
    for name, ids in check.controls.items():
        catalog = catalogs().get(name)
        if catalog is None or not catalog.complete:
            continue
        for control in ids:
            if catalog.control(control) is None:
                near = difflib.get_close_matches(control, [c.id for c in catalog.controls], n=1)
                raise CheckError(
                    f"check {check.id!r}: {name} has no control '{control}'.",
                    where=_place(check),
                    fix=f"Did you mean '{near[0]}'?" if near else f"'kspec frameworks {name}' lists them.",
                )


def _checks_of(module: ModuleType, *, builtin: bool) -> Iterator[Entry]:
    for value in vars(module).values():
        made = getattr(value, ATTRIBUTE, None) if callable(value) else None
        if isinstance(made, Check) and made.func is value and value.__module__ == module.__name__:
            yield Entry(made, module, builtin)


def _place(check: Check) -> str:
    return f"{check.path}:{check.line}"
