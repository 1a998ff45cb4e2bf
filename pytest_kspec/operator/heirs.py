"""Specifications that are based on others (`policyInheritance`): what changes a base changes them."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from typing import Any


class Heirs:
    """Who is based on whom, as far as changes were told: a look at all at each change would grow with their square."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._of: dict[str, set[str]] = {}  # base → those that name it

    def tell(self, before: Mapping[str, Any] | None, now: Mapping[str, Any] | None) -> None:
        """A specification was seen, changed, or is gone."""
        was, is_now = _bases(before), _bases(now)
        named = now or before
        if named is None or was == is_now:
            return
        name = named["metadata"]["name"]
        with self._lock:
            for base in was - is_now:
                self._of.get(base, set()).discard(name)
                if not self._of.get(base):
                    self._of.pop(base, None)
            for base in is_now:
                self._of.setdefault(base, set()).add(name)

    def of(self, name: str) -> set[str]:
        """Names of those that are based on the specification of this name, also through others."""
        found: set[str] = set()
        todo = [name]
        with self._lock:
            while todo:
                for other in self._of.get(todo.pop(), ()):
                    if other not in found:
                        found.add(other)
                        todo.append(other)
        return found - {name}


def _bases(item: Mapping[str, Any] | None) -> set[str]:
    """As an API server may have it, which is not always what the definition says."""
    part = item.get("spec") if item is not None else None
    part = part.get("policyInheritance") if isinstance(part, dict) else None
    names = part.get("basePolicies") if isinstance(part, dict) else None
    return {one for one in (names if isinstance(names, list) else ()) if isinstance(one, str)}
