"""ClusterSpecifications of a hub as files of a run: read once, when it begins.

Such a specification is data of whoever may write to the hub. It was read as one, with its bases (it names no code and
no file), before it becomes a file that a worker reads like any other.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from pytest_kspec.crds.objects import clusterspecification as resources
from pytest_kspec.errors import NotServed, UsageError
from pytest_kspec.files import write_whole
from pytest_kspec.fleet.targets.hub import Hub
from pytest_kspec.spec.document import RESOURCE_VERSION, SPEC_KIND
from pytest_kspec.spec.problems import suggest


def is_resource(spec: str) -> bool:
    """Whether it names a ClusterSpecification of the hub and no file."""
    return spec.startswith(resources.PREFIX)


def fetch(hub: Hub, specs: Sequence[str], folder: Path) -> list[str]:
    """Write each of them below a folder, complete with its template and bases; the paths.

    Raises UsageError for a name that the hub does not have, SpecError, and what reading the hub raises.
    """
    try:
        found = hub.access.do(lambda writer: writer.list(RESOURCE_VERSION, SPEC_KIND))
    except NotServed as error:
        fix = "Install the kind: kspec crds clusterspecification | kubectl apply --server-side -f -"
        raise NotServed(error.what, where=error.where, fix=fix) from error
    known = {one["metadata"]["name"]: one for one in found}
    parts = {name: raw.get("spec") or {} for name, raw in known.items()}
    paths = []
    for spec in dict.fromkeys(specs):
        name = spec.removeprefix(resources.PREFIX)
        if name not in known:
            raise UsageError(
                f"the hub has no {SPEC_KIND} '{name}'.", where=spec, fix=suggest(name, known).strip()
            )
        raw = known[name]
        loaded = resources.load(resources.document(raw), name, parts)
        path = folder / resources.file_name(name)
        write_whole(path, resources.document({**raw, "spec": loaded.tree.plain()}).encode())
        paths.append(str(path))
    return paths
