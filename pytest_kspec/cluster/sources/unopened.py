"""A cluster of several that cannot be opened: its error, and not that of the run."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NoReturn

from pytest_kspec.errors import KspecError, SourceUnavailable
from pytest_kspec.kube.resources import ClusterInfo, ResourceType


class UnopenedSource:
    """What was named as a cluster and is none: no such context or path, a kubeconfig that could not be read.

    Every question to it raises SourceUnavailable with the reason, so that nothing about it can pass.
    """

    kind = "live"

    def __init__(self, ref: str, error: KspecError, name: str = "") -> None:
        """name: of the cluster, where it is not `ref`."""
        self.ref = ref
        self.name = name or ref
        self._error = error

    def info(self) -> ClusterInfo:
        """Raises SourceUnavailable."""
        self._fail()

    def types(self) -> Sequence[ResourceType]:
        """Raises SourceUnavailable."""
        self._fail()

    def pages(self, resource_type: ResourceType) -> Iterable[bytes | memoryview]:
        """Raises SourceUnavailable."""
        self._fail()

    def close(self) -> None:
        """Nothing is open."""

    def _fail(self) -> NoReturn:
        error = self._error
        raise SourceUnavailable(error.what, where=error.where or self.name, fix=error.fix) from error
