"""Items of lists: what is wrong with one, and what it leaves out."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import msgspec

from pytest_kspec.cluster.objects import redact
from pytest_kspec.cluster.objects.answers import Buffer, has_name, is_of
from pytest_kspec.errors import Malformed
from pytest_kspec.kube.resources import ResourceType

BROKEN_JSON = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)
"""What msgspec raises for text that is no JSON, no UTF-8, or nested too deeply."""


@contextmanager
def gc_paused() -> Iterator[None]:
    """Decoding makes no reference cycles: looking for them only costs, now and in every later collection.

    What was decoded lives as long as the run, so it is frozen: the collector does not walk it again.
    """
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.freeze()
            gc.enable()


RAW_ITEMS = msgspec.json.Decoder(list[msgspec.Raw] | None)
_ITEMS = msgspec.json.Decoder(list[Any] | None)


def items_of(
    page: Buffer,
    resource_type: ResourceType,
    where: str,
    *,
    named: bool = True,
    of_kind: bool = True,
    first: int = 0,
) -> list[dict[str, Any]]:
    """The objects of one page. named, of_kind: each must have a name, and be of the kind that was asked for.

    first: the index of its first item in the list

    Raises Malformed; what `BROKEN_JSON` names.
    """
    items: list[Any] = _ITEMS.decode(page) or []
    for index, item in enumerate(items, first):
        check_item(item, index, resource_type, where, named=named, of_kind=of_kind)
    return items


def check_item(
    item: Any, index: int, resource_type: ResourceType, where: str, *, named: bool, of_kind: bool
) -> None:
    """The same for one item. Raises Malformed."""
    if not isinstance(item, dict):
        raise Malformed(
            f"item {index} in the list of {resource_type.resource} is not an object.", where=where
        )
    if of_kind and not is_of(resource_type, item.get("apiVersion"), item.get("kind")):
        raise foreign(index, item.get("apiVersion"), item.get("kind"), resource_type, where)
    if named and not has_name(item.get("metadata")):
        raise Malformed(
            f"item {index} in the list of {resource_type.resource} has no valid name.",
            where=where,
        )


def foreign(index: int, api_version: Any, kind: Any, resource_type: ResourceType, where: str) -> Malformed:
    """The error of an item of another kind than the one that was asked for."""
    said = " ".join(f"{kind} {api_version}".split())[:80]
    return Malformed(f"item {index} in the list of {resource_type.resource} is of {said}.", where=where)


def removed(api_version: str, kind: str, resource_type: ResourceType, where: str = "") -> Malformed:
    """Of an object of an API that Kubernetes does not have, and what is meant."""
    return Malformed(
        f"the kind {kind} does not exist in {api_version}.",
        where=where,
        fix=f"Use apiVersion: {resource_type.api_version} and kind: {resource_type.kind}.",
    )


def complete(raw: dict[str, Any], resource_type: ResourceType, default_namespace: str) -> None:
    """Fill in what items of a list leave out; take away managedFields, and the namespace of what is in none."""
    raw["kind"] = raw.get("kind") or resource_type.kind
    raw["apiVersion"] = raw.get("apiVersion") or resource_type.api_version
    metadata = raw.get("metadata")
    if redact.is_secret(resource_type):
        redact.strip_secret(raw)
    if isinstance(metadata, dict):
        metadata.pop("managedFields", None)
        if not resource_type.namespaced:
            # An API server takes it away; with it, what binds everywhere would be out of a scope.
            metadata.pop("namespace", None)
        elif default_namespace and not metadata.get("namespace"):
            metadata["namespace"] = default_namespace


def malformed_metadata(raw: dict[str, Any]) -> list[tuple[str, Any]]:
    """(path, value) of each field of `metadata` that has a wrong type."""
    metadata = raw.get("metadata")
    if not isinstance(metadata, dict):
        return [("metadata", metadata)]
    wrong = [
        (f"metadata.{key}", metadata[key])
        for key in ("name", "generateName", "namespace", "uid")
        if not isinstance(metadata.get(key, ""), str | None)
    ]
    labels = metadata.get("labels")
    if not isinstance(labels, dict | None) or any(
        not isinstance(value, str) for value in (labels or {}).values()
    ):
        wrong.append(("metadata.labels", labels))
    owners = metadata.get("ownerReferences")
    if not isinstance(owners, list | None) or any(not isinstance(owner, dict) for owner in owners or ()):
        wrong.append(("metadata.ownerReferences", owners))
    if not isinstance(metadata.get("annotations"), dict | None):
        wrong.append(("metadata.annotations", metadata["annotations"]))
    return wrong


def refuse_malformed(raw: dict[str, Any], resource_type: ResourceType, where: str) -> None:
    """Raises Malformed for an object whose `metadata` no API server accepts.

    Read as if it had no labels, it would leave every selector, and with it what is looked for.
    """
    metadata = raw.get("metadata")
    if metadata is None:
        return
    wrong = malformed_metadata(raw)
    for key in ("labels", "annotations"):
        texts = metadata.get(key) if isinstance(metadata, dict) else None
        if isinstance(texts, dict):
            odd = [
                (f"metadata.{key}[{name}]", text)
                for name, text in texts.items()
                if not isinstance(text, str | None)
            ]
            wrong = [*odd, *(one for one in wrong if one[0] != f"metadata.{key}")]
    if not wrong:
        return
    path, value = wrong[0]
    name = metadata.get("name") if isinstance(metadata, dict) else None
    raise Malformed(
        f"{path} is {msgspec.json.encode(value).decode()[:60]}, which Kubernetes does not allow there.",
        where=f"{where}: {resource_type.kind} {name}"
        if isinstance(name, str)
        else f"{where}: {resource_type.kind}",
        fix="Put it in quotes." if isinstance(value, int | float) else "",
    )
