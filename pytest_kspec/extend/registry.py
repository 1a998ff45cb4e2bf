"""What can be added to, by name: built-in entries, and those of installed packages (entry points).

A built-in name is looked up first and costs nothing; installed packages are looked at only for a name that is none of
ours, or where all are listed. Their metadata is read then, and their code is imported when it is used, never before.
The standard library reads the metadata of every package for that (10 ms for 140 of them); looking for files that name
one of our groups takes 1 ms.
"""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from functools import lru_cache
from importlib import import_module
from importlib.machinery import PathFinder
from importlib.metadata import Distribution, EntryPoint
from pathlib import Path
from typing import Any, NamedTuple

from pytest_kspec.errors import UsageError
from pytest_kspec.supervised import SUPERVISOR, Lost

_OURS, _PYTEST = "kspec.", "pytest11"
_GROUPS = (f"[{_OURS}".encode(), f"[{_PYTEST}]".encode())
_allowed: ContextVar[bool] = ContextVar("allowed", default=True)


class Entry(NamedTuple):
    """One thing by name. package: "acme-kspec 1.2", or "" for ours."""

    name: str
    value: str
    package: str = ""

    @property
    def module(self) -> str:
        """The module that it is in."""
        return self.value.partition(":")[0]


@contextmanager
def ours_only() -> Iterator[None]:
    """Within, nothing of installed packages is found: nothing may run but what is ours."""
    token = _allowed.set(False)
    try:
        yield
    finally:
        _allowed.reset(token)


class Registry:
    """One kind of things. A name of ours is never replaced.

    group:   of the entry points ("kspec.reports")
    what:    for errors ("report format")
    builtin: name → "module:attribute"
    """

    def __init__(self, group: str, what: str, builtin: Mapping[str, str]) -> None:
        self.group = group
        self.what = what
        self._builtin = {name: Entry(name, value) for name, value in builtin.items()}

    @property
    def builtin(self) -> list[str]:
        """Our names."""
        return list(self._builtin)

    def installed(self) -> list[Entry]:
        """What installed packages add, sorted by name. Raises UsageError where two packages have one name."""
        found: dict[str, Entry] = {}
        for entry in _installed(self.group):
            if entry.name in self._builtin:
                continue
            other = found.setdefault(entry.name, entry)
            if other.package != entry.package:
                raise UsageError(
                    f"the {self.what} {entry.name!r} comes from two packages: {other.package}, {entry.package}.",
                    fix="Uninstall one of them.",
                )
        return [found[name] for name in sorted(found)]

    def names(self) -> list[str]:
        """All names, sorted."""
        return sorted([*self._builtin, *(entry.name for entry in self.installed())])

    def find(self, name: str) -> Entry | None:
        """The entry of this name, or None."""
        known = self._builtin.get(name)
        if known is None:
            known = next((entry for entry in self.installed() if entry.name == name), None)
        return known

    def load(self, name: str) -> Any:
        """The object behind a name. Raises UsageError: no such name, or a package that cannot be imported."""
        return self.found(name)[1]

    def found(self, name: str) -> tuple[Entry, Any]:
        """The entry and the object behind a name. Raises as `load`."""
        entry = self.find(name)
        if entry is None:
            raise UsageError(
                f"there is no {self.what} {name!r}.", fix=f"There are {', '.join(self.names())}."
            )
        return entry, self.load_entry(entry)

    def load_entry(self, entry: Entry) -> Any:
        """As `load`. Code of packages runs where another process waits for the last word of this one."""
        module, _, attribute = entry.value.partition(":")
        if not entry.package:
            made = import_module(module)
            return getattr(made, attribute) if attribute else made
        SUPERVISOR.enter(f"while it imported {module} of the package {entry.package}")
        try:
            made = import_module(module)
            for part in filter(None, attribute.split(".")):
                made = getattr(made, part)
        except (KeyboardInterrupt, Lost):
            raise
        except BaseException as error:  # whatever code of others raises is about this package
            raise self.broken(entry, f"{type(error).__name__}: {error}") from error
        return made

    def broken(self, entry: Entry, why: str, *, check: str = "") -> UsageError:
        """What is said of an entry that cannot be used. check: what the user wrote that may be wrong instead."""
        kind = f"{self.what} {entry.name!r}"
        if not entry.package:
            return UsageError(f"the {kind} cannot be used: {why}.")
        return UsageError(
            f"the {kind} of the package {entry.package} cannot be used: {why.rstrip('.')}.",
            where=f"entry point {entry.name} = {entry.value}",
            fix=f"Check {check}, or repair the package." if check else "Repair the package, or uninstall it.",
        )


def _installed(group: str) -> tuple[Entry, ...]:
    return _of_group(group, tuple(sys.path)) if _allowed.get() else ()


@lru_cache(64)
def _of_group(group: str, path: tuple[str, ...]) -> tuple[Entry, ...]:
    found = (one for one in _entry_points(path) if one[0].group == group)
    return tuple(Entry(point.name, point.value, package) for point, package in found)


@lru_cache(4)
def _entry_points(path: tuple[str, ...]) -> tuple[tuple[EntryPoint, str], ...]:
    """Those of our groups, of every package in these folders; of two of one name, the first counts, as for Python."""
    found: dict[str, list[tuple[EntryPoint, str]]] = {}
    for folder in path:
        for distribution, points in _packages(folder).items():
            found.setdefault(distribution, points)
    return tuple(point for points in found.values() for point in points)


@lru_cache(64)  # each for itself: importing a module of checks changes the path by a folder
def _packages(folder: str) -> dict[str, list[tuple[EntryPoint, str]]]:
    """Name of each package whose metadata is in this folder → its entry points of our groups and of pytest's."""
    try:
        names = sorted(entry.name for entry in os.scandir(folder or ".") if _METADATA.search(entry.name))
    except OSError:
        return {}  # not a folder: a zip file, or nothing
    found: dict[str, list[tuple[EntryPoint, str]]] = {}
    for name in names:
        distribution = name.partition("-")[0].lower().replace("_", "-").replace(".", "-")
        if distribution in found:
            continue
        place = os.path.join(folder, name)
        try:
            with open(os.path.join(place, "entry_points.txt"), "rb", buffering=0) as file:
                text = file.read()
        except OSError:
            text = b""
        read = any(group in text for group in _GROUPS)
        found[distribution] = list(_read(Distribution.at(Path(place)))) if read else []
    return found


_METADATA = re.compile(r"\.(dist-info|egg-info)$")


def _read(distribution: Distribution) -> Iterator[tuple[EntryPoint, str]]:
    for point in distribution.entry_points:
        if point.group.startswith(_OURS):
            metadata = distribution.metadata
            yield point, f"{metadata['Name']} {metadata['Version']}"
        elif point.group == _PYTEST:
            yield point, ""  # nobody asks for the package


def pytest_plugins() -> frozenset[tuple[str, str]] | None:
    """Name and module of each plugin that pytest would load; None where only pytest itself can know.

    As the look at our own groups reads the same files, this costs nothing more.
    """
    finders = [finder for finder in sys.meta_path if hasattr(finder, "find_distributions")]
    if finders != [PathFinder] or any(os.path.isfile(one) or one.endswith(".egg") for one in sys.path):
        return None  # an archive of packages, or another way to them
    points = (point for point, _ in _entry_points(tuple(sys.path)))
    return frozenset((point.name, point.value) for point in points if point.group == _PYTEST)
