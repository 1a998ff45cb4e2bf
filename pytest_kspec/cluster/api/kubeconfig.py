"""kubeconfig files: which contexts there are, which one is current, and the entries that they name.

Several files are merged as kubectl does: of two entries with one name the first counts, and the first
`current-context`. Entries are read here and judged in `contexts`, each when its context is used: what is wrong
with one cluster must not reach another.
"""

from __future__ import annotations

import contextlib
import json
import os
from pathlib import Path
from typing import Any, NamedTuple

from pytest_kspec.cluster.objects.yamldocs import yaml_documents
from pytest_kspec.errors import SourceUnavailable, UsageError

DEFAULT = "~/.kube/config"
MAX_BYTES = 16 << 20


class Entry(NamedTuple):
    """A named entry as it is written. path: the file that it is in; twice: that file has another one of this name."""

    data: Any
    path: str
    twice: bool = False


class KubeConfig(NamedTuple):
    """What merging gives. paths: the files that exist; the others: name → entry."""

    paths: tuple[str, ...]
    current: str
    contexts: dict[str, Entry]
    clusters: dict[str, Entry]
    users: dict[str, Entry]


def kubeconfig_paths(kubeconfig: str | None = None) -> list[str]:
    """The files to merge, each once: the option's, else KUBECONFIG's, else the default."""
    given = kubeconfig or os.environ.get("KUBECONFIG") or DEFAULT
    return list(dict.fromkeys(os.path.expanduser(path) for path in given.split(os.pathsep) if path))


def missing_files(kubeconfig: str | None = None) -> str:
    """A sentence about files of $KUBECONFIG that do not exist; "" where none is missing.

    As for kubectl such a file counts as empty: who finds no context for it says so.
    """
    if kubeconfig or not os.environ.get("KUBECONFIG"):
        return ""
    missing = [path for path in kubeconfig_paths() if not os.path.exists(path)]
    if not missing:
        return ""
    return f"$KUBECONFIG names {', '.join(missing)}, which {'does' if len(missing) == 1 else 'do'} not exist."


def read_kubeconfig(kubeconfig: str | None = None) -> KubeConfig:
    """Merge the files. A file that does not exist counts as empty, except one that the option names.

    Raises UsageError naming a file that is no kubeconfig; its content is never shown.
    """
    found = []
    for path in kubeconfig_paths(kubeconfig):
        if os.path.exists(path):
            found.append((path, _read(path)))
        elif kubeconfig:
            raise UsageError("the kubeconfig file does not exist.", where=path)
    return _merge(found)


def parse_kubeconfig(raw: bytes, where: str) -> KubeConfig:
    """A kubeconfig that is no file. where: its name in errors. Raises UsageError; its content is never shown."""
    if len(raw) > MAX_BYTES:
        raise UsageError(f"the kubeconfig is larger than {MAX_BYTES >> 20} MiB.", where=where)
    return _merge([(where, _checked(raw, where))])


def _merge(files: list[tuple[str, dict[str, Any]]]) -> KubeConfig:
    """Path and content of each."""
    current = ""
    merged: dict[str, dict[str, Entry]] = {"context": {}, "cluster": {}, "user": {}}
    for path, data in files:
        current = current or _text(data.get("current-context"))
        for kind, entries in merged.items():
            own: dict[str, Entry] = {}
            for entry in data.get(f"{kind}s") or ():
                if isinstance(entry, dict) and isinstance(name := entry.get("name"), str):
                    own[name] = Entry(entry.get(kind), path, twice=name in own)
            for name, made in own.items():
                entries.setdefault(name, made)
    paths = tuple(path for path, _ in files)
    return KubeConfig(paths, current, merged["context"], merged["cluster"], merged["user"])


def _read(path: str) -> dict[str, Any]:
    try:
        with Path(path).open("rb") as file:
            raw = file.read(MAX_BYTES + 1)
    except OSError as error:
        raise UsageError(f"the kubeconfig could not be read: {error.strerror}.", where=path) from error
    if len(raw) > MAX_BYTES:
        raise UsageError(f"the kubeconfig is larger than {MAX_BYTES >> 20} MiB.", where=path)
    return _checked(raw, path)


def _checked(raw: bytes, path: str) -> dict[str, Any]:
    data = _parse(raw, path)
    if data is None:
        return {}
    if not isinstance(data, dict):
        raise UsageError("this is not a kubeconfig.", where=path)
    for key, only in (("apiVersion", "v1"), ("kind", "Config")):
        if data.get(key) not in (None, "", only):
            raise UsageError(f"this is not a kubeconfig: `{key}` is not `{only}`.", where=path)
    for key in ("contexts", "users", "clusters"):
        if not isinstance(data.get(key), list | None):
            raise UsageError(f"this is not a kubeconfig: `{key}` is not a list.", where=path)
    return data


def _parse(raw: bytes, path: str) -> Any:
    """None for an empty file."""
    if raw.lstrip().startswith(b"{"):  # JSON is YAML but for some escapes
        with contextlib.suppress(ValueError, RecursionError):
            return json.loads(raw, object_pairs_hook=_once)
    try:
        documents = list(yaml_documents(raw, path))
    except SourceUnavailable as error:
        # Not its text, which may quote the file.
        raise UsageError("the kubeconfig is not valid YAML.", where=error.where) from None
    if len(documents) > 1:
        raise UsageError(
            "the kubeconfig contains more than one document.", where=f"{path}:{documents[1].line}"
        )
    return documents[0].data if documents else None


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError  # said by the other parser, with its line
    return found


def _text(value: Any) -> str:
    return value if isinstance(value, str) else ""
