"""A ledger as a text of bounded size, for the status of an object: what the next leader has to know."""

from __future__ import annotations

import base64
import binascii
import json
import zlib
from collections.abc import Iterable
from dataclasses import replace
from typing import NamedTuple

from pytest_kspec.alerts.alert import Fact, read_facts
from pytest_kspec.alerts.ledger import Ledger, Told, urgent
from pytest_kspec.errors import StoreError

LONGEST = 200 << 10
"""Characters of the text: an object of a cluster has at most 1.5 MiB, and etcd keeps several versions."""

_LARGEST = 32 << 20
_SHORTENED = 200


class Kept(NamedTuple):
    """text, and how many active alerts are not in it."""

    text: str
    left: int


def keep(ledger: Ledger) -> Kept:
    """The text; where it would be too long, members are left out first, then the least urgent alerts."""
    facts = sorted(ledger.facts.values(), key=urgent)
    text = _text(facts, ledger)
    if len(text) > LONGEST:
        facts = [_short(fact) for fact in facts]
        text = _text(facts, ledger)
    while len(text) > LONGEST and facts:
        facts = facts[: len(facts) * 3 // 4]
        text = _text(facts, ledger)
    names = {fact.alert.id for fact in facts}
    return Kept(text, sum(not one.resolved_at and key not in names for key, one in ledger.facts.items()))


def read(text: str, where: str) -> Ledger:
    """The ledger of a text; an empty one of "". Raises StoreError for what is none."""
    if not text:
        return Ledger()
    try:
        inflater = zlib.decompressobj()
        plain = inflater.decompress(base64.b64decode(text, validate=True), _LARGEST)
        data = json.loads(plain)
        facts, told = data["facts"], data["told"]
        return Ledger(
            read_facts(facts, where),
            {(name, key): Told(at, dict(alerts)) for name, key, at, alerts in told},
        )
    except (binascii.Error, zlib.error, ValueError, KeyError, TypeError, RecursionError) as error:
        raise StoreError("what notifiers were told cannot be read.", where=where) from error


def _short(fact: Fact) -> Fact:
    alert = fact.alert
    return replace(
        fact,
        alert=replace(
            alert,
            members=frozenset(),
            title=alert.title[:_SHORTENED],
            description=alert.description[:_SHORTENED],
        ),
    )


def _text(facts: Iterable[Fact], ledger: Ledger) -> str:
    chosen = list(facts)
    names = {fact.alert.id for fact in chosen}
    data = {
        "facts": [fact.to_wire() for fact in chosen],
        "told": [
            [name, key, told.at, {one: token for one, token in told.alerts.items() if one in names}]
            for (name, key), told in sorted(ledger.told.items())
        ],
    }
    return base64.b64encode(zlib.compress(json.dumps(data, sort_keys=True).encode(), 6)).decode()
