"""Specification × checks → what is asked for, and why anything is left out. No cluster is touched."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from msgspec import Struct
from msgspec.structs import replace

from pytest_kspec.errors import CheckError
from pytest_kspec.frameworks.catalog import asks_for, controls_of, plain_value, refs_to
from pytest_kspec.plan.checkset import CheckSet, Entry
from pytest_kspec.plan.unknownids import Known, refuse_all, unknown_exempted, unknown_mappings
from pytest_kspec.results.exemptions import Exemption
from pytest_kspec.rules.pods.podsecurity import newer_standards
from pytest_kspec.spec.loading import LoadedSpec
from pytest_kspec.spec.notes import NotEvaluated
from pytest_kspec.spec.requirement import Requirement


class Planned(Struct, frozen=True):
    """One requirement and the check that answers it."""

    requirement: Requirement
    entry: Entry


STANDARDS = "podSecurity.version"
"""The key of what is not evaluated where a version of the Pod Security Standards is not known."""


class Plan(Struct, frozen=True):
    """What one specification asks for, sorted by requirement id."""

    spec: LoadedSpec
    planned: tuple[Planned, ...]
    not_evaluated: tuple[NotEvaluated, ...]

    @property
    def left_out(self) -> tuple[NotEvaluated, ...]:
        """Of `not_evaluated`, what limits requirements that are planned; all else was never asked of a scan."""
        return tuple(left for left in self.not_evaluated if left.key == STANDARDS)


def make_plan(spec: LoadedSpec, checkset: CheckSet, exemptions: Sequence[Exemption] = ()) -> Plan:
    """All requirements of a specification. exemptions: those beside its own.

    Raises CheckError if two have one id, SpecError for exemptions that leave nothing.
    """
    found: dict[str, Planned] = {}
    for entry in checkset.entries.values():
        for requirement in _requirements(spec, entry):
            if requirement.id in found:
                other = found[requirement.id].entry.check
                raise CheckError(
                    f"requirement {requirement.id!r} is defined by two checks: {other.id}, {entry.check.id}.",
                    where=f"{entry.check.path}:{entry.check.line}",
                )
            found[requirement.id] = Planned(_with_controls(requirement, entry), entry)
    refuse_all(spec, (*spec.exemptions, *exemptions), checkset, found)
    known = Known(checkset, found)
    own = {name for entry in checkset.entries.values() if not entry.builtin for name in entry.check.controls}
    unknown = (
        *unknown_mappings(spec, known, own),
        *unknown_exempted((*spec.exemptions, *exemptions), known),
    )
    return Plan(
        spec, tuple(found[id] for id in sorted(found)), (*spec.not_evaluated, *_newer(spec), *unknown)
    )


def _newer(spec: LoadedSpec) -> Iterator[NotEvaluated]:
    asked = spec.spec.pod_security
    if asked and asked.enforce and (why := newer_standards(asked.version or "")):
        yield NotEvaluated(STANDARDS, why, spec.locate(STANDARDS))


def _with_controls(requirement: Requirement, entry: Entry) -> Requirement:
    """What it answers: of a built-in check, where the specification asks for as much as the control does."""
    if not entry.builtin:
        return replace(requirement, controls=entry.check.controls)
    value = plain_value(requirement.value)
    refs = [ref for ref in refs_to(entry.check.id) if asks_for(value, ref[2].asks)]
    return replace(requirement, controls=controls_of(refs))


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
