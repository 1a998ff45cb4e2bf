"""Which frameworks apply to a specification, and which of its requirements answer each control. No cluster is touched.

A specification without `compliance.frameworks` is measured by every catalog that one of its requirements answers
something of. One with it is measured by what it names there: a catalog by its name alone, or its own controls with
the checks that it maps to them.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from msgspec import Struct

from pytest_kspec.checks.check import Check
from pytest_kspec.frameworks.catalog import (
    Catalog,
    CatalogControl,
    CheckRef,
    asks_for,
    catalogs,
    find_catalog,
    flow,
    names_of,
    plain_value,
    slug,
)
from pytest_kspec.plan.checkset import CheckSet, Entry
from pytest_kspec.plan.plan import Planned
from pytest_kspec.plan.unknownids import Known, check_name
from pytest_kspec.rules.pods.podsecurity import NamespaceLevels, pod_security_strictness
from pytest_kspec.spec.loading import LoadedSpec
from pytest_kspec.spec.sections import Control, Framework

# Ids are paths of spec keys; these are answers to a key of another name.
ASKED_ELSEWHERE = {
    "kubernetes.kubeletSkew": "kubernetes",
    "kubernetes.version": "kubernetes.minVersion",
    "podSecurity.standard": "podSecurity.enforce",
}
FROM_CHECKS = "the checks that name its controls"


class Answer(Struct, frozen=True):
    """Requirements of which one must pass, and none may fail. missing: why there are none."""

    requirements: tuple[str, ...]
    missing: str = ""


class PlannedControl(Struct, frozen=True):
    """A control and what answers it.

    answers: all must hold; also: requirement ids that must not fail; manual: what a person must look at
    note:    what limits the answer, to be said when it is met
    """

    id: str
    title: str
    answers: tuple[Answer, ...] = ()
    also: tuple[str, ...] = ()
    manual: str = ""
    note: str = ""


class PlannedFramework(Struct, frozen=True):
    """A framework that a specification is measured by; fields as in FrameworkResult."""

    id: str
    name: str
    version: str
    source: str
    date: str
    controls: tuple[PlannedControl, ...]

    @property
    def is_answered(self) -> bool:
        """Whether any requirement answers any control."""
        return any(c.also or any(a.requirements for a in c.answers) for c in self.controls)


def plan_frameworks(
    spec: LoadedSpec, checkset: CheckSet, planned: Sequence[Planned]
) -> tuple[PlannedFramework, ...]:
    """The frameworks of a specification: in its own order, or sorted by id."""
    planner = _Planner(spec, checkset, planned)
    compliance = spec.spec.compliance
    asked = compliance.frameworks if compliance is not None else []
    if not asked:
        return tuple(f for f in planner.available() if f.is_answered)
    found: dict[str, PlannedFramework] = {}
    for index, entry in enumerate(asked):
        for made in planner.asked(entry, f"compliance.frameworks[{index}]"):
            found.setdefault(made.id, made)
    return tuple(found.values())


class _Planner:
    def __init__(self, spec: LoadedSpec, checkset: CheckSet, planned: Sequence[Planned]) -> None:
        self._spec = spec
        self._checkset = checkset
        self._planned = {p.requirement.id: p for p in planned}
        self._called: dict[str, list[Planned]] = {}
        for entry in planned:
            for name in dict.fromkeys((*names_of(entry.requirement.id), *names_of(entry.entry.check.id))):
                self._called.setdefault(name, []).append(entry)
        self._own = [e for e in checkset.entries.values() if not e.builtin and e.check.controls]
        self._known = Known(checkset, self._planned)
        self._note = _weaker_namespaces(spec)

    def available(self) -> Iterator[PlannedFramework]:
        """Built-in catalogs and frameworks that checks of the user's name, sorted by id."""
        named = {name for entry in self._own for name in entry.check.controls}
        for framework in sorted(named | set(catalogs())):
            yield self._framework(framework)

    def asked(self, entry: Framework, key: str) -> Iterator[PlannedFramework]:
        """What one entry of compliance.frameworks means; nothing for a name that says nothing (the plan notes it)."""
        catalog = find_catalog(entry.name, entry.revision)
        if entry.controls:
            version = f"-{slug(entry.revision)}" if entry.revision else ""
            yield PlannedFramework(
                id=f"spec/{slug(entry.name)}{version}",
                name=entry.name,
                version=entry.revision,
                source=f"the specification, {self._spec.locate(key)}",
                date="",
                controls=tuple(self._claimed(control, catalog) for control in entry.controls),
            )
        elif catalog is not None:
            yield self._framework(catalog.id)
        elif any(entry.name in own.check.controls for own in self._own):
            yield self._framework(entry.name)

    def _framework(self, name: str) -> PlannedFramework:
        own: dict[str, list[Entry]] = {}
        for entry in self._own:
            for control in entry.check.controls.get(name, ()):
                own.setdefault(control, []).append(entry)
        catalog = catalogs().get(name)
        if catalog is None:
            return PlannedFramework(name, name, "", FROM_CHECKS, "", self._from_checks(own))
        controls = [self._control(control, own.pop(control.id, [])) for control in catalog.controls]
        return PlannedFramework(
            catalog.id,
            catalog.name,
            catalog.version,
            catalog.source,
            catalog.date,
            (*controls, *self._from_checks(own)),
        )

    def _from_checks(self, own: dict[str, list[Entry]]) -> tuple[PlannedControl, ...]:
        return tuple(
            PlannedControl(id, entries[0].check.title, tuple(self._answer_of(e.check) for e in entries))
            for id, entries in sorted(own.items())
        )

    def _answer_of(self, check: Check) -> Answer:
        ids = tuple(id for id, p in self._planned.items() if p.entry.check is check)
        return Answer(ids, "" if ids else _not_asked(key_of(check)))

    def _control(self, control: CatalogControl, own: Iterable[Entry] = ()) -> PlannedControl:
        answers = tuple(self._answer(entry) for entry in control.checks)
        also = [id for ref in control.also for id in self._matching(ref)]
        also += [id for entry in own for id in self._answer_of(entry.check).requirements]
        note = self._note if any(ref.check.startswith("podSecurity") for ref in control.refs) else ""
        return PlannedControl(
            control.id, control.title, answers, tuple(dict.fromkeys(also)), control.manual, note
        )

    def _claimed(self, control: Control, catalog: Catalog | None) -> PlannedControl:
        """A control as the specification claims it. What it leaves open, the catalog of that name says."""
        known = catalog.control(control.id) if catalog is not None else None
        title = control.title or (known.title if known is not None else "")
        if control.mappings:
            refs = [CheckRef(check_name(mapping.check)) for mapping in control.mappings]
            note = self._note if any(ref.check.startswith("podSecurity") for ref in refs) else ""
            return PlannedControl(control.id, title, tuple(self._answer_all(ref) for ref in refs), note=note)
        if known is not None:
            made = self._control(known)
            return PlannedControl(control.id, title, made.answers, made.also, made.manual, made.note)
        return PlannedControl(
            control.id, title, (Answer((), "the specification does not map a check to this control"),)
        )

    def _answer(self, refs: Sequence[CheckRef]) -> Answer:
        ids = tuple(dict.fromkeys(id for ref in refs for id in self._matching(ref)))
        return Answer(ids, "" if ids else _not_asked(*(self._key(ref) for ref in refs)))

    def _answer_all(self, ref: CheckRef) -> Answer:
        if self._known.means(ref.check):
            return self._answer((ref,))
        return Answer((), f"it is mapped to {ref.check!r}, but no check has this id")

    def _matching(self, ref: CheckRef) -> Iterator[str]:
        for planned in self._called.get(ref.check, ()):
            if ref.asks is None or asks_for(plain_value(planned.requirement.value), ref.asks):
                yield planned.requirement.id

    def _key(self, ref: CheckRef) -> str:
        entry = self._checkset.entries.get(ref.check)
        if entry is None:
            return ref.check
        key = key_of(entry.check)
        if ref.asks is None:
            return key
        return f"{key}: {ref.asks}" if isinstance(ref.asks, str) else f"{key} with {flow(ref.asks)}"


def key_of(check: Check) -> str:
    """The key of the specification that asks for this check."""
    base = check.id.partition("[")[0]
    return check.key or ASKED_ELSEWHERE.get(base, base)


def _not_asked(*keys: str) -> str:
    return f"the specification does not require {' or '.join(dict.fromkeys(keys))}"


def _weaker_namespaces(spec: LoadedSpec) -> str:
    """Namespaces that podSecurity.exemptions hold to a weaker level: a pass says less about them."""
    section = spec.spec.pod_security
    if section is None or section.enforce is None:
        return ""
    asked = pod_security_strictness(str(section.enforce)) or 0
    levels = NamespaceLevels(section)
    weaker = [
        f"{entry.namespace} ({entry.level})"
        for entry in section.exemptions
        if levels.of(entry.namespace, "") == entry.level
        and (pod_security_strictness(str(entry.level)) or 0) < asked
    ]
    return f"namespaces at a weaker level: {', '.join(sorted(weaker))}" if weaker else ""
