"""Which kinds an API server serves: aggregated discovery, two requests; on old servers one for each
group version.

A document that is not the one that was asked for is an error: of an empty one it could not be told that kinds are
missing. Names are checked, as requests and files are named by them. What a service behind an aggregated group says
wrongly makes that group not served; the API server's own groups must be right.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import Any

import msgspec

from pytest_kspec.cluster.api.http import JSON, Answer
from pytest_kspec.cluster.objects.answers import Wrong
from pytest_kspec.errors import AccessDenied, Malformed, SourceError, SourceUnavailable, Unreachable
from pytest_kspec.kube.resources import ResourceType

MAX_KINDS = 20_000
MAX_GROUP_VERSIONS = 2_000

_AGGREGATED = "APIGroupDiscoveryList"
ACCEPT = ",".join(
    [*(f"application/json;g=apidiscovery.k8s.io;v={v};as={_AGGREGATED}" for v in ("v2", "v2beta1")), JSON]
)
_GROUP = re.compile(r"[a-z0-9]([-a-z0-9.]{0,251}[a-z0-9])?")
_LABEL = re.compile(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?")
_KIND = re.compile(r"[A-Za-z]([-A-Za-z0-9]{0,61}[A-Za-z0-9])?")

Get = Callable[..., Answer]


def discover(get: Get, where: str) -> list[ResourceType]:
    """Every kind that can be listed, in its group's preferred version that has it. Raises SourceError."""
    found: dict[tuple[str, str], ResourceType] = {}
    for path in ("/api", "/apis"):
        data = _document(get, path, where)
        try:
            if data.get("kind") == _AGGREGATED:
                types = _aggregated(data)
            elif path == "/api":
                types = _legacy(get, "", _versions(_of(data, "APIVersions")), where)
            else:
                types = _legacy_groups(get, _of(data, "APIGroupList"), where)
            for resource_type in types:
                found.setdefault((resource_type.group, resource_type.plural), resource_type)
                if len(found) > MAX_KINDS:
                    raise Wrong(f"lists more than {MAX_KINDS:,} kinds")
        except Wrong as wrong:
            raise Malformed(f"{path} is not a discovery document: it {wrong}.", where=where) from None
        if not found:
            raise SourceUnavailable("its discovery lists no kinds: not a Kubernetes API server?", where=where)
    return list(found.values())


def served_in(get: Get, group: str, version: str, where: str) -> list[ResourceType]:
    """Every kind of one group version, listable or not; none where it is not served. Raises SourceError."""
    path = _path(group, version)
    answer = get(path)
    if answer.status == 404:
        return []
    try:
        return [found for found, _ in _resources(_read(answer, path, where), group, version)]
    except Wrong as wrong:
        raise Malformed(f"{path} is not a discovery document: it {wrong}.", where=where) from None


def _document(get: Get, path: str, where: str) -> dict[str, Any]:
    return _read(get(path, accept=ACCEPT), path, where)


def _read(answer: Answer, path: str, where: str) -> dict[str, Any]:
    if answer.status in (401, 403):
        raise AccessDenied(
            f"cannot read {path}: {'unauthorized' if answer.status == 401 else 'forbidden'}.",
            where=where,
            fix="Log in again: the API server does not accept these credentials."
            if answer.status == 401
            else "Bind the user of the scan to the ClusterRole system:discovery.",
        )
    if answer.status != 200:
        detail = f": {answer.message}" if answer.message else ""
        raise SourceUnavailable(f"{path} answers with HTTP {answer.status}{detail}.", where=where)
    try:
        data = msgspec.json.decode(answer.json())
    except (Wrong, msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise SourceUnavailable(
            f"{path} does not answer with JSON: not a Kubernetes API server?", where=where
        ) from error
    if not isinstance(data, dict):
        raise SourceUnavailable(f"{path} does not answer with a discovery document.", where=where)
    return data


def _aggregated(data: dict[str, Any]) -> Iterator[ResourceType]:
    for group in _maps(data, "items"):
        metadata = group.get("metadata")
        name = _text(metadata, "name") if metadata else ""
        try:
            yield from list(_of_group(group, name))
        except Wrong:
            if _is_own(name):
                raise


def _of_group(group: dict[str, Any], name: str) -> Iterator[ResourceType]:
    for version in _maps(group, "versions"):
        for resource in _maps(version, "resources"):
            if "list" in _items(resource, "verbs"):
                scope = _text(resource, "scope")
                if scope not in ("Namespaced", "Cluster"):
                    raise Wrong(f"has a kind of the scope {scope[:40]!r}")
                yield _type(
                    name,
                    _text(version, "version"),
                    _text(resource.get("responseKind"), "kind"),
                    _text(resource, "resource"),
                    scope == "Namespaced",
                )


def _legacy_groups(get: Get, data: dict[str, Any], where: str) -> Iterator[ResourceType]:
    read = 0
    for group in _maps(data, "groups"):
        name = _text(group, "name")
        preferred = group.get("preferredVersion")
        first = _text(preferred, "version") if preferred else ""
        versions = sorted(
            (_text(version, "version") for version in _maps(group, "versions")), key=lambda v: v != first
        )
        read += len(versions)
        if read > MAX_GROUP_VERSIONS:
            raise Wrong(f"lists more than {MAX_GROUP_VERSIONS:,} group versions")
        yield from _legacy(get, name, versions, where)


def _versions(data: dict[str, Any]) -> list[str]:
    found = [version for version in _items(data, "versions") if isinstance(version, str)]
    if not found or len(found) > MAX_GROUP_VERSIONS:
        raise Wrong("lists no versions or too many")
    return found


def _legacy(get: Get, group: str, versions: list[str], where: str) -> Iterator[ResourceType]:
    for version in versions:
        try:
            _check(version, _LABEL, "version")
            data = _document(get, _path(group, version), where)
            yield from [found for found, verbs in _resources(data, group, version) if "list" in verbs]
        except (Wrong, SourceError) as error:
            if _is_own(group) or isinstance(error, Unreachable):
                raise
            # The service behind an aggregated group is down: its kinds are not served now.


def _resources(data: dict[str, Any], group: str, version: str) -> Iterator[tuple[ResourceType, list[Any]]]:
    """The kinds of one group version with their verbs, without subresources."""
    wanted = f"{group}/{version}" if group else version
    if _of(data, "APIResourceList").get("groupVersion") != wanted:
        raise Wrong(f"is not about {wanted}")
    for resource in _maps(data, "resources"):
        name, is_subresource, _ = _text(resource, "name").partition("/")
        _check(name, _LABEL, "resource")
        if not is_subresource:
            namespaced = resource.get("namespaced")
            if not isinstance(namespaced, bool):
                raise Wrong(f"does not say whether {name[:80]} are namespaced")
            verbs = _items(resource, "verbs")
            yield _type(group, version, _text(resource, "kind"), name, namespaced), verbs


def _type(group: str, version: str, kind: str, plural: str, namespaced: bool) -> ResourceType:
    if group:
        _check(group, _GROUP, "group")
    _check(version, _LABEL, "version")
    _check(kind, _KIND, "kind")
    _check(plural, _LABEL, "resource")
    return ResourceType(group, version, kind, plural, namespaced)


def _check(text: str, pattern: re.Pattern[str], what: str) -> None:
    if not pattern.fullmatch(text):
        raise Wrong(f"has a {what} that is not valid in Kubernetes: {text[:80]!r}")


def _path(group: str, version: str) -> str:
    return f"/apis/{group}/{version}" if group else f"/api/{version}"


def _is_own(group: str) -> bool:
    """Whether the API server itself serves it."""
    return group.count(".") < 2 or group.endswith(".k8s.io")


def _of(data: dict[str, Any], kind: str) -> dict[str, Any]:
    if data.get("kind") != kind:
        raise Wrong(f"is not {kind}")
    return data


def _items(data: dict[str, Any], key: str) -> list[Any]:
    value = data.get(key)
    if not isinstance(value, list | None):
        raise Wrong(f"has {key} that are not a list")
    return value or []


def _maps(data: dict[str, Any], key: str) -> Iterator[dict[str, Any]]:
    for item in _items(data, key):
        if not isinstance(item, dict):
            raise Wrong(f"has an entry in {key} that is not an object")
        yield item


def _text(data: Any, key: str) -> str:
    value = data.get(key) if isinstance(data, dict) else None
    if not isinstance(value, str):
        raise Wrong(f"has no {key}")
    return value
