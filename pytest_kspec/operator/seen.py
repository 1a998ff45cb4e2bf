"""Who counts what becomes of specifications: what `reconcile` tells of, and `metrics.Metrics` hears."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol

from pytest_kspec.operator.scans import Scanned


class Seen(Protocol):
    """Told of each thing that happens."""

    def scanned(self, name: str, found: Scanned) -> None:
        """A scan has a result."""
        ...

    def scan_failed(self, cluster: str, name: str, reason: str) -> None:
        """A scan has no result."""
        ...

    def drifted(self, cluster: str, name: str, kinds: Mapping[str, int]) -> None:
        """Differences from what was applied, by kind."""
        ...

    def changed(self, cluster: str, name: str, engine: str, changes: Sequence[tuple[str, bool]]) -> None:
        """Policy objects that were changed: the operation, and whether it corrected drift."""
        ...

    def corrections(self, cluster: str, name: str, recent: Mapping[str, int]) -> None:
        """Objects that were corrected within the last hour, and how often."""
        ...

    def enforcement_failed(self, cluster: str, name: str, error: str) -> None:
        """Policies could not be made as they should be, where drift is to be corrected."""
        ...

    def enforced(self, name: str, mode: str) -> None:
        """The mode that a specification asks for; "": not known."""
        ...

    def reported(self, kind: str, cluster: str) -> None:
        """A report was written."""
        ...

    def skipped(self, controller: str, name: str, turns: int) -> None:
        """A scan ended; turns of its schedule that were left out before it did."""
        ...

    def gone(self, name: str) -> None:
        """The specification was deleted."""
        ...
