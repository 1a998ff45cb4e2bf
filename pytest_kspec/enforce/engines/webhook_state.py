"""What replicas of the webhook say of themselves, for the operator: a ConfigMap with a key for each that has news.

A replica that is as it should be has no key. One that is killed leaves its key behind, which counts until it is
`STALE_S` old.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any, NamedTuple

import msgspec

from pytest_kspec import typed

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
    """The text of a key, of at most LONGEST_STATE: without the policies that denied least, where it would be longer."""
    text = msgspec.json.encode(state)
    names = sorted(state.denied, key=lambda name: (-sum(state.denied[name].values()), name))
    while len(text) > LONGEST_STATE and names:
        names = names[: len(names) // 2]
        denied = {name: state.denied[name] for name in sorted(names)}
        text = msgspec.json.encode(State(state.at, state.tripped, state.error_rate, denied))
    return text.decode()


class Malformed(Exception):
    """Something else is there: what replicas say is not known."""


class Read(NamedTuple):
    """states: by replica, without those that are gone. unknown: keys that hold something else."""

    states: dict[str, State]
    unknown: tuple[str, ...]


def read(data: Mapping[str, Any], now: datetime) -> Read:
    """One key that holds something else takes no other with it. Raises Malformed where there are too many."""
    if len(data) > MOST_REPLICAS:
        raise Malformed(f"there are {len(data)} replicas; {MOST_REPLICAS} are read at most")
    found, unknown = {}, []
    for key, text in sorted(data.items()):
        state = _state(text)
        if state is None:
            unknown.append(key)
        elif is_current(state, now):
            found[key] = state
    return Read(found, tuple(unknown))


def is_current(state: State, now: datetime) -> bool:
    """Whether the replica that said this may still be there."""
    return now - datetime.fromisoformat(state.at) <= timedelta(seconds=STALE_S)


def _state(text: Any) -> State | None:
    try:
        if len(text) > LONGEST_STATE:
            return None
        state = typed.from_json(text, State)
        aware = datetime.fromisoformat(state.at).tzinfo is not None
    except (msgspec.DecodeError, ValueError, TypeError):
        return None
    return state if aware else None


def stale(data: Mapping[str, Any], now: datetime) -> list[str]:
    """Keys that count no more, or never did."""
    states = {key: _state(text) for key, text in data.items()}
    return [key for key, state in states.items() if state is None or not is_current(state, now)]
