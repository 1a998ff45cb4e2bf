"""What is never kept of Secrets, wherever they are read: their data, and copies of it in annotations."""

from __future__ import annotations

from typing import Any

import msgspec

from pytest_kspec.cluster.objects.answers import Buffer
from pytest_kspec.kube.resources import ResourceType

METADATA_ONLY = ("meta.k8s.io/v1", "PartialObjectMetadata")
"""What an API server calls an object of which only metadata was asked for."""


def is_secret(resource_type: ResourceType) -> bool:
    """Whether objects of this kind are Secrets."""
    return resource_type.kind == "Secret" and not resource_type.group


def strip_secret(raw: dict[str, Any]) -> None:
    """Leave a Secret its metadata and type only."""
    from pytest_kspec.redaction.objects import (
        strip_applied,
    )  # compiles patterns, which only runs with Secrets need

    for key in [key for key in raw if key not in ("apiVersion", "kind", "metadata", "type")]:
        del raw[key]
    metadata = raw.get("metadata")
    strip_applied(metadata.get("annotations") if isinstance(metadata, dict) else None)


def secret_page(page: Buffer) -> bytes:
    """The items of a list of Secrets without anything but metadata, also where the server ignored that only metadata
    was asked for.

    Raises msgspec.DecodeError.
    """
    items = msgspec.json.decode(page)
    for item in items or ():
        if isinstance(item, dict):
            strip_secret(item)
            if (item.get("apiVersion"), item.get("kind")) == METADATA_ONLY:
                del item["apiVersion"], item["kind"]
    return msgspec.json.encode(items)
