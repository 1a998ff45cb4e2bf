"""Specifications that are based on others (`policyInheritance`): what changes a base changes them."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping
from typing import Any


def heirs(name: str, known: Mapping[str, Mapping[str, Any]]) -> set[str]:
    """Names of those that are based on the specification of this name, also through others. known: all, by name."""
    by_base: defaultdict[str, list[str]] = defaultdict(list)
    for other, item in known.items():
        for base in _bases(item):
            by_base[base].append(other)
    found: set[str] = set()
    todo = [name]
    while todo:
        for other in by_base.get(todo.pop(), ()):
            if other not in found:
                found.add(other)
                todo.append(other)
    return found - {name}


def _bases(item: Mapping[str, Any]) -> Iterator[str]:
    """As an API server may have it, which is not always what the definition says."""
    part = item.get("spec")
    part = part.get("policyInheritance") if isinstance(part, dict) else None
    names = part.get("basePolicies") if isinstance(part, dict) else None
    yield from (one for one in (names if isinstance(names, list) else ()) if isinstance(one, str))
