"""The words of `kspec drift` and those of DriftReports for the same things: one table, in both directions.

Scripts read the first and controllers the second; both are older than this module. A CR has fewer words: what a
command skips is reported, and what it only detected is pending.
"""

from __future__ import annotations

from pytest_kspec.drift.events import Action, DriftKind, DriftType, Status

TYPES = {
    DriftType.POLICY: "Policy",
    DriftType.COMPLIANCE: "Compliance",
    DriftType.CONFIGURATION: "Configuration",
}
KINDS = {
    DriftKind.MISSING: "deleted",
    DriftKind.MODIFIED: "modified",
    DriftKind.EXTRA: "added",
    DriftKind.VIOLATION: "violation",
}
ACTIONS = {
    Action.CREATE: "create",
    Action.UPDATE: "update",
    Action.DELETE: "delete",
    Action.SKIP: "report",
    Action.MANUAL: "manual-required",
}
STATUSES = {
    Status.DETECTED: "pending",
    Status.REMEDIATED: "success",
    Status.FAILED: "failed",
    Status.MANUAL: "manual-required",
}

_SAME_ACTION = {"skip": Action.SKIP, "skipped": Action.SKIP, "none": Action.SKIP}
_SAME_STATUS = {"detected": Status.DETECTED, "remediated": Status.REMEDIATED, "skipped": Status.DETECTED}


def type_of(word: str) -> DriftType:
    """The type of either word. Raises KeyError."""
    return {**{text: one for one, text in TYPES.items()}, **{one.value: one for one in DriftType}}[word]


def action_of(word: str) -> Action:
    """The action of either word, or of one that older versions wrote. Raises KeyError."""
    return {**{text: one for one, text in ACTIONS.items()}, **{a.value: a for a in Action}, **_SAME_ACTION}[
        word
    ]


def status_of(word: str) -> Status:
    """The status of either word, or of one that older versions wrote. Raises KeyError."""
    return {**{text: one for one, text in STATUSES.items()}, **{s.value: s for s in Status}, **_SAME_STATUS}[
        word
    ]
