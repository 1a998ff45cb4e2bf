"""What a violation leads to, and what a specification asks for."""

from __future__ import annotations

from enum import StrEnum

from pytest_kspec.spec.loading import LoadedSpec


class Mode(StrEnum):
    """monitor: nothing is written; audit: warnings, and marks in the audit log; enforce: denial."""

    MONITOR = "monitor"
    AUDIT = "audit"
    ENFORCE = "enforce"


def asked_mode(spec: LoadedSpec) -> Mode:
    """`enforcement.mode` where `enforcement.enabled`; otherwise monitor: nothing is enforced by accident."""
    asked = spec.spec.enforcement
    return Mode(asked.mode) if asked is not None and asked.enabled else Mode.MONITOR
