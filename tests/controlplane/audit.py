"""What the API server saw, from its audit log: so that tests count list calls on the server's side.

A client that counts its own calls counts what it meant to send; retries, discovery and pages show only here.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, NamedTuple

# The server's own calls to itself are not what a test did. One event a request: its end (or, for a watch, its
# start, since a test asks while the watch is open).
POLICY: dict[str, Any] = {
    "apiVersion": "audit.k8s.io/v1",
    "kind": "Policy",
    "omitStages": ["RequestReceived"],
    "rules": [
        {"level": "None", "users": ["system:apiserver"]},
        {"level": "Metadata"},
    ],
}


class Seen(NamedTuple):
    """One request as the server saw it; `resource` is empty for paths such as `/version`."""

    verb: str
    resource: str
    subresource: str
    namespace: str
    name: str
    user: str
    uri: str
    status: int
    user_agent: str
    audit_id: str


class AuditLog:
    """The audit log of one server; positions are offsets in bytes."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def position(self) -> int:
        """The end of the log now: give it as `since` to read what comes later."""
        return self.path.stat().st_size if self.path.exists() else 0

    def read(self, since: int = 0) -> list[Seen]:
        """Every request after `since`, once each, in the order of their ends; no half written line."""
        if not self.path.exists():
            return []
        with self.path.open("rb") as file:
            file.seek(since)
            lines = file.read().split(b"\n")[:-1]
        seen = [_seen(json.loads(line)) for line in lines if line]
        return list({request.audit_id: request for request in seen}.values())


def _seen(event: dict[str, Any]) -> Seen:
    about = event.get("objectRef", {})
    # An impersonated request is the impersonated user's: that is whose rights were asked.
    user = event.get("impersonatedUser") or event.get("user", {})
    return Seen(
        verb=event.get("verb", ""),
        resource=about.get("resource", ""),
        subresource=about.get("subresource", ""),
        namespace=about.get("namespace", ""),
        name=about.get("name", ""),
        user=user.get("username", ""),
        uri=event.get("requestURI", ""),
        status=event.get("responseStatus", {}).get("code", 0),
        user_agent=event.get("userAgent", ""),
        audit_id=event.get("auditID", ""),
    )
