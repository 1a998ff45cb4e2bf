"""Specification × checks → what is asked for, and why anything is left out. No cluster is touched."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

from pytest_kspec.errors import CheckError
from pytest_kspec.model.check import Requirement
from pytest_kspec.model.result import NotEvaluated
from pytest_kspec.model.specfile import LoadedSpec
from pytest_kspec.plan.catalog import Catalog, Entry


@dataclass(frozen=True)
class Planned:
    """One requirement and the check that answers it."""

    requirement: Requirement
    entry: Entry


@dataclass(frozen=True)
class Plan:
    """What one specification asks for, sorted by requirement id."""

    spec: LoadedSpec
    planned: tuple[Planned, ...]
    not_evaluated: tuple[NotEvaluated, ...]


def make_plan(spec: LoadedSpec, catalog: Catalog) -> Plan:
    """All requirements of a specification. Raises CheckError if two have one id."""
    found: dict[str, Planned] = {}
    for entry in catalog.entries.values():
        for requirement in _requirements(spec, entry):
            if requirement.id in found:
                other = found[requirement.id].entry.check
                raise CheckError(
                    f"requirement {requirement.id!r} comes from two checks: {other.id}, {entry.check.id}.",
                    where=f"{entry.check.path}:{entry.check.line}",
                )
            found[requirement.id] = Planned(requirement, entry)
    return Plan(spec, tuple(found[id] for id in sorted(found)), spec.not_evaluated)


def _requirements(spec: LoadedSpec, entry: Entry) -> Iterator[Requirement]:
    check = entry.check
    if check.requirements is not None:
        for requirement in check.requirements(spec.spec):
            yield replace(requirement, location=spec.locate(requirement.key))
    elif check.key is not None:
        value = spec.get(check.key)
        if value is not None and value is not False and value != []:
            yield Requirement(check.id, check.key, value, spec.locate(check.key))
    else:
        yield Requirement(check.id, "", None, spec.path)
