"""Which exemptions may cover an object, without asking each: 3,000 of them times 50,000 findings is a product.

An exemption is taken apart into terms: one namespace, one container, one selector of resources. Of each term, what is
written literally (kind, name, namespace, container, one label) and how names with wildcards begin, end or what is
between the wildcards make a key.
Terms that look at the same places are kept in one table, so that a finding costs a look-up for each such table and not
one for each exemption. What is found may cover the object; whoever asks compares it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import product
from typing import NamedTuple

from pytest_kspec.kube.globs import is_literal
from pytest_kspec.kube.reference import ResourceRef
from pytest_kspec.spec.exemption import Exemption, ResourceSelector

MAX_TERMS = 256
"""Terms of one exemption; beyond it lists are not multiplied, and fewer places are looked at."""
LONGEST_INSIDE = 16
"""Characters between two wildcards that are looked up: every place of a text is tried for each length."""
_NAMESPACE, _CONTAINER, _KIND, _NAME, _OWN_NAMESPACE = range(5)
_WHOLE, _START, _END, _INSIDE = range(4)


class _Place(NamedTuple):
    """Where to look: field (a number, or the key of a label), whole text or that many characters somewhere in it."""

    field: int | str
    part: int = _WHOLE
    length: int = 0


_Term = tuple[tuple[_Place, str], ...]


class ExemptionIndex:
    """The positions of exemptions in a sequence, by what they select."""

    def __init__(self, exemptions: Sequence[Exemption]) -> None:
        self._tables: dict[tuple[_Place, ...], dict[tuple[str, ...], list[int]]] = {}
        for position, exemption in enumerate(exemptions):
            for term in dict.fromkeys(_terms(exemption)):
                places = tuple(place for place, _ in term)
                key = tuple(text for _, text in term)
                self._tables.setdefault(places, {}).setdefault(key, []).append(position)

    def candidates(
        self,
        resource: ResourceRef,
        owner: ResourceRef,
        namespace: str,
        labels: Mapping[str, str],
        container: str,
    ) -> list[int]:
        """Positions in rising order, of every exemption that covers the object and few others.

        namespace: that `namespaces` of exemptions select by
        """
        found: set[int] = set()
        refs = (resource,) if owner == resource else (resource, owner)
        for ref in refs:
            values = (namespace, container, ref.kind, ref.name, ref.namespace)
            for places, table in self._tables.items():
                for key in _keys(places, values, labels):
                    positions = table.get(key)
                    if positions is not None:
                        found.update(positions)
        return sorted(found)


def _keys(
    places: tuple[_Place, ...], values: Sequence[str], labels: Mapping[str, str]
) -> Iterable[tuple[str, ...]]:
    key: list[str] = []
    for field, part, length in places:
        value = labels.get(field) if isinstance(field, str) else values[field]
        if not isinstance(value, str):
            return ()
        if part == _INSIDE:  # always the last
            start = tuple(key)
            return {(*start, value[i : i + length]) for i in range(len(value) - length + 1)}
        key.append(value if part == _WHOLE else value[:length] if part == _START else value[-length:])
    return (tuple(key),)


def _terms(exemption: Exemption) -> Iterator[_Term]:
    """Each is true of everything that the exemption covers in one of its ways."""
    lists = [
        [_selected(selector) for selector in exemption.resources],
        [_text(_NAMESPACE, pattern) for pattern in exemption.namespaces],
        [_text(_CONTAINER, pattern) for pattern in exemption.containers],
    ]
    chosen: list[list[_Term]] = []
    count = 1
    for terms in lists:
        if terms and (count == 1 or count * len(terms) <= MAX_TERMS):
            chosen.append(terms)
            count *= len(terms)
    for combined in product(*chosen):
        parts = [part for term in combined for part in term]
        inside = [part for part in parts if part[0].part == _INSIDE]
        yield (*(part for part in parts if part[0].part != _INSIDE), *inside[:1])


def _selected(selector: ResourceSelector) -> _Term:
    term = _text(_NAME, selector.name) + _text(_OWN_NAMESPACE, selector.namespace)
    if selector.kind is not None:
        term += ((_Place(_KIND), selector.kind),)
    if selector.label_selector:
        key, value = min(selector.label_selector.items())
        term += ((_Place(key), value),)
    return term


def _text(field: int, pattern: str | None) -> _Term:
    if pattern is None:
        return ()
    if is_literal(pattern):
        return ((_Place(field), pattern),)
    start, *between, end = pattern.replace("?", "*").split("*")
    inside = max(between, key=len, default="")[:LONGEST_INSIDE]
    parts = ((_START, start), (_END, end), (_INSIDE, inside))
    return tuple((_Place(field, part, len(text)), text) for part, text in parts if text)
