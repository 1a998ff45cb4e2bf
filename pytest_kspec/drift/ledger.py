"""Corrections that are remembered: in a store, in a ConfigMap of the cluster, or for the life of a process."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from pytest_kspec.cluster.writing.write import Writer
from pytest_kspec.crds.names import GROUP, NAMESPACE, VERSION
from pytest_kspec.drift.correcting import WINDOW
from pytest_kspec.enforce.names import NAME_ANNOTATION, spec_id
from pytest_kspec.errors import AccessDenied, Conflict, Malformed, NotFound, Refused

if TYPE_CHECKING:
    from pytest_kspec.storage.engine import Store

Object = dict[str, Any]

KEY = "corrections"
_WRITES = 10
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
    """In a ConfigMap of the namespace kspec-system, one a specification.

    uid: of the ClusterSpecification, with which the ConfigMap is deleted; what was noted for another one of the same
    name is not of this. "": the specification is a file
    """

    def __init__(self, writer: Writer, spec: str, namespace: str = NAMESPACE, *, uid: str = "") -> None:
        self._writer = writer
        self._spec = spec
        self._uid = uid
        self._namespace = namespace
        self.name = f"kspec-drift-{spec_id(spec)}"

    def since(self, moment: datetime) -> Mapping[str, int]:
        """Object → corrections. Raises SourceError."""
        return Counter(name for name, at in self._noted(self._find()) if at >= _stamp(moment))

    def note(self, name: str, moment: datetime) -> None:
        """It was corrected; what is older than an hour is forgotten. Raises SourceError.

        What others note at the same time is not lost: whoever is second reads again.
        """
        for attempt in range(_WRITES):
            found = self._find()
            kept = [one for one in self._noted(found) if one[1] >= _stamp(moment - WINDOW)]
            try:
                self._put(found, [*kept, (name, _stamp(moment))][-_MOST:])
            except (Conflict, NotFound):
                if attempt + 1 == _WRITES:
                    raise
                continue
            return

    def forbidden(self) -> str:
        """Why corrections could not be remembered, so that none may be made; "" where they can. Raises SourceError.

        The API server is asked by a dry run.
        """
        found = self._find()
        try:
            self._put(found, self._noted(found), dry_run=True)
        except (
            AccessDenied,
            Refused,
            NotFound,
        ) as error:  # no right, a quota, a webhook of others, no namespace
            return str(error)
        except Conflict:  # it may be written, and was just now
            return ""
        return ""

    def _put(self, found: Object | None, noted: list[tuple[str, str]], *, dry_run: bool = False) -> None:
        """Write what is noted, if it is as it was found. Raises Conflict where it is not."""
        metadata: Object = {"annotations": {NAME_ANNOTATION: self._spec}}
        if self._uid:
            owner = {"apiVersion": f"{GROUP}/{VERSION}", "kind": "ClusterSpecification", "name": self._spec}
            metadata["ownerReferences"] = [{**owner, "uid": self._uid}]
        made: Object = {"metadata": metadata, "data": {KEY: json.dumps(noted)}}
        if found is None:
            metadata |= {"name": self.name, "namespace": self._namespace}
            self._writer.create({"apiVersion": "v1", "kind": "ConfigMap", **made}, dry_run=dry_run)
        else:  # a merge: an apply would leave the owner that another manager wrote
            metadata["resourceVersion"] = found["metadata"]["resourceVersion"]
            self._writer.patch("v1", "ConfigMap", self.name, made, namespace=self._namespace, dry_run=dry_run)

    def _find(self) -> Object | None:
        return self._writer.find("v1", "ConfigMap", self.name, namespace=self._namespace)

    def _is_of_another(self, found: Object | None) -> bool:
        """Whether it belongs to a specification that is gone, and had the same name."""
        owners = ((found or {}).get("metadata") or {}).get("ownerReferences") or ()
        uids = [one.get("uid") for one in owners if one.get("kind") == "ClusterSpecification"]
        return bool(self._uid and uids) and self._uid not in uids

    def _noted(self, found: Object | None) -> list[tuple[str, str]]:
        text = ((found or {}).get("data") or {}).get(KEY)
        if text is None or self._is_of_another(found):
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


class Both:
    """Noted in the first; what others noted in the second counts, too, such as what the operator corrected."""

    def __init__(self, first: InStore, second: InCluster) -> None:
        self._first, self._second = first, second

    def since(self, moment: datetime) -> Mapping[str, int]:
        """Object → corrections. Raises KspecError."""
        return Counter(self._first.since(moment)) + Counter(self._second.since(moment))

    def note(self, name: str, moment: datetime) -> None:
        """It was corrected. Raises StoreError."""
        self._first.note(name, moment)


def _stamp(moment: datetime) -> str:
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
