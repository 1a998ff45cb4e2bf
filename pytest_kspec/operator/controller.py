"""What looks after one kind of custom resource: a kind that is followed, and one function that does what is due.

The process follows the kind, keeps its keys in the one queue, and calls `reconcile` only while it leads. A controller
keeps nothing between two calls that the cluster does not have: the next leader begins with what is there.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

from pytest_kspec.cluster.watch.reflector import Key, Object
from pytest_kspec.cluster.writing.access import Access
from pytest_kspec.crds.names import GROUP, VERSION
from pytest_kspec.kube.resources import ResourceType
from pytest_kspec.operator.scans import Scanner
from pytest_kspec.plan.checkset import CheckSet

if TYPE_CHECKING:
    from pytest_kspec.operator.metrics import Metrics


def kspec_kind(kind: str, plural: str, *, namespaced: bool) -> ResourceType:
    """A kind of our group."""
    return ResourceType(GROUP, VERSION, kind, plural, namespaced)


TARGETS = kspec_kind("ClusterTarget", "clustertargets", namespaced=True)


class Right(NamedTuple):
    """What a controller asks of RBAC; config/rbac/operator.yaml grants the rights of all, and a test compares them.

    namespace: a Role there; "": a ClusterRole
    """

    group: str
    resource: str
    verbs: tuple[str, ...]
    namespace: str = ""


Concerned = Callable[[Object | None, Object | None], Iterable[Key]]
"""Keys that a change of an object of another kind concerns: what was seen before, and what is seen now."""


class Controller(Protocol):
    """One kind.

    label:   in the metrics, as v0.3 named it
    workers: keys that are looked at at once; those of other kinds do not wait for them
    others:  kinds of other controllers, whose changes are reasons to look at keys of this kind. They are asked once the
             process shows the change: who wrote it may be ahead of that, and a look would see what was there before
    """

    @property
    def resource(self) -> ResourceType:
        """The kind that is followed, as the cluster serves it."""
        ...

    @property
    def label(self) -> str:
        """As above."""
        ...

    @property
    def workers(self) -> int:
        """As above."""
        ...

    @property
    def others(self) -> Mapping[ResourceType, Concerned]:
        """As above."""
        ...

    @property
    def rights(self) -> tuple[Right, ...]:
        """Rights beside those of scans, policies and the Lease."""
        ...

    def reconcile(self, key: Key) -> float | None:
        """Do what is due; in how many seconds to look again, None: it is gone.

        Raises KspecError: to be tried again, later and later; LostLease is passed on.
        """
        ...

    def failed(self, key: Key, fault: Exception) -> None:
        """A fault of ours ended `reconcile`: say so in the status. Raises nothing but LostLease."""
        ...


class Given(NamedTuple):
    """What the process gives each controller.

    access:  the cluster; refuses writes unless this process leads
    scanner: scans a specification in a process of its own
    checks:  the built-in checks, imported at the first call
    objects: of a kind that a controller follows, as last seen; empty before it was listed and where it is not served
    look:    look at this key of this kind now
    metrics: what Prometheus sees; `metrics.registry` counts what `observe.table` has
    follows: whether `objects` of this kind are as the API server has them, as far as a watch tells
    """

    access: Access
    scanner: Scanner
    checks: Callable[[], CheckSet]
    objects: Callable[[ResourceType], Mapping[Key, Object]]
    look: Callable[[ResourceType, Key], None]
    metrics: Metrics
    follows: Callable[[ResourceType], bool] = lambda kind: False


def mark(obj: Object | None) -> Any:
    """What has to differ for a look: another object, another `spec`, or its deletion. A status is no reason."""
    if obj is None:
        return None
    metadata = obj["metadata"]
    return metadata.get("uid"), metadata.get("generation"), bool(metadata.get("deletionTimestamp"))
