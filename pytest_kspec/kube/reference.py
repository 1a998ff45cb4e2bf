"""Which object something is about."""

from __future__ import annotations

from typing import Any, NamedTuple


class ResourceRef(NamedTuple):
    """Reference to an object. namespace is "" for cluster-scoped objects. An empty kind means the cluster itself."""

    api_version: str
    kind: str
    namespace: str
    name: str

    @property
    def group(self) -> str:
        """API group; "" is the core group."""
        return self.api_version.partition("/")[0] if "/" in self.api_version else ""

    def __str__(self) -> str:
        if not self.kind:
            return "cluster"
        return f"{self.kind} {self.namespace}/{self.name}" if self.namespace else f"{self.kind} {self.name}"

    def to_wire(self) -> dict[str, Any]:
        """{"apiVersion", "kind", "namespace", "name"} of plain strings."""
        return {
            "apiVersion": self.api_version,
            "kind": self.kind,
            "namespace": self.namespace,
            "name": self.name,
        }

    @classmethod
    def from_wire(cls, data: dict[str, Any]) -> ResourceRef:
        """The inverse of `to_wire`."""
        return cls(data["apiVersion"], data["kind"], data["namespace"], data["name"])


CLUSTER = ResourceRef("", "", "", "")


def path_in(template_path: str, path: str) -> str:
    """Where a path of a pod is in the object that holds the pod: `spec.template.spec.containers[app].image`."""
    return template_path + path if path.startswith("spec") else path
