"""What of listed pods and controllers is decoded: what every check needs. The rest stays raw JSON."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import msgspec

from pytest_kspec.cluster.answers import Buffer, Wrong, split_list


class OwnerReference(msgspec.Struct, gc=False):
    """An entry of `metadata.ownerReferences`."""

    apiVersion: str = ""
    kind: str = ""
    name: str = ""
    uid: str = ""
    controller: bool | None = None


_NOTHING = msgspec.Raw(b"")


class _Metadata(msgspec.Struct, gc=False):
    name: str = ""
    generateName: str = ""
    namespace: str = ""
    uid: str = ""
    labels: msgspec.Raw = _NOTHING
    annotations: msgspec.Raw = _NOTHING
    ownerReferences: msgspec.Raw = _NOTHING


class _TemplateMetadata(msgspec.Struct, gc=False, frozen=True):
    annotations: msgspec.Raw = _NOTHING


class _Template(msgspec.Struct, gc=False):
    spec: msgspec.Raw
    metadata: _TemplateMetadata = _TemplateMetadata()


class _WithTemplate(msgspec.Struct, gc=False):
    template: _Template


class _WithJobTemplate(msgspec.Struct, gc=False):
    spec: _WithTemplate


class _WithJob(msgspec.Struct, gc=False):
    jobTemplate: _WithJobTemplate


class _Status(msgspec.Struct, gc=False, frozen=True):
    phase: str = ""


class _Pod(msgspec.Struct, gc=False):
    metadata: _Metadata
    spec: msgspec.Raw
    status: _Status = _Status()
    apiVersion: str = ""
    kind: str = ""


class _PodTemplate(msgspec.Struct, gc=False):
    metadata: _Metadata
    template: _Template
    apiVersion: str = ""
    kind: str = ""


class _WorkloadObject(msgspec.Struct, gc=False):
    metadata: _Metadata
    spec: _WithTemplate
    apiVersion: str = ""
    kind: str = ""


class _CronJob(msgspec.Struct, gc=False):
    metadata: _Metadata
    spec: _WithJob
    apiVersion: str = ""
    kind: str = ""


ITEMS: dict[str, msgspec.json.Decoder[Any]] = {
    "": msgspec.json.Decoder(list[_Pod] | None),
    "template.": msgspec.json.Decoder(list[_PodTemplate] | None),
    "spec.template.": msgspec.json.Decoder(list[_WorkloadObject] | None),
    "spec.jobTemplate.spec.template.": msgspec.json.Decoder(list[_CronJob] | None),
}
"""Decoders of the items of a list, by the path of the pod in an object: pods or controllers."""

OWNERS = msgspec.json.Decoder(list[OwnerReference] | None)


class PodPage:
    """A list of nothing but pods that its source decoded to see what it holds: not decoded a second time.

    buffer: the items as a JSON array
    """

    __slots__ = ("_pods", "buffer")

    def __init__(self, buffer: Buffer, pods: list[_Pod]) -> None:
        self.buffer = buffer
        self._pods = pods

    @classmethod
    def of(cls, document: Buffer) -> PodPage | None:
        """None where it is no list, is empty, or holds anything else. Raises as `Decoder.resources` does."""
        try:
            head = split_list(document)
            pods = ITEMS[""].decode(head.items) or []
        except (Wrong, msgspec.ValidationError):
            return None
        of_list = (head.api_version, head.kind.removesuffix("List"))
        kinds = {(pod.apiVersion or of_list[0], pod.kind or of_list[1]) for pod in pods}
        is_list = head.kind.endswith("List")
        return cls(head.items, pods) if is_list and kinds == {("v1", "Pod")} else None

    def names(self) -> Iterator[tuple[str, str]]:
        """(namespace, name) of each, as they are written."""
        return ((pod.metadata.namespace, pod.metadata.name) for pod in self._pods)

    def take(self) -> list[_Pod]:
        """What was decoded. It is kept once only: the next one who asks waits for it to be decoded again."""
        pods, self._pods = self._pods, []
        return pods or ITEMS[""].decode(self.buffer) or []
