"""Patches as files: a kustomize component, of which each file is also one that `kubectl patch` takes."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import yaml

from pytest_kspec.fixes.collect import ObjectFix
from pytest_kspec.shown import printable
from pytest_kspec.yamlfiles.writing import Dumper

KUSTOMIZATION = "kustomization.yaml"


def render_stream(fixes: Iterable[ObjectFix]) -> str:
    """All as one YAML stream, each with what it is for."""
    return "---\n".join(_document(fix) for fix in fixes)


def folder_names(clusters: Iterable[str]) -> dict[str, str]:
    """Cluster → a folder for its files. A name is a person's: it may be `..`, or differ from another in `/` only."""
    folders: dict[str, str] = {}
    for cluster in clusters:
        stem = re.sub(r"[^\w.-]+", "_", cluster).strip(".")[:60] or "cluster"
        taken = set(folders.values())
        folders[cluster] = next(name for name in _numbered(stem) if name not in taken)
    return folders


def render_files(
    fixes: Sequence[ObjectFix], operations: Sequence[list[dict[str, Any]] | None] = ()
) -> dict[str, bytes]:
    """File name → content, the kustomization included. operations: of each fix, for a JSON patch instead."""
    files: dict[str, bytes] = {}
    resources: list[str] = []
    patches: list[dict[str, Any]] = []
    for number, fix in enumerate(fixes):
        steps = operations[number] if operations else None
        name = _file_name(fix, "json" if steps is not None else "yaml", {KUSTOMIZATION, *files})
        if fix.new:
            resources.append(name)
        elif steps is not None:
            patches.append({"path": name, "target": _target(fix)})
        else:
            patches.append({"path": name})
        text = _document(fix) if steps is None else json.dumps(steps, indent=1, ensure_ascii=False) + "\n"
        files[name] = text.encode()
    component: dict[str, Any] = {"apiVersion": "kustomize.config.k8s.io/v1alpha1", "kind": "Component"}
    if resources:
        component["resources"] = resources
    if patches:
        component["patches"] = patches
    files[KUSTOMIZATION] = _yaml(component).encode()
    return files


def _document(fix: ObjectFix) -> str:
    lines = [f"# {'creates' if fix.new else 'patches'} {fix.resource} of {fix.cluster} for"]
    lines += [f"#   {check}" for check in fix.checks]
    lines += [
        f"# two fixes differ; the fix of the more severe finding is used: {path}" for path in fix.conflicts
    ]
    # One line each, whatever a name holds.
    head = "".join(printable(" ".join(line.split())) + "\n" for line in lines)
    return head + _yaml(fix.manifest if not fix.new else fix.patch)


def _yaml(data: Any) -> str:
    return yaml.dump(data, Dumper=Dumper, sort_keys=False, allow_unicode=True, width=120)


def _target(fix: ObjectFix) -> dict[str, str]:
    group, _, version = fix.resource.api_version.rpartition("/")
    names = {"group": group, "version": version, "kind": fix.resource.kind, "name": fix.resource.name}
    names["namespace"] = fix.resource.namespace
    return {key: value for key, value in names.items() if value}


def _file_name(fix: ObjectFix, suffix: str, taken: Iterable[str]) -> str:
    """`deployment-shop-web.yaml`; a number where that is taken."""
    parts = (fix.resource.kind, fix.resource.namespace, fix.resource.name)
    stem = "-".join(re.sub(r"[^a-z0-9.-]+", "_", part.lower())[:60] for part in parts if part)
    return next(name for name in _numbered(stem, f".{suffix}") if name not in taken)


def _numbered(stem: str, suffix: str = "") -> Iterator[str]:
    yield f"{stem}{suffix}"
    number = 2
    while True:
        yield f"{stem}-{number}{suffix}"
        number += 1
