"""Which kinds an API server serves: aggregated discovery, two requests; on old servers one for each
group version.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import msgspec

from pytest_kspec.cluster.http import JSON, Answer
from pytest_kspec.errors import AccessDenied, SourceError, SourceUnavailable
from pytest_kspec.model.resources import ResourceType

_AGGREGATED = "APIGroupDiscoveryList"
ACCEPT = ",".join(
    [*(f"application/json;g=apidiscovery.k8s.io;v={v};as={_AGGREGATED}" for v in ("v2", "v2beta1")), JSON]
)

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,252}")

Get = Callable[..., Answer]


def discover(get: Get, where: str) -> list[ResourceType]:
    """Every kind that can be listed, in its group's preferred version that has it. Raises SourceError."""
    found: dict[tuple[str, str], ResourceType] = {}
    for path in ("/api", "/apis"):
        data = _document(get, path, where)
        if data.get("kind") == _AGGREGATED:
            types = _aggregated(data)
        elif path == "/api":
            versions = [v for v in _list(data, "versions") if isinstance(v, str)]
            types = _legacy(get, "", [("/api/" + version, version) for version in versions], where)
        else:
            types = _legacy_groups(get, data, where)
        for resource_type in types:
            _require_names(resource_type, where)
            found.setdefault((resource_type.group, resource_type.plural), resource_type)
    if not found:
        raise SourceUnavailable("its discovery lists no kinds: not a Kubernetes API server?", where=where)
    return list(found.values())


def _require_names(resource_type: ResourceType, where: str) -> None:
    """They become parts of paths, of addresses and of files."""
    for name in (resource_type.group or "core", resource_type.version, resource_type.plural):
        if not _NAME.fullmatch(name):
            raise SourceUnavailable(f"its discovery holds {name!r:.100}, which is not a name.", where=where)


def _document(get: Get, path: str, where: str) -> dict[str, Any]:
    answer = get(path, accept=ACCEPT)
    if answer.status in (401, 403):
        raise AccessDenied(
            f"cannot read {path}: {'unauthorized' if answer.status == 401 else 'forbidden'}.",
            where=where,
            fix="Log in again: these credentials are not accepted."
            if answer.status == 401
            else "Bind the user of the scan to the ClusterRole system:discovery.",
        )
    if answer.status != 200:
        detail = f": {answer.message}" if answer.message else ""
        raise SourceUnavailable(f"{path} answers with HTTP {answer.status}{detail}.", where=where)
    try:
        data = msgspec.json.decode(answer.body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise SourceUnavailable(
            f"{path} answers with no JSON: not a Kubernetes API server?", where=where
        ) from error
    if not isinstance(data, dict):
        raise SourceUnavailable(f"{path} answers with something else than a discovery document.", where=where)
    return data


def _aggregated(data: dict[str, Any]) -> Iterator[ResourceType]:
    for group in _maps(data, "items"):
        name = _text(_map(group, "metadata"), "name")
        for version in _maps(group, "versions"):
            for resource in _maps(version, "resources"):
                if "list" in _list(resource, "verbs"):
                    yield ResourceType(
                        name,
                        _text(version, "version"),
                        _text(_map(resource, "responseKind"), "kind"),
                        _text(resource, "resource"),
                        _text(resource, "scope") == "Namespaced",
                    )


def _legacy_groups(get: Get, data: dict[str, Any], where: str) -> Iterator[ResourceType]:
    for group in _maps(data, "groups"):
        name = _text(group, "name")
        preferred = _text(_map(group, "preferredVersion"), "version")
        versions = sorted(
            (_text(version, "version") for version in _maps(group, "versions")), key=lambda v: v != preferred
        )
        yield from _legacy(get, name, [(f"/apis/{name}/{version}", version) for version in versions], where)


def _legacy(get: Get, group: str, paths: Iterable[tuple[str, str]], where: str) -> Iterator[ResourceType]:
    for path, version in paths:
        try:
            data = _document(get, path, where)
        except SourceError:
            if group.count(".") < 2 or group.endswith(".k8s.io"):  # the API server's own groups are needed
                raise
            continue  # the service behind an aggregated group is down: its kinds are not served now
        for resource in _maps(data, "resources"):
            name = _text(resource, "name")
            if "/" not in name and "list" in _list(resource, "verbs"):
                yield ResourceType(
                    group, version, _text(resource, "kind"), name, resource.get("namespaced") is True
                )


def _map(data: dict[str, Any], key: str) -> dict[str, Any]:
    value = data.get(key)
    return value if isinstance(value, dict) else {}


def _list(data: dict[str, Any], key: str) -> list[Any]:
    value = data.get(key)
    return value if isinstance(value, list) else []


def _maps(data: dict[str, Any], key: str) -> Iterator[dict[str, Any]]:
    return (item for item in _list(data, key) if isinstance(item, dict))


def _text(data: dict[str, Any], key: str) -> str:
    value = data.get(key)
    return value if isinstance(value, str) else ""
