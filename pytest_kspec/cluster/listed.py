"""What of listed pods and controllers is decoded: what every check needs. The rest stays raw JSON."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import msgspec

Buffer = bytes | memoryview


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


class _WorkloadObject(msgspec.Struct, gc=False):
    metadata: _Metadata
    spec: _WithTemplate
    apiVersion: str = ""


class _CronJob(msgspec.Struct, gc=False):
    metadata: _Metadata
    spec: _WithJob
    apiVersion: str = ""


class _Pods(msgspec.Struct):
    items: list[_Pod]
    apiVersion: str = ""
    kind: str = ""


class _PodTemplates(msgspec.Struct):
    items: list[_PodTemplate]


class _WorkloadObjects(msgspec.Struct):
    items: list[_WorkloadObject]


class _CronJobs(msgspec.Struct):
    items: list[_CronJob]


LISTS: dict[str, msgspec.json.Decoder[Any]] = {
    "": msgspec.json.Decoder(_Pods),
    "template.": msgspec.json.Decoder(_PodTemplates),
    "spec.template.": msgspec.json.Decoder(_WorkloadObjects),
    "spec.jobTemplate.spec.template.": msgspec.json.Decoder(_CronJobs),
}
"""Decoders of whole lists, by the path of the pod in an object: their `items` are pods or controllers."""

OWNERS = msgspec.json.Decoder(list[OwnerReference] | None)


class PodPage:
    """A list of nothing but pods that its source decoded to see what it holds: not decoded a second time.

    buffer: the list as JSON
    """

    __slots__ = ("_pods", "buffer")

    def __init__(self, buffer: Buffer, pods: list[_Pod]) -> None:
        self.buffer = buffer
        self._pods = pods

    @classmethod
    def of(cls, buffer: Buffer) -> PodPage | None:
        """None where it is no list, is empty, or holds anything else. Raises as `Decoder.resources` does."""
        try:
            found = LISTS[""].decode(buffer)
        except msgspec.ValidationError:
            return None
        of_list = (found.apiVersion, found.kind.removesuffix("List"))
        kinds = {(pod.apiVersion or of_list[0], pod.kind or of_list[1]) for pod in found.items}
        is_list = found.kind.endswith("List")
        return cls(buffer, found.items) if is_list and kinds == {("v1", "Pod")} else None

    def names(self) -> Iterator[tuple[str, str]]:
        """(namespace, name) of each, as they are written."""
        return ((pod.metadata.namespace, pod.metadata.name) for pod in self._pods)

    def take(self) -> list[_Pod]:
        """What was decoded. It is kept once only: the next one who asks waits for it to be decoded again."""
        pods, self._pods = self._pods, []
        return pods or LISTS[""].decode(self.buffer).items
