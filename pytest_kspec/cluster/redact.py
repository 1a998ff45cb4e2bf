"""What is never kept: data of Secrets, and in snapshots environment values that look like credentials.

Whoever applied an object with kubectl left a copy of it in an annotation, so those annotations go as well.
"""

from __future__ import annotations

import re
from typing import Any

import msgspec

from pytest_kspec.cluster.answers import Buffer
from pytest_kspec.model.resources import ResourceType

METADATA_ONLY = ("meta.k8s.io/v1", "PartialObjectMetadata")
"""What an API server calls an object of which only metadata was asked for."""

REMOVED = "(not recorded: looks like a credential)"
"""Stands in a snapshot for the value of an environment variable."""

_APPLIED = re.compile(
    r".*/last-applied(-configuration)?|objectset\.rio\.cattle\.io/applied|kapp\.k14s\.io/original(-diff.*)?"
)
_NAMES = re.compile(
    r"pass|pwd|secret|token|key|cred|auth|private|cert|dsn|jwt|cookie|salt|signature|conn(ection)?_?str|_pat\b|\bpat_",
    re.IGNORECASE,
)
_VALUES = re.compile(
    r"://[^/\s:@]*:[^/\s@]+@"  # user and password in a URL
    r"|-----BEGIN |\beyJ[\w-]{10,500}+\.[\w-]+\.|\bAKIA[0-9A-Z]{12}|\bgh[pousr]_\w{20}|\bglpat-|\bxox[abpr]-"
)
_MAX_DEPTH = 200


def is_secret(resource_type: ResourceType) -> bool:
    """Whether objects of this kind are Secrets."""
    return resource_type.kind == "Secret" and not resource_type.group


def strip_secret(raw: dict[str, Any]) -> None:
    """Leave a Secret its metadata and type only."""
    for key in [key for key in raw if key not in ("apiVersion", "kind", "metadata", "type")]:
        del raw[key]
    strip_applied(raw)


def strip_applied(raw: dict[str, Any]) -> None:
    """Take away annotations that hold a copy of an object."""
    metadata = raw.get("metadata")
    annotations = metadata.get("annotations") if isinstance(metadata, dict) else None
    if isinstance(annotations, dict):
        for name in [name for name in annotations if isinstance(name, str) and _APPLIED.fullmatch(name)]:
            del annotations[name]


def for_snapshot(raw: dict[str, Any]) -> None:
    """Make an object fit to be written down, in place."""
    _walk(raw, 0)


def _walk(value: Any, depth: int) -> None:
    if depth > _MAX_DEPTH:
        raise RecursionError
    if isinstance(value, dict):
        if "annotations" in value:
            strip_applied({"metadata": value})
        for key, child in value.items():
            if key == "env" and isinstance(child, list):
                _hide(child)
            if isinstance(child, dict | list):
                _walk(child, depth + 1)
    else:
        for child in value:
            if isinstance(child, dict | list):
                _walk(child, depth + 1)


def _hide(variables: list[Any]) -> None:
    for variable in variables:
        if not isinstance(variable, dict) or not variable.get("value"):
            continue
        if is_credential(str(variable.get("name", "")), str(variable["value"])):
            variable["value"] = REMOVED


def is_credential(name: str, value: str) -> bool:
    """Whether a value, by what it is called or by what it looks like, may be a credential."""
    return bool(_NAMES.search(name) or _VALUES.search(value))


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
