"""The hub as a cluster of its own fleet: `--source hub`. What scans it elsewhere opens it as the hub it has there."""

from __future__ import annotations

from urllib.parse import quote, unquote

from pytest_kspec.cluster.limits import Limits
from pytest_kspec.cluster.sources.live import LiveSource
from pytest_kspec.fleet.targets.hub import Hub
from pytest_kspec.fleet.targets.model import Target

KIND = "hub"


def hub_targets(hub: Hub, _namespace: str = "") -> list[Target]:
    """One, by the name that the hub has here."""
    at = f"@{quote(hub.ref, safe='')}" if hub.ref else ""
    return [named(hub, hub.access.name, f"{KIND}:{quote(hub.access.name, safe='')}{at}")]


def named(hub: Hub, name: str, ref: str) -> Target:
    """The hub under a name that was given to it elsewhere."""

    def opener(limits: Limits | None) -> LiveSource:
        return hub.access.open(limits, name)

    return Target(name, ref, "hub", opener)


def parts(rest: str) -> tuple[str, str]:
    """What follows `hub:` as a name and the reference of the hub, "" for that of the environment."""
    name, _, at = rest.partition("@")
    return unquote(name), unquote(at)
