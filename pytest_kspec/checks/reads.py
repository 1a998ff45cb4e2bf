"""What a check reads and what it judges: derived from its fixtures and its rule, and declared where that is not enough.

Who watches a cluster evaluates a check again when something that it reads changes, and of what it judges alone only
that part. A declaration that says too little would leave an old verdict standing, so reading anything else is an error.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable
from typing import Any, Literal, NamedTuple

Judged = Literal["object", "namespace", "cluster"]
"""object: each object by itself; namespace: what is in one, with the Namespace itself; cluster: all of it together."""

JUDGED: tuple[Judged, ...] = ("object", "namespace", "cluster")

_RBAC = "rbac.authorization.k8s.io"
_WORKLOADS = (
    *("Pod", "PodTemplate", "ReplicationController", "apps/DaemonSet", "apps/Deployment", "apps/ReplicaSet"),
    *("apps/StatefulSet", "batch/CronJob", "batch/Job"),
)
BY_FIXTURE: dict[str, tuple[str, ...]] = {
    "pods": _WORKLOADS,  # which own them
    "workloads": (*_WORKLOADS, "ServiceAccount"),  # which says whether its token is mounted
    "containers": _WORKLOADS,
    "namespaces": ("Namespace",),
    "nodes": ("Node",),
    "services": ("Service",),
    "network_policies": ("networking.k8s.io/NetworkPolicy",),
    "rbac": (
        *(f"{_RBAC}/{kind}" for kind in ("Role", "ClusterRole", "RoleBinding", "ClusterRoleBinding")),
        "ServiceAccount",
    ),
}
"""Kinds by fixture, as `reads` names them. Objects of foreign kinds that hold pods come with their specification."""

OPEN = frozenset({"cluster", "resources", "kube"})
"""Fixtures that list whatever a check names: without `reads=` it is not known what that is."""


class Reads(NamedTuple):
    """kinds: `Pod`, `apps/Deployment`, `policy.example.com/*`; known: there are no others."""

    kinds: tuple[str, ...]
    known: bool

    def covers(self, group: str, kind: str) -> bool:
        """Whether this kind may be read."""
        name = f"{group}/{kind}" if group else kind
        return not self.known or name in self.kinds or f"{group}/*" in self.kinds


UNKNOWN = Reads((), known=False)
"""Of a check that may list anything."""


def reads_of(func: Callable[..., Any], declared: Iterable[str] | None, *, is_rule: bool = False) -> Reads:
    """What the fixtures of a check list, and what it declares. is_rule: its body is made of its rule."""
    asked = set(inspect.signature(func).parameters)
    kinds = {kind for name in asked for kind in BY_FIXTURE.get(name, ())} | set(declared or ())
    known = declared is not None or is_rule or not asked & OPEN
    return Reads(tuple(sorted(kinds)), known)


def judged_by(rule: object, declared: Judged | None, *, cluster_wide: bool) -> Judged:
    """A rule looks at one pod or Service. What nothing is known of may compare anything with anything."""
    if declared is not None:
        return declared
    return "object" if rule is not None and not cluster_wide else "cluster"
