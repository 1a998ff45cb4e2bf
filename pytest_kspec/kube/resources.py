"""Views on Kubernetes objects, as checks see them. Raw data, never the official client's models (they drop fields).

Pods of one template are equal but for their name and node: the `PodShape` holds what is equal, once, and rules are
evaluated once for each shape. `Workload` is a pod, or a controller's template seen as the pod that it will become.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping, Sequence
from functools import cached_property
from itertools import chain
from typing import Any, Generic, NamedTuple, TypeVar, overload

import msgspec

from pytest_kspec.errors import Malformed, NotApplicable
from pytest_kspec.kube.listing import Listing, few
from pytest_kspec.kube.reference import ResourceRef, path_in
from pytest_kspec.kube.selectors import label_selector, selects
from pytest_kspec.regexes import regex

_STEP = regex(r"([^.\[\]]+)|\[([^\]]*)\]")
CONTAINER_LISTS = ("initContainers", "containers", "ephemeralContainers")

AUTOMOUNT = ("automountServiceAccountToken",)

# The annotations that a shape keeps: those of seccomp and AppArmor.
SECURITY_PREFIXES = (
    "container.apparmor.security.beta.kubernetes.io/",
    "container.seccomp.security.alpha.kubernetes.io/",
)
SECURITY_ANNOTATION = "seccomp.security.alpha.kubernetes.io/pod"


class ResourceType(NamedTuple):
    """One kind as an API server serves it: ("apps", "v1", "Deployment", "deployments", True). group "" is core."""

    group: str
    version: str
    kind: str
    plural: str
    namespaced: bool

    @property
    def api_version(self) -> str:
        """`apps/v1`, or `v1` for the core group."""
        return f"{self.group}/{self.version}" if self.group else self.version

    @property
    def resource(self) -> str:
        """`deployments.apps`, or `pods` for the core group; the name that RBAC and error messages use."""
        return f"{self.plural}.{self.group}" if self.group else self.plural


class ClusterInfo(NamedTuple):
    """What is known about a cluster without a list of its objects.

    version: gitVersion ("v1.34.1-eks-113cf36") or ""; uid: of the namespace kube-system, or ""
    namespaces: of manifests, the namespaces that their objects are in
    """

    name: str
    source: str
    version: str = ""
    uid: str = ""
    namespaces: frozenset[str] = frozenset()


class Resource:
    """One object of any kind. `raw` is the object as the API server returned it, without managedFields.

    Malformed metadata (labels that are not a map, a name that is not text) reads as empty here and stays in `raw`.
    """

    __slots__ = ("_raw", "annotations", "api_version", "kind", "labels", "name", "namespace", "owner", "uid")

    def __init__(self, api_version: str, kind: str, raw: dict[str, Any]) -> None:
        self._raw = raw
        self.api_version = api_version
        self.kind = kind
        metadata = raw.get("metadata")
        metadata = metadata if isinstance(metadata, dict) else {}
        self.name: str = _text(metadata.get("name")) or _text(metadata.get("generateName"))
        self.namespace: str = _text(metadata.get("namespace"))
        self.uid: str = _text(metadata.get("uid"))
        self.labels: Mapping[str, str] = _text_map(metadata.get("labels"))
        self.annotations: Mapping[str, str] = _text_map(metadata.get("annotations"))
        self.owner: ResourceRef = self.ref

    @property
    def raw(self) -> dict[str, Any]:
        """The whole object. Shared by all checks: do not change it."""
        return self._raw

    @property
    def ref(self) -> ResourceRef:
        """apiVersion, kind, namespace, name."""
        return ResourceRef(self.api_version, self.kind, self.namespace, self.name)

    @property
    def spec(self) -> dict[str, Any]:
        """`raw["spec"]`, or {} where there is none. Raises Malformed if it is no map: nothing in it was looked at."""
        spec = self.raw.get("spec")
        if spec is None or isinstance(spec, dict):
            return spec or {}
        raise Malformed(f"spec must be an object, found {type(spec).__name__}.", where=str(self.ref))

    def matches(self, selector: Mapping[str, Any] | None) -> bool:
        """Whether a Kubernetes label selector (`matchLabels`, `matchExpressions`) selects it, by its labels.

        As in Kubernetes, {} selects everything and None nothing. Raises Malformed for what is no selector.
        """
        return _selected(selector, self.labels)

    def __repr__(self) -> str:
        return f"<{self.ref}>"


class NamedNamespace(Resource):
    """A namespace that objects of manifests are in, while no file contains the Namespace object.

    That it exists is known, its labels and annotations are not: reading them raises NotApplicable, so that no check
    takes them for unset.
    """

    __slots__ = ()

    def __init__(self, name: str) -> None:
        self.api_version = "v1"
        self.kind = "Namespace"
        self.name = name
        self.namespace = self.uid = ""
        self.owner = self.ref

    def __getattr__(self, name: str) -> Any:
        """Called for what `__init__` leaves unset."""
        if name in ("labels", "annotations", "_raw", "raw"):
            raise NotApplicable(unknown_labels([self.name]))
        raise AttributeError(name)


def unknown_labels(names: Iterable[str]) -> str:
    """Why nothing that depends on the labels of these namespaces can be evaluated; "" for no names."""
    ordered = sorted(names)
    if not ordered:
        return ""
    namespaces, objects = ("namespace", "object") if len(ordered) == 1 else ("namespaces", "objects")
    return Listing(
        f"the labels of {namespaces} {few(ordered)} are not known: "
        f"no file contains the Namespace {objects}. Add the {objects} to the manifests.",
        ordered,
    )


class Container(NamedTuple):
    """One container. list: "containers", "initContainers" or "ephemeralContainers"; position within that list."""

    list: str
    position: int
    name: str
    raw: dict[str, Any]

    @property
    def path(self) -> str:
        """`spec.containers[app]`; by index where it has no name."""
        return f"spec.{self.list}[{self.name or self.position}]"


class PodShape:
    """What pods of one template have in common: the pod spec and the annotations that security rules read.

    spec: the pod spec as plain data. In pods, `nodeName` (also in the affinity of a DaemonSet's pods) and the random
    suffix of `kube-api-access-…` are those of one of the pods; ask `Workload.pod_spec` for the exact spec of one pod.
    annotations: only `*.alpha.kubernetes.io` / `*.beta.kubernetes.io` security annotations (seccomp, AppArmor).
    malformed: (path, found) where a container list or a container is not what Kubernetes allows; such containers are
    not in `containers`, and a rule that needs them must report an error, never a pass (`findings.apply` does).
    """

    __slots__ = ("__dict__", "annotations", "derived", "facets", "known_malformed", "spec")

    def __init__(
        self,
        spec: dict[str, Any],
        annotations: Mapping[str, str],
        malformed: tuple[tuple[str, Any], ...] = (),
    ) -> None:
        """`malformed`: what the source found wrong already, such as a spec that is not a map: `known_malformed`."""
        self.spec = spec
        self.annotations = annotations
        self.known_malformed = malformed
        self.facets: dict[str, Hashable] = {}  # those that were asked for
        self.derived: dict[str, Any] = {}  # what several rules make of it, by a name

    def facet(self, name: str) -> Hashable:
        """A key for what is under one key of the pod spec ("spec.os") or of all containers ("containers.ports").

        Equal keys mean equal data: whatever a rule makes of that data alone, it makes of both pods.
        """
        known = self.facets.get(name)
        if known is None:
            level, _, key = name.partition(".")
            data, around = self._under(level, key)
            if data is None or (around and data.count(None) == len(around)):
                known = around
            else:
                try:
                    known = (around, msgspec.json.encode(data))
                except (TypeError, ValueError, OverflowError, RecursionError):
                    known = object()  # no JSON, so equal to nothing else
            if self.pool is not None:
                known = self.pool.setdefault(known, known)
            self.facets[name] = known
        return known

    def _under(self, level: str, key: str) -> tuple[Any, tuple[str, ...]]:
        """The data of a facet, and where the containers are that it is of."""
        if level == "spec":
            return self.spec.get(key), ()
        return [container.raw.get(key) for container in self.containers], self._lists

    pool: dict[Hashable, Hashable] | None = None
    """Where the keys of equal pods are kept once, if many are kept."""

    implied: Mapping[tuple[str, ...], Any] = {}
    """What fields of the pod spec mean unset, where something outside of the pod says so."""

    def mounting(self, mounts: bool) -> PodShape:
        """The same pod, of a ServiceAccount that sets `automountServiceAccountToken`, which the pod leaves unset."""
        made = PodShape(self.spec, self.annotations, self.known_malformed)
        made.implied = {AUTOMOUNT: mounts}
        made.facets["spec.automountServiceAccountToken"] = ("by its ServiceAccount", mounts)
        return made

    @cached_property
    def _lists(self) -> tuple[str, ...]:
        """Where each container is."""
        return tuple(container.list for container in self.containers)

    @cached_property
    def _scanned(self) -> tuple[tuple[Container, ...], tuple[tuple[str, Any], ...]]:
        found: list[Container] = []
        malformed: list[tuple[str, Any]] = list(self.known_malformed)
        for list_name in CONTAINER_LISTS:
            entries = self.spec.get(list_name)
            if entries is None:
                continue
            if not isinstance(entries, list):
                malformed.append((f"spec.{list_name}", entries))
                continue
            for index, raw in enumerate(entries):
                if isinstance(raw, dict):
                    found.append(Container(list_name, index, _text(raw.get("name")), raw))
                else:
                    malformed.append((f"spec.{list_name}[{index}]", raw))
        return tuple(found), tuple(malformed)

    @property
    def containers(self) -> tuple[Container, ...]:
        """All containers of all three lists: init, ordinary, ephemeral."""
        return self._scanned[0]

    @property
    def malformed(self) -> tuple[tuple[str, Any], ...]:
        """Container lists, containers, spec or metadata of a wrong type."""
        return self._scanned[1]


def texts(found: Any, path: str, ref: ResourceRef) -> Mapping[str, str]:
    """Labels or annotations that stand at this path of an object. Raises Malformed."""
    if isinstance(found, dict) and all(isinstance(value, str) for value in found.values()):
        return found
    raise Malformed(f"{path} must be an object with string values.", where=str(ref))


class Workload(Resource):
    """A pod, or a controller with a pod template (Deployment, StatefulSet, DaemonSet, Job, CronJob, …).

    labels, annotations: of the object itself: of the Deployment, not of its pods
    owner:         the topmost controller known; itself if none
    shape:         the pod spec, shared by equal pods
    template_path: prefix of pod paths in this object: "" for a Pod, "spec.template." for most controllers
    phase:         `status.phase` of a pod, or ""
    """

    __slots__ = ("_load", "_pod_spec", "phase", "shape", "template_path")

    def __init__(
        self,
        api_version: str,
        kind: str,
        raw: dict[str, Any],
        *,
        shape: PodShape,
        template_path: str = "",
        phase: str = "",
        load: Callable[[], dict[str, Any]] | None = None,
    ) -> None:
        """`raw` may hold metadata only when `load` returns the whole object on demand."""
        super().__init__(api_version, kind, raw)
        self.shape = shape
        self.template_path = template_path
        self.phase = phase
        self._load = load

    @property
    def raw(self) -> dict[str, Any]:
        """The whole object; read from the source at the first use."""
        if self._load is not None:
            self._raw = self._load()
            self._load = None
        return self._raw

    patchable = True
    """Whether a strategic merge patch of the object can change its pod: no kind of a custom resource has those."""

    @property
    def place(self) -> str:
        """Where in its object, if that may hold several pods; else ""."""
        return ""

    def path_of(self, path: str) -> str:
        """A path of the pod as one of this object."""
        return path_in(self.template_path, path)

    @property
    def is_pod(self) -> bool:
        """True for a running pod, False for a template."""
        return not self.template_path

    def may_mention(self, text: bytes) -> bool:
        """False only if no annotation of the object itself can contain this text. Fast, for many pods."""
        return True

    @property
    def pod_labels(self) -> Mapping[str, str]:
        """The labels of the pod; of a controller, those that its template gives its pods. Raises Malformed."""
        return self._of_pod("labels")

    @property
    def pod_annotations(self) -> Mapping[str, str]:
        """The annotations of the pod; of a controller, those that its template gives its pods. Raises Malformed."""
        return self._of_pod("annotations")

    def matches(self, selector: Mapping[str, Any] | None) -> bool:
        """Whether a Kubernetes label selector (`matchLabels`, `matchExpressions`) selects its pods.

        What selects pods (a NetworkPolicy, a PodDisruptionBudget) looks at `pod_labels`, never at the labels of a
        controller. As in Kubernetes, {} selects everything and None nothing. Raises Malformed for what is no selector.
        """
        return _selected(selector, self.pod_labels)

    def _of_pod(self, key: str) -> Mapping[str, str]:
        holder = _at(self.raw, self.template_path)
        metadata = holder.get("metadata") if isinstance(holder, dict) else holder
        found = metadata.get(key) if isinstance(metadata, dict) else metadata
        if found is None and (metadata is None or isinstance(metadata, dict)) and isinstance(holder, dict):
            return {}
        return texts(found, f"{self.template_path}metadata.{key}", self.ref)

    @property
    def pod_spec(self) -> dict[str, Any]:
        """The exact pod spec of this object (for a controller: its template's spec)."""
        spec: Any = self.raw
        for key in (*self.template_path.split("."), "spec"):
            if key:
                spec = spec.get(key) if isinstance(spec, dict) else None
        return spec if isinstance(spec, dict) else {}

    @property
    def containers(self) -> tuple[Container, ...]:
        """All containers of all three lists."""
        return self.shape.containers


def _selected(selector: Mapping[str, Any] | None, labels: Mapping[str, str]) -> bool:
    made = label_selector(selector)
    return made is not None and selects(made, labels)


def _at(raw: Any, path: str) -> Any:
    """What is at a path such as `spec.template.` or `spec.tasks[build].template.`; None where nothing is."""
    for key, entry in _STEP.findall(path):
        if key:
            raw = raw.get(key) if isinstance(raw, dict) else None
        elif isinstance(raw, dict):
            raw = raw.get(entry)
        elif isinstance(raw, list):
            named = [item for item in raw if isinstance(item, dict) and item.get("name") == entry]
            inside = entry.isdecimal() and int(entry) < len(raw)
            raw = named[0] if named else raw[int(entry)] if inside else None
    return raw


R = TypeVar("R", bound=Resource)


class Resources(Sequence[R], Generic[R]):
    """The collection that a fixture passes to a check: a sequence that counts the objects that the check examines."""

    __slots__ = ("_items", "_on_examined", "_on_read")

    def __init__(
        self,
        items: Sequence[R],
        on_examined: Callable[[Sequence[R]], None] | None = None,
        on_read: Callable[[], None] | None = None,
    ) -> None:
        self._items = items
        self._on_examined = on_examined
        self._on_read = on_read

    def __iter__(self) -> Iterator[R]:
        # Not before the first step: a generator that is built over it and never runs has looked at nothing.
        return chain(self._begin(), self._items)

    def _begin(self) -> Iterator[R]:
        self._examined()
        yield from ()

    def __len__(self) -> int:
        self._read()
        return len(self._items)

    @overload
    def __getitem__(self, index: int) -> R: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[R]: ...
    def __getitem__(self, index: int | slice) -> R | Sequence[R]:
        self._examined()
        return self._items[index]

    @property
    def items(self) -> Sequence[R]:
        """The sequence behind it; reading it does not count as examining."""
        self._read()
        return self._items

    def where(self, test: Callable[[R], bool]) -> Resources[R]:
        """Those for which `test` is true, as a collection of the same kind."""
        self._read()
        return Resources([item for item in self._items if test(item)], self._on_examined, self._on_read)

    def _read(self) -> None:
        if self._on_read is not None:
            self._on_read()

    def _examined(self) -> None:
        if self._on_examined is not None:
            self._on_examined(self._items)


def _text(value: Any) -> str:
    return value if isinstance(value, str) else ""


_EMPTY: Mapping[str, str] = {}


def _text_map(value: Any) -> Mapping[str, str]:
    if not isinstance(value, dict) or not value:
        return _EMPTY
    if all(type(v) is str for v in value.values()):
        return value
    return {k: v for k, v in value.items() if isinstance(v, str)}
