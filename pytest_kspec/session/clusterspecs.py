"""Specifications that are read from a cluster: `--kspec-spec cr:NAME`.

They are read once, by the controller, before anything is collected, and laid in a folder of this run that xdist workers
read: collecting touches no cluster, and all collect the same. A specification of a cluster is data of whoever may
write there: it reads no file of this machine and names no code.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec

from pytest_kspec.cluster.inventory.inventory import Inventory
from pytest_kspec.cluster.objects.answers import has_name
from pytest_kspec.cluster.sources import open as sources
from pytest_kspec.crds.names import GROUP
from pytest_kspec.crds.objects import clusterspecification as resources
from pytest_kspec.errors import KspecError, Malformed, NotServed, SourceError, UsageError
from pytest_kspec.kube.globs import Globs, is_literal
from pytest_kspec.spec.document import SPEC_KIND
from pytest_kspec.spec.loading import LoadedSpec
from pytest_kspec.spec.problems import suggest

PREFIX, file_name = resources.PREFIX, resources.file_name
_PARTS = "parts.json"

RESOURCES = "kspec_resources"
"""In what a worker is given: the folder with the specifications of a cluster."""


def is_resource(spec: str) -> bool:
    """Whether an argument of --kspec-spec names a custom resource and no path."""
    return spec.startswith(PREFIX)


def fetch(names: Sequence[str], clusters: Sequence[str], kubeconfig: str | None) -> Path:
    """Read them, and lay them in a folder of this user's only, which is the caller's to remove.

    names: `cr:NAME`, with wildcards; clusters: what --kspec-cluster says, of which the first that is one cluster is
    read, else the current context. Raises KspecError.
    """
    given = next((ref for ref in clusters if ref != "all"), "") or sources.default_ref(kubeconfig)
    source = sources.open_source(given, kubeconfig=kubeconfig)
    try:
        found = {one.name: one.raw for one in Inventory(source).list(SPEC_KIND, GROUP)}
        if not all(
            has_name(raw.get("metadata")) for raw in found.values()
        ):  # each becomes the name of a file
            raise Malformed(f"a {SPEC_KIND} has no valid name.", where=source.name)
    except NotServed as error:
        raise UsageError(
            f"the cluster has no {SPEC_KIND}: {error.what}",
            where=source.name,
            fix="Install the kind: kspec crds clusterspecification | kubectl apply --server-side -f -",
        ) from error
    except SourceError as error:
        what = f"the specifications of the cluster could not be read: {error.what}"
        raise KspecError(what, where=error.where, fix=error.fix) from error
    finally:
        source.close()
    chosen = _chosen(names, found, source.name)
    folder = Path(tempfile.mkdtemp(prefix="kspec-specs-"))
    for name in chosen:
        (folder / resources.file_name(name)).write_text(resources.document(found[name]), encoding="utf-8")
    parts = {name: raw.get("spec") or {} for name, raw in sorted(found.items())}
    (folder / _PARTS).write_bytes(msgspec.json.encode(parts))
    return folder


def load(folder: Path) -> dict[Path, LoadedSpec]:
    """What `fetch` laid there: the file that pytest collects → specification, by name. Raises SpecError, UsageError."""
    parts: Mapping[str, Any] = msgspec.json.decode((folder / _PARTS).read_bytes())
    names = {resources.file_name(name): name for name in parts}
    loaded = {}
    for path in sorted(folder.glob("*.yaml")):
        loaded[path] = resources.load(path.read_text(encoding="utf-8"), names[path.name], parts)
    return loaded


def _chosen(names: Iterable[str], found: Mapping[str, Any], cluster: str) -> list[str]:
    chosen: set[str] = set()
    for given in names:
        wanted = given.removeprefix(PREFIX)
        matching = [name for name in found if wanted and Globs([wanted]).match(name)]
        if not matching:
            what = f"{cluster} has no {SPEC_KIND}" + (
                f" '{wanted}'." if is_literal(wanted) and wanted else "."
            )
            raise UsageError(
                what, where=f"--kspec-spec {given}", fix=suggest(wanted, found).strip() or _known(found)
            )
        chosen.update(matching)
    return sorted(chosen)


def _known(found: Mapping[str, Any]) -> str:
    names = sorted(found)
    return f"There are: {', '.join(names[:10])}{', …' if len(names) > 10 else ''}." if names else ""
