"""A fix on a live cluster: tried by server-side dry run, shown as a diff, then carried out on the very same object."""

from __future__ import annotations

import copy
import difflib
from dataclasses import dataclass
from typing import Any

import yaml

from pytest_kspec.audit import trail
from pytest_kspec.cluster.writing.write import Writer
from pytest_kspec.errors import KspecError
from pytest_kspec.fixes.collect import ObjectFix
from pytest_kspec.redaction.objects import redact_object

_SERVER_SIDE = ("creationTimestamp", "generation", "managedFields", "resourceVersion", "uid", "selfLink")


@dataclass(frozen=True, slots=True)
class Attempt:
    """What a dry run said. text: the diff, or why it cannot be; problem: whether that is so."""

    fix: ObjectFix
    text: str
    problem: bool = False
    uid: str = ""


def attempt(writer: Writer, fix: ObjectFix) -> Attempt:
    """Try it without changing anything."""
    ref = fix.resource
    if ref.kind == "Pod" and ref.api_version == "v1":
        what = "a running pod cannot be changed: change its manifest and recreate the pod"
        return Attempt(fix, f"{ref}: {what}", True)
    try:
        if fix.new:
            return Attempt(fix, _shown({}, writer.create(fix.patch, dry_run=True), ref))
        before = writer.get(ref.api_version, ref.kind, ref.name, namespace=ref.namespace)
        uid = str(before.get("metadata", {}).get("uid", ""))
        return Attempt(fix, _shown(before, _patch(writer, fix, uid, dry_run=True), ref), uid=uid)
    except KspecError as error:
        return Attempt(fix, f"{ref}: {error}", True)


def carry_out(writer: Writer, tried: Attempt) -> None:
    """Do what was tried. Raises SourceError; Refused where another object has taken the name since."""
    target = str(tried.fix.resource)
    with trail.recorded("remediation", "fix", f"fix {target}", resource=target, **trail.about(writer.source)):
        if tried.fix.new:
            writer.create(tried.fix.patch)
        else:
            _patch(writer, tried.fix, tried.uid, dry_run=False)


def _patch(writer: Writer, fix: ObjectFix, uid: str, *, dry_run: bool) -> dict[str, Any]:
    ref = fix.resource
    # A wrong uid is refused: the object of this name must be the one that was looked at.
    patch = {**fix.patch, "metadata": {**fix.patch.get("metadata", {}), "uid": uid}}
    return writer.patch(
        ref.api_version,
        ref.kind,
        ref.name,
        patch,
        namespace=ref.namespace,
        patch_type="strategic",
        dry_run=dry_run,
    )


def _shown(before: dict[str, Any], after: dict[str, Any], ref: object) -> str:
    old, new = (_lines(obj) if obj else [] for obj in (before, after))
    return "\n".join(difflib.unified_diff(old, new, f"{ref}", f"{ref} (fixed)", lineterm="", n=2))


def _lines(obj: dict[str, Any]) -> list[str]:
    metadata = {k: v for k, v in obj.get("metadata", {}).items() if k not in _SERVER_SIDE}
    shown = copy.deepcopy(
        {key: value for key, value in obj.items() if key != "status"} | {"metadata": metadata}
    )
    redact_object(shown)  # the lines around a change are shown too
    return str(yaml.safe_dump(shown, sort_keys=True, width=100)).splitlines()
