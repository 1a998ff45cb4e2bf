"""Pods of one template are decoded once: their specs are equal but for the node and the token volume's
random suffix.

The key of a pod spec is its raw JSON, with those parts taken out. A part is taken out only where the
decoded spec proves that it is what it seems (`nodeName`, and the same name in a DaemonSet pod's affinity;
names of volumes and of their mounts), so two pods share a shape exactly if their specs are equal but for
these parts. The proof is made once for each key: equal keys are equal JSON around the parts, so it holds
for all of them.

Lists are sorted by name, so the pods of a template follow each other: the text between the parts of the last
shape is compared first, which costs a tenth of making a key.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Hashable, Iterator, Mapping
from hashlib import sha256
from typing import Any

import msgspec

from pytest_kspec.cluster.objects.lean import WHOLE_SHAPES, Layout, LeanShape, completing
from pytest_kspec.cluster.objects.specs import Specs
from pytest_kspec.errors import Malformed
from pytest_kspec.kube.resources import CONTAINER_LISTS, SECURITY_ANNOTATION, SECURITY_PREFIXES, PodShape
from pytest_kspec.regexes import regex

_NODE_NAME = b'"nodeName"'
_NODE_VALUE = regex(rb'"nodeName"\s*:\s*("[^"\\]+")')
_TOKEN = b'"kube-api-access-'
_TOKEN_LENGTH = len(_TOKEN) + 5 + 1  # five random characters and the closing quote
_NODE_MARK, _TOKEN_MARK = b'"\x00"', b'"\x01"'  # cannot be in valid JSON
# Stands for the parts while a key is proven; nothing in a cluster can equal it.
_PROOF = os.urandom(16).hex()
_NODE_PROOF, _TOKEN_PROOF = f"{_PROOF}-node", f"{_PROOF}-token"

# What to take out, best first: every mention of the node's name, the token volume's name.
_ROUNDS = ((True, True), (True, False), (False, True), (False, False))

_NO_ANNOTATIONS: Mapping[str, str] = {}
_NOT_DECODED = object()
_PLAIN = regex(rb'"[-.A-Za-z0-9]+"')


class _Around:
    """A pod spec's text around the parts that were taken out of it, to find the next pods of its template."""

    __slots__ = ("_pieces", "_security", "shape")

    def __init__(self, normal: bytes, security: tuple[tuple[str, Any], ...], shape: PodShape) -> None:
        """`normal`: the spec with marks in place of its parts."""
        # The quotes and the constant beginning of a token's name belong to the text around.
        quoted = normal.replace(_TOKEN_MARK, _TOKEN + b'\x01"').replace(_NODE_MARK, b'"\x00"')
        self._pieces = []  # and whether a token follows
        for text in quoted.split(b"\x00"):
            *before_tokens, rest = text.split(b"\x01")
            self._pieces += [(piece, True) for piece in before_tokens]
            self._pieces.append((rest, False))
        self._security = security
        self.shape = shape

    def fits(self, spec: bytes, security: tuple[tuple[str, Any], ...]) -> bool:
        """Whether this spec differs in the parts only, and has one node and one token in all their places."""
        if security != self._security:
            return False
        at = 0
        node = token = b""
        last = len(self._pieces) - 1
        for index, (piece, is_token) in enumerate(self._pieces):
            if not spec.startswith(piece, at):
                return False
            at += len(piece)
            if index == last:
                return at == len(spec)
            end = at + 5 if is_token else spec.find(b'"', at)
            part = spec[at:end]
            if is_token:
                if part != token:
                    if token or not part.isalnum():
                        return False
                    token = part
            elif part != node:
                if node or not part or b"\\" in part:
                    return False
                node = part
            at = end
        return False


class Shapes:
    """All distinct pod specs of one inventory; of an endless stream, those seen first are forgotten.

    limit: how many keys, and how many bytes of pod specs, are remembered; None for all
    written: they are as somebody wrote them, and no API server has filled in what it would
    """

    def __init__(self, limit: tuple[int, int] | None = None, *, written: bool = False) -> None:
        self._written = written
        self._by_key: dict[Any, PodShape | None] = {}
        self._limit = limit
        # Of a stream, nothing may be kept for longer than the shapes.
        self._specs = Specs() if limit is None else None
        self._pool: dict[Hashable, Hashable] | None = {} if limit is None else None
        self._complete = completing()
        self._bytes = 0
        self._last: _Around | None = None
        # Those of the pod before: kept once where they are equal, so often the same.
        self._annotations: Mapping[str, Any] = _NO_ANNOTATIONS
        self._security: tuple[tuple[str, Any], ...] = ()

    def __len__(self) -> int:
        return sum(1 for shape in self._by_key.values() if shape is not None)

    def shape(self, spec: bytes, annotations: Mapping[str, Any] = _NO_ANNOTATIONS) -> PodShape:
        """The shape of a pod with this spec (raw JSON) and these annotations (of the pod).

        Raises msgspec.DecodeError, RecursionError or UnicodeDecodeError where the JSON is broken.
        """
        if self._limit is not None:
            # Admission requests are in no order: the pod before is nearly always of another template.
            return self._known(spec, security_annotations(annotations) if annotations else ())
        if annotations is self._annotations:
            security = self._security
        else:
            security = security_annotations(annotations) if annotations else ()
            self._annotations, self._security = annotations, security
        if self._last is not None and self._last.fits(spec, security):
            return self._last.shape
        return self._known(spec, security)

    def _known(self, spec: bytes, security: tuple[tuple[str, Any], ...]) -> PodShape:
        key: Any
        data: Any = _NOT_DECODED
        outline: tuple[Layout, bytes] | None = None
        for node, token in _ROUNDS:
            parts = _parts(spec, node, token)
            normal = spec
            for part, mark, _ in parts:
                normal = normal.replace(part, mark)
            text = normal if self._limit else sha256(normal).digest()  # a twentieth of the memory
            key = (text, security) if security else text
            if key in self._by_key:
                shape = self._by_key[key]
                if shape is not None:
                    if self._limit is None:
                        self._last = _Around(normal, security, shape)
                    return shape
                continue  # known to be unprovable
            if data is _NOT_DECODED:
                if self._specs is not None and len(self._by_key) >= WHOLE_SHAPES:
                    outline = self._specs.outline(spec)  # first: what only this pod has is known afterwards
                data = self._specs.decode(spec) if self._specs is not None else msgspec.json.decode(spec)
            if parts and not _proven(spec, data, parts):
                self._keep(key, None, len(normal))
                continue
            if isinstance(data, dict):
                shape = self._made(data, dict(security), outline)
            else:
                shape = PodShape({}, dict(security), malformed=(("spec", data),))
            self._keep(key, shape, len(normal))
            if self._limit is None:
                self._last = _Around(normal, security, shape)
            return shape
        raise AssertionError("unreachable: nothing is taken out in the last round")

    def _made(
        self, spec: dict[str, Any], annotations: dict[str, str], outline: tuple[Layout, bytes] | None
    ) -> PodShape:
        stored = _as_stored(spec) if self._written else spec
        lacking = _lacking(stored)
        if outline is not None and stored is spec:
            return LeanShape(*outline, annotations, lacking, self._complete, self._pool)
        shape = PodShape(stored, annotations, lacking)
        shape.pool = self._pool
        return shape

    def close(self) -> None:
        """Forget the specs that were put together last."""
        self._complete.cache_clear()

    def _keep(self, key: Any, shape: PodShape | None, size: int) -> None:
        if self._limit is not None:
            keys, total = self._limit
            while self._by_key and (len(self._by_key) >= keys or self._bytes + size > total):
                oldest = next(iter(self._by_key))
                del self._by_key[oldest]
                self._bytes -= len(oldest[0] if isinstance(oldest, tuple) else oldest)
            self._bytes += size
        self._by_key[key] = shape


def _as_stored(spec: dict[str, Any]) -> dict[str, Any]:
    """The pod spec with the ports of the node that an API server writes into pods with hostNetwork."""
    if spec.get("hostNetwork") is not True:
        return spec
    listed = {
        name: spec[name] for name in ("initContainers", "containers") if isinstance(spec.get(name), list)
    }
    return spec | {name: [_on_host(container) for container in found] for name, found in listed.items()}


def _on_host(container: Any) -> Any:
    ports = container.get("ports") if isinstance(container, dict) else None
    return (
        {**container, "ports": [_port_on_host(port) for port in ports]}
        if isinstance(ports, list)
        else container
    )


def _port_on_host(port: Any) -> Any:
    if not isinstance(port, dict) or "containerPort" not in port:
        return port
    given = port.get("hostPort")
    return (
        {**port, "hostPort": port["containerPort"]}
        if given is None or (type(given) is int and not given)
        else port
    )


def _lacking(spec: dict[str, Any]) -> tuple[tuple[str, Any], ...]:
    """What is wrong with a pod spec without containers, which no API server accepts: rules about containers would
    find nothing in it.
    """
    if spec.get("containers", []) not in (None, []):
        return ()
    what = (
        "is missing" if "containers" not in spec else "is null" if spec["containers"] is None else "is empty"
    )
    return (("spec.containers", Malformed(f"spec.containers {what}; Kubernetes requires a container there")),)


def security_annotations(annotations: Mapping[str, Any]) -> tuple[tuple[str, Any], ...]:
    """Those that security rules read, sorted."""
    found = [
        (name, value)
        for name, value in annotations.items()
        if name == SECURITY_ANNOTATION or name.startswith(SECURITY_PREFIXES)
    ]
    return tuple(sorted(found)) if found else ()


def may_have_security(annotations: bytes) -> bool:
    """Whether JSON may hold annotations that security rules read."""
    return (
        b"alpha.kubernetes.io/" in annotations
        or b"beta.kubernetes.io/" in annotations
        or b"\\" in annotations
    )


_Part = tuple[bytes, bytes, str]


def _parts(spec: bytes, node: bool, token: bool) -> list[_Part]:
    """(JSON text to take out, mark in the key, text that stands for it in the proof)."""
    parts = []
    if node:
        at = spec.find(_NODE_NAME)
        if at >= 0 and (found := _NODE_VALUE.match(spec, at)):
            parts.append((found.group(1), _NODE_MARK, _NODE_PROOF))
    if token:
        at = spec.find(_TOKEN)
        if at >= 0:
            name = spec[at : at + _TOKEN_LENGTH]
            if name.endswith(b'"') and name[len(_TOKEN) : -1].isalnum():
                parts.append((name, _TOKEN_MARK, _TOKEN_PROOF))
    return parts


def _proven(spec: bytes, data: Any, parts: list[_Part]) -> bool:
    """Whether every mention of a part is what it may be: the pod's own node, or the name of a volume and
    its mounts. data: the spec, decoded
    """
    texts = {part for part, _, _ in parts}
    if b"\\" in spec or len(texts) < len(parts) or not all(map(_PLAIN.fullmatch, texts)):
        return _proven_by_marks(spec, parts)
    if not isinstance(data, dict):
        return False
    # Text without escapes says each string as it is, and such a part is a whole string wherever it stands: there are
    # as many in the text as there are strings, and none is elsewhere if all are found in these places.
    for part, mark, _ in parts:
        name = part[1:-1].decode()
        found = _node_mentions(data, name) if mark is _NODE_MARK else _volume_mentions(data, name)
        if found != spec.count(part):
            return False
    return True


def _node_mentions(spec: dict[str, Any], name: str) -> int:
    own = int(spec.get("nodeName") == name)
    return own + sum(text == name for text in _affine(spec)) if "affinity" in spec else own


def _volume_mentions(spec: dict[str, Any], name: str) -> int:
    found = 0
    lists = [spec.get("volumes")]
    for list_name in CONTAINER_LISTS:
        lists += [container.get("volumeMounts") for container in _maps(spec.get(list_name))]
    for items in lists:
        if type(items) is list:
            for item in items:
                if type(item) is dict and item.get("name") == name:
                    found += 1
    return found


def _proven_by_marks(spec: bytes, parts: list[_Part]) -> bool:
    """The same of any text: the parts are found as something that stands nowhere else."""
    marked = spec
    expected: Counter[str] = Counter()
    for part, _, proof in parts:
        expected[proof] = marked.count(part)
        marked = marked.replace(part, b'"%s"' % proof.encode())
    try:
        data = msgspec.json.decode(marked)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return False
    if not isinstance(data, dict):
        return False
    found = Counter(text for text in _volume_names(data) if text == _TOKEN_PROOF)
    found.update(text for text in _node_names(data) if text == _NODE_PROOF)
    return found == expected


def _node_names(spec: dict[str, Any]) -> Iterator[Any]:
    """`nodeName`, and the node that a DaemonSet's pod is bound to in its affinity."""
    yield spec.get("nodeName")
    yield from _affine(spec)


def _affine(spec: dict[str, Any]) -> Iterator[Any]:
    value: Any = spec
    for key in (
        "affinity",
        "nodeAffinity",
        "requiredDuringSchedulingIgnoredDuringExecution",
        "nodeSelectorTerms",
    ):
        value = value.get(key) if isinstance(value, dict) else None
    for term in _maps(value):
        for field in _maps(term.get("matchFields")):
            values = field.get("values")
            if field.get("key") == "metadata.name" and isinstance(values, list):
                yield from values


def _volume_names(spec: dict[str, Any]) -> Iterator[Any]:
    yield from _names(spec.get("volumes"))
    for list_name in CONTAINER_LISTS:
        containers = spec.get(list_name)
        for container in _maps(containers):
            yield from _names(container.get("volumeMounts"))


def _names(items: Any) -> Iterator[Any]:
    return (item.get("name") for item in _maps(items))


def _maps(items: Any) -> Iterator[dict[str, Any]]:
    return (item for item in items if isinstance(item, dict)) if isinstance(items, list) else iter(())
