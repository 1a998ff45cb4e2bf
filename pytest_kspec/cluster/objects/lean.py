"""Pods that all differ: of each, only what is its own is kept, as text; the rest is a layout that many share.

Own are names, images, variables, commands, mounts, volumes, and whatever no pod had before. Decoded, they take five to
ten times as much. Rules are told the facets of a layout without decoding anything; whoever asks for the spec has it put
together, and the last few are kept.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping
from functools import lru_cache
from hashlib import sha256
from typing import Any

import msgspec

from pytest_kspec.kube.resources import AUTOMOUNT, CONTAINER_LISTS, Container, PodShape

WHOLE_SHAPES = 10_000
"""As many distinct pods of one inventory are kept decoded; what comes after them is lean."""

MAX_LAYOUTS = 5_000
"""Of what comes after them, all is kept as text."""

_KEPT = 32
_SHORT_BYTES = 64

_OWN: Any = type("Own", (), {})()
_NOTHING: Mapping[Any, Any] = {}
_TEXTS = msgspec.json.Decoder(list[msgspec.Raw])

Fields = dict[str, Any]
"""Keys in their order, each with the part that it shares with others, or `_OWN`."""


class Layout:
    """What many pods have in common. In `spec`, a list of containers is a tuple of their `Fields`."""

    __slots__ = ("facets", "spec")

    def __init__(self, spec: Fields) -> None:
        self.spec = spec
        self.facets: dict[str, Hashable] = {}


class Layouts:
    """The layouts of one inventory. part: what is known of a text, and stays known; None for nothing."""

    def __init__(self, part: Callable[[bytes], Any], is_own: Callable[[str], bool]) -> None:
        self._part = part
        self._is_own = is_own
        self._known: dict[Any, Layout] = {}

    def of(self, spec: Mapping[str, msgspec.Raw], containers: Mapping[str, Any]) -> tuple[Layout, bytes]:
        """The layout of a pod, and a JSON array of what is its own.

        containers: their fields, by the name of the list, for each list that there is
        """
        made = self._made(spec, containers, self._part)
        if made is None:
            made = self._made(spec, containers, lambda _: None)
            assert made is not None
        return made

    def _made(
        self, spec: Mapping[str, msgspec.Raw], containers: Mapping[str, Any], part: Callable[[bytes], Any]
    ) -> tuple[Layout, bytes] | None:
        """None for a layout too many: then all is the pod's own."""
        own: list[bytes] = []

        def field(name: str, raw: msgspec.Raw) -> tuple[Any, Any]:
            """The part, and what stands for it in the key of a layout."""
            text = bytes(raw)
            known = None if self._is_own(name) else part(text)
            if known is None:
                own.append(text)
                return _OWN, None
            return known, id(known)

        fields: Fields = {}
        key: list[Any] = []
        for name, raw in spec.items():
            found = containers.get(name)
            if found is None:
                fields[name], of_part = field(name, raw)
            else:
                inside = [[(key, *field(key, text)) for key, text in one.items()] for one in found]
                fields[name] = tuple({key: value for key, value, _ in one} for one in inside)
                of_part = tuple(tuple((key, of) for key, _, of in one) for one in inside)
            key.append((name, of_part))
        layout = self._known.get(made := tuple(key))
        if layout is None:
            if part is self._part and len(self._known) >= MAX_LAYOUTS:
                return None
            layout = self._known[made] = Layout(fields)
        return layout, b"[" + b",".join(own) + b"]"


Complete = Callable[["LeanShape"], PodShape]


def completing() -> Any:
    """How the shapes of one inventory are put together: a `Complete` that keeps the last few."""
    return lru_cache(_KEPT)(_complete)


def _complete(shape: LeanShape) -> PodShape:
    own = iter(msgspec.json.decode(shape._own))
    spec = {
        name: [_filled(one, own) for one in part]
        if type(part) is tuple
        else next(own)
        if part is _OWN
        else part
        for name, part in shape._layout.spec.items()
    }
    return PodShape(spec, shape.annotations, shape.known_malformed)


def _filled(fields: Fields, own: Any) -> dict[str, Any]:
    return {name: next(own) if part is _OWN else part for name, part in fields.items()}


class LeanShape(PodShape):
    """A pod with sound containers, put together when somebody asks for its spec."""

    __slots__ = ("_complete", "_layout", "_own", "implied", "pool")

    def __init__(
        self,
        layout: Layout,
        own: bytes,
        annotations: Mapping[str, str],
        malformed: tuple[tuple[str, Any], ...],
        complete: Complete,
        pool: dict[Hashable, Hashable] | None,
    ) -> None:
        """`layout`, `own`: of `Layouts.of`."""
        self._layout = layout
        self._own = own
        self._complete = complete
        self.annotations = annotations or _NOTHING
        self.known_malformed = malformed
        self.facets = layout.facets
        self.pool = pool
        self.implied = _NOTHING

    @property
    def spec(self) -> dict[str, Any]:  # type: ignore[override]
        """The whole pod spec."""
        return self._complete(self).spec

    @property
    def derived(self) -> dict[str, Any]:  # type: ignore[override]
        """Kept as long as the spec."""
        return self._complete(self).derived

    @property
    def containers(self) -> tuple[Container, ...]:
        """All containers of all three lists."""
        return self._complete(self).containers

    @property
    def malformed(self) -> tuple[tuple[str, Any], ...]:
        """What the source found wrong: every container is one."""
        return self.known_malformed

    def mounting(self, mounts: bool) -> PodShape:
        """The same pod, as `PodShape.mounting`."""
        made = LeanShape(
            self._layout, self._own, self.annotations, self.known_malformed, self._complete, self.pool
        )
        made.implied = {AUTOMOUNT: mounts}
        made.facets = self.facets | {"spec.automountServiceAccountToken": ("by its ServiceAccount", mounts)}
        return made

    def facet(self, name: str) -> Hashable:
        """As of any shape; of what is the pod's own, the text is the key."""
        known = self.facets.get(name)
        if known is not None:
            return known
        level, _, key = name.partition(".")
        if level != "spec":
            return super().facet(name) if self._shares(key) else _key(self._texts(level, key))
        part = self._layout.spec.get(key)
        if type(part) is tuple:
            return self._complete(self).facet(name)
        return _key(self._texts("", key)) if part is _OWN else super().facet(name)

    def _shares(self, key: str) -> bool:
        return all(fields.get(key) is not _OWN for _, fields in self._fields())

    def _fields(self) -> Iterator[tuple[str, Fields]]:
        for name in CONTAINER_LISTS:
            for fields in self._layout.spec.get(name) or ():
                yield name, fields

    def _under(self, level: str, key: str) -> tuple[Any, tuple[str, ...]]:
        if level == "spec":
            return self._layout.spec.get(key), ()
        found = [(fields.get(key), name) for name, fields in self._fields()]
        return [part for part, _ in found], tuple(name for _, name in found)

    def _texts(self, level: str, key: str) -> Iterator[tuple[str, bytes]]:
        """Where this key is, and its JSON: "" is the pod itself."""
        own = iter(_TEXTS.decode(self._own))
        for name, part in self._layout.spec.items():
            inside = [(name, fields) for fields in part] if type(part) is tuple else [("", {name: part})]
            for at, fields in inside:
                for field, value in fields.items():
                    text = next(own) if value is _OWN else None
                    if field == key and bool(at) == bool(level):
                        yield at, msgspec.json.encode(value) if text is None else bytes(text)
                if at and level and key not in fields:
                    yield at, b""


def _key(texts: Iterable[tuple[str, bytes]]) -> Hashable:
    """Equal for equal texts in equal places; JSON holds no zero byte."""
    text = b"\0".join(part for place in texts for part in (place[0].encode(), place[1]))
    return text if len(text) <= _SHORT_BYTES else sha256(text).digest()
