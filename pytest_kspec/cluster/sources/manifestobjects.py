"""What manifests hold, by group and kind: a list of one kind stays the bytes of its file, the rest becomes JSON."""

from __future__ import annotations

from functools import cached_property
from typing import Any, NamedTuple

import msgspec
import yaml

from pytest_kspec.cluster.objects.answers import Buffer, Wrong, split_list
from pytest_kspec.cluster.objects.decode import Decoder, PodPage
from pytest_kspec.cluster.objects.items import BROKEN_JSON, gc_paused
from pytest_kspec.cluster.objects.jsondocs import json_texts, refuse_doubled_keys, whole_numbers
from pytest_kspec.cluster.objects.kinds import builtin_types, split_api_version, type_of
from pytest_kspec.cluster.objects.yamldocs import yaml_documents
from pytest_kspec.cluster.sources.manifestfiles import (
    Folder,
    Note,
    is_kustomization,
    is_object,
    looks_like_manifest,
    read,
)
from pytest_kspec.cluster.sources.manifestkinds import known_kinds, meant, namespaced_kinds
from pytest_kspec.errors import SourceUnavailable
from pytest_kspec.kube.resources import ResourceType

PROBLEMS_SHOWN = 20
DEFAULT = "default"
"""The namespace of an object that names none, as kubectl has it."""


class _HeadMetadata(msgspec.Struct, gc=False, frozen=True):
    name: str = ""
    namespace: str = ""
    annotations: msgspec.Raw = msgspec.Raw(b"")


_HOOK = b'"helm.sh/hook"'


class _Place(NamedTuple):
    """Where an object is. hook: it is one of Helm's; overlay: folder of the kustomization above it, or ""."""

    place: str
    hook: bool
    overlay: str


class _Head(msgspec.Struct, gc=False):
    apiVersion: str = ""
    kind: str = ""
    metadata: _HeadMetadata = _HeadMetadata()


class _List(msgspec.Struct):
    items: list[_Head] | None = None
    apiVersion: str = ""
    kind: str = ""


class _Top(msgspec.Struct):
    apiVersion: Any = None
    kind: Any = None
    metadata: Any = None
    spec: Any = None
    items: Any = None


class _RawList(msgspec.Struct):
    items: list[msgspec.Raw]


_LIST = msgspec.json.Decoder(_List)
_HEAD = msgspec.json.Decoder(_Head)
_TOPS = msgspec.json.Decoder(_Top | list[Any])
_RAW_LIST = msgspec.json.Decoder(_RawList)


class Held:
    """What was read: whole pages, and single objects as JSON text, by group and kind.

    folder: where it is read from a folder, in which not every file is a manifest
    """

    def __init__(self, decoder: Decoder, folder: Folder | None = None) -> None:
        self.folder = folder
        self._decoder = decoder
        self.types: dict[tuple[str, str], ResourceType] = {}
        self.pages: dict[tuple[str, str], list[Buffer | PodPage]] = {}
        self.objects: dict[tuple[str, str], list[bytes]] = {}
        self.empty_list = False
        self._places: dict[tuple[str, str, str, str], _Place] = {}
        self._overlay = ""  # of the file that is being read
        self._named: set[tuple[str, str, str]] = set()

    def namespaces(self) -> frozenset[str]:
        """Those that objects of a namespaced kind are in. Objects of unknown kinds without one may be the cluster's."""
        known = known_kinds()
        return frozenset(
            namespace or DEFAULT
            for group, kind, namespace in self._named
            if self.types[group, kind].namespaced and (namespace or (group, kind) in known)
        )

    @cached_property
    def notes(self) -> tuple[Note, ...]:
        """Of the folder, once it is read."""
        return tuple(self.folder.notes()) if self.folder is not None else ()

    def loaded(self) -> None:
        """Nothing comes any more: where each object is need not be known."""
        self._places.clear()

    def add_folder(self) -> None:
        """Every file of the folder. Raises SourceUnavailable that names every bad file, not only the first."""
        folder = self.folder
        assert folder is not None
        problems: list[SourceUnavailable] = []
        for path in folder.files:
            self._overlay = folder.overlay_of(path)
            try:
                raw = read(path)
                if not folder.leaves_out(path, raw):
                    self.add_file(raw, path)
            except SourceUnavailable as error:
                problems.append(error)
        if len(problems) > 1:
            shown = " ".join(f"[{index}] {error}" for index, error in enumerate(problems[:PROBLEMS_SHOWN], 1))
            more = f" … and {len(problems) - PROBLEMS_SHOWN} more" if len(problems) > PROBLEMS_SHOWN else ""
            raise SourceUnavailable(
                f"{len(problems)} files could not be read: {shown}{more}", where=folder.path
            )
        if problems:
            raise problems[0]

    def add_file(self, raw: Buffer, path: str) -> None:
        """All objects of a file. In a folder, a file or a document that is meant for something else is noted."""
        try:
            self._add_file(raw, path)
        except SourceUnavailable as error:
            json = bytes(raw[:4096]).removeprefix(b"\xef\xbb\xbf").lstrip()[:1] in (b"{", b"[")
            broken = isinstance(error.__cause__, (*BROKEN_JSON, yaml.YAMLError))
            if self.folder is None or not broken or looks_like_manifest(raw, json=json):
                raise
            self.folder.others.append(path)

    def _is_other(self, data: Any, path: str) -> bool:
        """Whether a document of a folder is no object and not meant to be one; it is noted then."""
        if self.folder is None or is_object(data):
            return False
        if path not in self.folder.others[-1:]:
            self.folder.others.append(path)
        return True

    def _add_file(self, raw: Buffer, path: str) -> None:
        start = bytes(raw[:4096]).removeprefix(b"\xef\xbb\xbf").lstrip()
        if start[:1] in (b"{", b"["):
            try:
                with gc_paused():
                    raw = whole_numbers(_without_bom(raw))
                    if self.folder is None or not self._is_other(_top(raw), path):
                        refuse_doubled_keys(raw, path)
                        self._add_json(raw, path)
                return
            except (msgspec.ValidationError, RecursionError) as error:
                what = "nested too deeply" if isinstance(error, RecursionError) else str(error)
                raise SourceUnavailable(f"not a Kubernetes object or list: {what}.", where=path) from error
            except BROKEN_JSON as error:
                if (texts := json_texts(raw)) is not None:
                    for index, text in enumerate(texts, 1):
                        self._add_file(text, f"{path}, document {index}")
                    return
                if path.endswith(".json"):
                    raise SourceUnavailable(f"not valid JSON: {error}.", where=path) from error
        elif path.endswith(".json"):
            raise SourceUnavailable("not valid JSON: it does not start with { or [.", where=path)
        is_empty = bool(
            start
        )  # of nothing at all nobody knows whether it is what there is: a pipe may have failed
        with gc_paused():
            for line, data in yaml_documents(bytes(raw), path):
                is_empty = is_empty and data is None
                if data is not None and not self._is_other(data, path):
                    self._add_data(data, f"{path}:{line}")
        self.empty_list = self.empty_list or is_empty

    def _add_json(self, raw: Buffer, path: str) -> None:
        if bytes(raw[:4096]).lstrip()[:1] == b"[":
            wrapped = b'{"kind":"List","items":' + bytes(raw) + b"}"
            return self._add_json(wrapped, path)
        may_be_pods = b'"Pod' in bytes(raw[:4096])  # the usual big list, by far
        if may_be_pods and (pods := self._decoder.pods_only(raw)):
            key = self._type("v1", "Pod", "")
            names, pods.names = pods.names, []
            self._note_pods(key, names, path)
            self.pages.setdefault(key, []).append(pods)
            return None
        found = _LIST.decode(raw)
        if found.items is None or not found.kind.endswith("List"):
            head = _HEAD.decode(raw)
            if found.items is not None:
                self._refuse_items(head, [item.apiVersion and item.kind for item in found.items], path)
            self._add(head, bytes(raw), path)
            return None
        items_kind = (found.apiVersion, found.kind.removesuffix("List"))
        kinds = {(item.apiVersion, item.kind) for item in found.items}
        if items_kind[1]:  # a PodList's items may leave out what they are
            kinds = {(version or items_kind[0], kind or items_kind[1]) for version, kind in kinds}
        self.empty_list = self.empty_list or not kinds
        if len(kinds) == 1:
            (only,) = kinds
            self._refuse_no_kind(*only, path)
            items = _items(raw)
            if items is not None and not only[1].endswith("List"):
                key = self._type(*only, found.items[0].metadata.namespace)
                for index, item in enumerate(found.items):
                    self._note_head(key, item, f"{path}, items[{index}]")
                self.pages.setdefault(key, []).append(items)
                return None
        for index, text in enumerate(_RAW_LIST.decode(raw).items):
            place = f"{path}, items[{index}]"
            item = found.items[index]
            if item.kind.endswith("List"):
                self._add_json(bytes(text), place)
            else:
                item.apiVersion, item.kind = item.apiVersion or items_kind[0], item.kind or items_kind[1]
                self._add(item, bytes(text), place)
        return None

    def _add_data(self, data: Any, place: str) -> None:
        if not isinstance(data, dict):
            raise SourceUnavailable(f"a {type(data).__name__} is not a Kubernetes object.", where=place)
        items = data.get("items")
        if isinstance(items, list) and str(data.get("kind")).endswith("List"):
            self.empty_list = self.empty_list or not items
            for index, item in enumerate(items):
                if isinstance(item, dict) and data["kind"] != "List":
                    item = {
                        "apiVersion": data.get("apiVersion"),
                        "kind": data["kind"].removesuffix("List"),
                        **item,
                    }
                self._add_data(item, f"{place}, items[{index}]")
            return
        try:
            text = msgspec.json.encode(data)
        except (TypeError, ValueError, RecursionError, OverflowError) as error:
            raise SourceUnavailable(f"this cannot be a Kubernetes object: {error}.", where=place) from error
        metadata = data.get("metadata")
        names = metadata if isinstance(metadata, dict) else {}
        for key in ("name", "namespace"):
            if not isinstance(names.get(key), str | None):
                raise SourceUnavailable(
                    f"metadata.{key} is {msgspec.json.encode(names[key]).decode()}, not text.",
                    where=place,
                    fix="Put it in quotes.",
                )
        head = _Head(
            _text(data.get("apiVersion")),
            _text(data.get("kind")),
            _HeadMetadata(_text(names.get("name")), _text(names.get("namespace")), _hook_of(names)),
        )
        if isinstance(items, list):
            self._refuse_items(head, [isinstance(item, dict) and is_object(item) for item in items], place)
        self._add(head, text, place)

    def _refuse_items(self, head: _Head, objects: list[Any], place: str) -> None:
        """Kubectl creates the `items` of whatever has them, an API server drops them from an object of another kind."""
        built_in = any(
            (known.api_version, known.kind) == (head.apiVersion, head.kind) for known in builtin_types()
        )
        if built_in or any(objects):
            raise SourceUnavailable(
                f"this {head.kind or 'document without a kind'} has `items`, and kubectl would create only these.",
                where=place,
                fix="Set kind: List, or remove `items`.",
            )

    def _add(self, head: _Head, text: bytes, place: str) -> None:
        self._refuse_no_kind(head.apiVersion, head.kind, place)
        if self.folder is not None and is_kustomization(head.apiVersion):
            return
        key = self._type(head.apiVersion, head.kind, head.metadata.namespace)
        self._note_head(key, head, place)
        self.objects.setdefault(key, []).append(text)

    def _note_head(self, key: tuple[str, str], head: _Head, place: str) -> None:
        hook = _HOOK in bytes(head.metadata.annotations)
        self._note(*key, head.metadata.namespace, head.metadata.name, place, hook=hook)

    def _refuse_no_kind(self, api_version: str, kind: str, place: str) -> None:
        missing = " and ".join(
            name for name, value in (("apiVersion", api_version), ("kind", kind)) if not value
        )
        if missing:
            raise SourceUnavailable(f"this is not a Kubernetes object: it has no {missing}.", where=place)

    def _type(self, api_version: str, kind: str, namespace: str) -> tuple[str, str]:
        api_version, kind = meant(api_version, kind)
        group = split_api_version(api_version)[0]
        found = type_of(api_version, kind, namespaced=bool(namespace) or (group, kind) in namespaced_kinds())
        key = (found.group, kind)
        known = self.types.get(key)
        if known is None or (found.namespaced and not known.namespaced):
            self.types[key] = found
        return key

    def _note_pods(self, key: tuple[str, str], names: list[tuple[str, str]], path: str) -> None:
        """`_note` for each, which is called for the first of each namespace and for one that was there already."""
        places, overlay, seen = self._places, self._overlay, set()
        for index, (namespace, name) in enumerate(names):
            place = f"{path}, items[{index}]"
            if namespace in seen and name:
                here = _Place(place, hook=False, overlay=overlay)
                if places.setdefault((*key, namespace or DEFAULT, name), here) is here:
                    continue
            seen.add(namespace)
            self._note(*key, namespace, name, place)

    def _note(
        self, group: str, kind: str, namespace: str, name: str, place: str, *, hook: bool = False
    ) -> None:
        """One object may be in one place only: nobody could tell which one counts.

        Helm removes a hook before it makes the next one of that name, and kustomizations are built one at a time. Of
        kinds that nobody knows (settings of tools, specifications of kspec) all are kept.
        """
        if not self.types[group, kind].namespaced:
            namespace = ""  # an API server takes it away
        self._named.add((group, kind, namespace))
        if not name or (group, kind) not in known_kinds():
            return
        here = _Place(place, hook, self._overlay)
        first = self._places.setdefault((group, kind, namespace or DEFAULT, name), here)
        if first is here or (hook and first.hook):
            return
        if not (here.overlay and first.overlay) or here.overlay == first.overlay:
            full = f"{namespace}/{name}" if namespace else name
            raise SourceUnavailable(
                f"{kind} {full} is defined twice; the first definition is at {first.place}.",
                where=place,
                fix="Remove one of them, or render overlays first: kubectl kustomize DIR > FILE.",
            )


def _items(raw: Buffer) -> Buffer | None:
    """The items of a list as they stand in its text; None where it is written in an unusual way."""
    try:
        return split_list(raw).items
    except Wrong:
        return None


def _top(raw: Buffer) -> dict[str, Any] | None:
    """What tells whether JSON is meant to be an object: of a list, of the first entry that is."""
    try:
        found = _TOPS.decode(raw)
    except msgspec.ValidationError:
        return None
    tops = found if isinstance(found, list) else [msgspec.structs.asdict(found)]
    return next(filter(is_object, tops), None)


def _hook_of(metadata: dict[str, Any]) -> msgspec.Raw:
    annotations = metadata.get("annotations")
    return msgspec.Raw(_HOOK if isinstance(annotations, dict) and "helm.sh/hook" in annotations else b"")


def _without_bom(raw: Buffer) -> Buffer:
    return raw[3:] if bytes(raw[:3]) == b"\xef\xbb\xbf" else raw


def _text(value: Any) -> str:
    return value if isinstance(value, str) else ""
