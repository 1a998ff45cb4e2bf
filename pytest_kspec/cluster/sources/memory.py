"""Objects in memory as a cluster: for testing a check, and for what builds on a few objects at hand.

It is a real source: what it serves goes through the same JSON, decoding and errors as a live cluster's
answers.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from typing import Any

import msgspec

from pytest_kspec.cluster.objects import refusals
from pytest_kspec.cluster.objects.kinds import builtin_types, type_of
from pytest_kspec.errors import UsageError
from pytest_kspec.kube.resources import ClusterInfo, ResourceType


class MemorySource:
    """A cluster that holds these objects, and serves all built-in kinds and the kinds of the objects.

    objects: as `kubectl get -o json` prints them; `List` kinds are taken apart
    uid:     UID of the cluster. None: that of the Namespace kube-system, if it is one of the objects. Without a UID,
             the cluster is identified by its name
    denied:  kinds or plurals whose listing is refused ("Secret", "secrets")
    missing: kinds or plurals that are not served
    """

    def __init__(
        self,
        objects: Iterable[Mapping[str, Any]],
        *,
        version: str = "v1.34.0",
        name: str = "test",
        uid: str | None = None,
        kind: str = "live",
        denied: Collection[str] = (),
        missing: Collection[str] = (),
    ) -> None:
        self.ref = name
        self.name = name
        self.kind = kind
        self._denied = frozenset(word.lower() for word in denied)
        missing_words = frozenset(word.lower() for word in missing)
        self._types = {
            (t.group, t.kind): t
            for t in builtin_types()
            if kind != "manifests" and not _named(t, missing_words)
        }
        self._items: dict[tuple[str, str], list[Mapping[str, Any]]] = {}
        for item in _flat(objects):
            api_version, item_kind = item.get("apiVersion"), item.get("kind")
            if not isinstance(api_version, str) or not isinstance(item_kind, str):
                raise UsageError("an object has no apiVersion or no kind.", where=name)
            metadata = item.get("metadata")
            namespaced = isinstance(metadata, Mapping) and bool(metadata.get("namespace"))
            resource_type = type_of(api_version, item_kind, namespaced=namespaced)
            if _named(resource_type, missing_words):
                continue
            key = (resource_type.group, item_kind)
            self._types.setdefault(key, resource_type)
            self._items.setdefault(key, []).append(_without_secrets(item))
        self._info = ClusterInfo(name, kind, version, self._uid() if uid is None else uid)

    def info(self) -> ClusterInfo:
        """As given."""
        if self.kind != "manifests":
            return self._info
        return self._info._replace(namespaces=frozenset(self._namespaces()))

    def types(self) -> Sequence[ResourceType]:
        """Built-in kinds (live only) and the kinds of the objects."""
        return tuple(self._types.values())

    def pages(self, resource_type: ResourceType) -> Iterator[bytes]:
        """One page."""
        if _named(resource_type, self._denied):
            raise refusals.access_denied(resource_type, self.name)
        key = (resource_type.group, resource_type.kind)
        if key not in self._types:
            raise refusals.not_served(resource_type.kind, resource_type.group, self.name)
        yield msgspec.json.encode(self._items.get(key, []))

    def _uid(self) -> str:
        for item in self._items.get(("", "Namespace"), ()) if self.kind != "manifests" else ():
            metadata = item.get("metadata")
            if isinstance(metadata, Mapping) and metadata.get("name") == "kube-system":
                uid = metadata.get("uid")
                return uid if isinstance(uid, str) else ""
        return ""

    def _namespaces(self) -> Iterator[str]:
        for key, items in self._items.items():
            if self._types[key].namespaced:
                for item in items:
                    yield (item.get("metadata") or {}).get("namespace") or "default"

    def close(self) -> None:
        """Has no effect: there are no connections or files."""


def _named(resource_type: ResourceType, words: frozenset[str]) -> bool:
    names = {resource_type.kind.lower(), resource_type.plural, resource_type.resource}
    return not words.isdisjoint(names)


def _flat(objects: Iterable[Mapping[str, Any]]) -> Iterator[Mapping[str, Any]]:
    for item in objects:
        items = item.get("items")
        if str(item.get("kind", "")).endswith("List") and isinstance(items, list):
            yield from _flat(items)
        else:
            yield item


def _without_secrets(item: Mapping[str, Any]) -> Mapping[str, Any]:
    if item.get("kind") == "Secret" and item.get("apiVersion") == "v1":
        return {key: item[key] for key in ("apiVersion", "kind", "metadata") if key in item}
    return item
