"""Raw pages → resources. Pods and controllers are decoded to what every check needs; the rest stays raw
until asked for.

The garbage collector pauses while a page is decoded (four to five times faster), pod specs are shared
(`shapes`), labels and owner references too. Any field stays reachable: `raw` of a pod is read from its page
when a check asks for it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from sys import intern
from typing import Any

import msgspec

from pytest_kspec.cluster.objects.answers import Buffer, Wrong, is_of, split_list
from pytest_kspec.cluster.objects.items import (
    BROKEN_JSON,
    RAW_ITEMS,
    check_item,
    complete,
    foreign,
    gc_paused,
    items_of,
    malformed_metadata,
    refuse_malformed,
    removed,
)
from pytest_kspec.cluster.objects.kinds import TEMPLATE_PATHS, type_of
from pytest_kspec.cluster.objects.listed import ITEMS, OWNERS, Controller, controller_of, controller_of_raw
from pytest_kspec.cluster.objects.pieces import array_of, pieces
from pytest_kspec.cluster.objects.shapes import Shapes, may_have_security
from pytest_kspec.cluster.objects.whole import TEXT_MAP, ListedResource, ListedWorkload, Page, Whole
from pytest_kspec.errors import SourceUnavailable
from pytest_kspec.kube.resources import PodShape, Resource, ResourceType

DECODED_BYTES = 16 << 20
"""JSON of lists of which every object is kept decoded, for one inventory: of what comes on top, the text is kept."""


class PodPage:
    """A list of nothing but pods that its source decoded to see what it holds: not decoded a second time.

    buffer: the items as a JSON array; names: (namespace, name) of each, as they are written, to be taken once
    """

    __slots__ = ("buffer", "names", "pods")

    def __init__(self, buffer: Buffer, pods: list[Resource], names: list[tuple[str, str]]) -> None:
        self.buffer = buffer
        self.pods = pods
        self.names = names


class Decoder:
    """Decodes the pages of one inventory; what is equal is kept once."""

    def __init__(self, cluster: str, default_namespace: str = "") -> None:
        self._cluster = cluster
        self._default_namespace = default_namespace
        self._exact = not default_namespace  # as API servers have it; files may hold anything
        self.shapes = Shapes(written=not self._exact)
        self._whole = Whole()
        self._decoded = 0
        self._labels: dict[bytes, bytes] = {}
        self._controllers: dict[bytes, Controller | None] = {}
        self._namespaces: dict[str, str] = {}

    def close(self) -> None:
        """Forget what was read last, as far as it can be read again."""
        self._whole.close()
        self.shapes.close()

    def resources(self, page: Buffer | PodPage, resource_type: ResourceType) -> Sequence[Resource]:
        """The objects of one page. Raises SourceUnavailable (no JSON) or Malformed (an item is no object)."""
        if isinstance(page, PodPage):
            return page.pods
        template_path = TEMPLATE_PATHS.get((resource_type.group, resource_type.kind))
        try:
            with gc_paused():
                found: list[Resource] = []
                if template_path is None:
                    self._decoded += len(page)
                    if self._decoded <= DECODED_BYTES:
                        return self._untyped(page, resource_type, None)
                    for text, raws in pieces(page, _raw_items):
                        found += self._on_demand(text, raws, resource_type, len(found))
                    return found
                for text, items in pieces(page, _attempt(template_path)):
                    found += self._piece(text, items, resource_type, template_path, len(found))
                return found
        except BROKEN_JSON as error:
            raise SourceUnavailable(
                f"the list of {resource_type.resource} could not be read: {_text_of(error)}.",
                where=self._cluster,
            ) from error

    def pods_only(self, document: Buffer) -> PodPage | None:
        """The pods of a list; None where it is no list, is empty, holds anything else or what only `resources` reads.

        Raises what `BROKEN_JSON` names.
        """
        found: list[Resource] = []
        names: list[tuple[str, str]] = []
        pods = type_of("v1", "Pod")
        try:
            head = split_list(document)
            if not head.kind.endswith("List"):
                return None
            of_list = (head.api_version, head.kind.removesuffix("List"))
            for text, items in pieces(head.items, _attempt("")):
                if not items or any(
                    (pod.apiVersion or of_list[0], pod.kind or of_list[1]) != ("v1", "Pod") for pod in items
                ):
                    return None
                names += [(pod.metadata.namespace, pod.metadata.name) for pod in items]
                found += self._workloads(items, text, pods, "", len(found))
        except (Wrong, msgspec.ValidationError):
            return None
        return PodPage(head.items, found, names)

    def _on_demand(
        self, text: Buffer, raws: list[msgspec.Raw], resource_type: ResourceType, first: int
    ) -> Iterator[Resource]:
        """Objects of which names, labels and annotations are kept; one at a time is decoded."""
        page = Page(text, resource_type, self._default_namespace, self._whole)
        default_namespace = self._default_namespace if resource_type.namespaced else ""
        for index, raw in enumerate(raws):
            item = msgspec.json.decode(raw)
            check_item(
                item, first + index, resource_type, self._cluster, named=self._exact, of_kind=self._exact
            )
            complete(item, resource_type, default_namespace)
            self._refuse_removed(item, resource_type)
            resource = ListedResource(item["apiVersion"], resource_type.kind, item)
            resource._raw = {}
            resource._page, resource._index = page, index
            yield resource

    def _piece(
        self,
        text: Buffer,
        items: list[Any] | None,
        resource_type: ResourceType,
        template_path: str,
        first: int,
    ) -> list[Resource]:
        if items is not None:
            try:
                return self._workloads(items, text, resource_type, template_path, first)
            except msgspec.ValidationError:
                pass
        # Some object has a value of a wrong type: take this piece apart object by object.
        return self._untyped(text, resource_type, template_path, first)

    def _workloads(
        self, items: list[Any], text: Buffer, resource_type: ResourceType, template_path: str, first: int
    ) -> list[Resource]:
        page = Page(text, resource_type, self._default_namespace, self._whole)
        default_namespace = self._default_namespace if resource_type.namespaced else ""
        default_version, kind = resource_type.api_version, resource_type.kind
        is_pod = template_path == ""
        found: list[Resource] = []
        new = ListedWorkload.__new__
        namespaces, shape_of = self._namespaces, self.shapes.shape
        for index, item in enumerate(items):
            api_version = item.apiVersion
            if not api_version or api_version == default_version:
                api_version = default_version
            elif not is_of(resource_type, api_version, kind):
                raise self._other(item, first + index, resource_type)
            if item.kind and item.kind != kind:
                raise self._other(item, first + index, resource_type)
            metadata = item.metadata
            annotations = bytes(metadata.annotations)
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
                spec, of_pod = template.spec, bytes(template.metadata.annotations)
                TEXT_MAP.decode(annotations or b"null")  # raises ValidationError
            texts = TEXT_MAP.decode(of_pod) if of_pod else None
            workload = new(ListedWorkload)
            workload.api_version = api_version
            workload.kind = kind
            workload.name = metadata.name or metadata.generateName
            namespace = metadata.namespace or default_namespace
            workload.namespace = namespaces.setdefault(namespace, namespace)
            workload.uid = metadata.uid
            workload._labels = self._label_text(metadata.labels)
            workload._annotations = annotations
            workload.shape = (
                shape_of(bytes(spec), texts) if texts and may_have_security(of_pod) else shape_of(bytes(spec))
            )
            workload.template_path = template_path
            workload.phase = intern(item.status.phase) if is_pod else ""
            workload.controller = self._controller(metadata.ownerReferences)
            workload._page, workload._index = page, index
            found.append(workload)
        return found

    def _other(self, item: Any, index: int, resource_type: ResourceType) -> Exception:
        if not self._exact:
            return msgspec.ValidationError("of a removed API")  # an error of this object only
        return foreign(index, item.apiVersion, item.kind, resource_type, self._cluster)

    def _label_text(self, raw: msgspec.Raw) -> bytes:
        text = bytes(raw)
        known = self._labels.get(text)
        if known is None:
            if text:
                TEXT_MAP.decode(text)  # raises ValidationError
            known = self._labels[text] = text
        return known

    def _controller(self, raw: msgspec.Raw) -> Controller | None:
        text = bytes(raw)
        if not text:
            return None
        if text not in self._controllers:
            self._controllers[text] = controller_of(OWNERS.decode(text) or [])
        return self._controllers[text]

    def _untyped(
        self, text: Buffer, resource_type: ResourceType, template_path: str | None, first: int = 0
    ) -> list[Resource]:
        found: list[Resource] = []
        default_namespace = self._default_namespace if resource_type.namespaced else ""
        named = self._exact and template_path is None  # what a workload lacks spoils that workload only
        items = items_of(
            array_of(text), resource_type, self._cluster, named=named, of_kind=self._exact, first=first
        )
        page = None
        if template_path is not None:
            page = Page(text, resource_type, self._default_namespace, self._whole)
        for index, raw in enumerate(items):
            if template_path is None:
                refuse_malformed(raw, resource_type, self._cluster)
            complete(raw, resource_type, default_namespace)
            if template_path is None:
                self._refuse_removed(raw, resource_type)
            resource: Resource
            if page is None or template_path is None:
                resource = Resource(raw["apiVersion"], resource_type.kind, raw)
            else:
                resource = self._lenient(raw, resource_type, template_path)
                resource._raw = {}  # it is read from the page
                resource._page, resource._index = page, index
            found.append(resource)
        return found

    def _refuse_removed(self, raw: dict[str, Any], resource_type: ResourceType) -> None:
        if not is_of(resource_type, raw["apiVersion"], raw["kind"]):
            name = str(_map(raw.get("metadata")).get("name") or "")
            raise removed(raw["apiVersion"], raw["kind"], resource_type, f"{self._cluster}: {name}")

    def _lenient(
        self, raw: dict[str, Any], resource_type: ResourceType, template_path: str
    ) -> ListedWorkload:
        """A workload of an object that may hold anything anywhere; what is wrong is kept in
        `shape.malformed`.
        """
        malformed = malformed_metadata(raw)
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
            if isinstance(spec, dict):
                malformed += shape.known_malformed
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


def _attempt(template_path: str) -> Callable[[Buffer], list[Any] | None]:
    """Decodes an array of workloads; None where one has a value of a wrong type. Raises what `BROKEN_JSON` names."""
    decode = ITEMS[template_path].decode

    def attempt(text: Buffer) -> list[Any] | None:
        try:
            return decode(text) or []
        except msgspec.ValidationError:
            RAW_ITEMS.decode(text)  # may be of a piece that is cut in the wrong place
            return None

    return attempt


def _raw_items(text: Buffer) -> list[msgspec.Raw]:
    return RAW_ITEMS.decode(text) or []


def _map(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _text_of(error: BaseException) -> str:
    return "nested too deeply" if isinstance(error, RecursionError) else str(error)
