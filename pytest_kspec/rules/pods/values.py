"""Where a field of a container or pod stands, and whose value holds where it is left out.

The one place that knows what Kubernetes inherits and fills in, for rules about any field.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from pytest_kspec.kube.podfields import EVERY
from pytest_kspec.kube.resources import Container, PodShape
from pytest_kspec.rules import poddefaults
from pytest_kspec.rules.fieldpath import item_label, malformed
from pytest_kspec.rules.repair.repair import Steps

EMPTY: tuple[Any, ...] = (None, "", [], {})
HIDDEN = "(not shown)"  # values of fields that may hold credentials


def walk(data: Any, path: tuple[str, ...], base: str) -> Iterator[tuple[str, Any]]:
    """(path, value) of a field below an object; several for a path through a list, None for unset.

    Raises Malformed where something on the way is neither a map nor unset.
    """
    for depth, step in enumerate(path):
        if step == EVERY:
            if data is None:
                return
            if type(data) is not list:
                malformed(base, data, list)
            for index, item in enumerate(data):
                yield from walk(item, path[depth + 1 :], f"{base}[{item_label(item, index)}]")
            return
        if data is None:
            base = f"{base}.{step}"
            continue
        if type(data) is not dict:
            malformed(base, data, dict)
        data = data.get(step)
        base = f"{base}.{step}"
    yield base, data


def places(data: Any, path: tuple[str, ...], base: str, steps: Steps) -> Iterator[tuple[str, Steps, Any]]:
    """As `walk`, with the way to each value: (path, steps, value)."""
    for depth, step in enumerate(path):
        if step == EVERY:
            for index, item in enumerate(data or ()):
                label = f"{base}[{item_label(item, index)}]"
                yield from places(item, path[depth + 1 :], label, (*steps, index))
            return
        data = data.get(step) if data is not None else None
        base, steps = f"{base}.{step}", (*steps, step)
    yield base, steps, data


def inherited(pod: PodShape, container: Container, path: tuple[str, ...], own: Any) -> tuple[str, Any]:
    """(source, value) that a container without its own takes over: from its pod, or requests from limits."""
    if path[0] == "resources":
        swapped = (path[0], "limits", *path[2:])
        sources: list[tuple[Any, str, tuple[str, ...]]] = [(pod.spec, "spec", path)]
        if path[1:2] == ("requests",):
            # The API server fills requests in from limits, for a container as for a pod.
            sources = [
                (container.raw, container.path, swapped),
                (pod.spec, "spec", path),
                (pod.spec, "spec", swapped),
            ]
    elif path[0] == "securityContext" and len(path) > 1 and path[1] in poddefaults.INHERITED:
        # Each is taken as a whole; only windowsOptions are merged field by field.
        whole = path if path[1] == "windowsOptions" else path[:2]
        if whole != path and next(walk(container.raw, whole, container.path))[1] is not None:
            return "", own
        sources = [(pod.spec, "spec", path)]
    else:
        return "", own
    for data, base, steps in sources:
        for at, value in walk(data, steps, base):
            if value not in EMPTY:
                return at, value
    return "", own


def filled(data: Any, container: Container | None, path: tuple[str, ...]) -> Any:
    """What the API server writes where a container (or, without one, a pod) leaves the field out; None for nothing."""
    if container is None:
        return poddefaults.FILLED_POD.get(path)
    if path == ("imagePullPolicy",):
        return poddefaults.pull_policy(data.get("image"))
    if len(path) == 2 and path[0] in poddefaults.PROBES and data.get(path[0]):
        return poddefaults.FILLED_PROBE.get(path[1])
    return poddefaults.FILLED_CONTAINER.get(path)
