"""A ledger as a text of bounded size, for the status of an object: what the next leader has to know.

Alerts are kept whole while they fit. Of more, each is kept in brief (`_Brief`): what it is, who was told of it and how
often it grew, which is all that the next leader needs to send nothing twice and to say that something ended. What is
left out comes back with the next scan.
"""

from __future__ import annotations

import base64
import binascii
import json
import zlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any, NamedTuple

import msgspec

from pytest_kspec import typed
from pytest_kspec.alerts.alert import Alert, Fact, Level, read_facts
from pytest_kspec.alerts.ledger import Ledger, Told, urgent
from pytest_kspec.errors import StoreError

LONGEST = 400 << 10
"""Characters of the text: an object of a cluster has at most 1.5 MiB, and etcd keeps several versions."""

MOST_WHOLE = 2_000
"""Alerts of which it is tried to keep them whole."""

_LARGEST = 32 << 20
_SHORTENED = 200
_ODD = (ValueError, LookupError, TypeError, RecursionError)
"""What odd data end in."""

_CLUSTER = "\0"
"""Stands for the name of the cluster in titles."""


class Kept(NamedTuple):
    """text, and how many active alerts are not in it."""

    text: str
    left: int


class _Brief(NamedTuple):
    """One alert in brief. labels: pairs; a number stands for the value of one of `_IDENTITY`. members: how many."""

    cluster: str
    cluster_id: str
    spec: str
    event: str
    about: str
    level: str
    title: str
    labels: tuple[tuple[str, int | str], ...]
    members: int
    started_at: str
    revision: int
    resolved_at: str
    reason: str


_IDENTITY = ("cluster", "cluster_id", "spec", "about")


def keep(ledger: Ledger) -> Kept:
    """The text; where it would be too long, alerts are kept in brief, then the least urgent ones are left out."""
    facts = sorted(ledger.facts.values(), key=urgent)
    if len(facts) <= MOST_WHOLE:
        for chosen in (facts, [_short(fact) for fact in facts]):
            text = _text([fact.to_wire() for fact in chosen], chosen, ledger)
            if len(text) <= LONGEST:
                return Kept(text, 0)
    text = _text(_columns(facts), facts, ledger)
    while len(text) > LONGEST and facts:
        facts = facts[: len(facts) * 3 // 4]
        text = _text(_columns(facts), facts, ledger)
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
        documents = data["facts"]
        facts = _of_columns(documents) if isinstance(documents, dict) else read_facts(documents, where)
        facts = typed.convert(msgspec.to_builtins(facts), list[Fact])  # each value has the type of its field
        known = [(fact.alert.id, fact.token) for fact in facts]
        told = {
            (str(name), str(key)): typed.convert({"at": at, "alerts": _told(alerts, known)}, Told)
            for name, key, at, alerts in data["told"]
        }
    except (binascii.Error, zlib.error, msgspec.ValidationError, *_ODD) as error:
        raise StoreError("the stored state of the notifiers cannot be read.", where=where) from error
    return Ledger(facts, told)


# -- inside ------------------------------------------------------------------------------------------------


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


def _text(documents: Any, facts: Sequence[Fact], ledger: Ledger) -> str:
    """facts: those that the documents are of."""
    places = {fact.alert.id: (place, fact.token) for place, fact in enumerate(facts)}
    told = []
    for (name, key), one in sorted(ledger.told.items()):
        same, other = [], []
        for alert, token in one.alerts.items():
            if alert in places:
                place, now = places[alert]
                if token == now:
                    same.append(place)
                else:
                    other.append([place, token])
        if one.alerts and not same and not other:
            continue  # all that was told of did not fit
        told.append([name, key, one.at, {"same": _steps(sorted(same)), "other": sorted(other)}])
    data = {"facts": documents, "told": told}
    plain = json.dumps(data, sort_keys=True, separators=(",", ":")).encode()
    return base64.b64encode(zlib.compress(plain, 6)).decode()


def _told(alerts: Any, known: Sequence[tuple[str, str]]) -> dict[str, Any]:
    """Ids and tokens, as `Told` has them, and as earlier versions kept them."""
    if not isinstance(alerts, dict):
        raise TypeError("no object")
    if not isinstance(alerts.get("same"), list):
        return dict(alerts)
    found: dict[str, Any] = {}
    place = 0
    for step in alerts["same"]:
        place += step
        alert, token = known[place]
        found[alert] = token
    return found | {known[place][0]: token for place, token in alerts["other"]}


def _steps(places: Iterable[int]) -> list[int]:
    """Each number as its distance from the one before: those in a row take next to no room."""
    steps, before = [], 0
    for place in places:
        steps.append(place - before)
        before = place
    return steps


def _columns(facts: Iterable[Fact]) -> dict[str, list[Any]]:
    """For each field its values, each once, and their numbers."""
    made: dict[str, list[Any]] = {}
    briefs = [_brief(fact) for fact in facts]
    for number, name in enumerate(_Brief._fields):
        numbers: dict[Any, int] = {}
        column = [numbers.setdefault(brief[number], len(numbers)) for brief in briefs]
        made[name] = [list(numbers), column]
    return made


def _of_columns(columns: Mapping[str, Any]) -> list[Fact]:
    """The inverse."""
    cells = []
    for name in _Brief._fields:
        values, numbers = columns[name]
        cells.append([values[number] for number in numbers])
    return [_fact(_Brief(*row)) for row in zip(*cells, strict=True)]


def _brief(fact: Fact) -> _Brief:
    alert = fact.alert
    identity = {getattr(alert, name): place for place, name in reversed(list(enumerate(_IDENTITY)))}
    title = alert.title.replace(_CLUSTER, "")
    return _Brief(
        alert.cluster,
        alert.cluster_id,
        alert.spec,
        alert.event,
        alert.about,
        alert.level or "",
        (title.replace(alert.cluster, _CLUSTER) if alert.cluster else title)[:_SHORTENED],
        tuple((name, identity.get(value, value)) for name, value in alert.labels.items()),
        alert.count,
        fact.started_at,
        fact.revision,
        fact.resolved_at,
        fact.reason,
    )


def _fact(brief: _Brief) -> Fact:
    values = (brief.cluster, brief.cluster_id, brief.spec, brief.about)
    alert = Alert(
        brief.event,
        Level(brief.level) if brief.level else None,
        *values[:3],
        brief.about,
        brief.title.replace(_CLUSTER, brief.cluster),
        "",
        {name: values[value] if isinstance(value, int) else value for name, value in brief.labels},
        count=brief.members,
    )
    return Fact(alert, brief.started_at, brief.revision, brief.resolved_at, brief.reason)
