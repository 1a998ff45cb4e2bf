"""Pod specs as plain data, in which equal parts are one object.

Specs of a cluster differ in names, images and settings; probes, resources, security contexts, tolerations and most
volumes are the same few. Kept once, a spec takes a quarter of the memory, and less time: what is known is not decoded.
"""

from __future__ import annotations

from typing import Any

import msgspec

from pytest_kspec.cluster.objects.lean import Layout, Layouts
from pytest_kspec.kube.resources import CONTAINER_LISTS

MAX_PARTS = 20_000
"""Parts that are remembered. What comes after them is decoded each time."""

MAX_PART_BYTES = 4 << 10
_OWN = frozenset(("nodeName", "hostname", "name", "image", "env", "args", "command"))  # not worth remembering
_LEFT_OUT = _OWN | {"volumes", "volumeMounts"}
_IN_ENTRIES = frozenset(("volumes", "volumeMounts"))
_TOKEN = b"kube-api-access-"

_MAP = msgspec.json.Decoder(dict[str, msgspec.Raw])
_MAPS = msgspec.json.Decoder(list[dict[str, msgspec.Raw]])
_ENTRIES = msgspec.json.Decoder(list[msgspec.Raw])


class Specs:
    """Decodes the pod specs of one inventory. What it returns is shared: nobody may change it."""

    def __init__(self) -> None:
        self._parts: dict[bytes, Any] = {}
        self._layouts = Layouts(self._parts.get, _LEFT_OUT.__contains__)

    def decode(self, spec: bytes) -> Any:
        """What `msgspec.json.decode` returns, and raises."""
        mounts: dict[bytes, Any] = {}  # those of the token are equal within a pod
        try:
            return {
                key: self._containers(raw, mounts)
                if key in CONTAINER_LISTS
                else self._value(key, raw, mounts)
                for key, raw in _MAP.decode(spec).items()
            }
        except msgspec.ValidationError:
            return msgspec.json.decode(spec)

    def outline(self, spec: bytes) -> tuple[Layout, bytes] | None:
        """What a pod spec shares with those that were decoded before, and what is its own; None for a spec in which not
        every container is one. It is not read as closely as `decode` does, which is to follow.
        """
        try:
            fields = _MAP.decode(spec)
            containers = {name: _MAPS.decode(fields[name]) for name in CONTAINER_LISTS if name in fields}
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            return None
        return self._layouts.of(fields, containers)

    def _containers(self, text: msgspec.Raw, mounts: dict[bytes, Any]) -> Any:
        try:
            return [
                {key: self._value(key, raw, mounts) for key, raw in container.items()}
                for container in _MAPS.decode(text)
            ]
        except msgspec.ValidationError:
            return msgspec.json.decode(text)

    def _value(self, key: str, raw: msgspec.Raw, mounts: dict[bytes, Any]) -> Any:
        if key in _OWN:
            return msgspec.json.decode(raw)
        if key in _IN_ENTRIES:
            try:
                return [self._part(bytes(entry), mounts) for entry in _ENTRIES.decode(raw)]
            except msgspec.ValidationError:
                return msgspec.json.decode(raw)
        return self._part(bytes(raw), mounts)

    def _part(self, text: bytes, mounts: dict[bytes, Any]) -> Any:
        try:
            return self._parts[text]
        except KeyError:
            pass
        if _TOKEN in text:
            if text not in mounts:
                mounts[text] = msgspec.json.decode(text)
            return mounts[text]
        value = msgspec.json.decode(text)
        if len(self._parts) < MAX_PARTS and len(text) <= MAX_PART_BYTES:
            self._parts[text] = value
        return value
