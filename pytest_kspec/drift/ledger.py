"""Corrections that are remembered: in a store, in a ConfigMap of the cluster, or for the life of a process."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from pytest_kspec.cluster.writing.write import Writer
from pytest_kspec.crds.names import NAMESPACE
from pytest_kspec.drift.correcting import WINDOW
from pytest_kspec.enforce.names import NAME_ANNOTATION, spec_id
from pytest_kspec.errors import Malformed

if TYPE_CHECKING:
    from pytest_kspec.storage.engine import Store

KEY = "corrections"
_MOST = 2000
"""Corrections that a ConfigMap holds: far below its limit of 1 MiB."""


class Memory:
    """For one process; what is corrected by others is not known."""

    def __init__(self) -> None:
        self._noted: list[tuple[str, datetime]] = []

    def since(self, moment: datetime) -> Mapping[str, int]:
        """Object → corrections."""
        return Counter(name for name, at in self._noted if at >= moment)

    def note(self, name: str, moment: datetime) -> None:
        """It was corrected."""
        self._noted.append((name, moment))


class InStore:
    """In a store of results."""

    def __init__(self, store: Store, cluster_id: str, spec: str) -> None:
        self._store = store
        self._place = cluster_id, spec

    def since(self, moment: datetime) -> Mapping[str, int]:
        """Object → corrections. Raises StoreError."""
        from pytest_kspec.storage import drift

        return drift.corrections(self._store, *self._place, _stamp(moment))

    def note(self, name: str, moment: datetime) -> None:
        """It was corrected. Raises StoreError."""
        from pytest_kspec.storage import drift

        drift.note_correction(self._store, *self._place, name, _stamp(moment))


class InCluster:
    """In a ConfigMap of the namespace kspec-system, one a specification."""

    def __init__(self, writer: Writer, spec: str, namespace: str = NAMESPACE) -> None:
        self._writer = writer
        self._spec = spec
        self._namespace = namespace
        self.name = f"kspec-drift-{spec_id(spec)}"

    def since(self, moment: datetime) -> Mapping[str, int]:
        """Object → corrections. Raises SourceError."""
        return Counter(name for name, at in self._read() if at >= _stamp(moment))

    def note(self, name: str, moment: datetime) -> None:
        """It was corrected; what is older than an hour is forgotten. Raises SourceError."""
        kept = [one for one in self._read() if one[1] >= _stamp(moment - WINDOW)]
        noted = [*kept, (name, _stamp(moment))][-_MOST:]
        self._writer.apply(
            {
                "apiVersion": "v1",
                "kind": "ConfigMap",
                "metadata": {
                    "name": self.name,
                    "namespace": self._namespace,
                    "annotations": {NAME_ANNOTATION: self._spec},
                },
                "data": {KEY: json.dumps(noted)},
            }
        )

    def _read(self) -> list[tuple[str, str]]:
        found: dict[str, Any] | None = self._writer.find(
            "v1", "ConfigMap", self.name, namespace=self._namespace
        )
        text = ((found or {}).get("data") or {}).get(KEY)
        if text is None:
            return []
        try:
            noted = [(name, at) for name, at in json.loads(text)]
            if not all(isinstance(part, str) for one in noted for part in one):
                raise ValueError
        except (ValueError, TypeError, RecursionError):
            raise Malformed(
                f"the ConfigMap {self._namespace}/{self.name} does not hold a list of corrections.",
                where=self._writer.source.name,
                fix="Delete it.",
            ) from None
        return noted


def _stamp(moment: datetime) -> str:
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
