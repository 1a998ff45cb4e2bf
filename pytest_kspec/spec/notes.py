"""What is asked for and was not evaluated."""

from __future__ import annotations

from typing import Any

from msgspec import Struct

SELECTION = "selection"
"""The key of what a run did not select (`-k` and the like)."""


class NotEvaluated(Struct, frozen=True):
    """What is asked for and not (or not everywhere) evaluated: by this version, in this scope, at this time.

    names: of what, all of them, where the reason names the first
    """

    key: str
    reason: str
    location: str = ""
    names: tuple[str, ...] = ()

    def to_wire(self) -> dict[str, Any]:
        """Plain data."""
        names = {"names": list(self.names)} if self.names else {}
        return {"key": self.key, "reason": self.reason, "location": self.location, **names}
