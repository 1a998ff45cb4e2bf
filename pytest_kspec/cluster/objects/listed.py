"""What of listed pods and controllers is decoded: what every check needs. The rest stays raw JSON."""

from __future__ import annotations

from typing import Any, NamedTuple

import msgspec

from pytest_kspec import typed
from pytest_kspec.kube.reference import ResourceRef


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


class Controller(NamedTuple):
    """The owner reference with `controller: true`."""

    api_version: str
    kind: str
    name: str
    uid: str


def controller_of(owners: list[OwnerReference]) -> Controller | None:
    """The first that is one."""
    for owner in owners:
        if owner.controller:
            return Controller(owner.apiVersion, owner.kind, owner.name, owner.uid)
    return None


def controller_of_raw(raw: dict[str, Any]) -> Controller | None:
    """The controller of an object that may hold anything anywhere; None if it has none that can be read."""
    metadata = raw.get("metadata")
    owners = metadata.get("ownerReferences") if isinstance(metadata, dict) else None
    try:
        return controller_of(typed.convert(owners, list[OwnerReference] | None) or [])
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
