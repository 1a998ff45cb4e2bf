"""Namespaces that enforce each level and version of the Pod Security Standards, and what a server refuses in them."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from tests.controlplane import namespaces
from tests.controlplane.server import ControlPlane
from tests.rules.pod_security import reported, shape, violations

VERSIONS = (0, 8, 19, 22, 24, 25, 29, 30, 31, 33, 34, 35, 36, 37, "latest")
LEVELS = ("baseline", "restricted")
OPEN = "open"
_REFUSED = re.compile(r'violates PodSecurity "[a-z]+:[\w.]+": (.*)', re.DOTALL)
_DETAIL = re.compile(r" \((?:[^()]|\([^()]*\))*\)")


def version_label(version: Any) -> Any:
    return version if isinstance(version, str) else f"v1.{version}"


@contextmanager
def enforced(plane: ControlPlane, prefix: str) -> Iterator[Any]:
    """(namespace, level, minor) for each level and version, and a namespace that enforces nothing."""
    made = []
    namespaces.create(plane, f"{prefix}-{OPEN}", {"pod-security.kubernetes.io/enforce": "privileged"})
    for level in LEVELS:
        for version in VERSIONS:
            name = f"{prefix}-{level}-{version}"
            labels = {
                "pod-security.kubernetes.io/enforce": level,
                "pod-security.kubernetes.io/enforce-version": version_label(version),
            }
            namespaces.create(plane, name, labels)
            made.append((name, level, 37 if version == "latest" else version))
    yield made
    for name in (f"{prefix}-{OPEN}", *(name for name, _, _ in made)):
        namespaces.delete(plane, name)


def submit(plane: Any, namespace: str, pod: dict[str, Any]) -> Any:
    return plane.request("POST", f"/api/v1/namespaces/{namespace}/pods?dryRun=All", pod)


def reasons(message: str) -> set[Any]:
    """What the API server names, without details and plurals: 'hostPort, privileged'."""
    found = _REFUSED.search(message)
    assert found, message
    named = _DETAIL.sub("", found[1]).split(", ")
    return {"forbidden AppArmor profile" if name.startswith("forbidden AppArmor") else name for name in named}


def compare(
    pod: dict[str, Any],
    standards: Any,
    send: Any,
    counted: Counter[str],
    *,
    written: bool = True,
    made: bool = False,
) -> bool:
    """Ours and theirs on this pod, everywhere. Returns whether the API takes it at all.

    send: namespace → the API server's answer to this pod. written, made: which pod is judged: that of the author,
    that of the API server, which fills defaults in, or both.
    """
    answer = send(f"{standards[0][0].partition('-')[0]}-{OPEN}")
    if answer.status not in (200, 201):
        assert answer.status == 422, answer
        counted["invalid"] += 1
        return False
    counted["valid"] += 1
    shapes = [shape(pod)] * written + [shape(answer.body)] * made
    for namespace, level, minor in standards:
        answer = send(namespace)
        assert answer.status in (200, 201, 403), answer
        theirs = reasons(answer.body["message"]) if answer.status == 403 else set()
        counted["refused" if theirs else "admitted"] += 1
        for judged in shapes:
            found = violations(judged, level, minor)
            counted.update(f"{name} {level}" for name in found)
            assert (namespace, reported(found, minor)) == (namespace, theirs), found
    return True
