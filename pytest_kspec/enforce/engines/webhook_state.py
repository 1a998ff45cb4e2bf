"""What replicas of the webhook say of themselves, for the operator: a ConfigMap with a key for each that has news.

A replica that is as it should be has no key. One that is killed leaves its key behind, which counts until it is
`STALE_S` old.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

import msgspec

NAME = "kspec-webhook-state"
"""Of the ConfigMap, in the namespace of the webhook."""

STALE_S = 600.0
"""Replicas say it again every minute: one that is silent for ten is gone, whatever the clocks of two machines say."""

MOST_REPLICAS = 100
LONGEST_STATE = 64 << 10
MOST_POLICIES = 200
_NO_KEY = re.compile(r"[^-._a-zA-Z0-9]")


class State(msgspec.Struct):
    """at: RFC 3339 in UTC. tripped: no review is evaluated.

    denied: policy → check → requests that were denied within the last hour
    """

    at: str
    tripped: bool = False
    error_rate: float = msgspec.field(name="errorRate", default=0.0)
    denied: dict[str, dict[str, int]] = {}


def key_of(replica: str) -> str:
    """The key of a replica, as ConfigMaps allow."""
    return _NO_KEY.sub("-", replica)[:253] or "webhook"


def write(state: State) -> str:
    """The text of a key."""
    return msgspec.json.encode(state).decode()


class Malformed(Exception):
    """A key holds something else: what that replica says is not known."""


def read(data: Mapping[str, Any], now: datetime) -> dict[str, State]:
    """States by replica, without those that are gone. Raises Malformed."""
    if len(data) > MOST_REPLICAS:
        raise Malformed(f"there are {len(data)} replicas; {MOST_REPLICAS} are read at most")
    found = {}
    for key, text in sorted(data.items()):
        try:
            if len(text) > LONGEST_STATE:
                raise ValueError
            state = msgspec.json.decode(text, type=State)
            age = now - datetime.fromisoformat(state.at)
        except (msgspec.DecodeError, ValueError, TypeError) as error:
            raise Malformed(f"the key {key[:100]} does not hold what a webhook says") from error
        if age <= timedelta(seconds=STALE_S):
            found[key] = state
    return found


def stale(data: Mapping[str, Any], now: datetime) -> list[str]:
    """Keys that count no more, or never did."""
    gone = []
    for key, text in data.items():
        try:
            if not read({key: text}, now):
                gone.append(key)
        except Malformed:
            gone.append(key)
    return gone
