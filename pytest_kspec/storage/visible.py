"""What a viewer may see of a store, as conditions of its statements."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import ColumnElement, and_, false, or_

from pytest_kspec.storage import schema

_subject, _found = schema.subjects.c, schema.findings.c


@dataclass(frozen=True, slots=True)
class Visible:
    """What a viewer may see.

    clusters:   identities of clusters; None: all
    namespaces: of further clusters, by identity: namespaces whose findings may be seen, and nothing else
    """

    clusters: frozenset[str] | None = None
    namespaces: Mapping[str, frozenset[str]] = field(default_factory=dict)

    @property
    def everything(self) -> bool:
        """Nothing is hidden."""
        return self.clusters is None

    @property
    def nothing(self) -> bool:
        """Nothing may be seen."""
        return self.clusters is not None and not self.clusters and not any(self.namespaces.values())

    def sees(self, cluster_id: str) -> bool:
        """Whether all of a cluster may be seen."""
        return self.clusters is None or cluster_id in self.clusters

    def of_clusters(self, column: Any) -> ColumnElement[bool] | None:
        """The condition on a column of identities; None: no condition."""
        return None if self.clusters is None else column.in_(sorted(self.clusters))

    def of_findings(self) -> ColumnElement[bool] | None:
        """The condition on findings and subjects; None: no condition."""
        if self.clusters is None:
            return None
        some = [
            and_(_subject.cluster_id == identity, _found.namespace.in_(sorted(names)))
            for identity, names in sorted(self.namespaces.items())
        ]
        return or_(false(), _subject.cluster_id.in_(sorted(self.clusters)), *some)


ALL = Visible()
