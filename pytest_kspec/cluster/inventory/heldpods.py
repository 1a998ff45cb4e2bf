"""Pods in objects of kinds that are not Kubernetes' own: a Rollout, a Workflow, a Prometheus.

Where a kind is known (`model.podkinds`), its pods are workloads like any other, with the true path of each field. All
else that looks like a pod or a container is found by its shape, so that it can be listed as not evaluated.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import msgspec

from pytest_kspec.cluster.objects.kinds import TEMPLATE_PATHS, split_api_version
from pytest_kspec.cluster.objects.listed import Controller, controller_of_raw
from pytest_kspec.cluster.objects.shapes import Shapes
from pytest_kspec.errors import Malformed, NotApplicable
from pytest_kspec.kube.podkinds import EVERY, Keys, Part, PodKinds, PodPlace
from pytest_kspec.kube.resources import CONTAINER_LISTS, PodShape, Resource, Workload, texts
from pytest_kspec.regexes import regex

_LISTED = frozenset(CONTAINER_LISTS)
_OF_CONTAINER = frozenset(
    ("args", "command", "env", "envFrom", "imagePullPolicy", "livenessProbe", "ports", "readinessProbe", "resources",
     "securityContext", "volumeMounts")
)  # fmt: skip
_OF_HOST = frozenset(("hostNetwork", "hostPID", "hostIPC"))
_SECURITY_CONTEXT = ("securityContext", "SecurityContext")  # containerSecurityContext, podSecurityContext
_VOLUMES = ("volumes", "Volumes")  # extraVolumes
_WORDS = ("ontainers", "ecurityContext", "hostNetwork", "hostPID", "hostIPC", "hostPath")
"""One of them is in every text that shows a pod."""
_POD_KEYS = frozenset(CONTAINER_LISTS) | _OF_HOST | {"securityContext", "hostPath"}
_PATH_AS_TEXT = regex(r"""["']?\bpath["']?[ \t]*:[ \t]*["']?(/[^\s"',]*)""")
_MAX_NESTING = 8
"""Objects in objects are followed this far; what lies deeper is listed as not evaluated."""

Places = tuple[tuple[str, str], ...]
"""(path of the pod, path of the object), the first that fits holds."""


class HeldWorkload(Workload):
    """A pod in an object of a foreign kind.

    controller: of the object, if it has one. several: its kind may hold more than one pod
    """

    __slots__ = ("_metadata", "_places", "controller", "several")

    controller: Controller | None
    several: bool
    _pod_spec: dict[str, Any]
    _places: Places
    _metadata: Any
    patchable = False

    @property
    def pod_spec(self) -> dict[str, Any]:
        """The pod spec; put together of the places that the kind keeps it in."""
        return self._pod_spec

    def _of_pod(self, key: str) -> Mapping[str, str]:
        if self._metadata is None:
            raise NotApplicable(
                f"the {key} of the pods of {self.ref} are not known: the controller that creates them adds its own."
            )
        found = self._metadata.get(key) if isinstance(self._metadata, dict) else self._metadata
        if found is None:
            return {}
        return texts(found, f"{self.template_path}metadata.{key}", self.ref)

    @property
    def place(self) -> str:
        """Where in its object, if there may be others."""
        return self.template_path if self.several else ""

    def path_of(self, path: str) -> str:
        """A path of the pod as one of the object."""
        for inner, outer in self._places:
            if path == inner or path.startswith((inner + ".", inner + "[")):
                return outer + path[len(inner) :]
        return path


class Left(NamedTuple):
    """What looks like pods and is not evaluated. paths: in the object; none: a kind that could not be listed."""

    what: str
    paths: tuple[str, ...] = ()

    def __str__(self) -> str:
        more = f" and {len(self.paths) - 1} more" if len(self.paths) > 1 else ""
        return f"{self.what} at {self.paths[0]}{more}" if self.paths else self.what

    @property
    def all(self) -> tuple[str, ...]:
        """Each path by itself."""
        return tuple(f"{self.what} at {path}" for path in self.paths) or (self.what,)


class Examined(NamedTuple):
    """What one object holds. rest: paths of what looks like a pod or a container and is not evaluated."""

    pods: list[HeldWorkload]
    rest: list[str]


def held_pods(resource: Resource, group: str, kinds: PodKinds, shapes: Shapes) -> Examined:
    """The pods of an object of a foreign kind."""
    places = kinds.get((group, resource.kind)) or kinds.get((group, "*"), ())
    if any(place.holds == "none" for place in places):
        return Examined([], [])
    walk = _Walk(resource, kinds, shapes)
    walk.object(resource.raw, "", places, 0)
    rest = walk.rest()
    if any(place.partial and place.holds in ("podSpec", "podTemplate") for place in places):
        rest.append("spec: the containers that its operator adds")
    return Examined(walk.pods, rest)


class _Walk:
    def __init__(self, resource: Resource, kinds: PodKinds, shapes: Shapes) -> None:
        self._resource = resource
        self._kinds = kinds
        self._shapes = shapes
        self._done: set[int] = set()  # ids of what was evaluated
        self._taken: set[tuple[int, str]] = set()  # (id of a map, key) of fields that were
        self._unknown: list[str] = []
        self.pods: list[HeldWorkload] = []

    def object(self, raw: Any, at: str, places: Sequence[PodPlace], depth: int) -> None:
        for place in places:
            several = depth > 0 or len(places) > 1 or EVERY in place.keys
            for path, value in _values(raw, place.keys, at):
                match place.holds:
                    case "objects":
                        self._inner(value, path, depth + 1)
                    case "podTemplate":
                        self._template(value, path, several, partial=place.partial)
                    case "podSpec":
                        self._spec(value, path, several, partial=place.partial)
                    case _:  # containers, container, parts
                        self._parts(value, path, raw, at, several, place)

    def _inner(self, raw: Any, path: str, depth: int) -> None:
        if not isinstance(raw, dict) or depth > _MAX_NESTING:
            return
        kind, version = raw.get("kind"), raw.get("apiVersion")
        if not isinstance(kind, str) or not isinstance(version, str):
            self._unknown.append(path)
            return
        group, _ = split_api_version(version)
        known = TEMPLATE_PATHS.get((group, kind))
        if known is not None:
            keys = tuple(key for key in known.split(".") if key)
            self.object(raw, path, (PodPlace(keys, "podTemplate"),), depth)
            return
        places = self._kinds.get((group, kind), ())
        if not places:
            self._unknown.append(f"{path} ({kind})")
        self.object(raw, path, places, depth)

    def _template(self, template: Any, path: str, several: bool, *, partial: bool) -> None:
        if not isinstance(template, dict):
            self._add({}, {}, path, (), several, malformed=("spec", template))
            return
        spec, metadata = template.get("spec"), template.get("metadata")
        if partial and spec is None:
            return
        if not isinstance(spec, dict):
            self._add({}, {}, path, (), several, malformed=("spec", spec))
            return
        self._pod(spec, {} if metadata is None else metadata, path, f"{path}.spec", several, partial=partial)

    def _spec(self, spec: Any, path: str, several: bool, *, partial: bool) -> None:
        if not isinstance(spec, dict):
            self._add({}, {}, path, (), several, malformed=("spec", spec))
        elif not partial or any(isinstance(spec.get(name), list) for name in CONTAINER_LISTS):
            self._pod(spec, None, path, path, several, partial=partial)

    def _pod(
        self, spec: dict[str, Any], metadata: Any, path: str, spec_at: str, several: bool, *, partial: bool
    ) -> None:
        places: list[tuple[str, str]] = []
        chosen = spec
        for name in CONTAINER_LISTS:
            listed = spec.get(name)
            if not isinstance(listed, list):
                continue
            whole = [entry for entry in listed if not partial or _has_image(entry)]
            self._done.update(map(id, whole))
            if len(whole) < len(listed):
                chosen = {**chosen, name: whole}
                places += _by_index(whole, listed, name, spec_at)
        if partial and not any(chosen.get(name) for name in CONTAINER_LISTS):
            return
        self._take(spec)
        self._add(chosen, metadata, path, (*places, ("spec", spec_at)), several, whole=not partial)

    def _take(self, fields: Any) -> None:
        """Note that all fields of a map became those of a pod or of containers."""
        self._taken.update((id(fields), key) for key in (fields if isinstance(fields, dict) else ()))

    def _parts(self, value: Any, path: str, raw: Any, at: str, several: bool, place: PodPlace) -> None:
        """A pod put together of containers here and fields there."""
        sources = place.parts or (("containers", (Part(()),)),)
        spec: dict[str, Any] = {}
        places: list[tuple[str, str]] = []
        for field, parts in sources:
            for part in parts:
                base, base_at = (raw, at) if part.rooted else (value, path)
                found = _value(base, part.keys)
                if found is None:
                    continue
                found_at = ".".join(filter(None, (base_at, *part.keys)))
                if field in CONTAINER_LISTS:
                    more = part.defaults
                    defaults = _value(raw if more.rooted else value, more.keys) if more else None
                    self._containers(field, found, found_at, defaults, place, spec, places)
                elif field == "volumes":
                    for entry_at, entry in _entries(found, found_at) if isinstance(found, list) else ():
                        _append(spec, places, field, entry, entry_at)
                    self._taken.add((id(_value(base, part.keys[:-1])), part.keys[-1]))
                elif field not in spec:
                    spec[field] = found
                    self._taken.add((id(_value(base, part.keys[:-1])), part.keys[-1]))
                    places.append((f"spec.{field}", found_at))
        if spec.get("containers") or spec.get("initContainers"):
            self._add(spec, None, path, (*places, ("spec", path)), several, whole=False)

    def _containers(
        self,
        field: str,
        found: Any,
        found_at: str,
        defaults: Any,
        place: PodPlace,
        spec: dict[str, Any],
        places: list[tuple[str, str]],
    ) -> None:
        entries = list(_entries(found, found_at)) if isinstance(found, list) else [(found_at, found)]
        for entry_at, entry in entries:
            merged = _with_defaults(entry, defaults)
            if _has_image(merged) or not place.partial:
                self._done.add(id(entry))
                self._take(defaults)
                _append(spec, places, field, merged, entry_at)

    def _add(
        self,
        spec: dict[str, Any],
        metadata: Any,
        path: str,
        places: Places,
        several: bool,
        *,
        malformed: tuple[str, Any] | None = None,
        whole: bool = True,
    ) -> None:
        """metadata: of the pod; None where nobody knows it. whole: nobody adds containers to it."""
        annotations = metadata.get("annotations") if isinstance(metadata, dict) else None
        texts = annotations if isinstance(annotations, dict) else {}
        wrong = [(f"metadata.annotations[{k}]", v) for k, v in texts.items() if not isinstance(v, str)]
        if annotations is not None and not isinstance(annotations, dict):
            wrong.append(("metadata.annotations", annotations))
        if malformed is not None:
            wrong.append(malformed)
        shape = self._shapes.shape(
            msgspec.json.encode(spec), {k: v for k, v in texts.items() if isinstance(v, str)}
        )
        if malformed is None and whole:
            wrong += [(at, Malformed(what.what, where=path)) for at, what in shape.known_malformed]
        if wrong or shape.known_malformed:
            shape = PodShape(shape.spec, shape.annotations, tuple((f"{path}: {p}", v) for p, v in wrong))
        resource = self._resource
        pod = HeldWorkload(
            resource.api_version, resource.kind, resource.raw, shape=shape, template_path=f"{path}."
        )
        pod.namespace = resource.namespace
        pod._pod_spec = spec
        pod._places = places
        pod._metadata = metadata
        pod.controller = controller_of_raw(resource.raw)
        pod.several = several
        self.pods.append(pod)

    def rest(self) -> list[str]:
        """Paths of what looks like a pod or a container, but for what was evaluated; whatever its depth."""
        found = list(self._unknown)
        raw = self._resource.raw
        stack: list[tuple[str, Any, bool]] = [
            (key, value, False) for key, value in raw.items() if key not in ("metadata", "status")
        ]
        while stack:
            at, value, listed = stack.pop()
            if id(value) in self._done:
                continue
            if isinstance(value, dict):
                if listed and (value.get("name") or _has_image(value)):
                    found.append(at)
                    continue
                if _is_container(value):  # or an operator's object that says which image it runs
                    found.append(at)  # there may be more in it
                elif self._shows_a_pod(value):
                    found.append(at)
                if isinstance(value.get("podSpecPatch"), str):
                    found.append(f"{at}.podSpecPatch")
                if _is_patch(value):
                    found.append(f"{at}: a patch of a pod")
                stack += [(f"{at}.{key}", item, key in _LISTED) for key, item in value.items()]
            elif isinstance(value, str):
                if _is_manifest(value):
                    found.append(f"{at}: an object written as text")
                elif _has_patch(value):
                    found.append(f"{at}: a patch of a pod")
            elif isinstance(value, list):
                stack += [(path, item, listed or _is_named(item)) for path, item in _entries(value, at)]
        return sorted(set(found))

    def _shows_a_pod(self, value: dict[str, Any]) -> bool:
        """Whether it says how a pod or a container runs that its operator makes, and was not evaluated."""
        return any(
            (
                found is True
                if key in _OF_HOST
                else (key.endswith(_SECURITY_CONTEXT) and isinstance(found, dict))
                or (key.endswith(_VOLUMES) and _has_host_path(found))
            )
            and (id(value), key) not in self._taken
            for key, found in value.items()
        )


def _append(spec: dict[str, Any], places: list[tuple[str, str]], field: str, entry: Any, at: str) -> None:
    listed = spec.setdefault(field, [])
    name = entry.get("name") if isinstance(entry, dict) else None
    places.append((f"spec.{field}[{name or len(listed)}]", at))
    listed.append(entry)


def _has_host_path(volumes: Any) -> bool:
    return isinstance(volumes, list) and any(
        isinstance(volume, dict) and isinstance(volume.get("hostPath"), dict) for volume in volumes
    )


def _is_manifest(text: str) -> bool:
    """Whether it is a pod spec or an object that shows a pod (made by a step of an Argo Workflow), YAML or JSON."""
    if not any(word in text for word in _WORDS):
        return False
    if _has_key(text, "(?:initC|c)ontainers") and _has_key(text, "image"):
        return True
    return (
        _has_key(text, "apiVersion")
        and _has_key(text, "kind")
        and any(_has_key(text, key) for key in _POD_KEYS)
    )


def _is_patch(value: dict[str, Any]) -> bool:
    """Whether it is an operation of a JSON patch that changes a pod."""
    path = value.get("path")
    return isinstance(value.get("op"), str) and isinstance(path, str) and _is_in_pod(path)


def _has_patch(text: str) -> bool:
    """Whether operations of a JSON patch that change a pod are written in it."""
    if "/spec" not in text or not any(word in text for word in _WORDS) or not _has_key(text, "op"):
        return False
    return any(_is_in_pod(found[1]) for found in _PATH_AS_TEXT.finditer(text))


def _is_in_pod(path: str) -> bool:
    """Whether a path of a JSON patch leads to what shows a pod."""
    keys = path.split("/")
    return "spec" in keys and not _POD_KEYS.isdisjoint(keys[keys.index("spec") :])


def _has_key(text: str, key: str) -> bool:
    """The expressions are kept by re, once they are needed."""
    return re.search(rf"""(?:^|[{{,])[ \t-]*["']?{key}["']?[ \t]*:""", text, re.MULTILINE) is not None


def _is_container(value: dict[str, Any]) -> bool:
    return _has_image(value) and not _OF_CONTAINER.isdisjoint(value)


def _is_named(value: Any) -> bool:
    return _has_image(value) and isinstance(value.get("name"), str)


def _has_image(value: Any) -> bool:
    return isinstance(value, dict) and isinstance(value.get("image"), str) and bool(value["image"])


def _entries(values: list[Any], at: str) -> Iterator[tuple[str, Any]]:
    """Each entry with its path: by its name, where no other has it."""
    names = [entry.get("name") if isinstance(entry, dict) else None for entry in values]
    once = (
        {name for name in names if isinstance(name, str) and name and names.count(name) == 1}
        if (len(names) <= 100)
        else set()
    )
    for index, (name, entry) in enumerate(zip(names, values, strict=True)):
        yield f"{at}[{name if isinstance(name, str) and name in once else index}]", entry


def _by_index(whole: list[Any], listed: list[Any], name: str, at: str) -> Iterator[tuple[str, str]]:
    """Places of containers without a name, where others before them are left out."""
    positions = {id(entry): index for index, entry in enumerate(listed)}
    for index, entry in enumerate(whole):
        if not entry.get("name"):
            yield f"spec.{name}[{index}]", f"{at}.{name}[{positions[id(entry)]}]"


def _with_defaults(entry: Any, defaults: Any) -> Any:
    if not isinstance(entry, dict) or not isinstance(defaults, dict):
        return entry
    merged = {**defaults, **entry}
    for key, value in entry.items():
        if isinstance(value, dict) and isinstance(defaults.get(key), dict):
            merged[key] = {**defaults[key], **value}
    return merged


def _value(raw: Any, keys: Keys) -> Any:
    for key in keys:
        raw = raw.get(key) if isinstance(raw, dict) else None
    return raw


def _values(raw: Any, keys: Keys, at: str) -> Iterator[tuple[str, Any]]:
    """Every value at `keys` that is set, with its path."""
    found: Iterable[tuple[str, Any]] = [(at, raw)]
    for key in keys:
        found = list(_step(found, key))
    return ((path, value) for path, value in found if value is not None)


def _step(found: Iterable[tuple[str, Any]], key: str) -> Iterator[tuple[str, Any]]:
    for at, value in found:
        if key == EVERY:
            if isinstance(value, list):
                yield from _entries(value, at)
            elif isinstance(value, dict):
                yield from ((_join(at, name), item) for name, item in value.items())
        elif isinstance(value, dict) and key in value:
            yield _join(at, key), value[key]


def _join(at: str, key: str) -> str:
    if "." in key or "[" in key:
        return f"{at}[{key}]"
    return f"{at}.{key}" if at else key
