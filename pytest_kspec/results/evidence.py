"""What a result rests on, and what became of exemptions."""

from __future__ import annotations

from typing import Any

from msgspec import Struct


class ExemptionUse(Struct, frozen=True):
    """What became of one exemption.

    state:   "used", "unused", "expired", or "unknown" (not everything was evaluated)
    matched: findings (or would-be) that it covers
    """

    name: str
    reason: str
    approver: str
    expires_at: str
    location: str
    state: str
    matched: int

    def to_wire(self) -> dict[str, Any]:
        """Plain data, keys as in the JSON report."""
        return {
            "name": self.name,
            "reason": self.reason,
            "approver": self.approver,
            "expiresAt": self.expires_at,
            "location": self.location,
            "state": self.state,
            "matched": self.matched,
        }


class Evidence(Struct, frozen=True):
    """What the results of a cluster rest on, so that an auditor can ask for the same again.

    source_ref:      what was named as the cluster: context, path of a snapshot or of manifests
    snapshot_sha256: digest of the snapshot's index, which holds those of all its files; "" without a snapshot
    recorded_at:     when the snapshot was recorded, RFC 3339; "" without a snapshot
    spec_sha256:     digest of the specification file, or ""
    origin:          where manifests are, in a way that is the same on each machine; "=": the user named them; or ""
    """

    source_ref: str = ""
    snapshot_sha256: str = ""
    recorded_at: str = ""
    spec_sha256: str = ""
    origin: str = ""

    def to_wire(self) -> dict[str, Any]:
        """Plain data, keys as in the JSON report."""
        return {
            "sourceRef": self.source_ref,
            "snapshotSha256": self.snapshot_sha256,
            "recordedAt": self.recorded_at,
            "specSha256": self.spec_sha256,
            **({"origin": self.origin} if self.origin else {}),
        }

    @classmethod
    def from_wire(cls, data: dict[str, Any]) -> Evidence:
        """The inverse of `to_wire`."""
        digests = data["snapshotSha256"], data["recordedAt"], data["specSha256"]
        return cls(data["sourceRef"], *digests, data.get("origin", ""))


NO_EVIDENCE = Evidence()
