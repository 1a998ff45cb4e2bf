"""Which ClusterTargets use the same Secret: one that is renamed is made anew, and keeps its credentials."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any


def secrets_of(target: Mapping[str, Any]) -> frozenset[str]:
    """Names of the Secrets beside a ClusterTarget that it refers to, as far as its spec can be read."""
    spec = target.get("spec")
    beside = ("", target["metadata"].get("namespace", ""))
    found = set()
    for field, ref in (spec if isinstance(spec, dict) else {}).items():
        if not field.endswith("SecretRef") or not isinstance(ref, dict):
            continue
        if ref.get("store", "kubernetes") == "kubernetes" and ref.get("namespace", "") in beside:
            found.add(str(ref.get("name", "")))
    return frozenset(found)


def users_of(secrets: Iterable[str], targets: Iterable[Mapping[str, Any]]) -> list[str]:
    """Names of the ClusterTargets that refer to one of them, in order."""
    wanted = frozenset(secrets)
    return sorted(str(one["metadata"]["name"]) for one in targets if wanted & secrets_of(one))
