"""Names in kubeconfig files: which contexts there are, which one is current. Credentials are `auth`'s.

Read here and not by the official client, which takes 0.7 s to import; a run on snapshots never pays that.
Several files are merged as kubectl does: of two entries with one name the first counts, and the first
`current-context`.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any, NamedTuple

import yaml

from pytest_kspec.errors import UsageError

DEFAULT = "~/.kube/config"
MAX_BYTES = 16 << 20


class KubeConfig(NamedTuple):
    """What merging gives. paths: the files that exist; contexts: name → {"cluster", "user"}; users: name
    → entry.
    """

    paths: tuple[str, ...]
    current: str
    contexts: dict[str, dict[str, Any]]
    users: dict[str, dict[str, Any]]


def kubeconfig_paths(kubeconfig: str | None = None) -> list[str]:
    """The files to merge: the option's, else KUBECONFIG's, else the default."""
    given = kubeconfig or os.environ.get("KUBECONFIG") or DEFAULT
    return [os.path.expanduser(path) for path in given.split(os.pathsep) if path]


def read_kubeconfig(kubeconfig: str | None = None) -> KubeConfig:
    """Merge the files. A file that does not exist counts as empty, except one that the option names.

    Raises UsageError naming a file that is no kubeconfig; its content is never shown.
    """
    paths = kubeconfig_paths(kubeconfig)
    current = ""
    contexts: dict[str, dict[str, Any]] = {}
    users: dict[str, dict[str, Any]] = {}
    found = []
    for path in paths:
        if not os.path.exists(path):
            if kubeconfig:
                raise UsageError("no such kubeconfig file.", where=path)
            continue
        found.append(path)
        data = _read(path)
        current = current or _text(data.get("current-context"))
        for kind, entries in (("context", contexts), ("user", users)):
            for entry in data.get(f"{kind}s") or ():
                if isinstance(entry, dict) and isinstance(entry.get("name"), str):
                    value = entry.get(kind)
                    entries.setdefault(entry["name"], value if isinstance(value, dict) else {})
    return KubeConfig(tuple(found), current, contexts, users)


def _read(path: str) -> dict[str, Any]:
    try:
        with Path(path).open("rb") as file:
            raw = file.read(MAX_BYTES)
        data = yaml.load(raw, Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader))  # a safe loader
    except OSError as error:
        raise UsageError(f"the kubeconfig cannot be read: {error.strerror}.", where=path) from error
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        mark = getattr(error, "problem_mark", None)
        at = f":{mark.line + 1}" if mark else ""
        raise UsageError("the kubeconfig is not valid YAML.", where=f"{path}{at}") from None
    if not isinstance(data, dict):
        raise UsageError("this is no kubeconfig.", where=path)
    for key in ("contexts", "users", "clusters"):
        if not isinstance(data.get(key), list | None):
            raise UsageError(f"this is no kubeconfig: `{key}` is not a list.", where=path)
    return data


def _text(value: Any) -> str:
    return value if isinstance(value, str) else ""
