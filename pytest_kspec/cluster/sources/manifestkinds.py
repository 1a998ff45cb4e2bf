"""Which kind an object of a manifest is of: no API server is there to refuse one that is written in another way."""

from __future__ import annotations

from functools import cache

from pytest_kspec.cluster.objects.kinds import builtin_types
from pytest_kspec.kube.podkinds import pod_kinds
from pytest_kspec.kube.resources import ResourceType


@cache
def namespaced_kinds() -> frozenset[tuple[str, str]]:
    """Kinds of other projects that hold pods, which run in the namespace of the object."""
    return frozenset(key for key in pod_kinds() if key[1] != "*" and not key[1].startswith("Cluster"))


@cache
def known_kinds() -> frozenset[tuple[str, str]]:
    """Kinds of which two objects with one name are an error."""
    return frozenset((known.group, known.kind) for known in builtin_types()) | namespaced_kinds()


def meant(api_version: str, kind: str) -> tuple[str, str]:
    """What `deployment`, or a NetworkPolicy of extensions/v1beta1, is meant to be: as an unknown kind it would not be
    looked at. Of one that holds pods it is an error of that object, of others one of all that ask for their kind.

    Groups of custom resources (they have a dot) may have kinds of these names.
    """
    group = api_version.rpartition("/")[0]
    same = _meant_kinds().get(kind.casefold())
    if same is None or (group, kind) in same or ("." in group and group not in _builtin_groups()):
        return api_version, kind
    right = next((found for found in same.values() if found.group == group), next(iter(same.values())))
    return right.api_version, right.kind


@cache
def _meant_kinds() -> dict[str, dict[tuple[str, str], ResourceType]]:
    """Built-in kinds by their name in lower case; one group has an Event, and another, too."""
    found: dict[str, dict[tuple[str, str], ResourceType]] = {}
    for known in builtin_types():
        found.setdefault(known.kind.casefold(), {})[known.group, known.kind] = known
    return found


@cache
def _builtin_groups() -> frozenset[str]:
    return frozenset(known.group for known in builtin_types())
