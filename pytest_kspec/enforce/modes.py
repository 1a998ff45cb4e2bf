"""What a violation leads to, what a specification asks for, and which engines see to it."""

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


def asked_engines(spec: LoadedSpec) -> tuple[str, ...]:
    """Names of the engines that the specification wants in the cluster: `enforcement.engine`, and beside it the webhook
    where `webhooks.enabled`. None in mode monitor.
    """
    asked = spec.spec.enforcement
    if asked is None or asked_mode(spec) is Mode.MONITOR:
        return ()
    hooks = spec.spec.webhooks
    more = ("webhook",) if hooks is not None and hooks.enabled and asked.engine != "webhook" else ()
    return (asked.engine, *more)
