"""Who changed an object, and which tool keeps it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from pytest_kspec.cluster.writing.write import FIELD_MANAGER, Writer
from pytest_kspec.drift.events import Author
from pytest_kspec.enforce.engines.webhook import CA_MANAGER
from pytest_kspec.errors import SourceError
from pytest_kspec.kube import managedfields
from pytest_kspec.kube.objectdiff import FieldChange
from pytest_kspec.kube.reference import ResourceRef

Object = Mapping[str, Any]

OURS = (FIELD_MANAGER, CA_MANAGER)
_HELM = "helm.toolkit.fluxcd.io/name"
_FLUX = "kustomize.toolkit.fluxcd.io/name"
_MANAGERS = {
    "argocd-controller": "Argo CD",
    "argocd-application-controller": "Argo CD",
    "kustomize-controller": "Flux",
    "helm-controller": "Flux",
    "helm": "Helm",
}


def author(obj: Object, fields: Sequence[FieldChange] = ()) -> Author | None:
    """Who wrote last to one of these fields, without any to the object; None where it was kspec, or is not known.

    A field that is gone is held by nobody: whoever wrote to others of the object is not who removed it.
    """
    others = [entry for entry in managedfields.entries(obj) if entry.manager not in OURS]
    if fields:
        others = [
            entry for entry in others if any(managedfields.holds(entry, one.path, obj) for one in fields)
        ]
    last = max(others, key=lambda entry: entry.time, default=None)
    return Author(last.manager, last.time) if last is not None else None


def wrote(obj: Object, fields: Sequence[FieldChange]) -> bool:
    """Whether somebody else than kspec holds one of these fields."""
    return any(
        entry.manager not in OURS and managedfields.holds(entry, one.path, obj)
        for entry in managedfields.entries(obj)
        for one in fields
    )


def holder(obj: Object) -> str:
    """What keeps this object, and would undo a correction of ours: Argo CD, Flux, Helm or its controller; or ""."""
    metadata = obj.get("metadata") or {}
    labels, annotations = metadata.get("labels") or {}, metadata.get("annotations") or {}
    tracked = annotations.get("argocd.argoproj.io/tracking-id", "").partition(":")[0]
    if tracked or (tracked := labels.get("argocd.argoproj.io/instance", "")):
        return f"Argo CD (application {tracked})"
    for key, what in ((_FLUX, "Kustomization"), (_HELM, "HelmRelease")):
        if labels.get(key):
            return f"Flux ({what} {labels[key]})"
    if labels.get("app.kubernetes.io/managed-by") == "Helm" or annotations.get("meta.helm.sh/release-name"):
        release = annotations.get("meta.helm.sh/release-name")
        return f"Helm (release {release})" if release else "Helm"
    for owner in metadata.get("ownerReferences") or ():
        if isinstance(owner, dict) and owner.get("controller"):
            return f"its controller ({owner.get('kind', '')} {owner.get('name', '')})"
    for entry in managedfields.entries(obj):
        if entry.manager in _MANAGERS:
            return _MANAGERS[entry.manager]
    return ""


class Authors:
    """Who changed objects, as far as a few look-ups say. most: how many objects are read.

    Each is read by a list of its name: whoever scans may list, and need not be allowed to get.
    """

    def __init__(self, writer: Writer | None, most: int) -> None:
        self._writer = writer
        self._most = most
        self._known: dict[ResourceRef, Object | None] = {}

    def of(self, ref: ResourceRef, fields: Sequence[FieldChange] = ()) -> tuple[Author | None, str]:
        """As `author`, and what keeps the object; (None, "") for unknown."""
        if self._writer is None or not ref.kind or not ref.name:
            return None, ""
        if ref not in self._known and len(self._known) < self._most:
            self._known[ref] = self._read(self._writer, ref)
        found = self._known.get(ref)
        return (author(found, fields), holder(found)) if found else (None, "")

    def _read(self, writer: Writer, ref: ResourceRef) -> Object | None:
        chosen = f"metadata.name={ref.name}"
        try:
            found = writer.list(ref.api_version, ref.kind, namespace=ref.namespace, field_selector=chosen)
        except SourceError:  # it differs whether or not its author is known
            return None
        return next((one for one in found if one["metadata"].get("name") == ref.name), None)
