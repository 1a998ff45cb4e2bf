"""Requirements: one thing that a specification asks of a cluster."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, TypeVar

from msgspec import Struct, field

from pytest_kspec.regexes import regex

T = TypeVar("T")

_COLONS = regex("::+")


class Requirement(Struct, frozen=True):
    """One requirement of a specification for a cluster.

    id:       item name: the path of the spec key, with the list entry in brackets
              ("workloads.containers.required[securityContext.runAsNonRoot]")
    key:      path of its key below `spec`, to find the line ("workloads.containers.required[0]")
    value:    value of the key in the specification: plain data or a model of `pytest_kspec.spec.sections`
    location: "file:line:column" of that key; filled in by the plan
    controls: catalog id → ids of the controls that it covers; filled in by the plan
    """

    id: str
    key: str
    value: Any = None
    location: str = ""
    controls: Mapping[str, tuple[str, ...]] = field(default_factory=dict)

    @classmethod
    def each(cls, key: str, entries: Iterable[T], label: Callable[[T], str]) -> Iterator[Requirement]:
        """One requirement for each entry of a list of the specification, `key[label]`; its value is the entry.

        key:   path of the list below `spec` ("network.requiredPolicies")
        label: what tells an entry from the others. A second entry with the same label gets `#2`. A test id has
               neither spaces nor `::`: they become `_` and `:`
        """
        seen: Counter[str] = Counter()
        for index, entry in enumerate(entries):
            name = _COLONS.sub(":", "_".join(label(entry).split()))
            seen[name] += 1
            again = f"#{seen[name]}" if seen[name] > 1 else ""
            yield cls(f"{key}[{name}{again}]", f"{key}[{index}]", entry)
