"""Which fields a Kubernetes Pod has: the table behind `workloads.containers.required` and `.forbidden`.

A key is a path into a container ("securityContext.privileged", "image") or into the pod spec ("hostNetwork",
"securityContext.fsGroup"). Where both have it, the container is meant; `spec.` before a key means the pod's
own ("spec.securityContext.runAsNonRoot"). Lists are passed through: "ports.hostPort" or "ports[*].hostPort".

`podfields.txt` holds the facts: one struct of the v1.37 API a line, read when first asked for. It is written
by `tools/podfields.py` from the Go types; run that again for a newer Kubernetes.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterator
from functools import cache, lru_cache
from pathlib import Path
from typing import NamedTuple

from pytest_kspec.kube.resources import CONTAINER_LISTS

TABLE = Path(__file__).with_name("podfields.txt")
# Both a container and a pod have it, and the pod's is what people mean: a container's is for sidecars.
POD_FIRST = frozenset({"restartPolicy"})
SCALARS = frozenset({"bool", "int", "string", "quantity", "intorstring"})
EVERY = "*"
SUGGESTION_DEPTH = 5


class PodField(NamedTuple):
    """One field. `key` as written; `level`: "container" or "pod".

    path: steps below the container or the pod spec; "*" passes through a list
    type: "bool", "int", "string", "quantity", "intorstring", a struct's name, "[]" or "{}" (a map) + type
    """

    key: str
    level: str
    path: tuple[str, ...]
    type: str

    @property
    def scalar(self) -> str:
        """The type that one value has: that of the elements for a list of scalars; "" if it holds objects."""
        inner = self.type.removeprefix("[]")
        return inner if inner in SCALARS else ""

    @property
    def is_list(self) -> bool:
        """Whether the field itself is a list, as `command`; not one of its items, as `ports.name`."""
        return self.type.startswith("[]")

    @property
    def is_seconds(self) -> bool:
        """Whether it is a number of seconds, so that a specification may write a duration."""
        return self.scalar == "int" and self.path[-1].endswith("Seconds")


@lru_cache(maxsize=1024)
def pod_field(key: str) -> PodField | None:
    """The field that a specification's key names, or None if no Pod has it."""
    if key.startswith("spec."):
        return _resolve(key, key.removeprefix("spec."), "pod")
    levels = ("pod", "container") if key in POD_FIRST else ("container", "pod")
    for level in levels:
        found = _resolve(key, key, level)
        if found is not None:
            return found
    return None


def suggest(key: str) -> str | None:
    """The key that was probably meant, or None."""
    bare = key.removeprefix("spec.").removeprefix("template.spec.")
    for name in CONTAINER_LISTS:
        match = re.match(rf"{name}(\[[^\]]*\])?\.", bare)
        if match and pod_field(bare[match.end() :]):
            return bare[match.end() :]
    names = list(_all_keys())
    last = bare.rpartition(".")[2]
    tails = [name for name in names if name == bare or name.endswith("." + bare)]
    tails = tails or [name for name in names if name.rpartition(".")[2].lower() == last.lower()]
    if tails:
        # The one that shares most with what was written; of equals the shortest.
        likeness = difflib.SequenceMatcher(None, "", bare)

        def rank(name: str) -> tuple[float, int]:
            likeness.set_seq1(name)
            return -(likeness.ratio() // 0.2), len(name)

        return min(tails, key=rank)
    close = difflib.get_close_matches(bare, names, n=1, cutoff=0.75)
    return close[0] if close else None


def _resolve(key: str, path: str, level: str) -> PodField | None:
    kind = "Container" if level == "container" else "PodSpec"
    steps: list[str] = []
    rest = path
    while rest:
        if kind.startswith("{}"):
            # A map's keys may hold dots ("nvidia.com/gpu"): what is left is one key.
            return PodField(key, level, (*steps, rest), kind[2:])
        if kind.startswith("[]"):
            steps.append(EVERY)
            kind = kind[2:]
        name, _, rest = rest.partition(".")
        name = name.removesuffix("[*]")
        found = _structs().get(kind, {}).get(name)
        if found is None:
            return None
        if level == "pod" and name in CONTAINER_LISTS and rest:
            return None
        steps.append(name)
        kind = found
    return PodField(key, level, tuple(steps), kind) if steps and not path.endswith(".") else None


@cache
def _structs() -> dict[str, dict[str, str]]:
    found: dict[str, dict[str, str]] = {}
    for line in TABLE.read_text(encoding="utf-8").splitlines():
        if line and not line.startswith("#"):
            name, *fields = line.split(" ")
            found[name] = dict(field.split(":", 1) for field in fields)
    return found


def _all_keys() -> Iterator[str]:
    seen: set[str] = set()
    for root in ("Container", "PodSpec"):
        for key in _keys_below(root, "", 0):
            if key not in seen:
                seen.add(key)
                yield key


def _keys_below(kind: str, prefix: str, depth: int) -> Iterator[str]:
    for name, below in _structs().get(kind, {}).items():
        yield prefix + name
        if kind == "PodSpec" and name in CONTAINER_LISTS:
            continue
        if below == "{}quantity":
            yield from (f"{prefix}{name}.{resource}" for resource in ("cpu", "memory", "ephemeral-storage"))
        if depth < SUGGESTION_DEPTH:
            yield from _keys_below(below.lstrip("[]{}"), f"{prefix}{name}.", depth + 1)
