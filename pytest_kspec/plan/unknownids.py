"""Check ids that people write, in mappings of frameworks and in exemptions: those that mean nothing are noted.

Checks of the user's own count as known, so this cannot be done where the file is read. It is a note with its line and
no refusal: a mapping or an exemption may be meant for checks that another run has, and files of the predecessor name
ids that never were. The control stays unevaluated, the exemption unused.
"""

from __future__ import annotations

import difflib
from collections.abc import Collection, Iterable, Iterator, Sequence
from functools import cache

from pytest_kspec.errors import SpecError
from pytest_kspec.frameworks.catalog import catalogs, find_catalog, names_of, slug
from pytest_kspec.kube.globs import Globs, is_literal, matches_check
from pytest_kspec.plan.checkset import CheckSet
from pytest_kspec.results.exemptions import Exemption
from pytest_kspec.spec.loading import LoadedSpec
from pytest_kspec.spec.notes import NotEvaluated

MAPPINGS = "compliance.frameworks"
MAX_HINTS = 100
_OTHER_WILDCARDS = frozenset("[{(|^+$\\")
"""Of shells and regular expressions."""
LONGEST_NAME = 200
"""Characters of a name that near names are looked for."""


class Known:
    """Ids that mean something: of checks and of requirements, and what they start with."""

    def __init__(self, checkset: CheckSet, requirements: Iterable[str]) -> None:
        self._checkset = checkset
        self._ids = [*checkset.entries, *requirements]
        self._names = {name for id in self._ids for name in names_of(id)}
        self._areas = {id.partition(".")[0] for id in self._ids}
        self._bases = {base for id in self._ids for base in (id, id.partition("[")[0])}
        self._hints: dict[str, str] = {}

    def means(self, name: str) -> bool:
        """Whether a mapping to this name is one to a check: an id, or what ids start with."""
        return name in self._names or self._checkset.find(name) is not None

    def matches(self, pattern: str) -> bool:
        """Whether an exemption for this pattern could match a check or one of its requirements."""
        if is_literal(pattern):
            known = pattern in self._names and pattern not in self._areas
            return known or self._checkset.find(pattern) is not None
        globs = Globs([pattern, pattern.partition("[")[0]])
        return any(map(globs.match, self._bases))

    def hint(self, name: str) -> str:
        """`Did you mean 'x'?` or where to look. A near name takes milliseconds: the first MAX_HINTS names get one."""
        if set(name) & _OTHER_WILDCARDS and not self._bases & {name.partition("[")[0]}:
            return "Only * and ? are wildcards."
        if name not in self._hints:
            wanted = len(self._hints) < MAX_HINTS and len(name) <= LONGEST_NAME
            near = difflib.get_close_matches(name, sorted(self._names), n=1) if wanted else ()
            meant = f"{name}.*" if name in self._areas else near[0] if near else ""
            self._hints[name] = f"Did you mean '{meant}'?" if meant else "'kspec checks' lists all."
        return self._hints[name]


def check_name(text: str) -> str:
    """The name that a mapping means: `workloads.containers.required.*` is `workloads.containers.required`."""
    return text.removesuffix(".*")


def unknown_mappings(spec: LoadedSpec, known: Known, frameworks: Collection[str]) -> Iterator[NotEvaluated]:
    """Mappings to no check, and frameworks that say nothing. frameworks: names that checks of the user's give."""
    compliance = spec.spec.compliance
    for number, framework in enumerate(compliance.frameworks if compliance is not None else ()):
        key = f"{MAPPINGS}[{number}]"
        known_name = framework.name in frameworks or find_catalog(framework.name, framework.revision)
        if not framework.controls and not known_name:
            what = f"{framework.name} {framework.revision}".strip()
            near = difflib.get_close_matches(slug(what), catalogs(), n=1)
            hint = f"Did you mean '{near[0]}'?" if near else "'kspec frameworks' lists those."
            yield NotEvaluated(
                key, f"'{what}' has no controls and is not a built-in framework. {hint}", spec.locate(key)
            )
        for index, control in enumerate(framework.controls):
            for position, mapping in enumerate(control.mappings):
                if not known.means(check_name(mapping.check)):
                    place = f"{key}.controls[{index}].mappings[{position}].check"
                    yield NotEvaluated(
                        place,
                        f"control {control.id}: '{mapping.check}': no check has this id. "
                        f"{known.hint(mapping.check)}",
                        spec.locate(place),
                    )


def refuse_all(
    spec: LoadedSpec, exemptions: Sequence[Exemption], checkset: CheckSet, asked: Iterable[str]
) -> None:
    """Refuse what would exempt everything: alone or together, by patterns that match every check there is.

    Which checks there are is not known where patterns are read: `admission.*`, `kubernetes.*`, … name all areas.
    exemptions: all that hold, expired ones too; asked: ids of all requirements. Raises SpecError.
    """
    unlimited = [one for one in exemptions if one.checks and not one.is_of_some_objects]
    for one in unlimited:
        if _covers(one.checks, checkset.entries) or (_by_areas(one.checks) and _covers(one.checks, asked)):
            raise _everything(f"exemption {one.name}: its checks match", one.location)
    everywhere = [one for one in unlimited if not one.clusters or Globs(one.clusters).matches_all]
    if _covers([pattern for one in everywhere for pattern in one.checks], checkset.entries):
        names = ", ".join(one.name for one in everywhere)
        raise _everything(f"exemptions {names}: their checks together match", everywhere[0].location)
    allowed = spec.spec.annotation_exemptions
    if allowed is not None and _covers(allowed.checks, checkset.entries):
        raise _everything(
            "annotationExemptions.checks: its patterns match", spec.locate("annotationExemptions.checks")
        )


def _everything(what: str, where: str) -> SpecError:
    return SpecError(
        f"{what} every check, so this would exempt everything.",
        where=where,
        fix="Name checks, namespaces, resources or containers.",
    )


def _covers(patterns: Sequence[str], ids: Iterable[str]) -> bool:
    """Whether these patterns match all ids; False for ids of one area, which may be all that somebody asks for."""
    ids = list(ids)
    if not patterns or len({id.partition(".")[0] for id in ids}) < 2:
        return False
    globs = Globs(patterns)
    return all(matches_check(globs, id) for id in ids)


def _by_areas(patterns: Sequence[str]) -> bool:
    return any(not is_literal(pattern) for pattern in patterns)


def unknown_exempted(exemptions: Iterable[Exemption], known: Known) -> Iterator[NotEvaluated]:
    """Entries in `checks` of exemptions that no check can match."""
    matches = cache(known.matches)
    for exemption in exemptions:
        for pattern in exemption.checks:
            if not matches(pattern):
                yield NotEvaluated(
                    f"exemption {exemption.name}",
                    f"'{pattern}': no check has this id. {known.hint(pattern)}",
                    exemption.location,
                )
