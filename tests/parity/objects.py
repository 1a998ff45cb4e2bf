"""Objects that an API server takes, out of the short ones of hand-written cases, and pods as templates."""

from __future__ import annotations

import copy
from typing import Any

IMAGE = "example.com/app:1"
LABELS = {"app": "parity"}


def settled(obj: dict[str, Any]) -> dict[str, Any]:
    """A copy with what the API asks for: names, images, selectors. What policies look at stays as it is."""
    obj = copy.deepcopy(obj)
    obj.pop("status", None)
    metadata = obj["metadata"]
    for field in ("uid", "resourceVersion", "creationTimestamp"):
        metadata.pop(field, None)
    for reference in metadata.get("ownerReferences") or ():
        reference.setdefault("uid", "00000000-0000-0000-0000-000000000001")
    spec = obj.setdefault("spec", {})
    if not isinstance(spec, dict):
        return obj  # nothing makes it valid, and the case is about that
    match obj["kind"]:
        case "Pod":
            _settle_pod(spec, obj)
        case "Service":
            if spec.get("type") != "ExternalName":
                spec.setdefault("ports", [{"port": 80}])
            for index, port in enumerate(spec.get("ports") or ()):
                if isinstance(port, dict):
                    port.setdefault("name", f"p{index}")
        case "CronJob":
            spec.setdefault("schedule", "0 0 * * *")
            template = spec.setdefault("jobTemplate", {}).setdefault("spec", {}).setdefault("template", {})
            _settle_template(template, restart="Never")
        case "PodTemplate":
            _settle_template(obj.setdefault("template", {}))
        case "Job":
            _settle_template(spec.setdefault("template", {}), restart="Never")
        case _:
            template = spec.setdefault("template", {})
            _settle_template(template)
            selector = template["metadata"]["labels"]
            plain = obj["kind"] == "ReplicationController"
            spec.setdefault("selector", selector if plain else {"matchLabels": selector})
    return obj


def as_template(pod: dict[str, Any], place: str) -> dict[str, Any] | None:
    """The pod as the template of an object of this place; None where it is no place of templates."""
    template = {"metadata": {"labels": dict(LABELS)}, "spec": copy.deepcopy(pod.get("spec", {}))}
    if annotations := pod["metadata"].get("annotations"):
        template["metadata"]["annotations"] = annotations
    metadata = {
        "name": pod["metadata"].get("name", "p"),
        "namespace": pod["metadata"].get("namespace", "shop"),
    }
    match place:
        case "workloads":
            return {
                "apiVersion": "apps/v1",
                "kind": "Deployment",
                "metadata": metadata,
                "spec": {"template": template},
            }
        case "cronjobs":
            spec = {"jobTemplate": {"spec": {"template": template}}}
            return {"apiVersion": "batch/v1", "kind": "CronJob", "metadata": metadata, "spec": spec}
        case "podtemplates":
            return {"apiVersion": "v1", "kind": "PodTemplate", "metadata": metadata, "template": template}
    return None


def _settle_template(template: dict[str, Any], restart: str = "") -> None:
    metadata = template.setdefault("metadata", {})
    if not metadata.get("labels"):
        metadata["labels"] = dict(LABELS)
    spec = template.setdefault("spec", {})
    if restart:
        spec.setdefault("restartPolicy", restart)
    _settle_pod(spec, template)


def _settle_pod(spec: dict[str, Any], holder: dict[str, Any]) -> None:
    spec.pop("ephemeralContainers", None)  # only added to pods that run: `test_ephemeral_containers`
    if not spec.get("containers"):
        spec["containers"] = [{"name": "main"}]
    names: set[str] = set()
    for field in ("initContainers", "containers"):
        for index, container in enumerate(spec.get(field) or ()):
            if isinstance(container, dict):
                name = container.get("name") or f"{field.lower()}-{index}"
                container["name"] = name if name not in names else f"{name}-{field[:1]}{index}"
                names.add(container["name"])
                container.setdefault("image", IMAGE)
                security = container.get("securityContext")
                if isinstance(security, dict):
                    if security.get("privileged"):
                        security["allowPrivilegeEscalation"] = True
                    if security.get("procMount") == "Unmasked":
                        spec["hostUsers"] = False
                for handler in ("livenessProbe", "readinessProbe", "startupProbe"):
                    _settle_handler(container.get(handler))
                for handler in (container.get("lifecycle") or {}).values():
                    _settle_handler(handler)
                if field == "initContainers" and container.keys() & {"livenessProbe", "lifecycle"}:
                    container["restartPolicy"] = "Always"
    for index, volume in enumerate(spec.get("volumes") or ()):
        if isinstance(volume, dict):
            volume.setdefault("name", f"v{index}")


def _settle_handler(handler: Any) -> None:
    for action in ("httpGet", "tcpSocket"):
        if isinstance(handler, dict) and isinstance(handler.get(action), dict):
            handler[action].setdefault("port", 80)


def _pod() -> dict[str, Any]:
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": "canary", "namespace": "shop"},
        "spec": {"containers": [{"name": "app", "image": IMAGE}]},
    }


CANARIES: dict[str, dict[str, Any]] = {
    "pods": _pod(),
    "services": {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": "canary", "namespace": "shop"},
        "spec": {"ports": [{"name": "p", "port": 80}]},
    },
}
for _place in ("workloads", "cronjobs", "podtemplates"):
    _made = as_template(_pod(), _place)
    assert _made is not None
    CANARIES[_place] = settled(_made)
"""A valid object of each place."""
