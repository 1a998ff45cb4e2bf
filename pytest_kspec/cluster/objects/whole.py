"""Whole objects, read from the text of their page when somebody asks for them; the last few are kept."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping
from functools import lru_cache
from typing import Any

import msgspec

from pytest_kspec.cluster.objects.answers import Buffer
from pytest_kspec.cluster.objects.items import RAW_ITEMS, complete, gc_paused
from pytest_kspec.cluster.objects.listed import Controller
from pytest_kspec.cluster.objects.pieces import Texts, array_of
from pytest_kspec.kube.resources import Resource, ResourceType, Workload

TEXT_MAP = msgspec.json.Decoder(dict[str, str] | None)


_KEPT_OBJECTS = 512


_OPEN_PAGES = 16


_MAPS = 1024


@lru_cache(_MAPS)
def _text_map(text: bytes) -> Mapping[str, str]:
    return (TEXT_MAP.decode(text) or {}) if text else {}


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
            return RAW_ITEMS.decode(array_of(self._text())) or []

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

    def may_mention(self, text: bytes) -> bool:
        """Looked up in the JSON, in which an escape may stand for anything."""
        known = self._annotations
        return not isinstance(known, bytes) or text in known or b"\\" in known
