"""Requirements: one thing that a specification asks of a cluster."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from msgspec import Struct, field


class Requirement(Struct, frozen=True):
    """One requirement of a specification for a cluster.

    id:       item name: the path of the spec key, with the list entry in brackets
              ("workloads.containers.required[securityContext.runAsNonRoot]")
    key:      path of the key below `spec` that it comes from, to find its line ("workloads.containers.required[0]")
    value:    what the specification says there: plain data or a model of `pytest_kspec.spec.sections`
    location: "file:line:column" of that key; filled in by the plan
    controls: catalog id → ids of the controls that it answers; filled in by the plan
    """

    id: str
    key: str
    value: Any = None
    location: str = ""
    controls: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
