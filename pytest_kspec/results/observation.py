"""What a store of results knows of a finding at a moment. "Could not look" is a state of its own, never "gone"."""

from __future__ import annotations

from enum import StrEnum


class State(StrEnum):
    """State of a finding as of a result.

    open:    found; no exemption covers it, and no baseline has it
    known:   found; a baseline has it
    exempt:  found; an exemption covers it
    fixed:   its requirement was evaluated and does not find it
    unknown: its requirement was not evaluated: an error, or not asked for
    """

    OPEN = "open"
    KNOWN = "known"
    EXEMPT = "exempt"
    FIXED = "fixed"
    UNKNOWN = "unknown"

    @property
    def is_there(self) -> bool | None:
        """Whether the object still violates the requirement; None where nobody knows."""
        return None if self is State.UNKNOWN else self is not State.FIXED

    @property
    def rank(self) -> int:
        """Place in a list of findings: 0 for those that are there, then those that may be, then those that are not."""
        return (True, None, False).index(self.is_there)


NOT_ASKED = "the requirement is not part of the newest run"
NOT_SELECTED = "the run did not select the requirement"
