"""What a user may name as a cluster, and which source reads it. Reads names only; clusters are reached
later.
"""

from __future__ import annotations

import difflib
import os
from collections.abc import Collection, Sequence

from pytest_kspec.cluster.api.kubeconfig import kubeconfig_paths, read_kubeconfig
from pytest_kspec.cluster.sources.snapshotfile import ARCHIVES, INDEX
from pytest_kspec.cluster.sources.source import Source
from pytest_kspec.errors import KspecError, UsageError

IN_CLUSTER = "in-cluster"
_SERVICE_HOST = "KUBERNETES_SERVICE_HOST"


def open_source(ref: str, *, kubeconfig: str | None = None) -> Source:
    """The source that `ref` names. Raises UsageError where it names nothing.

    ref: "-" (manifests on standard input), a path (snapshot folder or archive, manifests), a kubeconfig
         context,
         or "in-cluster". A context wins over a path of the same name unless the path is written with a `/`.
    """
    if ref == "-":
        from pytest_kspec.cluster.sources.manifests import ManifestSource

        return ManifestSource(ref)
    written_as_path = os.sep in ref or ref in (".", "..")
    if written_as_path and os.path.exists(ref):
        return _open_path(ref)
    try:
        known = read_kubeconfig(kubeconfig).contexts
    except KspecError as error:
        if not os.path.exists(ref):
            raise
        fix = f"Write {os.path.join('.', ref)} for the path: a context of this name would come first."
        raise UsageError(
            error.what, where=error.where, fix=" ".join(filter(None, (error.fix, fix)))
        ) from error
    if ref in known or ref == IN_CLUSTER:
        from pytest_kspec.cluster.sources.live import LiveSource

        return LiveSource(ref, kubeconfig=kubeconfig, in_cluster=ref not in known)
    if os.path.exists(ref):
        return _open_path(ref)
    raise _unknown(ref, known, kubeconfig)


def contexts(kubeconfig: str | None = None) -> Sequence[str]:
    """Every context of the kubeconfig, sorted. Raises UsageError where there is none."""
    found = sorted(read_kubeconfig(kubeconfig).contexts)
    if not found:
        raise UsageError(
            "the kubeconfig has no contexts.", where=os.pathsep.join(kubeconfig_paths(kubeconfig))
        )
    return found


def default_ref(kubeconfig: str | None = None) -> str:
    """The current context, else in-cluster. Raises UsageError where there is neither."""
    found = read_kubeconfig(kubeconfig)
    if found.current:
        return found.current
    if os.environ.get(_SERVICE_HOST):
        return IN_CLUSTER
    raise UsageError(
        "no cluster is given, and the kubeconfig has no current context.",
        where=os.pathsep.join(kubeconfig_paths(kubeconfig)),
        fix="Name a context, a snapshot or a folder of manifests with --kspec-cluster.",
    )


def _open_path(path: str) -> Source:
    if os.path.isdir(path):
        if os.path.exists(os.path.join(path, INDEX)):
            from pytest_kspec.cluster.sources.snapshot import SnapshotSource

            return SnapshotSource(path)
    elif path.endswith(ARCHIVES):
        from pytest_kspec.cluster.sources.snapshot import SnapshotSource

        return SnapshotSource(path)
    elif os.path.basename(path) == INDEX:
        from pytest_kspec.cluster.sources.snapshot import SnapshotSource

        return SnapshotSource(os.path.dirname(path) or ".")
    from pytest_kspec.cluster.sources.manifests import ManifestSource

    return ManifestSource(path)


def _unknown(ref: str, known: Collection[str], kubeconfig: str | None) -> UsageError:
    near = difflib.get_close_matches(ref, list(known), n=1)
    if near:
        fix = f"Did you mean the context '{near[0]}'?"
    elif known:
        names = sorted(known)
        fix = f"Contexts: {', '.join(names[:10])}{', …' if len(names) > 10 else ''}."
    else:
        fix = f"There are no contexts in {os.pathsep.join(kubeconfig_paths(kubeconfig))}."
    return UsageError(f"'{ref}' is neither a path nor a kubeconfig context.", fix=fix)
