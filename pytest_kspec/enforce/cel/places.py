"""Where pods are in the objects that admission sees, and what rules ask of such a place.

A policy is made for each place, not for each kind: `object.spec.template.spec` is the same expression for a Deployment
and a Job. Kinds with other paths need policies of their own, since CEL is checked against every kind it is for.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

from pytest_kspec.enforce.cel.text import EMPTY_LIST, all_of, concat, literal, parenthesised
from pytest_kspec.kube.resources import CONTAINER_LISTS

TEMPLATE_LISTS = tuple(name for name in CONTAINER_LISTS if name != "ephemeralContainers")
"""Those of a template: the API server adds ephemeral containers to running pods only."""


class Kind(NamedTuple):
    """A kind as admission rules name it. resources: plural names, with the subresources that change a pod."""

    group: str
    version: str
    kind: str
    resources: tuple[str, ...]


class Place(NamedTuple):
    """One path to a pod, and the kinds that have it there.

    name:   part of policy names
    path:   prefix of pod paths in messages, as `Workload.template_path`: "spec.template."
    lists:  container lists that a pod there can have
    """

    name: str
    path: str
    kinds: tuple[Kind, ...]
    lists: tuple[str, ...] = TEMPLATE_LISTS

    @property
    def root(self) -> str:
        """CEL of what holds `spec` and `metadata` of the pod."""
        return f"object.{self.path}".rstrip(".")

    @property
    def variables(self) -> dict[str, str]:
        """What every expression may use, as `variables.<name>`; in order, since later ones use earlier ones."""
        if self.name == "services":
            return {"spec": "object.spec"}
        found = {"spec": f"{self.root}.spec"}
        for name in self.lists:
            found[name] = f"variables.spec.?{name}.orValue([])"
        found["volumes"] = "variables.spec.?volumes.orValue([])"
        found["os"] = 'variables.spec.?os.?name.orValue("")'
        found["annotations"] = f"{self.root}.?metadata.?annotations.orValue({{}})"
        if self.path == "":
            found["annotations"] = "object.metadata.?annotations.orValue({})"
        return found


def _kind(group: str, kind: str, *resources: str) -> Kind:
    return Kind(group, "v1", kind, resources)


PODS = Place(
    "pods", "", (_kind("", "Pod", "pods", "pods/ephemeralcontainers", "pods/resize"),), CONTAINER_LISTS
)
WORKLOADS = Place(
    "workloads",
    "spec.template.",
    (
        _kind("", "ReplicationController", "replicationcontrollers"),
        _kind("apps", "DaemonSet", "daemonsets"),
        _kind("apps", "Deployment", "deployments"),
        _kind("apps", "ReplicaSet", "replicasets"),
        _kind("apps", "StatefulSet", "statefulsets"),
        _kind("batch", "Job", "jobs"),
    ),
)
CRONJOBS = Place("cronjobs", "spec.jobTemplate.spec.template.", (_kind("batch", "CronJob", "cronjobs"),))
TEMPLATES = Place("podtemplates", "template.", (_kind("", "PodTemplate", "podtemplates"),))
SERVICES = Place("services", "", (_kind("", "Service", "services"),), ())

POD_PLACES = (PODS, WORKLOADS, CRONJOBS, TEMPLATES)
PLACES = (*POD_PLACES, SERVICES)

Judged = tuple[str, str]
"""CEL of whether something is violated, and of the text that says so (evaluated only where it is)."""


class Judging(NamedTuple):
    """A rule is being said for this place.

    exempt: CEL of whether the container of this name (CEL) is exempted from the rule; "" where none is
    """

    place: Place
    exempt: Callable[[str], str] = lambda name: ""

    @property
    def base(self) -> str:
        """Path of the pod's spec in messages."""
        return f"{self.place.path}spec"

    def pod(self, judge: Callable[[str, str], Judged]) -> str:
        """Problems of the pod itself. judge: (CEL of the spec, CEL of its path) → judged."""
        bad, text = judge("variables.spec", literal(self.base))
        return EMPTY_LIST if bad == "false" else f"{parenthesised(bad)} ? [{text}] : {EMPTY_LIST}"

    def containers(
        self, judge: Callable[[str, str], Judged], lists: Sequence[str] = CONTAINER_LISTS, only: str = ""
    ) -> str:
        """Problems of containers. judge: (CEL of a container, CEL of its path) → judged; only: CEL over `c`."""
        found = []
        for name in self.place.lists:
            if name in lists:
                bad, text = judge("c", path_to(f"{self.base}.{name}", "c.name"))
                exempt = self.exempt("c.name")
                conditions = [only, f"!{parenthesised(exempt)}" if exempt else "", bad]
                bad = all_of([condition for condition in conditions if condition])
                found.append(f"variables.{name}.map(c, {bad}, {text})")
        return concat(found)

    def volumes(self, judge: Callable[[str, str], Judged]) -> str:
        """Problems of volumes. judge: (CEL of a volume, CEL of its path) → judged."""
        bad, text = judge("v", path_to(f"{self.base}.volumes", "v.name"))
        return f"variables.volumes.map(v, {bad}, {text})"


def said(path: str, field: str, actual: str, expected: str) -> str:
    """CEL of the sentence of a violation, as a scan says it. path, actual: CEL; field, expected: text."""
    return f"{extend(path, f'.{field} is ')} + {actual} + {literal(f', must be {expected}')}"


def path_to(path: str, label: str) -> str:
    """CEL of `path[label]`: path is text, label CEL."""
    return f"{literal(f'{path}[')} + {label} + {literal(']')}"


def extend(path: str, text: str) -> str:
    """CEL of a path with more text: a literal at its end grows."""
    if path.endswith('"'):
        return path[:-1] + literal(text)[1:]
    return f"{path} + {literal(text)}"
