"""Raw pages → resources. Pods and controllers are decoded to what every check needs; the rest stays raw
until asked for.

The garbage collector pauses while a page is decoded (four to five times faster), pod specs are shared
(`shapes`), labels and owner references too. Any field stays reachable: `raw` of a pod is read from its page
when a check asks for it.
"""

from __future__ import annotations

import gc
from collections import OrderedDict
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import lru_cache
from sys import intern
from typing import Any, NamedTuple

import msgspec

from pytest_kspec.cluster.objects import redact
from pytest_kspec.cluster.objects.answers import Buffer, Wrong, has_name, is_of, split_list
from pytest_kspec.cluster.objects.kinds import TEMPLATE_PATHS, type_of
from pytest_kspec.cluster.objects.listed import ITEMS, OWNERS, OwnerReference
from pytest_kspec.cluster.objects.pieces import Texts, array_of, pieces
from pytest_kspec.cluster.objects.shapes import Shapes, may_have_security
from pytest_kspec.errors import Malformed, SourceUnavailable
from pytest_kspec.kube.reference import ResourceRef
from pytest_kspec.kube.resources import PodShape, Resource, ResourceType, Workload

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
    """A workload whose whole object stays in its page. controller: its own controller, if it has one.

    Labels and annotations of a pod are its JSON until somebody asks for them.
    """

    __slots__ = ("_annotations", "_index", "_labels", "_page", "controller")

    controller: Controller | None
    _page: Page
    _index: int
    _labels: bytes | Mapping[str, str]
    _annotations: bytes | Mapping[str, str]

    @property
    def raw(self) -> dict[str, Any]:
        """The whole object, read from its page; the last few are kept."""
        return self._page.object(self._index)

    @property
    def labels(self) -> Mapping[str, str]:
        """Of the object itself."""
        return _text_map(self._labels) if isinstance(self._labels, bytes) else self._labels

    @labels.setter
    def labels(self, value: Mapping[str, str]) -> None:
        self._labels = value

    @property
    def annotations(self) -> Mapping[str, str]:
        """Of the object itself."""
        known = self._annotations
        return _text_map(known) if isinstance(known, bytes) else known

    @annotations.setter
    def annotations(self, value: Mapping[str, str]) -> None:
        self._annotations = value

    def may_mention(self, text: str) -> bool:
        """Looked up in the JSON, in which an escape may stand for anything."""
        known = self._annotations
        return not isinstance(known, bytes) or text.encode() in known or b"\\" in known


_RAW_ITEMS = msgspec.json.Decoder(list[msgspec.Raw] | None)
_ITEMS = msgspec.json.Decoder(list[Any] | None)
_TEXT_MAP = msgspec.json.Decoder(dict[str, str] | None)

DECODED_BYTES = 16 << 20
"""JSON of lists of which every object is kept decoded, for one inventory: of what comes on top, the text is kept."""
_KEPT_OBJECTS = 512
_OPEN_PAGES = 16
_MAPS = 1024


@lru_cache(_MAPS)
def _text_map(text: bytes) -> Mapping[str, str]:
    return (_TEXT_MAP.decode(text) or {}) if text else {}


class Whole:
    """The pages that were opened last and the objects that were read last, of all pages of an inventory."""

    def __init__(self) -> None:
        self.texts = Texts()
        self._open: OrderedDict[Page, list[msgspec.Raw]] = OrderedDict()
        self._kept: OrderedDict[tuple[Page, int], dict[str, Any]] = OrderedDict()

    def object(self, page: Page, index: int) -> dict[str, Any]:
        """One object, complete."""
        known = self._kept.get((page, index))
        if known is not None:
            return known
        items = self._open.get(page)
        if items is None:
            items = self._open[page] = page.items()
            if len(self._open) > _OPEN_PAGES:
                self._open.popitem(last=False)
        found: dict[str, Any] = msgspec.json.decode(items[index])  # a map: checked when the page was decoded
        page.complete(found)
        self._kept[page, index] = found
        if len(self._kept) > _KEPT_OBJECTS:
            self._kept.popitem(last=False)
        return found

    def close(self) -> None:
        """Pages and this refer to each other: without this they would wait for the garbage collector."""
        self._open.clear()
        self._kept.clear()


class Page:
    """A piece of a list, kept so that whole objects can be read from it."""

    __slots__ = ("_namespace", "_text", "_type", "_whole")

    def __init__(
        self, text: Buffer, resource_type: ResourceType, default_namespace: str, whole: Whole
    ) -> None:
        self._text = whole.texts.keep(text)
        self._type = resource_type
        self._namespace = default_namespace if resource_type.namespaced else ""
        self._whole = whole

    def object(self, index: int) -> dict[str, Any]:
        """The whole object, without managedFields, with apiVersion and kind."""
        return self._whole.object(self, index)

    def items(self) -> list[msgspec.Raw]:
        """The text of each."""
        with gc_paused():
            return _RAW_ITEMS.decode(array_of(self._text())) or []

    def complete(self, found: dict[str, Any]) -> None:
        """Fill in what it leaves out."""
        complete(found, self._type, self._namespace)


class ListedResource(Resource):
    """An object whose whole text stays in its page: decoded it takes ten to twenty-five times as much."""

    __slots__ = ("_index", "_page")

    _page: Page
    _index: int

    @property
    def raw(self) -> dict[str, Any]:
        """The whole object, read from its page; the last few are kept."""
        return self._page.object(self._index)


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
        _check_item(item, index, resource_type, where, named=named, of_kind=of_kind)
    return items


def _check_item(
    item: Any, index: int, resource_type: ResourceType, where: str, *, named: bool, of_kind: bool
) -> None:
    if not isinstance(item, dict):
        raise Malformed(
            f"item {index} in the list of {resource_type.resource} is not an object.", where=where
        )
    if of_kind and not is_of(resource_type, item.get("apiVersion"), item.get("kind")):
        raise _foreign(index, item.get("apiVersion"), item.get("kind"), resource_type, where)
    if named and not has_name(item.get("metadata")):
        raise Malformed(
            f"item {index} in the list of {resource_type.resource} has no valid name.",
            where=where,
        )


def _foreign(index: int, api_version: Any, kind: Any, resource_type: ResourceType, where: str) -> Malformed:
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
        if (
            not resource_type.namespaced
        ):  # an API server takes it away; else what binds everywhere is out of scope
            metadata.pop("namespace", None)
        elif default_namespace and not metadata.get("namespace"):
            metadata["namespace"] = default_namespace


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
            _check_item(
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
                _TEXT_MAP.decode(annotations or b"null")  # raises ValidationError
            texts = _TEXT_MAP.decode(of_pod) if of_pod else None
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
        return _foreign(index, item.apiVersion, item.kind, resource_type, self._cluster)

    def _label_text(self, raw: msgspec.Raw) -> bytes:
        text = bytes(raw)
        known = self._labels.get(text)
        if known is None:
            if text:
                _TEXT_MAP.decode(text)  # raises ValidationError
            known = self._labels[text] = text
        return known

    def _controller(self, raw: msgspec.Raw) -> Controller | None:
        text = bytes(raw)
        if not text:
            return None
        if text not in self._controllers:
            self._controllers[text] = _controller_of(OWNERS.decode(text) or [])
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
            _RAW_ITEMS.decode(text)  # may be of a piece that is cut in the wrong place
            return None

    return attempt


def _raw_items(text: Buffer) -> list[msgspec.Raw]:
    return _RAW_ITEMS.decode(text) or []


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
