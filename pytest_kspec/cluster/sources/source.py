"""The seam between a cluster and everything else: a source serves kinds as pages of raw JSON."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Protocol

from pytest_kspec.kube.resources import ClusterInfo, ResourceType


class Pages:
    """The pages of one list, to be read once, and the state of the cluster that they show.

    resource_version: `metadata.resourceVersion` of the list, from which a watch goes on; "" where the source has none
    """

    __slots__ = ("_pages", "resource_version")

    def __init__(self, pages: Iterable[bytes | memoryview], resource_version: str = "") -> None:
        self._pages = iter(pages)
        self.resource_version = resource_version

    def __iter__(self) -> Iterator[bytes | memoryview]:
        return self._pages


class Source(Protocol):
    """A cluster as a source of resources. No I/O before the first method call; methods may be called from
    one thread.

    ref:  the reference that the user gave (name of a context, path)
    name: name of the cluster in node ids and reports; known without I/O
    kind: "live", "snapshot" or "manifests"
    """

    @property
    def ref(self) -> str:
        """The reference that the user gave."""
        ...

    @property
    def name(self) -> str:
        """The name of the cluster."""
        ...

    @property
    def kind(self) -> str:
        """`live`, `snapshot` or `manifests`."""
        ...

    def info(self) -> ClusterInfo:
        """Name, source kind, API server version, UID of kube-system. Raises SourceError."""
        ...

    def types(self) -> Sequence[ResourceType]:
        """Every listable kind that is served, in the preferred version of its group. Raises SourceError."""
        ...

    def pages(self, resource_type: ResourceType) -> Iterable[bytes | memoryview]:
        """The items of a list of this kind, in pages, each a JSON array or `null`; `continue` always followed.

        A source whose lists have a resourceVersion returns `Pages`. The source must verify that an answer is a list of
        this kind, and raise otherwise. Secrets contain metadata only.
        Raises AccessDenied, NotServed, SourceUnavailable, Malformed.
        """
        ...

    def close(self) -> None:
        """Release connections and files."""
        ...
