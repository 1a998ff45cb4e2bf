"""Raw pages → resources. Pods and controllers are decoded to what every check needs; the rest stays raw
until asked for.

The garbage collector pauses while a page is decoded (four to five times faster), pod specs are shared
(`shapes`), labels and owner references too. Any field stays reachable: `raw` of a pod is read from its page
when a check asks for it.
"""

from __future__ import annotations

import gc
from collections import OrderedDict
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple

import msgspec

from pytest_kspec.cluster import redact
from pytest_kspec.cluster.answers import Buffer, has_name, is_of
from pytest_kspec.cluster.kinds import TEMPLATE_PATHS
from pytest_kspec.cluster.listed import ITEMS, OWNERS, OwnerReference, PodPage
from pytest_kspec.cluster.shapes import Shapes
from pytest_kspec.errors import Malformed, SourceUnavailable
from pytest_kspec.model.finding import ResourceRef
from pytest_kspec.model.resources import PodShape, Resource, ResourceType, Workload

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


class Controller(NamedTuple):
    """The owner reference with `controller: true`."""

    api_version: str
    kind: str
    name: str
    uid: str


class ListedWorkload(Workload):
    """A workload whose whole object stays in its page. controller: its own controller, if it has one."""

    __slots__ = ("_index", "_page", "controller")

    controller: Controller | None
    _page: Page
    _index: int

    @property
    def raw(self) -> dict[str, Any]:
        """The whole object, read from its page; the last few are kept."""
        return self._page.object(self._index)


_RAW_ITEMS = msgspec.json.Decoder(list[msgspec.Raw] | None)
_ITEMS = msgspec.json.Decoder(list[Any] | None)
_TEXT_MAP = msgspec.json.Decoder(dict[str, str] | None)

_KEPT_OBJECTS = 512


class Page:
    """One page of a list, kept so that whole objects can be read from it."""

    __slots__ = ("_buffer", "_items", "_kept", "_namespace", "_type")

    def __init__(self, buffer: Buffer, resource_type: ResourceType, default_namespace: str) -> None:
        self._buffer = buffer
        self._type = resource_type
        self._namespace = default_namespace if resource_type.namespaced else ""
        self._items: list[msgspec.Raw] | None = None
        self._kept: OrderedDict[int, dict[str, Any]] = OrderedDict()

    def object(self, index: int) -> dict[str, Any]:
        """The whole object, without managedFields, with apiVersion and kind."""
        known = self._kept.get(index)
        if known is not None:
            return known
        if self._items is None:
            with gc_paused():
                self._items = _RAW_ITEMS.decode(self._buffer) or []
        found = msgspec.json.decode(self._items[index])
        complete(found, self._type, self._namespace)
        self._kept[index] = found
        if len(self._kept) > _KEPT_OBJECTS:
            self._kept.popitem(last=False)
        return found  # type: ignore[no-any-return]  # checked to be a map when the page was decoded


def items_of(
    page: Buffer, resource_type: ResourceType, where: str, *, named: bool = True, of_kind: bool = True
) -> list[dict[str, Any]]:
    """The objects of one page. named, of_kind: each must have a name, and be of the kind that was asked for.

    Raises Malformed; what `BROKEN_JSON` names.
    """
    items: list[Any] = _ITEMS.decode(page) or []
    for index, item in enumerate(items):
        if not isinstance(item, dict):
            raise Malformed(
                f"item {index} in the list of {resource_type.resource} is no object.", where=where
            )
        if of_kind and not is_of(resource_type, item.get("apiVersion"), item.get("kind")):
            raise _foreign(index, item.get("apiVersion"), item.get("kind"), resource_type, where)
        if named and not has_name(item.get("metadata")):
            raise Malformed(
                f"item {index} in the list of {resource_type.resource} has no name, or one that no API server allows.",
                where=where,
            )
    return items


def _foreign(index: int, api_version: Any, kind: Any, resource_type: ResourceType, where: str) -> Malformed:
    said = " ".join(f"{kind} {api_version}".split())[:80]
    return Malformed(f"item {index} in the list of {resource_type.resource} is of {said}.", where=where)


def removed(api_version: str, kind: str, resource_type: ResourceType) -> Malformed:
    """Of an object of an API that Kubernetes does not have, and what is meant."""
    return Malformed(
        f"Kubernetes has no kind {kind} in {api_version}.",
        fix=f"Write apiVersion: {resource_type.api_version} and kind: {resource_type.kind}.",
    )


def complete(raw: dict[str, Any], resource_type: ResourceType, default_namespace: str) -> None:
    """Fill in what items of a list leave out, and take managedFields away."""
    raw["kind"] = raw.get("kind") or resource_type.kind
    raw["apiVersion"] = raw.get("apiVersion") or resource_type.api_version
    metadata = raw.get("metadata")
    if redact.is_secret(resource_type):
        redact.strip_secret(raw)
    if isinstance(metadata, dict):
        metadata.pop("managedFields", None)
        if default_namespace and not metadata.get("namespace"):
            metadata["namespace"] = default_namespace


class Decoder:
    """Decodes the pages of one inventory; what is equal is kept once."""

    def __init__(self, cluster: str, default_namespace: str = "") -> None:
        self._cluster = cluster
        self._default_namespace = default_namespace
        self._exact = not default_namespace  # as API servers have it; files may hold anything
        self.shapes = Shapes()
        self._maps: dict[bytes, dict[str, str]] = {}
        self._controllers: dict[bytes, Controller | None] = {}

    def resources(self, page: Buffer | PodPage, resource_type: ResourceType) -> Sequence[Resource]:
        """The objects of one page. Raises SourceUnavailable (no JSON) or Malformed (an item is no object)."""
        decoded, buffer = (page, page.buffer) if isinstance(page, PodPage) else (None, page)
        template_path = TEMPLATE_PATHS.get((resource_type.group, resource_type.kind))
        try:
            with gc_paused():
                if template_path is not None:
                    try:
                        items = decoded.take() if decoded else ITEMS[template_path].decode(buffer) or []
                        return self._workloads(items, buffer, resource_type, template_path)
                    except msgspec.ValidationError:
                        pass  # some object has a value of a wrong type: take this page apart object by object
                return self._untyped(buffer, resource_type, template_path)
        except BROKEN_JSON as error:
            raise SourceUnavailable(
                f"the list of {resource_type.resource} cannot be read: {_text_of(error)}.",
                where=self._cluster,
            ) from error

    def _workloads(
        self, items: list[Any], buffer: Buffer, resource_type: ResourceType, template_path: str
    ) -> list[Resource]:
        page = Page(buffer, resource_type, self._default_namespace)
        default_namespace = self._default_namespace if resource_type.namespaced else ""
        default_version, kind = resource_type.api_version, resource_type.kind
        is_pod = template_path == ""
        found: list[Resource] = []
        new = ListedWorkload.__new__
        for index, item in enumerate(items):
            api_version = item.apiVersion or default_version
            if (item.kind and item.kind != kind) or (
                api_version != default_version and not is_of(resource_type, api_version, kind)
            ):
                if not self._exact:
                    raise msgspec.ValidationError("of a removed API")  # an error of this object only
                raise _foreign(index, item.apiVersion, item.kind, resource_type, self._cluster)
            metadata = item.metadata
            annotations = self._text_map(metadata.annotations)
            if is_pod:
                spec, of_pod = item.spec, annotations
            else:
                template = (
                    item.template
                    if template_path == "template."
                    else item.spec.template
                    if template_path == "spec.template."
                    else item.spec.jobTemplate.spec.template
                )
                spec, of_pod = template.spec, self._text_map(template.metadata.annotations)
            workload = new(ListedWorkload)
            workload.api_version = api_version
            workload.kind = kind
            workload.name = metadata.name or metadata.generateName
            workload.namespace = metadata.namespace or default_namespace
            workload.uid = metadata.uid
            workload.labels = self._text_map(metadata.labels)
            workload.annotations = annotations
            workload.shape = self.shapes.shape(bytes(spec), of_pod)
            workload.template_path = template_path
            workload.phase = item.status.phase if is_pod else ""
            workload.controller = self._controller(metadata.ownerReferences)
            workload._page, workload._index = page, index
            found.append(workload)
        return found

    def _text_map(self, raw: msgspec.Raw) -> dict[str, str]:
        text = bytes(raw)
        known = self._maps.get(text)
        if known is None:
            known = self._maps[text] = (_TEXT_MAP.decode(text) or {}) if text else {}
        return known

    def _controller(self, raw: msgspec.Raw) -> Controller | None:
        text = bytes(raw)
        if not text:
            return None
        if text not in self._controllers:
            self._controllers[text] = _controller_of(OWNERS.decode(text) or [])
        return self._controllers[text]

    def _untyped(
        self, buffer: Buffer, resource_type: ResourceType, template_path: str | None
    ) -> list[Resource]:
        found: list[Resource] = []
        default_namespace = self._default_namespace if resource_type.namespaced else ""
        page = Page(buffer, resource_type, self._default_namespace)
        named = self._exact and template_path is None  # what a workload lacks spoils that workload only
        items = items_of(buffer, resource_type, self._cluster, named=named, of_kind=self._exact)
        for index, raw in enumerate(items):
            complete(raw, resource_type, default_namespace)
            resource: Resource
            if template_path is None:
                resource = Resource(raw["apiVersion"], resource_type.kind, raw)
            else:
                resource = self._lenient(raw, resource_type, template_path)
                resource._page, resource._index = page, index
            found.append(resource)
        return found

    def _lenient(
        self, raw: dict[str, Any], resource_type: ResourceType, template_path: str
    ) -> ListedWorkload:
        """A workload of an object that may hold anything anywhere; what is wrong is kept in
        `shape.malformed`.
        """
        malformed = _malformed_metadata(raw)
        if not is_of(resource_type, raw["apiVersion"], raw["kind"]):
            malformed.append(("", removed(raw["apiVersion"], raw["kind"], resource_type)))
        pod: Any = raw
        for key in template_path.split(".")[:-1]:
            pod = pod.get(key) if isinstance(pod, dict) else None
        pod = pod if isinstance(pod, dict) else {}
        spec = pod.get("spec")
        annotations = _map(_map(pod.get("metadata")).get("annotations"))
        wrong_annotations = {name: value for name, value in annotations.items() if not isinstance(value, str)}
        malformed += [(f"metadata.annotations[{name}]", value) for name, value in wrong_annotations.items()]
        if not isinstance(spec, dict):
            malformed.append(("spec", spec))
        shape = self.shapes.shape(
            msgspec.json.encode(spec if isinstance(spec, dict) else {}),
            {name: value for name, value in annotations.items() if name not in wrong_annotations},
        )
        if malformed:
            shape = PodShape(shape.spec, shape.annotations, tuple(malformed))
        status = _map(raw.get("status"))
        phase = status.get("phase")
        workload = ListedWorkload(
            raw["apiVersion"],
            raw["kind"],
            raw,
            shape=shape,
            template_path=template_path,
            phase=phase if isinstance(phase, str) and not template_path else "",
        )
        workload.controller = controller_of_raw(raw)
        return workload


def _malformed_metadata(raw: dict[str, Any]) -> list[tuple[str, Any]]:
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


def _map(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _controller_of(owners: list[OwnerReference]) -> Controller | None:
    for owner in owners:
        if owner.controller:
            return Controller(owner.apiVersion, owner.kind, owner.name, owner.uid)
    return None


def controller_of_raw(raw: dict[str, Any]) -> Controller | None:
    """The controller of an object that may hold anything anywhere; None if it has none that can be read."""
    owners = _map(raw.get("metadata")).get("ownerReferences")
    try:
        return _controller_of(msgspec.convert(owners, list[OwnerReference] | None) or [])
    except msgspec.ValidationError:
        return None


def owner_ref(controller: Controller, namespace: str) -> ResourceRef:
    """The controller as the owner of findings. Nodes are cluster-scoped, all else lives beside its pods."""
    return ResourceRef(
        controller.api_version,
        controller.kind,
        "" if controller.kind == "Node" else namespace,
        controller.name,
    )


def _text_of(error: BaseException) -> str:
    return "nested too deeply" if isinstance(error, RecursionError) else str(error)
