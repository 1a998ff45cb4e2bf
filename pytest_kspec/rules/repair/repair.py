"""From a violation to the patch that removes it. The rule says what it would accept; nothing is taken on trust.

A rule offers edits, the best first. Each is completed by what the API wants to be changed along, tried on the pod, and
judged by the rule again: the first one by which the violation is gone, and nothing new is there, is the fix. So a
rule cannot give a fix that it would not accept itself. No offer, or none that holds: a person must decide.

Never changed: ephemeral containers (they cannot be), fields that the pod's operating system refuses.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple, Protocol, runtime_checkable

from pytest_kspec.errors import Malformed
from pytest_kspec.kube.resources import CONTAINER_LISTS, PodShape
from pytest_kspec.redaction.marker import holds_redacted
from pytest_kspec.rules import poddefaults
from pytest_kspec.rules.base import Rule, Violation
from pytest_kspec.rules.fieldpath import Where
from pytest_kspec.rules.repair import strategic

UNSET: Any = None
"""As a value of an edit: take the field away."""

Steps = tuple[str | int, ...]
"""From the pod to a value: keys, and positions in lists."""

SECURITY = "securityContext"
_PROFILES = ("seccompProfile", "appArmorProfile")
_HOST_NAMESPACES = ("hostNetwork", "hostPID", "hostIPC")


class Edit(NamedTuple):
    """One change of a pod: the value that a place gets, UNSET to take it away."""

    steps: Steps
    value: Any


@runtime_checkable
class Repairable(Protocol):
    """A rule that knows what to do about its violations."""

    def repairs(self, violation: Violation, pod: PodShape) -> Iterator[Edit]:
        """What the rule would accept instead, best first; none where a person must decide."""
        ...


def repair(rule: Rule, violation: Violation, pod: PodShape) -> dict[str, Any] | None:
    """A strategic merge patch of the pod ({"spec": …}, {"metadata": …}); None where a person must decide."""
    repairs = getattr(rule, "repairs", None)  # asking for the protocol costs more than all the rest
    if repairs is None:
        return None
    before = {"metadata": {"annotations": pod.annotations}, "spec": pod.spec}
    try:
        known = {found[:2] for found in map(_identity, rule.evaluate(pod))}
        for offered in repairs(violation, pod):
            edit = _whole(offered)
            changes = (edit, *_along(pod, edit))
            if "ephemeralContainers" in edit.steps or not all(_possible(pod, change) for change in changes):
                continue
            after: Any = before
            for change in changes:
                after = _changed(after, change.steps, change.value)
            shape = PodShape(after["spec"], (after.get("metadata") or {}).get("annotations") or {})
            left = {found[:2] for found in map(_identity, rule.evaluate(shape))}
            if _identity(violation)[:2] in left or not left <= known:
                continue
            patch = strategic.diff(before, after)
            if holds_redacted(patch):
                return None  # lists are replaced as a whole, and this one is not known as a whole
            return patch
    except (Malformed, strategic.Unsayable, TypeError, AttributeError, LookupError):
        # The object is not what Kubernetes allows, somewhere that this rule does not look at.
        return None
    return None


def in_template(template_path: str, patch: dict[str, Any]) -> dict[str, Any]:
    """The patch of a pod as one of the object that holds it. template_path: as in `Workload`."""
    for key in reversed(template_path.split(".")):
        if key:
            patch = {key: patch}
    return patch


def steps_of(where: Where) -> Steps:
    """From the pod to the container, or to its spec."""
    return ("spec",) if isinstance(where, str) else ("spec", where.list, where.position)


def _identity(violation: Violation) -> tuple[str, str, str]:
    return violation.path, violation.container, violation.expected


def _changed(data: Any, steps: Steps, value: Any) -> Any:
    """A copy with this one change; what is not on the way is shared."""
    if not steps:
        return value
    step, rest = steps[0], steps[1:]
    if isinstance(step, int):
        items = list(data)
        items[step] = _changed(items[step], rest, value)
        return items
    old = data if isinstance(data, dict) else {}
    new = _changed(old.get(step), rest, value)
    if new is None:
        return {key: item for key, item in old.items() if key != step}
    return {**old, step: new}


def _at(data: Any, *keys: str | int) -> Any:
    for key in keys:
        if isinstance(key, int):
            data = data[key] if isinstance(data, list) and key < len(data) else None
        else:
            data = data.get(key) if isinstance(data, dict) else None
    return data


def _holder(edit: Edit) -> Steps:
    """The container that is changed, else the pod's spec."""
    return edit.steps[:3] if edit.steps[1:2] and edit.steps[1] in CONTAINER_LISTS else edit.steps[:1]


def _whole(edit: Edit) -> Edit:
    """A profile without its type is none: the API wants all of it, or nothing."""
    if edit.value is UNSET and edit.steps[-1] == "type" and edit.steps[-2] in _PROFILES:
        return Edit(edit.steps[:-1], UNSET)
    return edit


def _possible(pod: PodShape, edit: Edit) -> bool:
    """Whether the API takes this value there at all."""
    if edit.steps == ("spec", "hostNetwork") and not edit.value:
        return not _host_process(pod)
    if edit.value is UNSET or edit.steps[0] != "spec":
        return True
    holder = _holder(edit)
    path = tuple(str(step) for step in edit.steps[len(holder) :])
    if not poddefaults.os_allows(pod, "container" if len(holder) > 1 else "pod", path):
        return False
    if edit.value == "Localhost" and path[-2:-1] and path[-2] in _PROFILES:
        return bool(_at({"spec": pod.spec}, *edit.steps[:-1], "localhostProfile"))
    if path == ("hostUsers",):
        if edit.value is False:
            return not any(pod.spec.get(field) for field in _HOST_NAMESPACES)
        return all(_at(c.raw, SECURITY, "procMount") != "Unmasked" for c in pod.containers)
    return path[0] == SECURITY or len(path) == 1 or _at({"spec": pod.spec}, *edit.steps[:-1]) is not None


def _host_process(pod: PodShape) -> bool:
    """Such pods of Windows are on the network of their node, or they are none."""
    holders = [pod.spec, *(container.raw for container in pod.containers)]
    return any(_at(holder, SECURITY, "windowsOptions", "hostProcess") for holder in holders)


def _along(pod: PodShape, edit: Edit) -> Iterator[Edit]:
    """What the API server, or the kubelet, refuses to have beside the new value."""
    whole, holder, field = {"spec": pod.spec}, _holder(edit), edit.steps[-1]
    own = _at(whole, *holder, SECURITY)
    if field == "allowPrivilegeEscalation" and edit.value is False:
        if _at(own, "privileged"):
            yield Edit((*holder, SECURITY, "privileged"), False)
        added = _at(own, "capabilities", "add")
        if isinstance(added, list) and "CAP_SYS_ADMIN" in added:
            kept = [name for name in added if name != "CAP_SYS_ADMIN"]
            yield Edit((*holder, SECURITY, "capabilities", "add"), kept or UNSET)
    elif field == "hostPort" and pod.spec.get("hostNetwork"):
        # On the node's network the API server writes every port of a container as one of the node.
        yield Edit(("spec", "hostNetwork"), False)
    elif field == "runAsNonRoot" and edit.value is True:
        for place in (holder, ("spec",)):
            user = _at(whole, *place, SECURITY, "runAsUser")
            if user == 0:  # such a container never starts
                yield Edit((*place, SECURITY, "runAsUser"), UNSET)
            elif user is not None:
                break
    elif field == "hostProcess":
        for place in (("spec",), *(steps_of(container) for container in pod.containers)):
            # All containers of a pod are, or none is.
            if place != holder and _at(whole, *place, SECURITY, "windowsOptions", "hostProcess"):
                yield Edit((*place, SECURITY, "windowsOptions", "hostProcess"), edit.value)
    elif field == "type" and edit.steps[-2] in _PROFILES:
        if edit.value != "Localhost":
            yield Edit((*edit.steps[:-1], "localhostProfile"), UNSET)
        for key in _older_words(pod, holder, str(edit.steps[-2])):
            yield Edit(("metadata", "annotations", key), UNSET)


def _older_words(pod: PodShape, holder: Steps, profile: str) -> Iterator[str]:
    """Annotations that said it before the field did: the API refuses both where they differ."""
    concerned = [c.name for c in pod.containers if steps_of(c) == holder or len(holder) == 1]
    if profile == "appArmorProfile":
        keys = [f"container.apparmor.security.beta.kubernetes.io/{name}" for name in concerned]
    elif len(holder) == 1:
        keys = ["seccomp.security.alpha.kubernetes.io/pod"]
    else:
        keys = [f"container.seccomp.security.alpha.kubernetes.io/{name}" for name in concerned]
    yield from (key for key in keys if key in pod.annotations)
