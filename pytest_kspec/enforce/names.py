"""Names and labels of what a specification generates: two specifications never have one in common."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

import msgspec

from pytest_kspec.enforce.modes import Mode
from pytest_kspec.spec.loading import LoadedSpec

SPEC_LABEL = "kspec.io/cluster-spec"
GENERATED_LABEL = "kspec.io/generated"
MODE_LABEL = "kspec.io/enforcement-mode"
ENGINE_LABEL = "kspec.io/engine"
NAME_ANNOTATION = "kspec.io/spec-name"
VERSION_ANNOTATION = "kspec.io/spec-version"
REAPPLY_ANNOTATION = "kspec.io/reapply-by"
"""RFC 3339: from then on exemptions or periods have changed, and the manifests have to be made again."""

APPLIED_ANNOTATION = "kspec.io/applied"
"""Digest of what was applied: an object that differs from it was changed, one of another digest is out of date."""

LONGEST = 40  # of a name in names of objects: with prefix and suffix it stays below 63
_SAFE = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?")


def spec_id(name: str) -> str:
    """The name of a specification where Kubernetes restricts names: itself, or cut and with a hash of itself."""
    if _SAFE.fullmatch(name) and len(name) <= LONGEST:
        return name
    digest = hashlib.sha256(name.encode()).hexdigest()[:8]
    plain = re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")[: LONGEST - len(digest) - 1].rstrip("-")
    return f"{plain}-{digest}" if plain else digest


def object_name(spec: LoadedSpec, part: str) -> str:
    """The name of the object for this part of a specification."""
    return f"kspec-{spec_id(spec.name)}-{part}"


def metadata(
    spec: LoadedSpec, part: str, *, engine: str, mode: Mode, boundary: datetime | None
) -> dict[str, Any]:
    """`metadata` of a generated object. boundary: when it has to be made again."""
    annotations = {NAME_ANNOTATION: spec.name}
    if spec.version:
        annotations[VERSION_ANNOTATION] = spec.version
    if boundary is not None:
        annotations[REAPPLY_ANNOTATION] = boundary.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    return {
        "name": object_name(spec, part),
        "labels": {
            ENGINE_LABEL: engine,
            MODE_LABEL: str(mode),
            GENERATED_LABEL: "true",
            SPEC_LABEL: spec_id(spec.name),
        },
        "annotations": annotations,
    }


def sealed(manifest: Mapping[str, Any]) -> dict[str, Any]:
    """The manifest with APPLIED_ANNOTATION."""
    metadata = manifest["metadata"]
    annotations = {
        key: text for key, text in (metadata.get("annotations") or {}).items() if key != APPLIED_ANNOTATION
    }
    content = {**manifest, "metadata": {**metadata, "annotations": annotations}}
    digest = hashlib.sha256(msgspec.json.encode(content, order="deterministic")).hexdigest()[:32]
    return {**content, "metadata": {**metadata, "annotations": {**annotations, APPLIED_ANNOTATION: digest}}}


def selector(spec: LoadedSpec, engine: str) -> str:
    """Label selector of everything that one engine generated for a specification."""
    return f"{GENERATED_LABEL}=true,{SPEC_LABEL}={spec_id(spec.name)},{ENGINE_LABEL}={engine}"
