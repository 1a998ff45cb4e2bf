"""What a user may name as a cluster, and which source reads it. Reads names only; clusters are reached
later.
"""

from __future__ import annotations

import difflib
import os
from collections.abc import Collection, Sequence

from pytest_kspec.cluster.api.kubeconfig import kubeconfig_paths, missing_files, read_kubeconfig
from pytest_kspec.cluster.sources.snapshotfile import ARCHIVES, INDEX
from pytest_kspec.cluster.sources.source import Source
from pytest_kspec.errors import KspecError, UsageError
from pytest_kspec.extend.places import SOURCES

IN_CLUSTER = "in-cluster"
_SERVICE_HOST = "KUBERNETES_SERVICE_HOST"
_LONGEST_NAME = 100


def open_source(ref: str, *, kubeconfig: str | None = None) -> Source:
    """The source that `ref` names. Raises UsageError where it names nothing.

    ref: "-" (manifests on standard input), a path (snapshot folder or archive, manifests), a kubeconfig
         context, or "in-cluster". A context wins over a path of the same name unless the path is written with a `/`.
         NAME:REST says which source it is: `manifests:PATH`, `snapshot:PATH`, `context:NAME`, or one of an installed
         package. A context or a path that is so named wins.
         NAME=PATH is manifests at a path, or on standard input, that are called NAME.
    """
    if ref == "-":
        return _open("manifests", ref, ref, kubeconfig)
    written_as_path = os.sep in ref or ref in (".", "..")
    if written_as_path and os.path.exists(ref):
        return _open(_kind_of(ref), ref, ref, kubeconfig)
    named = None if os.path.exists(ref) else _named(ref)
    if named is not None and (written_as_path or ref.endswith("=-")):
        return named
    try:
        known = read_kubeconfig(kubeconfig).contexts
    except KspecError as error:
        if named is not None:
            return named
        if not os.path.exists(ref):
            raise
        fix = f"Write {os.path.join('.', ref)} for the path: a context of this name would come first."
        raise UsageError(
            error.what, where=error.where, fix=" ".join(filter(None, (error.fix, fix)))
        ) from error
    if ref in known or ref == IN_CLUSTER:
        return _open("context", ref, ref, kubeconfig)
    if os.path.exists(ref):
        return _open(_kind_of(ref), ref, ref, kubeconfig)
    name, colon, rest = ref.partition(":")
    if named is not None:
        return named
    if colon and rest and SOURCES.find(name) is not None:
        return _open(name, rest, ref, kubeconfig)
    raise _unknown(ref, known, kubeconfig)


def _named(ref: str) -> Source | None:
    """The manifests of NAME=PATH; None where it is nothing of the kind. Raises UsageError for what cannot be named."""
    name, equals, path = ref.partition("=")
    if not equals or os.sep in name or not (path == "-" or os.path.exists(path)):
        return None
    if not name.strip() or len(name) > _LONGEST_NAME:
        raise UsageError(f"the name in NAME=PATH must have 1 to {_LONGEST_NAME} characters.", where=ref)
    if "::" in name:
        raise UsageError(
            "the name in NAME=PATH may not hold '::', which separates the parts of a node id.", where=ref
        )
    if path != "-" and _kind_of(path) == "snapshot":
        fix = f"Write {path}."
        raise UsageError(
            "NAME=PATH is for manifests only: a snapshot has the name of its cluster.", where=ref, fix=fix
        )
    from pytest_kspec.cluster.sources.manifests import ManifestSource

    return ManifestSource(path, name=name)


def _open(name: str, rest: str, ref: str, kubeconfig: str | None) -> Source:
    """The source of an entry, checked: what a package gives is what the rest of the program reads."""
    entry = SOURCES.find(name)
    make = SOURCES.load(name)
    assert entry is not None
    try:
        source = make(rest, kubeconfig=kubeconfig)
    except KspecError:
        raise
    except Exception as error:
        if not entry.package:
            raise
        raise SOURCES.broken(
            entry, f"{type(error).__name__}: {error}", check=f"what follows '{name}:'"
        ) from error
    if entry.package:
        missing = [part for part in _PARTS if not hasattr(source, part)]
        if missing:
            raise SOURCES.broken(entry, f"a {type(source).__name__} has no {', '.join(missing)}")
        if source.kind not in _KINDS or not isinstance(source.name, str) or not source.name:
            raise SOURCES.broken(entry, f"its kind must be one of {', '.join(_KINDS)}, its name a text")
        # What the user wrote finds it again, in every process of a run.
        source.ref = ref
    made: Source = source
    return made


_PARTS = ("name", "kind", "info", "types", "pages", "close")
_KINDS = ("live", "snapshot", "manifests")


def contexts(kubeconfig: str | None = None) -> Sequence[str]:
    """Every context of the kubeconfig, sorted. Raises UsageError where there is none."""
    found = sorted(read_kubeconfig(kubeconfig).contexts)
    if not found:
        raise UsageError(
            "the kubeconfig has no contexts.",
            where=os.pathsep.join(kubeconfig_paths(kubeconfig)),
            fix=missing_files(kubeconfig),
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
        fix=missing_files(kubeconfig)
        or "Name a context, a snapshot or a folder of manifests with --kspec-cluster.",
    )


def _kind_of(path: str) -> str:
    """Which source reads a path."""
    if os.path.isdir(path):
        return "snapshot" if os.path.exists(os.path.join(path, INDEX)) else "manifests"
    return "snapshot" if path.endswith(ARCHIVES) or os.path.basename(path) == INDEX else "manifests"


def _unknown(ref: str, known: Collection[str], kubeconfig: str | None) -> UsageError:
    near = difflib.get_close_matches(ref, list(known), n=1)
    if missing := missing_files(kubeconfig):
        fix = missing
    elif near:
        fix = f"Did you mean the context '{near[0]}'?"
    elif known:
        names = sorted(known)
        fix = f"Contexts: {', '.join(names[:10])}{', …' if len(names) > 10 else ''}."
    else:
        fix = f"There are no contexts in {os.pathsep.join(kubeconfig_paths(kubeconfig))}."
    return UsageError(f"'{ref}' is neither a path nor a kubeconfig context.", fix=fix)
