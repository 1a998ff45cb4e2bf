"""Specifications that are objects of a cluster: data of whoever may write there.

Such a specification reads no file of this machine and names no code; its bases are objects of the same cluster.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Any

import yaml

from pytest_kspec.crds.names import ANNOTATION_VERSION
from pytest_kspec.errors import UsageError
from pytest_kspec.spec.document import FILE_VERSION
from pytest_kspec.spec.effective import Library
from pytest_kspec.spec.loading import LoadedSpec, spec_from_text
from pytest_kspec.yamlfiles.writing import Dumper

PREFIX = "cr:"
"""Before the name of one, in the place of a path."""

_LONGEST = 200
"""Letters of a name that a file may have, too: a name has at most 253, a file 255 with what is put around it."""


def file_name(name: str) -> str:
    """What a file is called that holds the specification of this name: unlike that of any other."""
    if len(name) > _LONGEST:
        name = f"{name[:_LONGEST]}~{hashlib.sha256(name.encode()).hexdigest()[:16]}"
    return f"{name}.yaml"


def document(raw: Mapping[str, Any]) -> str:
    """The object as a specification file: what users wrote, without what the API server adds."""
    metadata = raw.get("metadata") or {}
    annotations = metadata.get("annotations") or {}
    kept: dict[str, Any] = {"name": metadata.get("name")}
    if annotations.get(ANNOTATION_VERSION):
        kept["version"] = annotations[ANNOTATION_VERSION]
    if metadata.get("labels"):
        kept["labels"] = metadata["labels"]
    made = {
        "apiVersion": FILE_VERSION if "version" in kept else raw.get("apiVersion"),  # only a file has one
        "kind": raw.get("kind"),
        "metadata": kept,
        "spec": raw.get("spec"),
    }
    return yaml.dump(made, Dumper=Dumper, sort_keys=False, allow_unicode=True)


def load(text: str, name: str, parts: Mapping[str, Any]) -> LoadedSpec:
    """What `document` made. Raises SpecError, UsageError.

    parts: the `spec` of all specifications of the cluster by name: what it may build on
    """
    shown = f"{PREFIX}{name}"
    if (parts.get(name) or {}).get("checks"):
        raise UsageError(
            "checks: a specification in a cluster cannot name code.",
            where=shown,
            fix="Add the check modules with --kspec-checks.",
        )
    return spec_from_text(text, shown, Library(parts=parts))
