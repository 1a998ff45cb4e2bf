"""What an alert is: one thing that is wrong in one place, with an identity that does not depend on its text or time."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from pytest_kspec.errors import StoreError

FIRING, RESOLVED = "firing", "resolved"

ENDS = {
    "ComplianceFailure": "ComplianceRestored",
    "DriftDetected": "DriftCleared",
    "ClusterUnreachable": "ClusterReachable",
}
"""The event of an alert → that of its end. Other events end under their own name."""

EVENTS = (
    *("ComplianceFailure", "ComplianceRestored", "DriftDetected", "DriftCleared", "ClusterUnreachable"),
    *("ClusterReachable", "ScanFailed", "ExemptionExpiring", "CredentialExpiring", "PolicyViolation"),
    *("CircuitBreakerTripped", "RemediationPerformed"),
)
"""Names of events; those of v0.3 are among them."""

MOST_MEMBERS = 1000
"""Members of one alert that are remembered; of more, it is known only how many there are."""


class Level(StrEnum):
    """How urgent an alert is: the words of v0.3."""

    INFO = "info"
    WARNING = "warning"
    CRITICAL = "critical"

    @property
    def rank(self) -> int:
        """0 (info) to 2 (critical)."""
        return list(Level).index(self)


@dataclass(frozen=True, slots=True)
class Alert:
    """One thing that is wrong.

    level:   None: that of the configuration
    spec:    name of the specification, or ""
    about:   requirement or object, or "" where it is about the whole
    members: what it is about in detail, such as fingerprints of findings: a new one is a reason to tell again
    count:   how many there are, also where `members` is cut
    """

    event: str
    level: Level | None
    cluster: str
    cluster_id: str
    spec: str
    about: str
    title: str
    description: str
    labels: Mapping[str, str] = field(default_factory=dict)
    metadata: Mapping[str, Any] = field(default_factory=dict)
    members: frozenset[str] = frozenset()
    count: int = 0

    @property
    def id(self) -> str:
        """32 hexadecimal digits: the same for the same thing in every run and on every replica."""
        parts = (self.cluster_id, self.spec, self.event, self.about)
        return hashlib.sha256("\0".join(parts).encode("utf-8", "surrogatepass")).hexdigest()[:32]

    def to_wire(self) -> dict[str, Any]:
        """Plain data, as a store keeps it."""
        return {
            "event": self.event,
            "level": self.level,
            "cluster": self.cluster,
            "clusterId": self.cluster_id,
            "spec": self.spec,
            "about": self.about,
            "title": self.title,
            "description": self.description,
            "labels": dict(self.labels),
            "metadata": dict(self.metadata),
            "members": sorted(self.members)[:MOST_MEMBERS],
            "count": self.count,
        }

    @classmethod
    def from_wire(cls, data: Mapping[str, Any]) -> Alert:
        """The inverse of `to_wire`. Raises KeyError, TypeError or ValueError on other data."""
        return cls(
            event=data["event"],
            level=Level(data["level"]) if data["level"] else None,
            cluster=data["cluster"],
            cluster_id=data["clusterId"],
            spec=data["spec"],
            about=data["about"],
            title=data["title"],
            description=data["description"],
            labels=dict(data["labels"]),
            metadata=dict(data["metadata"]),
            members=frozenset(data["members"]),
            count=int(data["count"]),
        )


@dataclass(frozen=True, slots=True)
class Fact:
    """An alert over time.

    started_at, resolved_at: RFC 3339 in UTC; resolved_at is "" while it is active
    revision: how often something was added to it
    reason:   why it ended, or ""
    """

    alert: Alert
    started_at: str
    revision: int = 0
    resolved_at: str = ""
    reason: str = ""

    @property
    def state(self) -> str:
        """Firing or resolved."""
        return RESOLVED if self.resolved_at else FIRING

    @property
    def event(self) -> str:
        """The event as of now: that of its end once it ended."""
        return ENDS.get(self.alert.event, self.alert.event) if self.resolved_at else self.alert.event

    @property
    def token(self) -> str:
        """Differs where there is something to tell: it began anew, or something was added."""
        return f"{self.started_at}/{self.revision}"

    def to_wire(self) -> dict[str, Any]:
        """Plain data."""
        return {
            "alert": self.alert.to_wire(),
            "startedAt": self.started_at,
            "revision": self.revision,
            "resolvedAt": self.resolved_at,
            "reason": self.reason,
        }

    @classmethod
    def from_wire(cls, data: Mapping[str, Any]) -> Fact:
        """The inverse of `to_wire`. Raises KeyError, TypeError or ValueError on other data."""
        return cls(
            Alert.from_wire(data["alert"]),
            data["startedAt"],
            int(data["revision"]),
            data["resolvedAt"],
            data["reason"],
        )


def read_facts(documents: Iterable[Mapping[str, Any]], where: str) -> list[Fact]:
    """Facts that were kept. Raises StoreError for what is none."""
    try:
        return [Fact.from_wire(data) for data in documents]
    except (KeyError, TypeError, ValueError) as error:
        raise StoreError("the store contains an alert that cannot be read.", where=where) from error
