"""Where pods are in the objects that admission sees.

A policy is made for each place, not for each kind: `object.spec.template.spec` is the same expression for a Deployment
and a Job. Kinds with other paths need policies of their own, since CEL is checked against every kind it is for.
"""

from __future__ import annotations

from typing import NamedTuple

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
