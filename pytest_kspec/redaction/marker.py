"""What stands in the place of a credential, and whether it does. Imports nothing: rules ask on their way."""

from __future__ import annotations

from typing import Any

REDACTED = "(redacted)"


def holds_redacted(value: Any) -> bool:
    """Whether a part of a value, plain data, is not what the cluster has: a snapshot holds no credentials."""
    if isinstance(value, str):
        return REDACTED in value
    if isinstance(value, dict):
        return any(map(holds_redacted, value.values()))
    return isinstance(value, list) and any(map(holds_redacted, value))
