"""Each kind is listed once a run, whatever the number of checks and workers. Errors are kept too, and
raised each time. Who looks at a cluster for longer than a run says what changed (`changed`, `relist`, `renew`).

Also knows which object controls which, so that a Deployment and its pods are one owner.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from functools import cached_property
from operator import attrgetter
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, cast

import msgspec

from pytest_kspec.cluster.inventory.heldpods import Left, held_pods
from pytest_kspec.cluster.objects import refusals
from pytest_kspec.cluster.objects.answers import Buffer, has_name
from pytest_kspec.cluster.objects.decode import Decoder, PodPage
from pytest_kspec.cluster.objects.kinds import TEMPLATE_PATHS, builtin_types, preference, split_api_version
from pytest_kspec.cluster.objects.listed import Controller, owner_ref
from pytest_kspec.cluster.objects.whole import ListedWorkload
from pytest_kspec.cluster.sources.source import Source
from pytest_kspec.errors import KspecError, Malformed, SourceError
from pytest_kspec.kube.podkinds import PodKinds
from pytest_kspec.kube.reference import ResourceRef
from pytest_kspec.kube.resources import ClusterInfo, NamedNamespace, Resource, ResourceType, Workload
from pytest_kspec.observe import tracing

if TYPE_CHECKING:
    from pytest_kspec.cluster.inventory.shared import Shared

MAX_OWNERS = 10
"""Owner references are followed this far; Kubernetes itself needs two steps."""

_MAKERS = {"ReplicaSet": "Deployment", "Job": "CronJob"}
_ENDED = ("Succeeded", "Failed")


class Held(NamedTuple):
    """Of objects of foreign kinds: the pods in them, and what else looks like pods, or could not be listed."""

    pods: tuple[Workload, ...]
    rest: tuple[Left, ...]


class Inventory:
    """The resources of one cluster, for one run.

    shared: folder where xdist workers share raw pages of a live cluster; it may serve several clusters
    """

    def __init__(self, source: Source, shared: Path | None = None) -> None:
        self.source = source
        self._shared: Shared | None = None
        if shared is not None and source.kind == "live":  # the others are files already
            from pytest_kspec.cluster.inventory.shared import Shared

            self._shared = Shared(shared, source.ref)
        manifests = source.kind == "manifests"
        self._open_ended = manifests  # a kind that no file holds is an empty list
        # Manifests are decoded to see which kinds there are, by a decoder of their own.
        self._decoder: Decoder = getattr(source, "decoder", None) or Decoder(
            source.name, "default" if manifests else ""
        )
        self._info: ClusterInfo | KspecError | None = None
        self._types: dict[str, tuple[ResourceType, ...]] | KspecError | None = None
        self._lists: dict[ResourceType, tuple[Resource, ...] | KspecError] = {}
        self._versions: dict[ResourceType, str] = {}
        self._forget_derived()

    def _forget_derived(self) -> None:
        """What was concluded from several objects."""
        for name in ("_namespaces", "namespace_labels", "mounting"):
            self.__dict__.pop(name, None)
        self._owned: set[ResourceType] = set()
        self._by_uid: dict[ResourceType, dict[str, ListedWorkload]] = {}
        self._by_name: dict[ResourceType, dict[tuple[str, str], ListedWorkload]] = {}
        self._owners: dict[tuple[Controller, str], ResourceRef] = {}
        self._pods: tuple[Workload, ...] | None = None
        self._workloads: tuple[Workload, ...] | None = None
        self._held: dict[int, Held] = {}  # by identity of the kinds, which `pod_kinds` keeps
        self._with_held: dict[int, tuple[PodKinds, tuple[Workload, ...]]] = {}

    @property
    def info(self) -> ClusterInfo:
        """Name, kind of source, version, UID. Raises SourceError."""
        if self._info is None:
            try:
                shared, fetch = self._shared, self.source.info
                self._info = shared.info(fetch) if shared else fetch()
            except Exception as error:  # noqa: BLE001 - whatever it is, it is this cluster's alone
                self._info = refusals.error_of(error, self.source.name)
        if isinstance(self._info, KspecError):
            raise refusals.fresh(self._info)
        return self._info

    def types(self) -> Sequence[ResourceType]:
        """Every kind that is served, sorted. Raises SourceError."""
        return sorted(t for types in self._kinds().values() for t in types)

    def find(self, kind: str, group: str | None = None) -> ResourceType | None:
        """The type that `list` would list, or None if it is not served. Raises SourceError."""
        for resource_type in self._kinds().get(kind, ()):
            if group is None or resource_type.group == group:
                return resource_type
        return None

    def serves(self, kind: str, group: str | None = None) -> bool:
        """Whether the cluster has this kind. Raises SourceError if even that is unknown."""
        return self.find(kind, group) is not None

    def list(self, kind: str, group: str | None = None) -> Sequence[Resource]:
        """All objects of a kind, sorted by namespace and name; pods and controllers come as `Workload`.

        Without a group: the core group's kind, else the built-in one, else any. Namespaces of manifests include those
        that only other objects name, as `NamedNamespace`.
        Raises SourceError: AccessDenied, NotServed, SourceUnavailable, Malformed.
        """
        if self._open_ended and kind == "Namespace" and not group:
            return self._namespaces
        found = self.find(kind, group)
        if found is None:
            if self._open_ended:
                return ()
            raise refusals.not_served(kind, group, self.source.name, self._kinds())
        listed = self._listed(found)
        if found not in self._owned and (found.group, found.kind) in TEMPLATE_PATHS:
            self._owned.add(found)
            for workload in cast("Sequence[ListedWorkload]", listed):
                workload.owner = self._owner(workload)
        return listed

    def resource_version(self, kind: str, group: str | None = None) -> str:
        """Of the list of this kind, from which a watch goes on; "" where it was not listed or its source has none.

        After `changed` it is that of the last change. Raises SourceError if it is not known what is served.
        """
        found = self.find(kind, group)
        return self._versions.get(found, "") if found is not None else ""

    def changed(self, raw: Mapping[str, Any], *, gone: bool = False) -> None:
        """Put one object as a watch delivers it in place of what is known of it. gone: it was deleted.

        Lists are new objects afterwards, and so is all that was concluded: whoever kept a list knows by identity that
        it is an old one. Of a kind that was never listed nothing is kept. Where the list is an error, that stays, until
        `relist`. Raises Malformed for what is no object of a known kind, and SourceError.
        """
        metadata, kind, api_version = raw.get("metadata"), raw.get("kind"), raw.get("apiVersion")
        if not isinstance(kind, str) or not isinstance(api_version, str) or not has_name(metadata):
            raise Malformed("a change has no kind, apiVersion or name.", where=self.source.name)
        found = self.find(kind, split_api_version(api_version)[0])
        if found is None:
            raise Malformed(
                f"a change is of {kind} {api_version}, which is not served.", where=self.source.name
            )
        listed = self._lists.get(found)
        if not isinstance(listed, tuple):
            return
        new = self._decoder.resources(msgspec.json.encode([raw]), found)
        places = {_place(item) for item in new}
        kept = [item for item in listed if _place(item) not in places]
        self._lists[found] = tuple(sorted([*kept, *(() if gone else new)], key=_place))
        self._versions[found] = str(metadata.get("resourceVersion") or "") if metadata else ""
        self._forget_derived()

    def relist(self, kind: str | None = None, group: str | None = None) -> None:
        """List this kind anew when it is asked for next, or everything: also what is served, and what was refused."""
        if kind is None:
            self._info = self._types = None
            self._lists.clear()
            self._versions.clear()
        elif (found := self.find(kind, group)) is not None:
            self._lists.pop(found, None)
            self._versions.pop(found, None)
        self._forget_derived()

    def renew(self) -> None:
        """Begin another look at the whole cluster: `relist`, with the bounds of a source counted anew."""
        renew = getattr(self.source, "renew", None)
        if renew is not None:
            renew()
        self.relist()

    def pods(self) -> Sequence[Workload]:
        """All pods that can still run: whose phase is not Succeeded or Failed.

        The status of a manifest counts only where a cluster wrote it: an API server drops the status of what is
        created, and refuses to create what has a resourceVersion (but 0).
        """
        if self._pods is None:
            pods = cast("Sequence[Workload]", self.list("Pod", ""))
            self._pods = tuple(pod for pod in pods if pod.phase not in _ENDED or not self._has_run(pod))
        return self._pods

    def _has_run(self, pod: Workload) -> bool:
        return self.source.kind != "manifests" or bool(
            str(pod.raw["metadata"].get("resourceVersion") or "").strip("0")
        )

    def workloads(self, kinds: PodKinds | None = None) -> Sequence[Workload]:
        """The pods, the templates of all controllers, and the pods that objects of these foreign kinds hold.

        Left out are a Deployment's ReplicaSets, a CronJob's Jobs and what a foreign object that was read makes: their
        templates are copies; and what a foreign controller (a Rollout, a DeploymentConfig) keeps of former versions,
        with no replicas. Nothing else is, whatever an owner reference says: anybody may write one.
        """
        if self._workloads is None:
            found = [*self.pods()]
            for group, kind in TEMPLATE_PATHS:
                if kind != "Pod" and self.serves(kind, group):
                    listed = cast("Sequence[ListedWorkload]", self.list(kind, group))
                    found += [item for item in listed if not self._made_by_template(item)]
            self._workloads = tuple(found)
        if kinds is None:
            return self._workloads
        if id(kinds) not in self._with_held:
            held = self.held(kinds).pods
            made_by = {pod.uid for pod in held if pod.uid}
            found = [item for item in self._workloads if item.is_pod or _maker(item) not in made_by]
            self._with_held[id(kinds)] = (kinds, (*found, *held) if held else self._workloads)
        return self._with_held[id(kinds)][1]

    def held(self, kinds: PodKinds) -> Held:
        """What objects of foreign kinds hold: pods of `kinds`, and what is not evaluated.

        Of manifests, all kinds are searched. In a cluster the pods that others make are there themselves, so only
        objects that hold a whole template are read, as a Deployment's is; one kind that may not be listed is not
        evaluated. Raises SourceError.
        """
        known = self._held.get(id(kinds))
        if known is None:
            known = (self._held_in_manifests if self._open_ended else self._held_in_cluster)(kinds)
            self._held[id(kinds)] = known
        return known

    def unevaluated(self, kinds: PodKinds) -> tuple[Left, ...]:
        """What looks like pods and is not evaluated. Of a cluster, only what was listed for a check: nothing is asked.

        Raises SourceError.
        """
        known = self.held(kinds) if self._open_ended else self._held.get(id(kinds))
        return known.rest if known is not None else ()

    def _held_in_manifests(self, kinds: PodKinds) -> Held:
        builtin = {(t.group, t.kind) for t in builtin_types()}
        pods: list[Workload] = []
        rest: list[Left] = []
        for resource_type in self.types():
            if (resource_type.group, resource_type.kind) in builtin:
                continue
            for item in self._listed(resource_type):
                found = held_pods(item, resource_type.group, kinds, self._decoder.shapes)
                pods += found.pods
                if found.rest:
                    rest.append(Left(str(item.ref), tuple(found.rest)))
        return Held(tuple(pods), tuple(sorted(rest, key=str)))

    def _held_in_cluster(self, kinds: PodKinds) -> Held:
        pods: list[Workload] = []
        rest: list[Left] = []
        for (group, kind), places in kinds.items():
            whole = tuple(place for place in places if place.holds == "podTemplate" and not place.partial)
            resource_type = self.find(kind, group) if whole else None
            if resource_type is None:
                continue
            try:
                listed = self._listed(resource_type)
            except SourceError as error:
                rest.append(Left(f"{resource_type.resource} ({error.what.rstrip('.')})"))
                continue
            for item in listed:
                pods += held_pods(item, group, {(group, kind): whole}, self._decoder.shapes).pods
        return Held(tuple(pods), tuple(sorted(rest, key=str)))

    @cached_property
    def _namespaces(self) -> tuple[Resource, ...]:
        """Of manifests: the Namespaces in the files, and those that other objects are in."""
        found = self.find("Namespace", "")
        listed = self._listed(found) if found is not None else ()
        named = self.info.namespaces.difference(item.name for item in listed)
        return tuple(sorted((*listed, *map(NamedNamespace, named)), key=_place))

    @cached_property
    def namespace_labels(self) -> Mapping[str, Mapping[str, str]]:
        """Labels of each namespace that are known. Raises SourceError."""
        listed = self.list("Namespace", "")
        return {item.name: item.labels for item in listed if not isinstance(item, NamedNamespace)}

    @property
    def unlabelled_namespaces(self) -> tuple[str, ...]:
        """Namespaces whose labels are not known, since only other objects of the manifests name them.

        Empty for other sources. Raises SourceError.
        """
        if not self._open_ended:
            return ()
        return tuple(item.name for item in self._namespaces if isinstance(item, NamedNamespace))

    @cached_property
    def mounting(self) -> Mapping[tuple[str, str], bool]:
        """(namespace, name) → `automountServiceAccountToken` of the ServiceAccounts that set it.

        Empty where ServiceAccounts may not be listed: then nothing is known of them.
        """
        try:
            accounts = self.list("ServiceAccount", "")
        except SourceError:
            return {}
        found = ((item, item.raw.get("automountServiceAccountToken")) for item in accounts)
        return {(item.namespace, item.name): value for item, value in found if isinstance(value, bool)}

    def close(self) -> None:
        """Give back connections and files of the source, and the objects that were read last."""
        self.source.close()
        self._decoder.close()

    def _kinds(self) -> dict[str, tuple[ResourceType, ...]]:
        if self._types is None:
            try:
                shared, fetch = self._shared, self.source.types
                types = shared.types(fetch) if shared else fetch()
            except Exception as error:  # noqa: BLE001 - whatever it is, it is this cluster's alone
                self._types = refusals.error_of(error, self.source.name)
            else:
                self._types = {}
                for resource_type in sorted(types, key=preference):
                    same_kind = self._types.get(resource_type.kind, ())
                    self._types[resource_type.kind] = (*same_kind, resource_type)
        if isinstance(self._types, KspecError):
            raise refusals.fresh(self._types)
        return self._types

    def _listed(self, resource_type: ResourceType) -> Sequence[Resource]:
        known = self._lists.get(resource_type)
        if known is None:
            try:
                source = self.source
                pages: Iterable[Buffer | PodPage]
                if self._shared is not None:
                    pages = self._shared.pages(resource_type, source.pages)
                else:  # a source that had to look into its lists hands on what it decoded
                    pages = getattr(source, "decoded_pages", source.pages)(resource_type)
                with tracing.span(f"list {resource_type.plural}") as span:
                    found = [
                        resource
                        for page in pages
                        for resource in self._decoder.resources(page, resource_type)
                    ]
                    span.set({"kspec.objects": len(found)})
                self._versions[resource_type] = getattr(pages, "resource_version", "")
            except Exception as error:  # noqa: BLE001 - whatever it is, it is this cluster's alone
                known = refusals.error_of(error, self.source.name)
            else:
                found.sort(key=_place)
                known = tuple(found)
            self._lists[resource_type] = known
        if isinstance(known, KspecError):
            raise refusals.fresh(known)
        return known

    def _owner(self, workload: ListedWorkload) -> ResourceRef:
        """The topmost controller that is known: followed upwards as far as it can be read."""
        first, namespace = workload.controller, workload.namespace
        if first is None or first.kind == "Node":  # mirror pods belong to themselves
            return workload.ref
        found = self._owners.get((first, namespace))
        if found is not None:
            return found
        owner: ListedWorkload = workload
        for _ in range(MAX_OWNERS):
            controller = owner.controller
            if controller is None or controller.kind == "Node":
                found = owner.ref
                break
            above = self._controller_of(owner)
            if above is None:
                found = owner_ref(controller, namespace)
                break
            if above is workload:
                return owner_ref(controller, namespace)
            owner = above
        else:
            return owner.ref  # a circle: whose it is hangs on where one starts, so nothing is kept
        self._owners[first, namespace] = found
        return found

    def _made_by_template(self, workload: ListedWorkload) -> bool:
        maker = _MAKERS.get(workload.kind)
        found = self._controller_of(workload) if maker else None
        return (found is not None and found.kind == maker) or _is_retired(workload)

    def _controller_of(self, workload: ListedWorkload) -> ListedWorkload | None:
        """The controller as an object of this inventory; None if there is none, or if it could not be read."""
        controller = workload.controller
        if controller is None:
            return None
        group, _ = split_api_version(controller.api_version)
        if (group, controller.kind) not in TEMPLATE_PATHS:
            return None
        try:
            found = self.find(controller.kind, group)
            if found is None:
                return None
            return self._indexed(found, controller, workload.namespace)
        except SourceError:
            return None  # the owner reference itself still says whose it is; `workloads` raises this error

    def _indexed(
        self, resource_type: ResourceType, controller: Controller, namespace: str
    ) -> ListedWorkload | None:
        if resource_type not in self._by_uid:
            listed = cast("Sequence[ListedWorkload]", self._listed(resource_type))
            self._by_uid[resource_type] = {item.uid: item for item in listed if item.uid}
            self._by_name[resource_type] = {(item.namespace, item.name): item for item in listed}
        if controller.uid and (found := self._by_uid[resource_type].get(controller.uid)):
            return found
        named = self._by_name[resource_type].get((namespace, controller.name))
        if named is not None and controller.uid and named.uid:
            return None  # another object that took the name of the former owner
        return named


def _is_retired(workload: ListedWorkload) -> bool:
    """A ReplicaSet or ReplicationController of a foreign controller that is there for a way back only: no replicas."""
    controller = workload.controller
    if controller is None or workload.kind not in ("ReplicaSet", "ReplicationController"):
        return False
    if (split_api_version(controller.api_version)[0], controller.kind) in TEMPLATE_PATHS:
        return False
    spec, status = workload.raw.get("spec"), workload.raw.get("status")
    running = status.get("replicas") if isinstance(status, dict) else None
    return isinstance(spec, dict) and spec.get("replicas") == 0 and not running


def _maker(workload: Workload) -> str:
    """UID of the controller of a listed template, or ""."""
    controller = workload.controller if isinstance(workload, ListedWorkload) else None
    return controller.uid if controller is not None else ""


_place = attrgetter("namespace", "name")
