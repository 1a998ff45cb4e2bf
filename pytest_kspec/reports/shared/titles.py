"""Titles of cluster results that are unique in a report: names of suites, files and classes."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

from pytest_kspec.results.result import ScanResult


def cluster_titles(result: ScanResult) -> list[str]:
    """A unique title for each cluster result: "<spec>.<cluster>", with the file or a number where needed."""
    return unique(f"{spec}.{cluster}" for spec, cluster in _parts(result))


def class_names(result: ScanResult) -> list[str]:
    """The titles with this one dot only, unique: what follows the last dot is the class to Jenkins."""
    return unique(f"{undotted(spec)}.{undotted(cluster)}" for spec, cluster in _parts(result))


def undotted(name: str) -> str:
    """`prod.example.com` as `prod_example_com`."""
    return name.replace(".", "_")


def _parts(result: ScanResult) -> list[tuple[str, str]]:
    plain = [(c.spec_name, c.name) for c in result.clusters]
    counts = Counter(plain)
    return [
        (f"{c.spec_name} ({c.spec_path})" if counts[c.spec_name, c.name] > 1 else c.spec_name, c.name)
        for c in result.clusters
    ]


def unique(names: Iterable[str]) -> list[str]:
    """The names, with " #2", " #3" … behind those that came before."""
    taken: set[str] = set()
    result = []
    for name in names:
        candidate, number = name, 1
        while candidate in taken:
            number += 1
            candidate = f"{name} #{number}"
        taken.add(candidate)
        result.append(candidate)
    return result
