"""Which exemptions may cover an object, without asking each: 3,000 of them times 50,000 findings is a product.

An exemption is taken apart into terms: one namespace, one container, one selector of resources. Of each term, what is
written literally (kind, name, namespace, container) and how names with wildcards begin and end make a key, and of its
labels and of what stands between wildcards that which the fewest exemptions share. Terms that look at the same places
are kept in one table, so that a finding costs a look-up for each such table and not one for each exemption. Where that
leaves many, because all share their short texts (`*p*o*d*`), their patterns are compared as a tree. What is found may
cover the object; whoever asks compares it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import cached_property
from itertools import product
from typing import NamedTuple

from pytest_kspec.kube.globs import is_literal
from pytest_kspec.kube.globtree import GlobTree
from pytest_kspec.kube.reference import ResourceRef
from pytest_kspec.spec.exemption import Exemption, ResourceSelector

MAX_TERMS = 256
"""Terms of one exemption; beyond it lists are not multiplied, and fewer places are looked at."""
LONGEST = 16
"""Characters that are looked up of a text: each length is a place of its own, where every finding is looked at."""
FEW = 32
"""Up to so many, comparing each costs less than a tree."""
MAX_TABLES = 64
"""Each costs a finding a look-up; beyond it fewer kinds of places are looked at."""
_FIRST, _LAST = slice(LONGEST), slice(-LONGEST, None)
_NAMESPACE, _CONTAINER, _KIND, _NAME, _OWN_NAMESPACE, _LABEL = range(6)
_WHOLE, _START, _END, _INSIDE = range(4)


class _Place(NamedTuple):
    """Where to look: a field, and how much of it; so many characters somewhere in it."""

    field: int
    part: int = _WHOLE
    length: int = 0


_Text = str | tuple[str, str]
"""A label is both its key and its value."""
_Said = tuple[_Place, _Text]
_Term = tuple[_Said, ...]


_Tables = dict[tuple[_Place, ...], dict[tuple[_Text, ...], int]]
"""Positions are bits of a number: thousands of them are joined and compared at once."""


class ExemptionIndex:
    """The positions of exemptions in a sequence, by what they select."""

    def __init__(self, exemptions: Sequence[Exemption]) -> None:
        self._exemptions = exemptions
        counts: Counter[_Said] = Counter()
        for exemption in exemptions:
            counts.update({said for terms in _lists(exemption) for term in terms for said in term})

        def rarity(said: _Said) -> tuple[int, int, _Said]:
            return counts[said], -said[0].length, said

        self._tables = _tables(exemptions, lambda term: _narrowed(term, rarity, _has_many_keys))
        if len(self._tables) > MAX_TABLES:
            self._tables = _tables(exemptions, lambda term: _narrowed(term, rarity, _is_part))

    def candidates(
        self,
        resource: ResourceRef,
        owner: ResourceRef,
        namespace: str,
        labels: Mapping[str, str],
        container: str,
    ) -> tuple[int, int]:
        """Positions of those that cover the object, and of those that are to be compared, few of which do not.

        namespace: that `namespaces` of exemptions select by
        """
        found = 0
        refs = (resource,) if owner == resource else (resource, owner)
        for ref in refs:
            values = (namespace, container, ref.kind, ref.name, ref.namespace)
            for places, table in self._tables.items():
                for key in _keys(places, values, labels):
                    found |= table.get(key, 0)
        if found.bit_count() <= FEW:
            return 0, found
        found &= self._namespaces.matching(namespace) & (-1 if namespace else ~self._plain.in_namespaces)
        found &= self._containers.matching(container) & (-1 if container else ~self._plain.in_containers)
        selected = self._plain.anywhere
        named = 0
        for ref in refs:
            names = self._names.matching(ref.name)
            named |= names
            if ref.kind:
                selected |= names & (self._plain.of_kind.get(None, 0) | self._plain.of_kind.get(ref.kind, 0))
        return found & selected, found & named & ~self._plain.all

    @cached_property
    def _plain(self) -> _Plain:
        return _Plain(self._exemptions)

    @cached_property
    def _names(self) -> GlobTree:
        return _tree([[s.name or "*" for s in e.resources] for e in self._exemptions])

    @cached_property
    def _namespaces(self) -> GlobTree:
        return _tree([e.namespaces for e in self._exemptions])

    @cached_property
    def _containers(self) -> GlobTree:
        return _tree([e.containers for e in self._exemptions])


class _Plain:
    """Exemptions that trees alone decide: their selectors have one kind or none, and names at most.

    all: their positions; anywhere: of those without a selector; of_kind: of the others, by their kind
    in_namespaces, in_containers: of all exemptions that name some, and do not cover what has none
    """

    def __init__(self, exemptions: Sequence[Exemption]) -> None:
        self.all = self.anywhere = self.in_namespaces = self.in_containers = 0
        self.of_kind: dict[str | None, int] = {}
        for position, exemption in enumerate(exemptions):
            bit = 1 << position
            self.in_namespaces |= bit if exemption.namespaces else 0
            self.in_containers |= bit if exemption.containers else 0
            kinds = {selector.kind for selector in exemption.resources}
            if len(kinds) > 1 or any(
                s.label_selector or s.namespace is not None for s in exemption.resources
            ):
                continue
            self.all |= bit
            if kinds:
                (kind,) = kinds
                self.of_kind[kind] = self.of_kind.get(kind, 0) | bit
            else:
                self.anywhere |= bit


def _tree(patterns: Iterable[Sequence[str]]) -> GlobTree:
    """Of each exemption those one of which must match; none: everything does."""
    return GlobTree((one, number) for number, some in enumerate(patterns) for one in some or ("*",))


def _keys(
    places: tuple[_Place, ...], values: Sequence[str], labels: Mapping[str, str]
) -> Iterable[tuple[_Text, ...]]:
    key: list[_Text] = []
    for field, part, length in places:  # what is searched for is the last
        if field == _LABEL:
            return [(*key, label) for label in labels.items() if isinstance(label[1], str)]
        value = values[field]
        if part == _INSIDE:
            start = tuple(key)
            return {(*start, value[i : i + length]) for i in range(len(value) - length + 1)}
        key.append(value if part == _WHOLE else value[:length] if part == _START else value[-length:])
    return (tuple(key),)


def _lists(exemption: Exemption) -> list[list[_Term]]:
    return [
        [_selected(selector) for selector in exemption.resources],
        [_text(_NAMESPACE, pattern) for pattern in exemption.namespaces],
        [_text(_CONTAINER, pattern) for pattern in exemption.containers],
    ]


def _terms(exemption: Exemption) -> Iterator[_Term]:
    """Each is true of everything that the exemption covers in one of its ways."""
    chosen: list[list[_Term]] = []
    count = 1
    for terms in _lists(exemption):
        if terms and (count == 1 or count * len(terms) <= MAX_TERMS):
            chosen.append(terms)
            count *= len(terms)
    for combined in product(*chosen):
        yield tuple(said for term in combined for said in term)


def _tables(exemptions: Sequence[Exemption], narrowed: Callable[[_Term], _Term]) -> _Tables:
    made: _Tables = {}
    for position, exemption in enumerate(exemptions):
        for term in dict.fromkeys(map(narrowed, _terms(exemption))):
            places = tuple(place for place, _ in term)
            key = tuple(text for _, text in term)
            table = made.setdefault(places, {})
            table[key] = table.get(key, 0) | 1 << position
    return made


def _narrowed(
    term: _Term, rarity: Callable[[_Said], tuple[int, int, _Said]], one_of: Callable[[_Said], bool]
) -> _Term:
    """Of what `one_of` is true, only that which the fewest exemptions share, at the end."""
    found = [said for said in term if one_of(said)]
    rarest = (min(found, key=rarity),) if found else ()
    return (*(said for said in term if not one_of(said)), *rarest)


def _has_many_keys(said: _Said) -> bool:
    """A finding has several such texts at this place: two such places would be their product."""
    return said[0].field == _LABEL or said[0].part == _INSIDE


def _is_part(said: _Said) -> bool:
    return said[0].field == _LABEL or said[0].part != _WHOLE


def _selected(selector: ResourceSelector) -> _Term:
    term = _text(_NAME, selector.name) + _text(_OWN_NAMESPACE, selector.namespace)
    if selector.kind is not None:
        term += ((_Place(_KIND), selector.kind),)
    return term + tuple((_Place(_LABEL), label) for label in selector.label_selector.items())


def _text(field: int, pattern: str | None) -> _Term:
    if pattern is None:
        return ()
    if is_literal(pattern):
        return ((_Place(field), pattern),)
    start, *between, end = pattern.replace("?", "*").split("*")
    parts = [(_START, start[:LONGEST]), (_END, end[-LONGEST:])]
    # Of a long text both ends: what differs may stand at either.
    parts += [(_INSIDE, text[cut]) for text in between for cut in (_FIRST, _LAST)]
    parts += [(_INSIDE, start[_LAST])] if len(start) > LONGEST else []
    parts += [(_INSIDE, end[_FIRST])] if len(end) > LONGEST else []
    return tuple((_Place(field, part, len(text)), text) for part, text in dict.fromkeys(parts) if text)
