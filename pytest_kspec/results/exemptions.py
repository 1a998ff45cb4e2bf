"""Exemptions at work: which findings one covers, what became of each, and files of exemptions.

There is one matcher for scans, admission and reports, so that they cannot disagree. An expired exemption
covers nothing, but what it would have covered is counted, so that the report says why findings are back.
"""

from __future__ import annotations

import sys
from collections.abc import Hashable, Iterable, Mapping, Sequence
from datetime import datetime
from functools import cached_property
from pathlib import Path

from pytest_kspec.errors import SpecError
from pytest_kspec.kube.globs import Globs, is_literal, matches_check
from pytest_kspec.kube.reference import ResourceRef
from pytest_kspec.results.evidence import ExemptionUse
from pytest_kspec.results.exemption_index import ExemptionIndex
from pytest_kspec.results.finding import AppliedExemption
from pytest_kspec.spec.exemption import Exemption, ResourceSelector

__all__ = ["Exemption", "ExemptionMatcher", "Exemptions", "ResourceSelector", "load_exemptions"]


class _Compiled:
    """One exemption with its patterns compiled."""

    def __init__(self, index: int, exemption: Exemption, now: datetime) -> None:
        self.index = index
        self.exemption = exemption
        self.expired = exemption.is_expired(now)
        self.checks = Globs(exemption.checks)
        self.clusters = Globs(exemption.clusters)
        self.namespaces = Globs(exemption.namespaces)
        self.containers = Globs(exemption.containers)
        self.resources = [
            (selector, Globs([selector.name or "*"]), Globs([selector.namespace or "*"]))
            for selector in exemption.resources
        ]
        self.applied = AppliedExemption(
            exemption.name, exemption.reason, exemption.approver, exemption.expires_text
        )

    @cached_property
    def per_object(self) -> bool:
        return any(
            s.label_selector or s.kind == "Pod" or (s.name and not s.kind) for s in self.exemption.resources
        )

    def covers(
        self, resource: ResourceRef, owner: ResourceRef, labels: Mapping[str, str], container: str
    ) -> bool:
        if self.exemption.containers and not (container and self.containers.match(container)):
            return False
        if self.exemption.namespaces:
            namespace = _namespace(resource)
            if not namespace or not self.namespaces.match(namespace):
                return False
        if not self.resources:
            return True
        for selector, names, namespaces in self.resources:
            if any(labels.get(key) != value for key, value in selector.label_selector.items()):
                continue
            for ref in (resource,) if owner == resource else (resource, owner):
                if (
                    bool(ref.kind)
                    and selector.kind in (None, ref.kind)
                    and names.match(ref.name)
                    and (
                        selector.namespace is None
                        or (ref.namespace != "" and namespaces.match(ref.namespace))
                    )
                ):
                    return True
        return False


def _namespace(ref: ResourceRef) -> str:
    """The namespace that an object belongs to; a Namespace object belongs to itself."""
    return ref.name if ref.kind == "Namespace" and ref.api_version == "v1" else ref.namespace


class _Candidates:
    """Exemptions for one check on one cluster, in their order, indexed when the first finding is compared.

    alike: those that select the same objects, which are compared once; valid: the first of each that has not expired.
    Both are in the order in which they apply, so that the lowest bit of several is the one that does
    """

    def __init__(self, all_of_them: Sequence[_Compiled]) -> None:
        self.per_object = any(c.per_object for c in all_of_them)
        alike: dict[str, list[_Compiled]] = {}
        for one in all_of_them:
            alike.setdefault(_selection(one.exemption), []).append(one)
        firsts = [(next((c for c in some if not c.expired), None), some) for some in alike.values()]
        firsts.sort(key=lambda one: sys.maxsize if one[0] is None else one[0].index)
        self.alike = [some for _, some in firsts]
        self.valid = [first for first, _ in firsts if first is not None]

    @cached_property
    def index(self) -> ExemptionIndex:
        return ExemptionIndex([some[0].exemption for some in self.alike])


def _selection(exemption: Exemption) -> str:
    selectors = [(s.kind, s.name, s.namespace, sorted(s.label_selector.items())) for s in exemption.resources]
    return repr((exemption.namespaces, exemption.containers, selectors))


class ExemptionMatcher:
    """Those exemptions that may cover findings of one check on one cluster; false if there are none.

    per_object: True when pods of one owner may be treated differently, so that it cannot be decided by owner
    """

    def __init__(self, candidates: _Candidates) -> None:
        self._candidates = candidates
        self._matched: dict[Hashable, int] = {}
        self._unnamed = _Counts()
        self.per_object = candidates.per_object

    def __bool__(self) -> bool:
        return bool(self._candidates.alike)

    def fresh(self) -> ExemptionMatcher:
        """The same exemptions, with nothing matched yet: uses of a matcher that lives long would pile up."""
        return ExemptionMatcher(self._candidates)

    @property
    def uses(self) -> dict[int, int]:
        """Index in the session's list → findings that it matched, expired ones included."""
        counts = self._unnamed.and_of(self._matched.values())
        return {
            one.index: count
            for position, some in enumerate(self._candidates.alike)
            if (count := counts.at(position))
            for one in some
        }

    def match(
        self,
        resource: ResourceRef,
        owner: ResourceRef,
        labels: Mapping[str, str],
        container: str,
        finding: Hashable = None,
    ) -> AppliedExemption | None:
        """The first valid exemption that covers this finding; every one that matches is counted as used.

        finding: what makes it one finding; an exemption that matches it on several pods counts it once
        """
        candidates = self._candidates
        covering, others = candidates.index.candidates(
            resource, owner, _namespace(resource), labels, container
        )
        while others:
            bit = others & -others
            others ^= bit
            if candidates.alike[bit.bit_length() - 1][0].covers(resource, owner, labels, container):
                covering |= bit
        if not covering:
            return None
        if finding is None:
            self._unnamed.add(covering)
        else:
            self._matched[finding] = self._matched.get(finding, 0) | covering
        first = (covering & -covering).bit_length() - 1
        return candidates.valid[first].applied if first < len(candidates.valid) else None


class _Counts:
    """How often each bit was there, as digits of base two: adding thousands of them costs as much as adding one."""

    def __init__(self, digits: Iterable[int] = ()) -> None:
        self._digits = list(digits)

    def add(self, bits: int) -> None:
        place = 0
        while bits:
            if place == len(self._digits):
                self._digits.append(0)
            self._digits[place], bits = self._digits[place] ^ bits, self._digits[place] & bits
            place += 1

    def and_of(self, many: Iterable[int]) -> _Counts:
        """With these added."""
        made = _Counts(self._digits)
        for bits in many:
            made.add(bits)
        return made

    def at(self, position: int) -> int:
        return sum((digit >> position & 1) << place for place, digit in enumerate(self._digits))


class _ByCheck:
    """Exemptions by the check ids that they name; those with wildcards, or for all checks, are compared."""

    def __init__(self, exemptions: Sequence[_Compiled]) -> None:
        self._named: dict[str, list[_Compiled]] = {}
        self._others: list[_Compiled] = []
        for compiled in exemptions:
            checks = compiled.exemption.checks
            if checks and all(map(is_literal, checks)):
                for check in dict.fromkeys(checks):
                    self._named.setdefault(check, []).append(compiled)
            else:
                self._others.append(compiled)

    def of(self, check_id: str) -> list[_Compiled]:
        """In their order. As `matches_check`: a name without its [part] covers all parts."""
        found = {c.index: c for c in self._others if matches_check(c.checks, check_id)}
        names = (check_id, check_id.partition("[")[0]) if check_id.endswith("]") else (check_id,)
        for name in names:
            found.update((c.index, c) for c in self._named.get(name, ()))
        return [found[index] for index in sorted(found)]


class Exemptions:
    """All exemptions of a session. Raises SpecError if two of them share a name."""

    def __init__(self, exemptions: Sequence[Exemption], now: datetime) -> None:
        first: dict[str, Exemption] = {}
        for exemption in exemptions:
            other = first.setdefault(exemption.name, exemption)
            if other is not exemption:
                where = f" at {other.location}" if other.location else ""
                raise SpecError(
                    f"an exemption named {exemption.name!r} already exists{where}.",
                    where=exemption.location,
                )
        self.all = tuple(first.values())
        self._compiled = [_Compiled(index, exemption, now) for index, exemption in enumerate(self.all)]
        self._by_cluster: dict[str, _ByCheck] = {}
        self._candidates: dict[tuple[int, ...], _Candidates] = {}

    def for_check(self, check_id: str, cluster: str) -> ExemptionMatcher:
        """A matcher for the findings of this requirement (or check) on this cluster."""
        by_check = self._by_cluster.get(cluster)
        if by_check is None:
            there = [c for c in self._compiled if c.clusters.match(cluster)]
            by_check = self._by_cluster[cluster] = _ByCheck(there)
        chosen = by_check.of(check_id)
        key = tuple(c.index for c in chosen)  # many checks have the same ones: indexed once
        candidates = self._candidates.get(key)
        if candidates is None:
            candidates = self._candidates[key] = _Candidates(chosen)
        return ExemptionMatcher(candidates)

    def report(self, uses: Mapping[int, int], *, complete: bool = True) -> tuple[ExemptionUse, ...]:
        """What became of each exemption, in their order.

        uses: the sum of the matchers' `uses`
        complete: every requirement was evaluated; otherwise one without a match may have had no chance ("unknown")
        """
        unmatched = "unused" if complete else "unknown"
        return tuple(
            ExemptionUse(
                name=c.exemption.name,
                reason=c.exemption.reason,
                approver=c.exemption.approver,
                expires_at=c.exemption.expires_text,
                location=c.exemption.location,
                state="expired" if c.expired else "used" if uses.get(c.index) else unmatched,
                matched=uses.get(c.index, 0),
            )
            for c in self._compiled
        )


def load_exemptions(path: str | Path) -> list[Exemption]:
    """Read a file of `kind: Exemptions`. Raises SpecError with every problem."""
    from pytest_kspec.spec import loading as specfile

    return specfile.load_exemption_file(path)
