"""Writing to a cluster, on the connection of a live source. Reading code never comes here.

Server-side apply is the way to write: the server keeps who owns which field, and an apply that changes nothing
changes nothing. Objects are plain dicts as the API server returns them. An unknown field is refused, never
dropped in silence (`fieldValidation=Strict`). In a status it is dropped: a definition of an older version is no reason
to say nothing at all.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any, Literal

import msgspec

from pytest_kspec.cluster.api.discovery import served_in
from pytest_kspec.cluster.api.http import JSON, Answer
from pytest_kspec.cluster.objects import refusals
from pytest_kspec.cluster.objects.answers import Wrong, check_kind, check_metadata, check_object
from pytest_kspec.cluster.objects.items import BROKEN_JSON, items_of
from pytest_kspec.cluster.objects.kinds import split_api_version
from pytest_kspec.cluster.sources.live import LiveSource, resource_path
from pytest_kspec.cluster.writing.writeerrors import WriteTarget, error_of
from pytest_kspec.errors import Malformed, NotFound, SourceUnavailable, StillThere
from pytest_kspec.kube.resources import ResourceType

FIELD_MANAGER = "kspec"

PatchType = Literal["merge", "strategic", "json"]
Propagation = Literal["Background", "Foreground", "Orphan"]
Object = dict[str, Any]

_APPLY = "application/apply-patch+yaml"  # JSON is YAML
_PATCHES: dict[PatchType, str] = {
    "merge": "application/merge-patch+json",
    "strategic": "application/strategic-merge-patch+json",
    "json": "application/json-patch+json",
}


class Writer:
    """One cluster, for writing. To be used from one thread, as its source.

    on_warning: called with each warning that the server sends (deprecated versions, odd fields).
    gate: entered just before each write is sent, left with its answer; what it raises keeps it from being sent.

    All methods raise: AccessDenied (403, with the verb to grant), NotServed (the kind is unknown there),
    NotFound, Conflict (409), Refused (422, admission), SourceUnavailable. 429 and 5xx are tried again as the
    reader does; what must not happen twice is tried again only where the server surely did nothing.
    """

    def __init__(
        self,
        source: LiveSource,
        *,
        on_warning: Callable[[str], None] | None = None,
        gate: Callable[[], AbstractContextManager[None]] = nullcontext,
    ) -> None:
        self.source = source
        self._gate = gate
        self._on_warning = on_warning
        self._types: dict[str, dict[str, ResourceType]] = {}

    # -- write ---------------------------------------------------------------------------------------------

    def apply(
        self,
        obj: Mapping[str, Any],
        *,
        field_manager: str = FIELD_MANAGER,
        force: bool = True,
        dry_run: bool = False,
        subresource: str = "",
    ) -> Object:
        """Server-side apply; what the server made of it comes back.

        force: take fields over from other managers. Without it that is a Conflict which names them.
        subresource: "status" sends `obj` to the status endpoint, which reads its `status` only. Those that answer with
        an object of another kind (scale) are not for this class.
        """
        target = self._target("apply", obj, subresource)
        query = _query(field_manager, dry_run, subresource) | ({"force": "true"} if force else {})
        return self._write("PATCH", target, query, _without_managed_fields(obj), content_type=_APPLY)

    def create(
        self, obj: Mapping[str, Any], *, field_manager: str = FIELD_MANAGER, dry_run: bool = False
    ) -> Object:
        """Create; Conflict if it exists. With `generateName` the server chooses the name."""
        target = self._target("create", obj)
        return self._write("POST", target, _query(field_manager, dry_run), obj, repeatable=False)

    def replace(
        self,
        obj: Mapping[str, Any],
        *,
        field_manager: str = FIELD_MANAGER,
        dry_run: bool = False,
        subresource: str = "",
    ) -> Object:
        """Put `obj` in the place of the one of its name. With its `resourceVersion`: Conflict if that changed."""
        target = self._target("replace", obj, subresource)
        return self._write("PUT", target, _query(field_manager, dry_run, subresource), obj)

    def patch(
        self,
        api_version: str,
        kind: str,
        name: str,
        patch: Mapping[str, Any] | Sequence[Mapping[str, Any]],
        *,
        namespace: str = "",
        patch_type: PatchType = "merge",
        field_manager: str = FIELD_MANAGER,
        dry_run: bool = False,
        subresource: str = "",
    ) -> Object:
        """JSON, strategic or merge patch. The server knows no strategic merge patch for custom resources."""
        target = WriteTarget("patch", *self._place(api_version, kind, namespace), name, subresource)
        return self._write(
            "PATCH",
            target,
            _query(field_manager, dry_run, subresource),
            patch,
            content_type=_PATCHES[patch_type],
            repeatable=patch_type != "json",
        )

    def delete(
        self,
        api_version: str,
        kind: str,
        name: str,
        *,
        namespace: str = "",
        propagation: Propagation = "Background",
        uid: str = "",
        dry_run: bool = False,
        at_once: bool = False,
    ) -> bool:
        """Delete; False if there is no such object. uid: only the object with this UID, else Conflict.

        at_once: StillThere where finalizers keep it.
        """
        target = WriteTarget("delete", *self._place(api_version, kind, namespace), name)
        options: Object = {"apiVersion": "v1", "kind": "DeleteOptions", "propagationPolicy": propagation}
        if uid:
            options["preconditions"] = {"uid": uid}
        if dry_run:  # here and not in the query, which the server does not read where there is a body
            options["dryRun"] = ["All"]
        try:
            left = self._write("DELETE", target, {}, options)
        except NotFound:
            return False
        metadata = left.get("metadata")
        if at_once and isinstance(metadata, dict) and (held := metadata.get("finalizers")):
            raise StillThere(
                f"{kind} {f'{namespace}/' if namespace else ''}{name} is being deleted, but finalizers block "
                f"the deletion ({', '.join(map(str, held))}).",
                where=self.source.name,
                fix="Find out which controller should remove these finalizers, and why it did not.",
            )
        return True

    # -- read what is to be written ------------------------------------------------------------------------

    def get(
        self, api_version: str, kind: str, name: str, *, namespace: str = "", subresource: str = ""
    ) -> Object:
        """One object, Secrets with their data. Raises NotFound."""
        target = WriteTarget("get", *self._place(api_version, kind, namespace), name, subresource)
        return self._answer(target, self.source.connection.get(_path(target)))

    def find(self, api_version: str, kind: str, name: str, *, namespace: str = "") -> Object | None:
        """As `get`; None if there is no such object."""
        try:
            return self.get(api_version, kind, name, namespace=namespace)
        except NotFound:
            return None

    def list(
        self,
        api_version: str,
        kind: str,
        *,
        namespace: str = "",
        label_selector: str = "",
        field_selector: str = "",
    ) -> list[Object]:
        """All objects, by namespace and name; every page of one list, Secrets as metadata only.

        namespace "": of all namespaces. Items have no apiVersion and kind where the server leaves them out.
        """
        resource_type = self.type_of(api_version, kind)
        found: list[Object] = []
        selected = {"label_selector": label_selector, "field_selector": field_selector}
        for page in self.source.pages(resource_type, namespace=namespace, **selected):
            try:
                items = items_of(page, resource_type, self.source.name)
                for item in items:
                    check_metadata(item["metadata"])
            except (Wrong, *BROKEN_JSON) as error:
                reason = f"an item {error}" if isinstance(error, Wrong) else "it is not valid JSON"
                raise Malformed(
                    f"the list of {resource_type.resource} could not be read: {reason}.",
                    where=self.source.name,
                ) from None
            found += items
        return sorted(found, key=_by_name)

    def served(self, group: str, kind: str) -> str | None:
        """The apiVersion in which this kind is served, the group's preferred one; None if it is not."""
        for resource_type in self.source.types():
            if (resource_type.group, resource_type.kind) == (group, kind):
                return resource_type.api_version
        return None

    def type_of(self, api_version: str, kind: str) -> ResourceType:
        """Plural and scope, as the server says. Raises NotServed."""
        found = self._types.get(api_version, {}).get(kind)
        if found is None:  # unknown, or served since we asked
            self._types[api_version] = self._discover(api_version)
            found = self._types[api_version].get(kind)
        if found is None:
            known = self._types[api_version]
            raise refusals.not_served(
                kind,
                None,
                self.source.name,
                known,
                what=f"the kind {kind} in {api_version} is not served.",
            )
        return found

    # -- inside --------------------------------------------------------------------------------------------

    def _discover(self, api_version: str) -> dict[str, ResourceType]:
        group, version = split_api_version(api_version)
        types = served_in(self.source.connection.get, group, version, self.source.name)
        return {resource_type.kind: resource_type for resource_type in types}

    def _place(self, api_version: str, kind: str, namespace: str) -> tuple[ResourceType, str, str]:
        """Type, cluster, namespace: the first fields of a target after the verb."""
        resource_type = self.type_of(api_version, kind)
        return resource_type, self.source.name, namespace if resource_type.namespaced else ""

    def _target(self, verb: str, obj: Mapping[str, Any], subresource: str = "") -> WriteTarget:
        metadata = obj.get("metadata")
        metadata = metadata if isinstance(metadata, Mapping) else {}
        api_version, kind, name = obj.get("apiVersion"), obj.get("kind"), metadata.get("name", "")
        if not isinstance(api_version, str) or not isinstance(kind, str) or not isinstance(name, str):
            raise Malformed(
                f"cannot {verb} an object without apiVersion, kind and metadata.name.", where=self.source.name
            )
        if not name and not (verb == "create" and metadata.get("generateName")):
            raise Malformed(f"cannot {verb} {kind}: it has no metadata.name.", where=self.source.name)
        place = self._place(api_version, kind, str(metadata.get("namespace") or ""))
        if place[0].namespaced and not place[2]:
            raise Malformed(
                f"cannot {verb} {kind} {name}: it has no metadata.namespace.", where=self.source.name
            )
        return WriteTarget(verb, *place, name, subresource)

    def _write(
        self,
        method: str,
        target: WriteTarget,
        query: dict[str, str],
        body: Any,
        *,
        content_type: str = JSON,
        repeatable: bool = True,
    ) -> Object:
        path = _path(target._replace(name="") if method == "POST" else target)
        with self._gate():
            answer = self.source.connection.send(
                method,
                path,
                query,
                body=msgspec.json.encode(body),
                content_type=content_type,
                repeatable=repeatable,
            )
        return self._answer(target, answer)

    def _answer(self, target: WriteTarget, answer: Answer) -> Object:
        if self._on_warning is not None:
            for header in answer.warnings:
                self._on_warning(_warning(header))
        if not 200 <= answer.status < 300:
            raise error_of(target, answer.status, answer.body)
        try:
            data: Object = msgspec.json.decode(answer.json())
            self._check(target, data)
        except (Wrong, *BROKEN_JSON) as error:
            reason = str(error) if isinstance(error, Wrong) else "is not valid JSON"
            done = "" if target.verb == "get" else " It is not known whether the change was made."
            raise SourceUnavailable(
                f"cannot {target.verb} {target.object}: the answer {reason}.{done}", where=target.cluster
            ) from None
        return data

    def _check(self, target: WriteTarget, data: Any) -> None:
        """Raises Wrong unless the answer is the object that the request was about."""
        if target.verb == "delete" and isinstance(data, dict) and data.get("kind") == "Status":
            if data.get("status") != "Success":
                raise Wrong("is a Status with status Failure")
            return
        resource_type = target.resource_type
        if target.verb == "list":
            check_kind(data, resource_type.api_version, f"{resource_type.kind}List")
        else:
            check_object(data, resource_type.api_version, resource_type.kind, target.name, target.namespace)


def _path(target: WriteTarget) -> str:
    return resource_path(target.resource_type, target.namespace, target.name, target.subresource)


def _query(field_manager: str, dry_run: bool, subresource: str = "") -> dict[str, str]:
    validation = "Warn" if subresource == "status" else "Strict"
    query = {"fieldManager": field_manager, "fieldValidation": validation}
    return query | ({"dryRun": "All"} if dry_run else {})


def _without_managed_fields(obj: Mapping[str, Any]) -> Mapping[str, Any]:
    """An apply of an object that came from a server is refused for its managedFields."""
    metadata = obj.get("metadata")
    if not isinstance(metadata, Mapping) or "managedFields" not in metadata:
        return obj
    return {**obj, "metadata": {key: value for key, value in metadata.items() if key != "managedFields"}}


def _by_name(obj: Object) -> tuple[str, str]:
    return obj["metadata"].get("namespace") or "", obj["metadata"]["name"]


def _warning(header: str) -> str:
    """The text of `299 - "text"`."""
    start, end = header.find('"'), header.rfind('"')
    return header[start + 1 : end].replace('\\"', '"') if 0 <= start < end else header
